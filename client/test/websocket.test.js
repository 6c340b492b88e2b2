// A drop-in is proved, not claimed: one table of cases against the platform's WebSocket and against ours, in Node. The
// same table runs in Chromium, in browser/conformance.test.js.
import { isStandard, PlatformWebSocket } from "./kit/platform.js"
import assert from "node:assert/strict"
import { after, before, describe, test } from "node:test"
import { readFileSync } from "node:fs"
import { faults } from "./conformance/faults.js"
import { runCase, table } from "./conformance/table.js"

const { WebSocket } = await import("../src/index.js")
// It uses the library's sources, which look at the platform when they are loaded.
const { startConformanceServer } = await import("./kit/conformance-server.js")

let server
const standard = JSON.parse(readFileSync(new URL("conformance/standard.json", import.meta.url), "utf8"))
const expected = {}

/** What a case must come to: what it comes to with the platform's WebSocket, faults of that one excepted. */
async function expectedOf(name, base) {
  if (name in faults) return JSON.parse(JSON.stringify(standard[name]).replaceAll("ws://127.0.0.1:PORT/plain", base))
  expected[base + name] ??= await runCase(name, { base, WebSocket: PlatformWebSocket })
  return expected[base + name]
}
before(async () => {
  server = await startConformanceServer()
})
after(() => server.stop())

const skip = isStandard ? false : "the platform's WebSocket of this Node does not follow the standard"

for (const [flavour, extensions] of [
  ["plain", []],
  ["gateway", ["x-kaazing-idle-timeout", "x-kaazing-ping-pong"]],
  ["gateway", ["x-kaazing-ping-pong", "smeuse-sequence"]],
]) {
  describe(`${flavour} server, extensions ${extensions.join(", ") || "none"}`, { skip }, () => {
    for (const name of Object.keys(table)) {
      test(name, { skip: faults[name]?.shows && flavour === "plain" && faults[name].because }, async () => {
        const base = `${server.url}/${flavour}`
        const wanted = await expectedOf(name, base)
        assert.equal(wanted.problem, undefined)
        WebSocket.configure({ extensions })
        assert.deepEqual(await runCase(name, { base, WebSocket }), wanted)
      })
    }
  })
}

test("servers did as they should", () => assert.deepEqual(server.problems, []))
