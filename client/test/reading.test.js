// A server may send endlessly; nobody has to listen.
import assert from "node:assert/strict"
import { test } from "node:test"
import { readText } from "../src/reading.js"

const pieces = (...texts) => new Response(new ReadableStream({
  start(controller) {
    for (const text of texts) controller.enqueue(text)
    controller.close()
  },
}))
const euro = new TextEncoder().encode("€")

test("a text in pieces, cut in the middle of a character too", async () => {
  assert.equal(await readText(pieces(euro.subarray(0, 1), euro.subarray(1), euro), 6), "€€")
  assert.equal(await readText(new Response(null), 6), "")
  assert.equal(await readText(new Response("\uFEFFx"), 6), "x")
})

test("one byte too many is an error", async () => {
  await assert.rejects(readText(pieces(euro, euro), 5), /more than 5 bytes/)
})

test("an endless one is not read on", async () => {
  let isCancelled = false
  const endless = new ReadableStream({
    pull: (controller) => controller.enqueue(new Uint8Array(1000)),
    cancel: () => void (isCancelled = true),
  })
  await assert.rejects(readText(new Response(endless), 10_000), /more than 10000 bytes/)
  assert.ok(isCancelled)
})
