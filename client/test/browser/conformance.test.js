// The conformance table in a real Chromium: its own WebSocket against ours, in pages and in workers of all kinds, by
// module and by classic script, with servers that know the extended handshake and with some that do not.
import assert from "node:assert/strict"
import { readFile, writeFile } from "node:fs/promises"
import { after, before, describe, test } from "node:test"
import { table } from "../conformance/table.js"
import { libraryFiles, openPage, startChromium } from "../kit/browser.js"
import { startConformanceServer } from "../kit/conformance-server.js"

const names = Object.keys(table)
const DEFAULTS = ["x-kaazing-idle-timeout", "x-kaazing-ping-pong"]
const NUMBERED = ["x-kaazing-ping-pong", "smeuse-sequence"]

let server
let browser
before(async () => {
  server = await startConformanceServer(libraryFiles())
  server.files["/_smeuse/config.json"] = () => [
    "application/json",
    JSON.stringify({
      version: 1,
      endpoints: [{ service: "all", kind: "echo", paths: Object.keys(server.paths).filter((path) => path.startsWith("/gateway")), extensions: DEFAULTS.map((name) => ({ name })), fallback: "plain" }],
    }),
  ]
  browser = await startChromium()
})
after(async () => {
  await browser?.close()
  await server?.stop()
})

/** Runs the table in a page: `which` is platform, module, npm or classic. */
async function inPage({ host = "127.0.0.1", flavour, which, extensions }) {
  const page = await openPage(browser, `${server.http}/empty.html`)
  if (which === "classic") await page.addScriptTag({ url: "/_smeuse/smeuse.js" })
  const outcomes = await page.evaluate(
    async ({ base, which, extensions }) => {
      const { runTable } = await import("/conformance/table.js")
      const from = { module: "/_smeuse/smeuse.mjs", npm: "/npm/smeuse.mjs" }[which]
      const { WebSocket } = from === undefined ? globalThis : await import(from)
      if (which !== "platform") WebSocket.configure({ extensions })
      return runTable({ base, WebSocket })
    },
    { base: `ws://${host}:${server.port}/${flavour}`, which, extensions },
  )
  assert.deepEqual(page.problems, [])
  await page.context().close()
  return outcomes
}

/** Runs it in a worker of the page. */
async function inWorker({ flavour, which, kind, type, extensions }) {
  const page = await openPage(browser, `${server.http}/empty.html`)
  const outcomes = await page.evaluate(
    ({ base, which, kind, type, extensions }) =>
      new Promise((resolve, reject) => {
        const url = `/browser/workers/${type}.js`
        const worker = kind === "shared" ? new SharedWorker(url, { type }) : new Worker(url, { type })
        const port = worker.port ?? worker
        worker.onerror = (event) => reject(new Error(event.message ?? "the worker failed"))
        port.onmessage = ({ data }) => resolve(data)
        port.postMessage({ base, which, extensions })
      }),
    { base: `${server.url}/${flavour}`, which, kind, type, extensions },
  )
  await page.context().close()
  return outcomes
}

/** Runs it in a service worker. */
async function inServiceWorker({ flavour, which, extensions }) {
  const page = await openPage(browser, `${server.http}/empty.html`)
  const outcomes = await page.evaluate(
    async ({ base, which, extensions }) => {
      const { installing } = await navigator.serviceWorker.register("/browser/workers/service.js", { type: "module" })
      if (installing.state !== "activated") {
        await new Promise((resolve) => installing.addEventListener("statechange", () => installing.state === "activated" && resolve()))
      }
      const { port1, port2 } = new MessageChannel()
      const answer = new Promise((resolve) => (port1.onmessage = ({ data }) => resolve(data)))
      installing.postMessage({ base, which, extensions }, [port2])
      return answer
    },
    { base: `${server.url}/${flavour}`, which, extensions },
  )
  await page.context().close()
  return outcomes
}

/** One test for each case. */
function compare(title, run) {
  describe(title, () => {
    let outcomes
    before(async () => {
      const [platform, ours] = await Promise.all([run("platform"), run("ours")])
      outcomes = { platform, ours }
    })
    for (const name of names) {
      test(name, () => {
        assert.equal(outcomes.platform[name].problem, undefined)
        assert.deepEqual(outcomes.ours[name], outcomes.platform[name])
      })
    }
  })
}

const page = (options, ours) => (which) => inPage({ ...options, which: which === "ours" ? ours : "platform" })
compare("module from npm, plain server", page({ flavour: "plain" }, "npm"))
compare("module from npm, gateway", page({ flavour: "gateway", extensions: DEFAULTS }, "npm"))
compare("module, other hosts", page({ flavour: "plain", host: "localhost" }, "module"))
compare("module, gateway, default extensions", page({ flavour: "gateway" }, "module"))
compare("module, gateway, numbered messages", page({ flavour: "gateway", extensions: NUMBERED }, "module"))
compare("classic script, endpoints of config.json", page({ flavour: "gateway" }, "classic"))
compare("classic script, other paths of the gateway", page({ flavour: "plain" }, "classic"))
compare("classic script, other hosts", page({ flavour: "plain", host: "localhost" }, "classic"))
for (const kind of ["dedicated", "shared"]) {
  for (const type of ["module", "classic"]) {
    compare(`${kind} ${type} worker`, (which) => inWorker({ flavour: "gateway", which, kind, type, extensions: DEFAULTS }))
  }
}

compare("service worker", (which) => inServiceWorker({ flavour: "gateway", which, extensions: DEFAULTS }))

// What Node's WebSocket does otherwise than the standard is tested there against what Chromium does.
test("standard.json is what Chromium does", async () => {
  const file = new URL("../conformance/standard.json", import.meta.url)
  const outcomes = await inPage({ flavour: "plain", which: "platform" })
  const { faults } = await import("../conformance/faults.js")
  const written = JSON.parse(JSON.stringify(Object.fromEntries(Object.keys(faults).map((name) => [name, outcomes[name]]))).replaceAll(String(server.port), "PORT"))
  if (process.env.SMEUSE_RECORD === "standard") await writeFile(file, `${JSON.stringify(written, null, 1)}\n`)
  assert.deepEqual(JSON.parse(await readFile(file, "utf8")), written)
})

test("servers did as they should", () => assert.deepEqual(server.problems, []))
