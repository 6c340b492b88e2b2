// bufferedAmount without what extensions add.
import assert from "node:assert/strict"
import { test } from "node:test"
import { Backlog } from "../src/backlog.js"

test("an empty backlog has what the platform says, which is the page's", () => {
  const backlog = new Backlog()
  assert.equal(backlog.remaining(0), 0)
  assert.equal(backlog.remaining(7), 7)
})

test("messages leave in order, each with what was added to it", () => {
  const backlog = new Backlog()
  backlog.add(10, 18, 18)
  backlog.add(20, 28, 46)
  assert.equal(backlog.remaining(46), 30)
  assert.equal(backlog.remaining(28), 20)
  assert.equal(backlog.remaining(0), 0)
})

test("a message that is half sent has at most what is left", () => {
  const backlog = new Backlog()
  backlog.add(10, 18, 18)
  backlog.add(20, 28, 46)
  assert.equal(backlog.remaining(43), 30)
  assert.equal(backlog.remaining(30), 22)
  assert.equal(backlog.remaining(5), 5)
})

test("messages of the extensions' own count nothing", () => {
  const backlog = new Backlog()
  backlog.add(0, 6, 6)
  assert.equal(backlog.remaining(6), 0)
  backlog.add(3, 3, 9)
  assert.equal(backlog.remaining(9), 3)
})

test("what the platform counts beyond that is the page's: sent after the close", () => {
  const backlog = new Backlog()
  backlog.add(10, 18, 18)
  assert.equal(backlog.remaining(25), 17)
})

test("what is gone is forgotten", () => {
  const backlog = new Backlog()
  for (let round = 0; round < 10_000; round += 1) backlog.add(1, 9, 9)
  assert.equal(backlog.remaining(9), 1)
  assert.equal(backlog.remaining(0), 0)
})
