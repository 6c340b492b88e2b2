// What the page sends, on its way to the platform: joined, in order, and counted.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { until } from "../../tests/js/kit/wait.js"
import { MAX_JOINED_BYTES, Outbox, sizeOf } from "../src/outbox.js"
import { Pipeline } from "../src/pipeline.js"
import { sequence } from "../src/extensions/sequence.js"
import { ScriptedNative } from "./kit/native.js"

function outboxOf({ joins = true, extensions = [], messageBytes } = {}) {
  const native = new ScriptedNative()
  const errors = []
  const pipeline = new Pipeline(extensions.map((extension) => ({ extension, params: [] })), { transmit() {}, close() {}, fail() {} })
  return { native, errors, outbox: new Outbox(native, pipeline, { joins, messageBytes, onError: (error) => errors.push(error) }) }
}
const bytes = (...values) => Uint8Array.from(values)
const turn = () => new Promise((resolve) => queueMicrotask(resolve))

describe("joining", () => {
  test("small binary messages of one turn are one", async () => {
    const { outbox, native } = outboxOf()
    outbox.send(bytes(1, 2))
    outbox.send(bytes(3))
    assert.deepEqual(native.sent, [])
    assert.equal(outbox.bufferedAmount, 3)
    await turn()
    assert.deepEqual(native.sent, [bytes(1, 2, 3)])
    assert.equal(outbox.bufferedAmount, 3)
    native.drain()
    assert.equal(outbox.bufferedAmount, 0)
    outbox.send(bytes(4))
    await turn()
    assert.deepEqual(native.sent, [bytes(1, 2, 3), bytes(4)])
  })

  test("is for services where boundaries mean nothing", async () => {
    const { outbox, native } = outboxOf({ joins: false })
    outbox.send(bytes(1))
    outbox.send(bytes(2))
    assert.deepEqual(native.sent, [bytes(1), bytes(2)])
  })

  test("goes up to the limit and not one byte beyond", async () => {
    const { outbox, native } = outboxOf()
    const half = new Uint8Array(MAX_JOINED_BYTES / 2).fill(1)
    outbox.send(half)
    outbox.send(half)
    assert.deepEqual(native.sent, [])
    outbox.send(bytes(2))
    assert.deepEqual(native.sent.map(({ length }) => length), [MAX_JOINED_BYTES])
    await turn()
    assert.deepEqual(native.sent[1], bytes(2))
  })

  for (const [what, messageBytes, extensions, most] of [
    ["what the gateway takes", 5000, [], 5000],
    ["64 KiB, where the gateway takes more", 2 ** 20, [], MAX_JOINED_BYTES],
    ["what leaves room for extensions", 5000, [sequence], 5000 - 256],
  ]) {
    test(`goes up to ${what}`, async () => {
      const { outbox, native } = outboxOf({ messageBytes, extensions })
      for (let sent = 0; sent < 2 * most; sent += 1) outbox.send(bytes(1))
      await turn()
      const added = extensions.length * 8
      assert.deepEqual(native.sent.map(({ length }) => length), [most + added, most + added])
    })
  }

  test("leaves larger messages alone, in their place", () => {
    const { outbox, native } = outboxOf()
    outbox.send(bytes(1))
    outbox.send(new Uint8Array(MAX_JOINED_BYTES + 1))
    assert.deepEqual(native.sent.map(({ length }) => length), [1, MAX_JOINED_BYTES + 1])
  })

  test("keeps the order with strings, Blobs and empty messages", () => {
    const { outbox, native } = outboxOf()
    const blob = new Blob(["x"])
    for (const data of [bytes(1), bytes(2), "text", bytes(3), blob, bytes(4), bytes(), bytes(5)]) outbox.send(data)
    outbox.flush()
    assert.deepEqual(native.sent, [bytes(1, 2), "text", bytes(3), blob, bytes(4), bytes(), bytes(5)])
  })

  test("copies: the page may use its bytes again", async () => {
    const { outbox, native } = outboxOf()
    const own = bytes(1, 2, 3)
    outbox.send(own)
    own.fill(9)
    await turn()
    assert.deepEqual(native.sent, [bytes(1, 2, 3)])
  })

  test("finishing sends first", () => {
    const { outbox, native } = outboxOf()
    outbox.send(bytes(1))
    outbox.finish(() => native.close(1000))
    assert.deepEqual(native.sent, [bytes(1)])
    assert.deepEqual(native.closed, [1000])
  })
})

describe("with extensions", () => {
  test("a joined message passes them as one", async () => {
    const { outbox, native } = outboxOf({ extensions: [sequence] })
    outbox.send(bytes(1))
    outbox.send(bytes(2))
    await turn()
    outbox.send("text")
    assert.deepEqual(native.sent, [Uint8Array.from([...Buffer.from("00000000"), 1, 2]), "00000001text"])
    assert.equal(outbox.bufferedAmount, 6)
    native.drain()
    assert.equal(outbox.bufferedAmount, 0)
  })

  test("one that keeps what it gets is not surprised", async () => {
    const kept = []
    const keeping = { name: "x", agree() {}, toServer: (message) => (kept.push(message), message) }
    const { outbox } = outboxOf({ extensions: [keeping] })
    outbox.send(bytes(1))
    outbox.flush()
    outbox.send(bytes(2))
    outbox.flush()
    assert.deepEqual(kept, [bytes(1), bytes(2)])
  })

  test("one that makes several messages of one does not make them count more", () => {
    const doubling = { name: "x", agree() {}, toServer: (message) => [message, message] }
    const { outbox, native } = outboxOf({ extensions: [doubling], joins: false })
    outbox.send("abc")
    assert.deepEqual(native.sent, ["abc", "abc"])
    assert.equal(outbox.bufferedAmount, 3)
  })

  test("Blobs are read, and what follows waits its turn, counted all the time", async () => {
    const { outbox, native } = outboxOf({ extensions: [sequence], joins: false })
    const own = bytes(7)
    outbox.send(new Blob(["blob"]))
    outbox.send(own)
    own.fill(9)
    outbox.send("ü")
    outbox.send(new Blob(["again"]))
    assert.deepEqual(native.sent, [])
    assert.equal(outbox.bufferedAmount, 12)
    let finished = false
    outbox.finish(() => (finished = true))
    assert.equal(finished, false)
    await until(2000, "everything sent", () => finished)
    assert.deepEqual(native.sent.map((data) => Buffer.from(data).toString("latin1")), ["00000000blob", "00000001\x07", Buffer.from("00000002ü").toString("latin1"), "00000003again"])
    assert.equal(outbox.bufferedAmount, 12)
  })

  test("after one broke down nothing is sent any more", async () => {
    const broken = { name: "x", agree() {}, toServer: (message) => { if (message === "bad") throw new Error("no"); return message } }
    const { outbox, native, errors } = outboxOf({ extensions: [broken], joins: false })
    outbox.send("good")
    outbox.send("bad")
    outbox.send("good")
    assert.deepEqual(native.sent, ["good"])
    assert.deepEqual(errors.map(({ message }) => message), ["x: no"])
  })

  test("a Blob that cannot be read is told", async () => {
    const { outbox, native, errors } = outboxOf({ extensions: [sequence] })
    const blob = new Blob(["x"])
    blob.arrayBuffer = () => Promise.reject(new Error("gone"))
    outbox.send(blob)
    outbox.send("after")
    await until(2000, "the error", () => errors.length > 0)
    assert.equal(errors[0].message, "gone")
    assert.deepEqual(native.sent, [])
  })
})

test("sizes are in bytes", () => assert.deepEqual(["aü€😀", bytes(1, 2), new Blob(["ü"])].map(sizeOf), [10, 2, 2]))
