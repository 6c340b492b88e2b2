// x-kaazing-ping-pong, by the samples shared with Rust.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { pingPong } from "../src/extensions/ping-pong.js"
import { message, vectors, written } from "./kit/vectors.js"

const { cases, parameter, parameters } = vectors("ping-pong")
const list = (result) => (result === undefined ? [] : [result].flat())

for (const { name, steps } of cases) {
  test(name, () => {
    const state = pingPong.agree([[parameter, null]])
    for (const step of steps) {
      const transmitted = []
      const context = { state, send: (sent) => transmitted.push(sent) }
      const given = message(step.receive ?? step.send, step.bytes)
      if (step.violation) {
        assert.throws(() => pingPong.fromServer(given, context))
        continue
      }
      const delivered = step.receive ? list(pingPong.fromServer(given, context)) : []
      if (step.send) transmitted.push(...list(pingPong.toServer(given, context)))
      assert.deepEqual(delivered.map(written), step.deliver)
      assert.deepEqual(transmitted.map(written), step.transmit)
    }
  })
}

describe("parameters", () => {
  for (const { params, accepted } of parameters) {
    test(`${JSON.stringify(params)}: ${accepted ? "accepted" : "refused"}`, () => {
      if (accepted) assert.equal(pingPong.agree(params).control.length, 4)
      else assert.throws(() => pingPong.agree(params))
    })
  }

  test("are not offered, the gateway chooses them", () => assert.equal(pingPong.offer(), ""))
})
