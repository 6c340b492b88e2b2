// The few helpers over what the platform gives.
import assert from "node:assert/strict"
import { test } from "node:test"
import { anew, utf8Length, utf8Prefix } from "../src/platform.js"

test("lengths in UTF-8", () => assert.deepEqual(["", "a", "ü", "€", "😀", "\uD800"].map(utf8Length), [0, 1, 2, 3, 4, 3]))

test("a prefix is never half a character", () => {
  assert.equal(utf8Prefix("abc", 3), "abc")
  assert.equal(utf8Prefix("aü€😀", 9), "aü€")
  assert.equal(utf8Prefix("aü€😀", 5), "aü")
  assert.equal(utf8Prefix("x".repeat(500), 123).length, 123)
})

test("a prefix of much costs no more than the prefix", () => {
  const much = "€".repeat(1_000_000)
  const begun = performance.now()
  assert.equal(utf8Prefix(much, 123), "€".repeat(41))
  assert.ok(performance.now() - begun < 100, "it is not to be read to its end")
})

test("an event anew is of its own class and can be dispatched", () => {
  const event = new MessageEvent("message", { data: "x" })
  new EventTarget().dispatchEvent(event)
  const copy = anew(event)
  assert.deepEqual([copy.constructor, copy.type, copy.data], [MessageEvent, "message", "x"])
  assert.equal(new EventTarget().dispatchEvent(copy), true)
})
