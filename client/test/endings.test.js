// A socket ends once, whatever comes too late or breaks down while it ends.
import { ScriptedNative } from "./kit/native.js"
import assert from "node:assert/strict"
import { afterEach, describe, test } from "node:test"

globalThis.WebSocket = ScriptedNative
const { WebSocket } = await import("../src/index.js")

let registered = []
afterEach(() => registered.splice(0).forEach((name) => WebSocket.extensions.unregister(name)))

/** Opens a socket that has agreed on one extension made for the test. */
function open(extension) {
  WebSocket.extensions.register(extension)
  registered.push(extension.name)
  const socket = new WebSocket("wss://gateway.test/ws", [], { extensions: [extension.name] })
  const native = ScriptedNative.all.at(-1)
  const events = []
  for (const type of ["open", "message", "error", "close"]) {
    socket.addEventListener(type, ({ code }) => events.push(code === undefined ? [type, socket.readyState] : [type, socket.readyState, code]))
  }
  native.protocol = native.protocols[0]
  native.onopen()
  native.onmessage({ data: `HTTP/1.1 101 x\r\nSec-WebSocket-Extensions: ${extension.name}\r\n\r\n` })
  const closes = () => {
    native.readyState = 3
    native.onclose({ code: 1000, reason: "bye", wasClean: true })
  }
  return { socket, native, events, closes }
}

const ONCE = [["open", 1], ["close", 3, 1000]]

describe("after the close event nothing changes", () => {
  for (const [what, act] of [
    ["close", (context) => context.close(4200, "late")],
    ["fail", (context) => context.fail("late")],
    ["send", (context) => context.send("late")],
  ]) {
    test(`by context.${what} of an extension`, () => {
      let context
      const { socket, native, events, closes } = open({ name: "acme-late", agree: (_, given) => void (context = given) })
      const sent = native.sent.length
      closes()
      act(context)
      assert.equal(socket.readyState, 3)
      assert.deepEqual(events, ONCE)
      assert.equal(native.sent.length, sent)
    })
  }

  test("by a Blob that cannot be read", async () => {
    let reject
    const blob = new Blob(["x"])
    blob.arrayBuffer = () => new Promise((_, no) => (reject = no))
    const { socket, events, closes } = open({ name: "acme-bytes", agree() {}, toServer: (message) => message })
    socket.send(blob)
    closes()
    reject(new Error("gone"))
    await new Promise(setImmediate)
    assert.equal(socket.readyState, 3)
    assert.deepEqual(events, ONCE)
  })
})

test("of two failures the first is told to gateway and page", () => {
  let context
  const { native, events } = open({ name: "acme-twice", agree: (_, given) => void (context = given) })
  context.close(4200, "first")
  context.close(4201, "second")
  assert.deepEqual(native.closed, [4200, "first"])
  native.onclose({ code: 4200, reason: "first", wasClean: true })
  assert.deepEqual(events, [["open", 1], ["error", 3], ["close", 3, 4200]])
})

describe("an extension whose `ended` throws is reported, and", () => {
  const broken = (more = {}) => ({
    name: "acme-broken",
    agree: (_, context) => context,
    ended() {
      throw new Error("it broke")
    },
    ...more,
  })
  const reported = (t) => t.mock.method(console, "error", () => {}).mock

  test("the close event is told, in the state closed", (t) => {
    const errors = reported(t)
    const { socket, events, closes } = open(broken())
    closes()
    assert.deepEqual(events, ONCE)
    assert.equal(socket.readyState, 3)
    assert.equal(errors.calls[0].arguments[0].message, "acme-broken: it broke")
  })

  test("a failure closes towards the gateway", (t) => {
    reported(t)
    const { native } = open(broken({ fromServer: (_, { close }) => close(4200, "enough") }))
    native.onmessage({ data: "x" })
    assert.deepEqual(native.closed, [4200, "enough"])
  })

  test("sees a socket that is closed", (t) => {
    reported(t)
    let seen
    const { socket, closes } = open({ name: "acme-last", agree() {}, ended: () => (seen = socket.readyState) })
    closes()
    assert.equal(seen, 3)
  })
})

test("a close whose reason is converted while the socket ends does not bring it back", () => {
  const { socket, events, closes } = open({ name: "acme-plain", agree() {} })
  socket.close(4001, { toString: () => (closes(), "late") })
  assert.equal(socket.readyState, 3)
  assert.deepEqual(events, ONCE)
})
