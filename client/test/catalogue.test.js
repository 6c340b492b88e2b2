// WebSocket.extensions: what may be agreed on.
import assert from "node:assert/strict"
import { test } from "node:test"
import { deliver, deliveredAs, extensions, find, isOwn } from "../src/catalogue.js"

const acme = { name: "acme", agree: () => null }

test("knows three from the beginning", () => {
  assert.deepEqual(extensions.names(), ["x-kaazing-idle-timeout", "x-kaazing-ping-pong", "smeuse-sequence"])
})

test("registers, finds and forgets", () => {
  extensions.register(acme)
  assert.equal(find("acme"), acme)
  assert.throws(() => extensions.register({ ...acme }), TypeError)
  assert.equal(extensions.unregister("acme"), true)
  assert.equal(extensions.unregister("acme"), false)
  assert.equal(find("acme"), undefined)
})

test("takes what is delivered, again and again, but nothing that is no extension", () => {
  deliver(acme, "one")
  const newer = { ...acme }
  deliver(newer, "another")
  assert.deepEqual([find("acme"), deliveredAs("acme"), isOwn("acme")], [newer, "another", false])
  assert.ok(extensions.names().includes("acme"))
  assert.throws(() => extensions.register(acme), TypeError)
  assert.throws(() => deliver({ name: "acme" }, "a third"), TypeError)
  assert.equal(find("acme"), newer)
  assert.equal(extensions.unregister("acme"), true)
  assert.equal(deliveredAs("acme"), undefined)
})

for (const [what, extension] of [
  ["nothing", undefined],
  ["no name", { agree() {} }],
  ["a name that is no token", { name: "a b", agree() {} }],
  ["no agree", { name: "acme" }],
  ["a callback that is none", { ...acme, toServer: "x" }],
  ["a word on signs of life that is none", { ...acme, showsSignsOfLife: "yes" }],
  ["the name of the library's own", { ...acme, name: "smeuse-sequence" }],
]) {
  test(`refuses ${what}`, () => assert.throws(() => extensions.register(extension), TypeError))
}
