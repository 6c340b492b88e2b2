// Credentials are sent and forgotten: nothing keeps them, not even in private fields, and nothing writes them down.
import { ScriptedNative } from "./kit/native.js"
import assert from "node:assert/strict"
import { randomBytes } from "node:crypto"
import { describe, test } from "node:test"
import { getHeapSnapshot } from "node:v8"

globalThis.WebSocket = ScriptedNative
const { WebSocket } = await import("../src/index.js")

const BEGIN = "Trace-"
/** As it is, and in Basic as the password of joe. */
const PATTERN = /Trace-[0-9a-f]{32}|am9lOlRyYWNlL[A-Za-z0-9+/]{30}/
/** A text that is nowhere else; in one piece, so that it is found as one. */
const secret = () => Buffer.from(BEGIN + randomBytes(16).toString("hex")).toString("latin1")

/** Whether a secret is anywhere in memory; collects garbage first. */
async function isKept() {
  let text = ""
  for await (const piece of getHeapSnapshot()) {
    text = text.slice(-64) + piece
    if (PATTERN.test(text)) return true
  }
  // The engine itself remembers what a regular expression was tried on last.
  return /x/.test("y")
}

/** A socket that was asked once. */
async function asked(login, challenge = "Application Bearer") {
  const socket = new WebSocket("wss://gateway.test/ws", [], { extensions: [], login })
  const native = ScriptedNative.all.pop()
  native.protocol = native.protocols[0]
  native.onopen()
  native.onmessage({ data: `HTTP/1.1 401 x\r\nWWW-Authenticate: ${challenge}\r\n\r\n` })
  await new Promise(setImmediate)
  return { socket, native }
}

test("a secret that is kept would be found", async () => {
  const keeper = new (class {
    #kept = { text: secret() }
    get length() {
      return this.#kept.text.length
    }
  })()
  assert.ok(await isKept())
  assert.equal(keeper.length, 38)
})

for (const [what, login, challenge] of [
  ["a token", () => ({ token: secret() })],
  ["a password", () => ({ username: "joe", password: secret() }), "Application Basic"],
  ["a whole value", () => `Bearer ${secret()}`],
  ["what could not be sent", () => ({ token: `${secret()}\n` })],
]) {
  test(`nothing is kept of ${what}`, async () => {
    const { socket, native } = await asked(login, challenge)
    if (what === "what could not be sent") assert.equal(native.closed[0], 4110)
    else {
      assert.match(native.sent.pop(), /^Authorization: /m)
      native.onmessage({ data: "HTTP/1.1 101 x\r\n\r\n" })
      assert.equal(socket.readyState, 1)
    }
    assert.equal(await isKept(), false)
    assert.notEqual(socket, native)
  })
}

describe("nothing is written to the console", () => {
  for (const [what, login] of [
    ["when it is sent", () => ({ token: secret() })],
    ["when it cannot be sent", () => ({ token: `${secret()}\n` })],
    ["when the scheme is another", () => ({ token: "x", scheme: secret() })],
    ["when the login fails", () => Promise.reject(new Error(secret()))],
    ["when the login throws", () => { throw new Error(secret()) }],
  ]) {
    test(what, async (t) => {
      const spies = ["log", "info", "warn", "error", "debug", "trace", "dir", "table"].map((name) => t.mock.method(console, name, () => {}))
      const { native } = await asked(login)
      assert.ok(native.closed !== null || native.sent.length === 2)
      assert.ok(!PATTERN.test(native.closed?.[1] ?? ""))
      for (const { mock } of spies) assert.equal(mock.callCount(), 0)
    })
  }
})
