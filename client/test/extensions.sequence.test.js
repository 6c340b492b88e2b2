// smeuse-sequence, by the samples shared with Rust.
import assert from "node:assert/strict"
import { test } from "node:test"
import { sequence, SEQUENCE_VIOLATED } from "../src/extensions/sequence.js"
import { message, vectors, written } from "./kit/vectors.js"

for (const { name, next_sent = 0, next_received = 0, steps } of vectors("sequence").cases) {
  test(name, () => {
    const state = Object.assign(sequence.agree([]), { next: next_sent, expected: next_received })
    for (const step of steps) {
      const closed = []
      const context = { state, close: (...ending) => closed.push(ending) }
      if (step.send) {
        assert.deepEqual([written(sequence.toServer(message(step.send, step.bytes), context))], step.transmit)
        continue
      }
      const result = sequence.fromServer(message(step.receive, step.bytes), context)
      if (step.violation) {
        assert.equal(result, undefined)
        assert.equal(closed[0][0], SEQUENCE_VIOLATED)
        assert.match(closed[0][1], new RegExp(`^smeuse-sequence: ${step.violation}, [0-9a-f]{8} was expected$`))
      } else {
        assert.deepEqual([written(result)], step.deliver)
        assert.deepEqual(closed, [])
      }
    }
  })
}

test("is offered and agreed on bare", () => {
  assert.equal(sequence.offer(), "")
  assert.throws(() => sequence.agree([["a", null]]))
})
