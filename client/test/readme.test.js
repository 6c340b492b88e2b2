// The example extension of README.md is complete, does what it says, and is short.
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { test } from "node:test"
import { Pipeline } from "../src/pipeline.js"

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8")
const [, source] = /```js\n(\/\*\*[\s\S]*?\nexport default \{[\s\S]*?)\n```/.exec(readme)

const load = () => import(`data:text/javascript,${encodeURIComponent(source)}`).then((module) => module.default)

test("it has fewer than 60 lines", () => assert.ok(source.trim().split("\n").length < 60))

test("what one side sends, the other understands, and what is cut short is found out", async () => {
  const extension = await load()
  const closed = []
  const ends = { transmit() {}, close: (...ending) => closed.push(ending), fail() {} }
  const pipeline = new Pipeline([{ extension, params: [["limit", "9"]] }], ends)
  for (const text of ["", "hello", "a#1\n#2"]) {
    const [wire] = pipeline.toServer(text)
    assert.equal(wire, `${text}#${text.length}`)
    assert.deepEqual(pipeline.fromServer(wire), [text])
  }
  const bytes = new Uint8Array(1)
  assert.deepEqual([pipeline.toServer(bytes), pipeline.fromServer(bytes)], [[bytes], [bytes]])
  for (const wire of ["hell#5", "hello", ""]) assert.throws(() => pipeline.fromServer(wire), /cut short/)
  assert.deepEqual(pipeline.toServer("0123456789"), [])
  assert.equal(closed[0][0], 4200)
  assert.equal(extension.offer(undefined), "limit=100000")
  assert.throws(() => extension.agree([]))
})

test("the close codes of the table are those of the sources", async () => {
  const { BAD_ANSWER, NO_CREDENTIALS } = await import("../src/handshake.js")
  const { SEQUENCE_VIOLATED } = await import("../src/extensions/sequence.js")
  const codes = [...readme.matchAll(/^\| (\d{4}) \|/gm)].map(([, code]) => Number(code))
  assert.deepEqual(codes, [1006, SEQUENCE_VIOLATED, BAD_ANSWER, NO_CREDENTIALS])
})
