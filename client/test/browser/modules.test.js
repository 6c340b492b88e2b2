// Extension modules in a real Chromium: under content security policies, broken in every way, and replaced while the page
// lives.
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { after, before, beforeEach, describe, test } from "node:test"
import { until } from "../../../tests/js/kit/wait.js"
import { libraryFiles, openPage, startChromium } from "../kit/browser.js"
import { HANDSHAKE, startServer } from "../kit/server.js"

let server
let other
let browser
before(async () => {
  server = await startServer({}, libraryFiles())
  other = await startServer({}, libraryFiles())
  browser = await startChromium()
})
after(async () => {
  await browser?.close()
  await other?.stop()
  await server?.stop()
})

const integrityOf = (text) => `sha384-${createHash("sha384").update(text).digest("base64")}`
const pathOf = (text) => `/_smeuse/extensions/acme-stamp.${createHash("sha384").update(text).digest("hex").slice(0, 32)}.js`
/** An extension that ends each text with a mark. */
const marking = (mark) => `globalThis.runs = (globalThis.runs ?? 0) + 1
export default { name: "acme-stamp", agree: () => undefined, toServer: (message) => message + ${JSON.stringify(mark)} }`

/** Agrees on all that is offered, and echoes. */
async function gateway(peer) {
  if (peer.ws.protocol !== HANDSHAKE) return
  const { headers } = await peer.extendedRequest()
  peer.agree({ extensions: headers["sec-websocket-extensions"]?.split(", ") ?? [] })
  peer.forEach((message) => peer.send(message))
}

/** From now on the gateway delivers this module; `entry` says otherwise in config.json. */
function deliver(text, entry = {}, at = server) {
  const path = pathOf(text)
  at.files[path] = ["text/javascript", text, { "Cache-Control": "public, max-age=31536000, immutable" }]
  const extensions = [{ name: "acme-stamp", module: path, integrity: integrityOf(text), ...entry }]
  const endpoint = { service: "x", kind: "echo", paths: ["/ws"], extensions, fallback: "plain" }
  at.files["/_smeuse/config.json"] = ["application/json", JSON.stringify({ version: 1, endpoints: [endpoint] })]
}

beforeEach(() => {
  for (const each of [server, other]) {
    each.openings.length = 0
    each.paths["/ws"] = { run: gateway }
  }
})

/** In the page: opens, sends `x`, and tells what happened until the first message or the end. */
const roundTrip = (page, url = "/ws") =>
  page.evaluate(
    (url) =>
      new Promise((resolve) => {
        const socket = new WebSocket(url)
        const events = []
        const tell = (more) => resolve({ events, ...more })
        socket.addEventListener("extensionfailure", ({ extension, reason }) => events.push(`without ${extension}: ${reason}`))
        socket.onopen = () => (events.push("open"), socket.send("x"))
        socket.onmessage = ({ data }) => tell({ data })
        socket.onerror = () => events.push("error")
        socket.onclose = ({ code, reason }) => tell({ code, reason })
      }),
    url,
  )

/** A page with the library's script, and a policy. `problems` has what the policy forbade. */
async function pageUnder(policy, { tag = '<script nonce="n0nce" src="/_smeuse/smeuse.js"></script>', from = server } = {}) {
  const listen = `<script nonce="n0nce">addEventListener("securitypolicyviolation", ({ blockedURI }) => (globalThis.forbidden ??= []).push(blockedURI))</script>`
  from.files["/page.html"] = ["text/html", `<!doctype html><title>x</title>${listen}${tag}`, { "Content-Security-Policy": policy }]
  return openPage(browser, `${from.http}/page.html`)
}

const forbidden = (page) => page.evaluate(() => globalThis.forbidden ?? [])

describe("under a content security policy", () => {
  for (const [what, policy] of [
    ["with a nonce", "script-src 'nonce-n0nce'"],
    ["with a nonce and strict-dynamic", "script-src 'nonce-n0nce' 'strict-dynamic'"],
    ["with a nonce, strict-dynamic and nothing else by default", "default-src 'none'; script-src 'nonce-n0nce' 'strict-dynamic'; connect-src 'self'; base-uri 'none'; object-src 'none'"],
  ]) {
    for (const [kind, tag] of [
      ["classic script", '<script nonce="n0nce" src="/_smeuse/smeuse.js"></script>'],
      ["module", '<script nonce="n0nce" type="module" src="/_smeuse/install.mjs"></script>'],
    ]) {
      test(`${what}, the module runs without blob: being allowed (${kind})`, async () => {
        deliver(marking("!"))
        const page = await pageUnder(policy, { tag })
        assert.deepEqual(await roundTrip(page), { events: ["open"], data: "x!" })
        assert.deepEqual(await forbidden(page), [])
        await page.context().close()
      })
    }
  }

  test("that names the gateway's host only, the module is imported by its path", async () => {
    deliver(marking("!"))
    const page = await pageUnder("script-src 'self'", { tag: '<script src="/_smeuse/smeuse.js"></script>' })
    assert.deepEqual(await roundTrip(page), { events: ["open"], data: "x!" })
    assert.equal(await page.evaluate(() => runs), 1)
    await page.context().close()
  })

  test("that knows nothing but hashes, the page is told why the socket goes on without, or fails", async () => {
    const text = String(server.files["/_smeuse/smeuse.js"][1])
    const options = { tag: `<script src="/_smeuse/smeuse.js" integrity="${integrityOf(text)}"></script>` }
    const policy = `script-src '${integrityOf(text)}'`
    const why = "the extension acme-stamp cannot be loaded: the page's content security policy forbids it: script-src needs"
    deliver(marking("!"), { required: false })
    const page = await pageUnder(policy, options)
    const { events, data } = await roundTrip(page)
    assert.equal(data, "x")
    assert.ok(events[0].startsWith(`without acme-stamp: ${why}`), events[0])
    await page.context().close()
    deliver(marking("!"), { required: true })
    const strict = await pageUnder(policy, options)
    const { events: failed, code, reason } = await roundTrip(strict)
    assert.deepEqual([failed, code], [["error"], 1006])
    assert.ok(reason.startsWith(why), reason)
    await strict.context().close()
  })

  test("of a page from another host, the module runs by the nonce", async () => {
    deliver(marking("!"), {}, other)
    const tag = `<script nonce="n0nce" src="${other.http}/_smeuse/smeuse.js"></script>`
    const page = await pageUnder("script-src 'nonce-n0nce'", { tag })
    assert.deepEqual(await roundTrip(page, `${other.url}/ws`), { events: ["open"], data: "x!" })
    assert.deepEqual(await forbidden(page), [])
    await page.context().close()
  })
})

const opened = async () => {
  const page = await openPage(browser, `${server.http}/empty.html`)
  page.warnings = []
  page.on("console", (message) => message.type() === "warning" && page.warnings.push(message.text()))
  await page.addScriptTag({ url: "/_smeuse/smeuse.js" })
  return page
}

describe("a module that", () => {
  for (const [what, text, entry, why] of [
    ["is not there", marking("!"), { module: "/nothing.js" }, "status 404"],
    ["was changed", marking("!"), { integrity: integrityOf("x") }, "what is there is not what config.json names (integrity)"],
    ["is no JavaScript", "export default {", {}, "Unexpected end of input"],
    ["throws when it runs", "throw new Error('not today')", {}, "not today"],
    ["is that of another", marking("!").replace("acme-stamp", "acme-other"), {}, "its module is that of acme-other"],
    ["is no extension", 'export default { name: "acme-stamp" }', {}, "the extension acme-stamp has no agree(params, context)"],
    ["waits for what never comes", "await new Promise(() => {})", {}, "it was not there within 5000 ms"],
  ]) {
    test(`${what} is told to the page, whose socket goes on without it, or not`, { timeout: 60_000 }, async () => {
      const problem = `the extension acme-stamp cannot be loaded: ${why}`
      deliver(text, { required: false, ...entry })
      const page = await opened()
      assert.deepEqual(await roundTrip(page), { events: [`without acme-stamp: ${problem}`, "open"], data: "x" })
      assert.deepEqual(page.warnings.filter((line) => line.startsWith("smeuse")), [`smeuse: the connection goes on without an extension: ${problem}`])
      await page.context().close()

      deliver(text, { required: true, ...entry })
      const strict = await opened()
      const { events, code, reason } = await roundTrip(strict)
      assert.deepEqual([events, code, reason], [["error"], 1006, problem])
      await strict.context().close()
    })
  }
})

/** From now on the page counts its object URLs, and who listens to what its policy forbids. */
const countLeftovers = (page) =>
  page.evaluate(() => {
    globalThis.leftovers = { urls: 0, listeners: 0 }
    const count = (object, name, change) => {
      const original = object[name]
      object[name] = function (...args) {
        change(...args)
        return original.apply(this, args)
      }
    }
    const listens = (by) => (type) => type === "securitypolicyviolation" && (leftovers.listeners += by)
    count(URL, "createObjectURL", () => (leftovers.urls += 1))
    count(URL, "revokeObjectURL", () => (leftovers.urls -= 1))
    count(globalThis, "addEventListener", listens(1))
    count(globalThis, "removeEventListener", listens(-1))
  })

describe("of a module", () => {
  test("that does not finish nothing is left over, and it does not run again for the next socket", { timeout: 60_000 }, async () => {
    const waiting = `globalThis.runs = (globalThis.runs ?? 0) + 1
await new Promise((resolve) => (globalThis.finish = resolve))
export default { name: "acme-stamp", agree: () => undefined, toServer: (message) => message + "!" }`
    deliver(waiting, { required: false })
    const page = await opened()
    await countLeftovers(page)
    const why = "without acme-stamp: the extension acme-stamp cannot be loaded:"
    assert.deepEqual((await roundTrip(page)).events, [`${why} it was not there within 5000 ms`, "open"])
    assert.deepEqual(await page.evaluate(() => leftovers), { urls: 0, listeners: 0 })
    const again = `${why} it was begun for an earlier WebSocket and is not there yet`
    for (let time = 0; time < 2; time += 1) assert.deepEqual((await roundTrip(page)).events, [again, "open"])
    assert.equal(await page.evaluate(() => runs), 1)
    // It is used if it comes after all.
    await page.evaluate(() => finish())
    assert.deepEqual(await roundTrip(page), { events: ["open"], data: "x!" })
    assert.equal(await page.evaluate(() => runs), 1)
    assert.deepEqual(await page.evaluate(() => leftovers), { urls: 0, listeners: 0 })
    await page.context().close()
  })

  test("that cannot be run for want of object URLs, as in service workers, nothing is left over", async () => {
    deliver(marking("!"), { required: false })
    const page = await opened()
    await page.evaluate(() => (URL.createObjectURL = () => { throw new TypeError("no object URLs here") }))
    await countLeftovers(page)
    const { events } = await roundTrip(page)
    assert.deepEqual(events, ["without acme-stamp: the extension acme-stamp cannot be loaded: no object URLs here", "open"])
    assert.equal((await page.evaluate(() => leftovers)).listeners, 0)
    await page.context().close()
  })
})

describe("a module that is replaced while the page lives", () => {
  test("is used by the next connection; the one that is open keeps what it has", { timeout: 60_000 }, async () => {
    deliver(marking("1"))
    const page = await opened()
    await page.evaluate(
      () =>
        new Promise((resolve) => {
          globalThis.first = new WebSocket("/ws")
          first.onopen = resolve
        }),
    )
    deliver(marking("2"))
    await until(20_000, "the newer module", async () => (await roundTrip(page)).data === "x2")
    const old = await page.evaluate(() => new Promise((resolve) => ((first.onmessage = ({ data }) => resolve(data)), first.send("x"))))
    assert.equal(old, "x1")
    assert.equal(await page.evaluate(() => runs), 2)
    // Taken out of config.json, it is asked for no more.
    server.files["/_smeuse/config.json"] = ["application/json", JSON.stringify({ version: 1, endpoints: [{ paths: ["/ws"], extensions: [] }] })]
    await until(20_000, "a connection without it", async () => (await roundTrip(page)).data === "x")
    await page.context().close()
  })

  test("and then is broken, leaves the next connection without it", { timeout: 60_000 }, async () => {
    deliver(marking("1"), { required: false })
    const page = await opened()
    assert.equal((await roundTrip(page)).data, "x1")
    deliver("export default {", { required: false })
    await until(20_000, "a connection without it", async () => (await roundTrip(page)).data === "x")
    await page.context().close()
  })
})

test("scripts ran as they should", () => assert.deepEqual([...server.problems, ...other.problems], []))
