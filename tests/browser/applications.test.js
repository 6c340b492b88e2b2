// Web applications behind the gateway in a real Chromium: pages that know nothing of Smeuse, on an origin server that
// knows nothing of it either, with a real RabbitMQ. Through the gateway they use the extensions; directly they do not.
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { after, before, describe, test } from "node:test"
import { sharedBroker } from "../js/kit/broker.js"
import { root } from "../js/kit/process.js"
import { AGREED, ANSWERED, inserted, metric, pageWith, PLAIN, sessions, startOrigin, startThrough } from "./application.js"
import { openPage, startChromium } from "./kit.js"

let broker
let browser
before(async () => {
  broker = await sharedBroker()
  browser = await startChromium()
})
after(async () => {
  await browser?.close()
  await broker?.stop()
})

describe("an application that knows nothing of the gateway", () => {
  test("uses the extensions when it is visited through it", { timeout: 60_000 }, async (t) => {
    const origin = await startOrigin(t, { "/": { body: PLAIN } })
    const gateway = await startThrough(t, broker, origin)
    const page = await openPage(browser, `http://${gateway.public}/`)
    await page.waitForFunction(ANSWERED, undefined, { timeout: 20_000 })
    const extensions = await page.evaluate(() => extensions)
    for (const name of AGREED) {
      assert.match(extensions, new RegExp(name))
      await metric(gateway, sessions(name), 1)
    }
    await metric(gateway, inserted, 1)
    await metric(gateway, "smeuse_amqp_publishes_total", 1)
    await metric(gateway, "smeuse_amqp_deliveries_total", 1)
    // The script is the first of the page, and there once.
    const scripts = await page.evaluate(() => [...document.scripts].map((script) => script.getAttribute("src")))
    assert.deepEqual(scripts, ["/_smeuse/smeuse.js", "/application.mjs"])
    assert.equal(await page.evaluate(() => document.head.firstElementChild.getAttribute("src")), "/_smeuse/smeuse.js")
    // Its own page, from its own server: the library is not the origin's.
    assert.ok(origin.seen.includes("/application.mjs") && !origin.seen.some((path) => path.startsWith("/_smeuse")))
    await page.evaluate(() => disconnect())
    // Loaded again, the page is confirmed by the origin and still has the script.
    await page.reload()
    await page.waitForFunction(ANSWERED, undefined, { timeout: 20_000 })
    await metric(gateway, sessions("smeuse-sequence"), 1)
    assert.deepEqual(page.problems, [])
    await page.context().close()
  })

  test("uses none when it is visited directly, and works all the same", { timeout: 60_000 }, async (t) => {
    const origin = await startOrigin(t, { "/": { body: PLAIN } })
    const gateway = await startThrough(t, broker, origin)
    const page = await openPage(browser, `${origin.url}/?socket=${encodeURIComponent(`ws://${gateway.public}/ws/amqp`)}`)
    await page.waitForFunction(ANSWERED, undefined, { timeout: 20_000 })
    assert.equal(await page.evaluate(() => extensions), "")
    for (const name of AGREED) await metric(gateway, sessions(name), 0)
    await metric(gateway, 'smeuse_sessions{service="amqp"}', 1)
    await metric(gateway, "smeuse_amqp_publishes_total", 1)
    await metric(gateway, "smeuse_amqp_deliveries_total", 1)
    await metric(gateway, inserted, 0)
    assert.deepEqual(page.problems, [])
    await page.context().close()
  })
})

describe("a page with a strict policy", () => {
  const strict = (nonce) => `default-src 'none'; script-src 'nonce-${nonce}' 'strict-dynamic'; connect-src 'self'; img-src data:; base-uri 'none'; object-src 'none'`
  const page = (nonce) => ({
    headers: { "Content-Security-Policy": strict(nonce) },
    body: pageWith(`<script type="module" nonce="${nonce}" src="/application.mjs"></script>`),
  })

  test("works through the gateway, and its policy is the same", { timeout: 60_000 }, async (t) => {
    const origin = await startOrigin(t, { "/": page("r4nd0m") })
    const gateway = await startThrough(t, broker, origin)
    const answered = await fetch(`http://${gateway.public}/`, { headers: { Accept: "text/html" } })
    assert.equal(answered.headers.get("content-security-policy"), strict("r4nd0m"))
    const opened = await openPage(browser, `http://${gateway.public}/`)
    await opened.waitForFunction(ANSWERED, undefined, { timeout: 20_000 })
    for (const name of AGREED) await metric(gateway, sessions(name), 1)
    // Neither an inline script nor one from elsewhere may do anything it could not do before.
    const violations = await opened.evaluate(async () => {
      const seen = []
      document.addEventListener("securitypolicyviolation", (event) => seen.push(event.effectiveDirective))
      document.body.setAttribute("onclick", "globalThis.evil = 1")
      document.body.click()
      document.body.insertAdjacentHTML("beforeend", "<iframe srcdoc='<script>parent.evil = 1</script>'></iframe>")
      await new Promise((resolve) => setTimeout(resolve, 0))
      return { seen, evil: globalThis.evil }
    })
    assert.equal(violations.evil, undefined)
    assert.ok(violations.seen.includes("script-src-attr"), JSON.stringify(violations))
    await opened.context().close()
  })

  test("that lists its scripts by hash gets one hash more", { timeout: 60_000 }, async (t) => {
    const script = 'document.title = "ran"'
    const hash = `'sha256-${createHash("sha256").update(script).digest("base64")}'`
    const policy = `default-src 'none'; script-src ${hash}; connect-src 'self'; img-src data:`
    const origin = await startOrigin(t, { "/": { headers: { "Content-Security-Policy": policy }, body: pageWith(`<script>${script}</script>`) } })
    const gateway = await startThrough(t, broker, origin)
    const library = await readFile(join(root, "client/dist/smeuse.js"))
    const own = `'sha384-${createHash("sha384").update(library).digest("base64")}'`
    const answered = await fetch(`http://${gateway.public}/`, { headers: { Accept: "text/html" } })
    assert.equal(answered.headers.get("content-security-policy"), policy.replace(hash, `${hash} ${own}`))
    const opened = await openPage(browser, `http://${gateway.public}/`)
    const socket = await opened.evaluate(() => ({ title: document.title, source: Function.prototype.toString.call(WebSocket) }))
    assert.equal(socket.title, "ran")
    assert.doesNotMatch(socket.source, /native code/)
    assert.deepEqual(opened.problems, [])
    await opened.context().close()
  })
})

describe("a worker of an application", () => {
  test("that the configuration names has the library too", { timeout: 60_000 }, async (t) => {
    const worker = `"use strict"; postMessage({ native: /native code/.test(Function.prototype.toString.call(WebSocket)), strict: (function () { return this === undefined })() })`
    const javascript = { "Content-Type": "text/javascript" }
    const origin = await startOrigin(t, {
      "/": { body: pageWith("") },
      "/named.js": { headers: javascript, body: worker },
      "/other.js": { headers: javascript, body: worker },
    })
    const gateway = await startThrough(t, broker, origin, { more: 'workers = ["/named.js"]' })
    const page = await openPage(browser, `http://${gateway.public}/`)
    const ask = (path) =>
      page.evaluate((path) => new Promise((resolve, reject) => {
        const worker = new Worker(path)
        worker.onmessage = ({ data }) => resolve(data)
        worker.onerror = ({ message }) => reject(new Error(message))
      }), path)
    assert.deepEqual(await ask("/named.js"), { native: false, strict: true })
    assert.deepEqual(await ask("/other.js"), { native: true, strict: true })
    await page.context().close()
  })
})
