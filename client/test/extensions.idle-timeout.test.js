// x-kaazing-idle-timeout, over a clock of the test's own.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { GRACE, idleTimeoutOver } from "../src/extensions/idle-timeout.js"

/** Time that goes on when the test says so. */
class Clock {
  time = 0
  timers = new Map()
  #last = 0
  now = () => this.time
  setTimeout = (run, delay) => {
    this.#last += 1
    this.timers.set(this.#last, { at: this.time + delay, run })
    return this.#last
  }
  clearTimeout = (id) => this.timers.delete(id)
  advance(milliseconds) {
    const end = this.time + milliseconds
    for (;;) {
      const due = [...this.timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0]
      if (due === undefined) break
      this.timers.delete(due[0])
      this.time = due[1].at
      due[1].run()
    }
    this.time = end
  }
}

function started(timeout, seesSignsOfLife = true) {
  const clock = new Clock()
  const extension = idleTimeoutOver(clock)
  const failures = []
  const context = { seesSignsOfLife, fail: (reason) => failures.push(reason) }
  context.state = extension.agree([["timeout", String(timeout)]], context)
  return { clock, extension, context, failures }
}

test("nothing for so long, and at a second look shortly after, is the end, and not a moment earlier", () => {
  const { clock, failures } = started(1000)
  clock.advance(1000 + GRACE - 1)
  assert.deepEqual(failures, [])
  clock.advance(1)
  assert.deepEqual(failures, ["nothing came from the gateway for 1000 ms"])
  clock.advance(5000)
  assert.equal(failures.length, 1)
})

test("silence means nothing where the signs of life are native, which no page can see", () => {
  const { clock, extension, context, failures } = started(1000, false)
  clock.advance(60_000)
  extension.received(context)
  extension.ended(context)
  assert.deepEqual(failures, [])
})

test("every message begins the time anew", () => {
  const { clock, extension, context, failures } = started(1000)
  for (let round = 0; round < 20; round += 1) {
    clock.advance(999)
    extension.received(context)
  }
  assert.deepEqual(failures, [])
  assert.equal(clock.timers.size, 1)
  clock.advance(1000 + GRACE)
  assert.equal(failures.length, 1)
})

test("a message that was waiting behind a busy page is heard before the second look", () => {
  const { clock, extension, context, failures } = started(1000)
  clock.advance(1000)
  extension.received(context)
  clock.advance(1000 + GRACE - 1)
  assert.deepEqual(failures, [])
  clock.advance(1)
  assert.equal(failures.length, 1)
})

test("the end of the socket stops the time", () => {
  const { clock, extension, context, failures } = started(1000)
  extension.ended(context)
  clock.advance(5000)
  assert.deepEqual(failures, [])
})

test("a timeout beyond what timers know does not fire at once", () => {
  const { clock, failures } = started(2 ** 40)
  clock.advance(2 ** 31 - 2)
  assert.deepEqual(failures, [])
})

describe("parameters that are no timeout", () => {
  for (const params of [[], [["timeout", null]], [["timeout", "0"]], [["timeout", "-1"]], [["timeout", "1.5"]], [["timeout", "x"]], [["time", "1"]], [["timeout", "1"], ["timeout", "2"]]]) {
    test(JSON.stringify(params), () => assert.throws(() => idleTimeoutOver(new Clock()).agree(params, {})))
  }
})
