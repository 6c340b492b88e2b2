// The extended handshake in the specification's dialect (docs/protocol.md): bytes in, actions out.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { BAD_ANSWER, begin, ExpectCredentials, MAX_ANSWER_BYTES, NO_CREDENTIALS } from "../src/handshake.js"

const offer = (name, ...params) => ({ name, params })
const request = { target: "/ws/amqp?a=b", protocols: ["amqp", "other"], offers: [offer("a", ["p", "1"]), offer("b")] }
const bare = { target: "/", protocols: [], offers: [] }
const lines = (...all) => `${all.join("\r\n")}\r\n\r\n`
const ok = "HTTP/1.1 101 Web Socket Protocol Handshake"
const buffer = (text) => new TextEncoder().encode(text).buffer

/** The action for one answer to a request. */
const answerTo = (asked, ...all) => begin(asked).next.receive(buffer(lines(...all))).action

describe("a request", () => {
  test("names path, query, subprotocols and offers, in order", () => {
    assert.deepEqual(begin(request).action, {
      do: "send",
      text: "GET /ws/amqp?a=b HTTP/1.1\r\nSec-WebSocket-Protocol: amqp, other\r\nSec-WebSocket-Extensions: a; p=1, b\r\n\r\n",
    })
  })

  test("has no header for what there is not", () => assert.equal(begin(bare).action.text, "GET / HTTP/1.1\r\n\r\n"))
})

describe("101", () => {
  test("agrees on a subprotocol and a part of the offers", () => {
    const action = answerTo(request, ok, "Connection: Upgrade", "Sec-WebSocket-Extensions: b; x=1", "Sec-WebSocket-Protocol: other")
    assert.deepEqual(action, { do: "open", protocol: "other", extensions: [offer("b", ["x", "1"])] })
  })

  test("with one line for each extension, or one for all", () => {
    const expected = { do: "open", protocol: "", extensions: [offer("a"), offer("b")] }
    const asked = { ...request, protocols: [] }
    assert.deepEqual(answerTo(asked, ok, "Sec-WebSocket-Extensions: a", "Sec-WebSocket-Extensions: b"), expected)
    assert.deepEqual(answerTo(asked, ok, "sec-websocket-extensions: a,b"), expected)
  })

  test("as text, with spaces around values and any reason", () => {
    const { action } = begin(bare).next.receive("HTTP/1.1 101\r\nX:  y \r\n\r\n")
    assert.deepEqual(action, { do: "open", protocol: "", extensions: [] })
  })

  for (const [name, asked, ...all] of [
    ["an extension that was not offered", bare, ok, "Sec-WebSocket-Extensions: a"],
    ["an extension twice", request, ok, "Sec-WebSocket-Protocol: amqp", "Sec-WebSocket-Extensions: a, a"],
    ["a malformed list of extensions", request, ok, "Sec-WebSocket-Protocol: amqp", "Sec-WebSocket-Extensions: a;"],
    ["an empty list of extensions", request, ok, "Sec-WebSocket-Protocol: amqp", "Sec-WebSocket-Extensions: "],
    ["a subprotocol that was not offered", request, ok, "Sec-WebSocket-Protocol: third"],
    ["a subprotocol where none was offered", bare, ok, "Sec-WebSocket-Protocol: amqp"],
    ["two subprotocols", request, ok, "Sec-WebSocket-Protocol: amqp", "Sec-WebSocket-Protocol: other"],
    ["no subprotocol where some were offered", request, ok],
    ["another status", bare, "HTTP/1.1 200 OK"],
    ["a status that is none", bare, "HTTP/1.1 0101 x"],
    ["another version", bare, "HTTP/1.0 101 x"],
    ["no HTTP", bare, "hello"],
    ["a line that is no header", bare, ok, "hello"],
    ["a name with spaces", bare, ok, "X y: z"],
    ["a redirect to nowhere", bare, "HTTP/1.1 302 Found"],
    ["a challenge that is none", bare, "HTTP/1.1 401 Unauthorized", 'WWW-Authenticate: Basic realm="'],
  ]) {
    test(`malformed: ${name}`, () => {
      const action = answerTo(asked, ...all)
      assert.equal(action.do, "fail")
      assert.equal(action.code, BAD_ANSWER)
      assert.match(action.reason, /^extended handshake: ./)
    })
  }

  test("malformed: a head that does not end", () => {
    assert.equal(begin(bare).next.receive(`${ok}\r\n`).action.do, "fail")
    assert.equal(begin(bare).next.receive("").action.do, "fail")
  })

  test("is bounded", () => {
    const most = `${ok}\r\nX: ${"y".repeat(MAX_ANSWER_BYTES - ok.length - 9)}\r\n\r\n`
    assert.equal(most.length, MAX_ANSWER_BYTES)
    assert.equal(begin(bare).next.receive(most).action.do, "open")
    assert.equal(begin(bare).next.receive(`${most}x`).action.do, "fail")
  })
})

describe("401", () => {
  const challenged = () =>
    begin(request).next.receive(lines("HTTP/1.1 401 Unauthorized", 'WWW-Authenticate: Application Basic realm="r"', "WWW-Authenticate: Application Bearer"))

  test("asks for an answer to its challenges", () => {
    const { next, action } = challenged()
    assert.ok(next instanceof ExpectCredentials)
    assert.equal(action.do, "ask")
    assert.equal(action.attempt, 1)
    assert.deepEqual(action.challenges.map(({ scheme, realm }) => [scheme, realm]), [["Basic", "r"], ["Bearer", undefined]])
  })

  test("is answered by the whole request with the credentials, as often as the gateway asks", () => {
    let step = challenged()
    for (const attempt of [2, 3, 4]) {
      const { next, action } = step.next.answer("Basic eDp5")
      assert.equal(action.text, begin(request).action.text.replace(/\r\n$/, "Authorization: Basic eDp5\r\n\r\n"))
      step = next.receive(lines("HTTP/1.1 401 Unauthorized", "WWW-Authenticate: Basic realm=r"))
      assert.equal(step.action.attempt, attempt)
    }
    const { action } = step.next.answer("Basic eDp5").next.receive(lines(ok, "Sec-WebSocket-Protocol: amqp"))
    assert.equal(action.do, "open")
  })

  test("without an answer of the page is the end", () => {
    const { action } = challenged().next.answer(null)
    assert.equal(action.do, "fail")
    assert.equal(action.code, NO_CREDENTIALS)
  })

  test("while the page is asked, the gateway has nothing to say", () => {
    assert.equal(challenged().next.receive("x").action.code, BAD_ANSWER)
  })

  test("without a challenge is a refusal", () => {
    assert.equal(answerTo(bare, "HTTP/1.1 401 Unauthorized", "Content-Length: 0").do, "await_close")
  })
})

describe("other answers", () => {
  test("302 redirects", () => {
    assert.deepEqual(answerTo(bare, "HTTP/1.1 302 Found", "location: wss://other/x"), { do: "redirect", location: "wss://other/x" })
  })

  for (const status of [400, 403, 404, 503]) {
    test(`${status} refuses; the Close frame says more`, () => {
      const { action } = begin(bare).next.receive(`HTTP/1.1 ${status} No\r\nContent-Type: text/plain\r\n\r\ncode: sentence\n`)
      assert.deepEqual(action, { do: "await_close", status, sentence: "code: sentence" })
    })
  }
})
