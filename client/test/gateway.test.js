// Where config.json is looked for.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { configOfGateway, configOfModule, configOfScript } from "../src/gateway.js"

/** With these globals. */
function within(globals, act) {
  const before = Object.keys(globals).map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)])
  for (const [name, value] of Object.entries(globals)) Object.defineProperty(globalThis, name, { value, configurable: true })
  try {
    return act()
  } finally {
    for (const [name, descriptor] of before) {
      if (descriptor === undefined) delete globalThis[name]
      else Object.defineProperty(globalThis, name, descriptor)
    }
  }
}

describe("a module", () => {
  for (const [address, expected] of [
    ["https://gateway.example/_smeuse/smeuse.mjs", "https://gateway.example/_smeuse/config.json"],
    ["http://gateway.example:15670/behind/_smeuse/smeuse.mjs?v=1", "http://gateway.example:15670/behind/_smeuse/config.json"],
    ["https://cdn.example/npm/smeuse/dist/smeuse.mjs", undefined],
    ["https://page.example/assets/index-1234.js", undefined],
    ["file:///srv/_smeuse/smeuse.mjs", undefined],
    ["blob:https://page.example/_smeuse/smeuse.mjs", undefined],
    [undefined, undefined],
  ]) {
    test(`at ${address} has ${expected}`, () => assert.equal(configOfModule(address)?.href, expected))
  }
})

describe("a script", () => {
  const of = (src, dataset = {}, baseURI = "https://page.example/app/") => within({ document: { currentScript: { src, dataset }, baseURI } }, configOfScript)?.href
  test("has it beside itself", () => assert.equal(of("https://gateway.example/_smeuse/smeuse.js"), "https://gateway.example/_smeuse/config.json"))
  test("has it where data-config says", () => assert.equal(of("https://x/s.js", { config: "my?site=1" }), "https://page.example/app/my?site=1"))
  test("from a file, an application or nowhere has none", () => {
    for (const src of ["file:///app/smeuse.js", "app://bundle/smeuse.js", "chrome-extension://abc/smeuse.js"]) assert.equal(of(src), undefined)
    assert.equal(of("file:///app/smeuse.js", { config: "config.json" }, "file:///app/index.html"), undefined)
    assert.equal(of("https://x/s.js", { config: "x" }, "about:blank"), undefined)
  })
  test("in a worker has it on the worker's host, in one made from a Blob nowhere", () => {
    const inWorker = (location) => within({ location: new URL(location) }, configOfScript)?.href
    assert.equal(inWorker("https://page.example/worker.js"), "https://page.example/_smeuse/config.json")
    assert.equal(inWorker("blob:https://page.example/1-2-3"), undefined)
  })
})

describe("a gateway that is named", () => {
  for (const [given, expected] of [
    ["https://gateway.example", "https://gateway.example/_smeuse/config.json"],
    ["wss://gateway.example:444/", "https://gateway.example:444/_smeuse/config.json"],
    ["https://gateway.example/a/config.json", "https://gateway.example/a/config.json"],
    ["https://gateway.example/config?site=1", "https://gateway.example/config?site=1"],
    ["https://gateway.example/?site=1", "https://gateway.example/?site=1"],
  ]) {
    test(`as ${given} has ${expected}`, () => assert.equal(configOfGateway(given).href, expected))
  }
})
