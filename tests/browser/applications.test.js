// Web applications behind the gateway in a real Chromium: pages that know nothing of Smeuse, on an origin server that
// knows nothing of it either, with a real RabbitMQ. Through the gateway they use the extensions; directly they do not.
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { readFile } from "node:fs/promises"
import { createServer } from "node:http"
import { join } from "node:path"
import { after, before, describe, test } from "node:test"
import { gzipSync } from "node:zlib"
import { sharedBroker } from "../js/kit/broker.js"
import { startGateway } from "../js/kit/gateway.js"
import { root } from "../js/kit/process.js"
import { until } from "../js/kit/wait.js"
import { amqpService, openPage, startChromium } from "./kit.js"

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

/** The whole application: publish a message, get it back. Where the broker is it learns from its address, or is the page's host. */
const APPLICATION = `
import { AMQPWebSocketClient } from "/amqp-client.mjs"
const url = new URLSearchParams(location.search).get("socket") ?? location.origin.replace(/^http/, "ws") + "/ws/amqp"
const client = new AMQPWebSocketClient(url, "/", "guest", "guest")
const connection = await client.connect()
const channel = await connection.channel()
await channel.confirmSelect()
const queue = await channel.queueDeclare("", { exclusive: true })
const output = document.querySelector("output")
await channel.basicConsume(queue.name, { noAck: true }, (message) => (output.textContent = message.bodyString()))
await channel.basicPublish("", queue.name, "there and back")
globalThis.extensions = client.socket.extensions
globalThis.disconnect = () => connection.close()
`

const HEAD = `<meta charset="utf-8"><title>An application</title><link rel="icon" href="data:,">`
const pageWith = (script) => `<!doctype html>\n<html lang="en">\n<head>\n${HEAD}\n${script}\n</head>\n<body><output></output></body>\n</html>\n`
const PLAIN = pageWith('<script type="module" src="/application.mjs"></script>')

/** A static server as anyone would write it. */
async function startOrigin(t, pages) {
  const client = await readFile(join(root, "tests/js/node_modules/@cloudamqp/amqp-client/dist/amqp-websocket-client.mjs"))
  const javascript = { "Content-Type": "text/javascript" }
  const files = {
    "/amqp-client.mjs": { headers: javascript, body: client },
    "/application.mjs": { headers: javascript, body: APPLICATION },
    ...pages,
  }
  const seen = []
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://origin")
    seen.push(pathname)
    const file = files[pathname]
    if (!file) return response.writeHead(404, { "Content-Type": "text/plain" }).end("no such page")
    const body = Buffer.from(typeof file.body === "function" ? file.body() : file.body)
    const etag = `"${createHash("sha1").update(body).digest("hex")}"`
    const headers = { "Content-Type": "text/html; charset=utf-8", ETag: etag, ...file.headers }
    if (request.headers["if-none-match"] === etag) return response.writeHead(304, headers).end()
    if (/\bgzip\b/.test(request.headers["accept-encoding"])) return response.writeHead(200, { ...headers, "Content-Encoding": "gzip" }).end(gzipSync(body))
    response.writeHead(200, { ...headers, "Content-Length": body.length }).end(body)
  })
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${server.address().port}`, seen }
}

async function startThrough(t, origin, more = "") {
  const config = `
[[web.applications]]
name = "app"
origin = "${origin.url}"
${more}
${amqpService(broker, 'page_extensions = ["x-kaazing-idle-timeout", "x-kaazing-ping-pong", "smeuse-sequence"]\nallowed_origins = ["loopback"]')}`
  const gateway = await startGateway({ config })
  t.after(() => gateway.kill())
  return gateway
}

const metric = (gateway, sample, value) => until(5_000, `${sample} to be ${value}`, async () => (await gateway.metric(sample)) === value)
const ANSWERED = () => document.querySelector("output").textContent === "there and back" && "extensions" in globalThis
const AGREED = ["x-kaazing-idle-timeout", "x-kaazing-ping-pong", "smeuse-sequence"]
const inserted = 'smeuse_application_pages_rewritten_total{application="app",outcome="inserted"}'
const sessions = (name) => `smeuse_extension_sessions{extension="${name}"}`

describe("an application that knows nothing of the gateway", () => {
  test("uses the extensions when it is visited through it", { timeout: 60_000 }, async (t) => {
    const origin = await startOrigin(t, { "/": { body: PLAIN } })
    const gateway = await startThrough(t, origin)
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
    const gateway = await startThrough(t, origin)
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
    const gateway = await startThrough(t, origin)
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
    const gateway = await startThrough(t, origin)
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
    const gateway = await startThrough(t, origin, 'workers = ["/named.js"]')
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
