// What Web IDL and WHATWG WebSockets make of arguments; what the conformance table shows is not repeated here.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { checkClose, checkProtocols, parseURL, toCloseCode, toMessage, toProtocols } from "../src/arguments.js"

test("[Clamp] unsigned short rounds to the nearest, ties to even", () => {
  const given = [0.5, 1.5, 2.5, 999.4, 999.5, 999.6, 2999.5, 4999.5, -0.4, 65_535.5, 1e9, -1e9, NaN, "12", "x", null, true]
  assert.deepEqual(given.map(toCloseCode), [0, 2, 2, 999, 1000, 1000, 3000, 5000, 0, 65_535, 65_535, 0, 0, 12, 0, 0, 1])
  assert.equal(toCloseCode(undefined), undefined)
  assert.throws(() => toCloseCode(1n), TypeError)
})

test("a reason has at most 123 bytes of UTF-8", () => {
  checkClose(undefined, "é".repeat(61))
  assert.throws(() => checkClose(undefined, "é".repeat(62)), { name: "SyntaxError" })
  assert.throws(() => checkClose(1001, ""), { name: "InvalidAccessError" })
})

test("relative URLs begin at the document's base, which is not always its own address", () => {
  globalThis.document = { baseURI: "https://example.test/a/b" }
  try {
    assert.equal(parseURL("c?d").href, "wss://example.test/a/c?d")
    assert.equal(parseURL("/c").href, "wss://example.test/c")
    assert.equal(parseURL("//other/").href, "wss://other/")
    assert.equal(parseURL("").href, "wss://example.test/a/b")
  } finally {
    delete globalThis.document
  }
  assert.throws(() => parseURL("/c"), { name: "SyntaxError" })
})

test("in workers they begin at the worker's address", () => {
  globalThis.location = { href: "http://example.test/w/worker.js" }
  try {
    assert.equal(parseURL("x").href, "ws://example.test/w/x")
  } finally {
    delete globalThis.location
  }
})

describe("subprotocols", () => {
  test("are one, several, or none", () => {
    assert.deepEqual(toProtocols(undefined), [])
    assert.deepEqual(toProtocols("a, b"), ["a, b"])
    assert.deepEqual(toProtocols(new Set(["a", 1])), ["a", "1"])
  })

  test("are unique tokens", () => {
    checkProtocols(["a", "A"])
    for (const protocols of [["a", "a"], [""], ["a b"], ["a,b"]]) assert.throws(() => checkProtocols(protocols), { name: "SyntaxError" })
  })
})

test("bytes are views of the caller's own", () => {
  const bytes = new Uint8Array([1, 2, 3, 4])
  const view = toMessage(new DataView(bytes.buffer, 1, 2))
  bytes[1] = 9
  assert.deepEqual([...view], [9, 3])
})
