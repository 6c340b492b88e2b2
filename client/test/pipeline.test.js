// RFC 6455 section 9.1: the order of extensions, and what happens when one breaks down.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { pingPong } from "../src/extensions/ping-pong.js"
import { sequence } from "../src/extensions/sequence.js"
import { ExtensionError, Pipeline } from "../src/pipeline.js"

/** An extension that writes its name around what passes. */
const marking = (name, more = {}) => ({
  name,
  agree: () => ({}),
  fromServer: (message) => `${message}<${name}`,
  toServer: (message) => `${message}>${name}`,
  ...more,
})

function pipelineOf(...extensions) {
  const log = []
  const ends = {
    transmit: (message) => log.push(["transmit", message]),
    close: (...ending) => log.push(["close", ...ending]),
    fail: (reason) => log.push(["fail", reason]),
  }
  const agreed = extensions.map((extension) => ({ extension, params: extension.params ?? [] }))
  return { pipeline: new Pipeline(agreed, ends), log }
}

describe("order", () => {
  const { pipeline } = pipelineOf(marking("a"), marking("b"))
  test("from the page: a, then b", () => assert.deepEqual(pipeline.toServer("m"), ["m>a>b"]))
  test("from the gateway: b, then a", () => assert.deepEqual(pipeline.fromServer("m"), ["m<b<a"]))
})

describe("messages", () => {
  test("one may become several, or none", () => {
    const { pipeline } = pipelineOf(
      marking("twice", { toServer: (message) => [message, message] }),
      marking("b"),
      marking("none", { fromServer: () => undefined }),
    )
    assert.deepEqual(pipeline.toServer("m"), ["m>b>none", "m>b>none"])
    assert.deepEqual(pipeline.fromServer("m"), [])
  })

  test("binary ones are Uint8Arrays, and an ArrayBuffer becomes one", () => {
    const seen = []
    const { pipeline } = pipelineOf(marking("a", { toServer: () => new ArrayBuffer(2) }), marking("b", { toServer: (message) => (seen.push(message), message) }))
    assert.deepEqual(pipeline.toServer(new Uint8Array(1)), [new Uint8Array(2)])
    assert.ok(seen[0] instanceof Uint8Array)
  })

  test("without a callback they pass", () => {
    const { pipeline } = pipelineOf({ name: "a", agree: () => null })
    assert.deepEqual(pipeline.toServer("m"), ["m"])
    assert.deepEqual(pipeline.fromServer("m"), ["m"])
    assert.ok(pipeline.isTransparent)
    assert.ok(!pipeline.isEmpty)
  })

  test("of an extension's own pass those nearer to the network only", () => {
    const answering = marking("b", { fromServer: (message, { send }) => (send("own"), message) })
    const { pipeline, log } = pipelineOf(marking("a"), answering, marking("c"))
    assert.deepEqual(pipeline.fromServer("m"), ["m<c<a"])
    assert.deepEqual(log, [["transmit", "own>c"]])
  })

  test("pongs are numbered if and only if sequence is behind ping-pong", () => {
    const ping = { ...pingPong, params: [["01010102", null]] }
    const behind = pipelineOf(ping, sequence)
    assert.deepEqual(behind.pipeline.fromServer("00000000\x01\x01\x01\x02\t\0"), [])
    assert.deepEqual(behind.log, [["transmit", "00000000\x01\x01\x01\x02\n\0"]])
    const before = pipelineOf(sequence, ping)
    assert.deepEqual(before.pipeline.fromServer("\x01\x01\x01\x02\t\0"), [])
    assert.deepEqual(before.log, [["transmit", "\x01\x01\x01\x02\n\0"]])
  })
})

describe("each socket", () => {
  test("has a state of its own, in the context", () => {
    const counting = { name: "n", agree: () => ({ count: 0 }), toServer: (message, { state }) => `${message}${(state.count += 1)}` }
    const [one, two] = [pipelineOf(counting).pipeline, pipelineOf(counting).pipeline]
    assert.deepEqual([one.toServer("m"), one.toServer("m"), two.toServer("m")], [["m1"], ["m2"], ["m1"]])
  })

  test("is heard by every extension, also by those that a message does not reach", () => {
    let heard = 0
    const { pipeline } = pipelineOf(marking("a", { received: () => (heard += 1) }), marking("b", { fromServer: () => null }))
    pipeline.fromServer("m")
    assert.equal(heard, 1)
  })

  test("ends once for each", () => {
    let ended = 0
    const { pipeline } = pipelineOf(marking("a", { ended: () => (ended += 1) }))
    pipeline.end()
    pipeline.end()
    assert.equal(ended, 1)
  })

  test("may be closed and given up by an extension", () => {
    const { pipeline, log } = pipelineOf(
      marking("a", { fromServer: (_, { close, fail }) => (close(4321, "enough"), fail("really"), undefined) }),
    )
    assert.deepEqual(pipeline.fromServer("m"), [])
    assert.deepEqual(log, [["close", 4321, "enough"], ["fail", "a: really"]])
  })
})

describe("what an extension is told of its socket", () => {
  const told = (...others) => {
    let context
    pipelineOf(marking("a", { agree: (_, given) => void (context = given) }), ...others)
    return context
  }

  test("is whether signs of life are to be seen, and not who else is there", () => {
    assert.equal(told(marking("b")).seesSignsOfLife, false)
    const context = told(marking("b", { showsSignsOfLife: true }))
    assert.equal(context.seesSignsOfLife, true)
    assert.deepEqual(Object.keys(context).sort(), ["close", "fail", "seesSignsOfLife", "send", "state"])
    assert.equal(pingPong.showsSignsOfLife, true)
  })
})

describe("within agree, before the socket is open,", () => {
  for (const word of ["send", "close", "fail"]) {
    test(`${word} is refused`, () => {
      const hasty = marking("a", { agree: (_, context) => context[word](word === "close" ? 4200 : "m", "m") })
      const named = (error) => error instanceof ExtensionError && error.message === `a: ${word} within agree, before the socket is open`
      assert.throws(() => pipelineOf(hasty), named)
    })
  }
})

describe("a close that no WebSocket can send ends with 4109, and throws:", () => {
  for (const [code, reason] of [[1001, "x"], [undefined, "x"], [5000, "x"], ["x", "x"], [4200, "x".repeat(124)]]) {
    test(`${code}, ${reason.length} bytes`, () => {
      let context
      const { log } = pipelineOf(marking("a", { agree: (_, given) => void (context = given) }))
      assert.throws(() => context.close(code, reason), ExtensionError)
      assert.deepEqual(log.map(([what, code]) => [what, code]), [["close", 4109]])
    })
  }
})

describe("an extension that breaks down", () => {
  const broken = () => {
    throw new Error("it broke")
  }
  const named = (error) => error instanceof ExtensionError && error.message === "b: it broke"

  test("is named, in both directions", () => {
    const { pipeline } = pipelineOf(marking("a"), marking("b", { fromServer: broken, toServer: broken }))
    assert.throws(() => pipeline.fromServer("m"), named)
    assert.throws(() => pipeline.toServer("m"), named)
  })

  test("at the second of two messages lets the first not through", () => {
    let calls = 0
    const second = marking("b", { fromServer: (message) => ((calls += 1) === 2 ? broken() : message) })
    const { pipeline } = pipelineOf(second, marking("c", { fromServer: (message) => [message, message] }))
    assert.throws(() => pipeline.fromServer("m"), named)
  })

  test("while agreeing ends those that had begun", () => {
    let ended = 0
    assert.throws(() => pipelineOf(marking("a", { ended: () => (ended += 1) }), marking("b", { agree: broken })), named)
    assert.equal(ended, 1)
  })

  for (const result of [1, {}, Promise.resolve("m"), [null]]) {
    test(`by returning ${String(result)}`, () => {
      const { pipeline } = pipelineOf(marking("a", { toServer: () => result }))
      assert.throws(() => pipeline.toServer("m"), ExtensionError)
    })
  }
})
