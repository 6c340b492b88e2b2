// A real Chromium, and the pages and workers that the browser tests need.
import { execFile } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { chromium } from "playwright-core"
import { within } from "../../../tests/js/kit/wait.js"

const at = (path) => fileURLToPath(new URL(path, import.meta.url))

/** Starts Chromium with a fresh profile. */
export async function startChromium() {
  const { stdout } = await promisify(execFile)(at("../../../scripts/setup"), ["chromium-path"])
  return chromium.launch({
    executablePath: stdout.trim(),
    ignoreDefaultArgs: ["--headless"],
    args: ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run"],
    timeout: 60_000,
  })
}

const script = (path) => ["text/javascript", readFileSync(at(path))]

/** The library, the table and an empty page, as a server's files. */
export function libraryFiles() {
  const files = {
    "/empty.html": ["text/html", "<!doctype html><title>empty</title>"],
    "/_smeuse/smeuse.js": script("../../dist/smeuse.js"),
    "/_smeuse/smeuse.mjs": script("../../dist/smeuse.mjs"),
    "/_smeuse/install.mjs": script("../../dist/install.mjs"),
    // The same as a page has it from npm: not from a gateway.
    "/npm/smeuse.mjs": script("../../dist/smeuse.mjs"),
    "/amqp-client.mjs": script("../../node_modules/@cloudamqp/amqp-client/dist/amqp-websocket-client.mjs"),
  }
  for (const folder of ["conformance", "browser/workers"]) {
    for (const name of readdirSync(at(`../${folder}`)).filter((each) => each.endsWith(".js"))) {
      files[`/${folder}/${name}`] = script(`../${folder}/${name}`)
    }
  }
  return files
}

/** A new page of its own context, at this URL; errors of the page are in `page.problems`. */
export async function openPage(browser, url) {
  const context = await browser.newContext()
  const page = await context.newPage()
  page.problems = []
  page.on("pageerror", (error) => page.problems.push(String(error)))
  await page.goto(url)
  // Playwright's own deadlines do not cover what a page computes.
  const evaluate = page.evaluate.bind(page)
  page.evaluate = (...args) => within(90_000, "the page's result", evaluate(...args))
  return page
}
