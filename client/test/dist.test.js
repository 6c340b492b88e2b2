// The committed single files are what the sources make.
import assert from "node:assert/strict"
import { readdir, readFile } from "node:fs/promises"
import { test } from "node:test"
import { bundles } from "../scripts/build.js"

test("dist/ is up to date; npm run build makes it so", async () => {
  const made = await bundles()
  const folder = new URL("../dist/", import.meta.url)
  assert.deepEqual((await readdir(folder)).sort(), Object.keys(made).sort())
  for (const [name, text] of Object.entries(made)) assert.ok((await readFile(new URL(name, folder), "utf8")) === text, name)
})
