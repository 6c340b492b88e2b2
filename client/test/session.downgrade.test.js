// Redirects of a socket that is encrypted, over a scripted platform: nothing leads out of the encryption.
import { ScriptedNative } from "./kit/native.js"
import assert from "node:assert/strict"
import { test } from "node:test"

globalThis.WebSocket = ScriptedNative
const { WebSocket } = await import("../src/index.js")

/** A socket at wss: whose gateway redirects to `location`. */
function redirected(location) {
  const socket = new WebSocket("wss://gateway.test/ws?x=1", [], { extensions: [] })
  const native = ScriptedNative.all.at(-1)
  native.protocol = native.protocols[0]
  native.onopen()
  native.onmessage({ data: `HTTP/1.1 302 Found\r\nLocation: ${location}\r\n\r\n` })
  return { socket, native, next: ScriptedNative.all.at(-1) }
}

for (const location of ["ws://gateway.test/other", "http://gateway.test/other"]) {
  test(`from wss: to ${location} is refused`, () => {
    const { socket, native, next } = redirected(location)
    assert.equal(next, native)
    assert.deepEqual(native.closed, [4109, "extended handshake: a redirect from wss: to ws:"])
    assert.equal(socket.readyState, 2)
  })
}

for (const [location, url] of [["https://other.test/a#b", "wss://other.test/a"], ["/a?b", "wss://gateway.test/a?b"], ["//other.test/", "wss://other.test/"]]) {
  test(`from wss: to ${location} is ${url}`, () => {
    const { socket, native, next } = redirected(location)
    assert.deepEqual(native.closed, [1000])
    assert.equal(next.url, url)
    assert.deepEqual(next.protocols, ["x-kaazing-handshake"])
    assert.equal(socket.readyState, 0)
    // The one that was left is not heard any more.
    native.onclose({ code: 1000, reason: "", wasClean: true })
    assert.equal(socket.readyState, 0)
  })
}

test("credentials do not follow a redirect", async () => {
  const socket = new WebSocket("wss://gateway.test/", [], { extensions: [], login: () => ({ token: "hunter2" }) })
  const native = ScriptedNative.all.at(-1)
  native.protocol = native.protocols[0]
  native.onopen()
  native.onmessage({ data: "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Application Bearer\r\n\r\n" })
  await new Promise(setImmediate)
  assert.match(native.sent.at(-1), /hunter2/)
  native.onmessage({ data: "HTTP/1.1 302 Found\r\nLocation: wss://other.test/\r\n\r\n" })
  const next = ScriptedNative.all.at(-1)
  next.protocol = next.protocols[0]
  next.onopen()
  assert.deepEqual(next.sent, ["GET / HTTP/1.1\r\n\r\n"])
  socket.close()
})

test("an answer of the page that comes after the end is not sent", async () => {
  let answer
  const socket = new WebSocket("wss://gateway.test/", [], { extensions: [], login: () => new Promise((resolve) => (answer = resolve)) })
  const native = ScriptedNative.all.at(-1)
  native.protocol = native.protocols[0]
  native.onopen()
  native.onmessage({ data: "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Application Bearer\r\n\r\n" })
  await new Promise(setImmediate)
  native.onclose({ code: 4105, reason: "", wasClean: true })
  assert.equal(socket.readyState, 3)
  answer({ token: "hunter2" })
  await new Promise(setImmediate)
  assert.equal(native.sent.length, 1)
})
