// Sockets that are none of the gateway's are the platform's, whatever they are given.
import { ScriptedNative } from "./kit/native.js"
import assert from "node:assert/strict"
import { test } from "node:test"

globalThis.WebSocket = ScriptedNative
const { WebSocket } = await import("../src/index.js")
WebSocket.configure({ gateway: null })

test("a third argument that was meant for another library is not looked at", () => {
  for (const options of [{ headers: { a: "b" } }, { extensions: "permessage-deflate", handshakeTimeout: 0 }, { login: "joe" }, null, "x"]) {
    const socket = new WebSocket("wss://other.test/", ["a"], options)
    assert.ok(socket instanceof ScriptedNative)
    assert.deepEqual([socket.url, socket.protocols], ["wss://other.test/", ["a"]])
  }
})

test("a subclass of the page's is not either, and nothing of its is joined", async () => {
  class Own extends WebSocket {}
  const socket = new Own("wss://other.test/", ["amqp"], { extensions: "x" })
  const native = ScriptedNative.all.at(-1)
  native.protocol = "amqp"
  native.onopen()
  socket.send(new Uint8Array(2))
  socket.send(new Uint8Array(3))
  await Promise.resolve()
  assert.deepEqual(native.sent.map(({ length }) => length), [2, 3])
})
