// The `on...` attributes; what the conformance table shows is not repeated here.
import assert from "node:assert/strict"
import { test } from "node:test"
import { EventHandlers } from "../src/event-handlers.js"

test("a handler that returns false cancels what can be cancelled", () => {
  const target = new EventTarget()
  const handlers = new EventHandlers(target)
  for (const [returned, isCancelled] of [[false, true], [undefined, false], [0, false], [true, false]]) {
    handlers.set("x", () => returned)
    assert.equal(target.dispatchEvent(new Event("x", { cancelable: true })), !isCancelled)
    assert.equal(target.dispatchEvent(new Event("x")), true)
  }
})

test("handlers of one object know nothing of another's", () => {
  const [one, two] = [new EventTarget(), new EventTarget()]
  const [handlers, others] = [new EventHandlers(one), new EventHandlers(two)]
  const log = []
  handlers.set("x", () => log.push("one"))
  others.set("x", () => log.push("two"))
  one.dispatchEvent(new Event("x"))
  assert.deepEqual(log, ["one"])
  handlers.set("x", null)
  one.dispatchEvent(new Event("x"))
  assert.deepEqual(log, ["one"])
  assert.equal(handlers.of("x"), null)
  assert.equal(typeof others.of("x"), "function")
})
