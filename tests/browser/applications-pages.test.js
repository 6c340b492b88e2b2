// What a page that the gateway has changed still can do as if there were no gateway, in a real Chromium: sockets to elsewhere,
// sockets of the application's own, pages that are left alone, pages in frames, and over TLS.
import assert from "node:assert/strict"
import { createServer } from "node:net"
import { after, before, describe, test } from "node:test"
import { sharedBroker } from "../js/kit/broker.js"
import { startGateway } from "../js/kit/gateway.js"
import { AGREED, ANSWERED, inserted, metric, pageWith, PLAIN, selfSigned, sessions, startOrigin, startThrough } from "./application.js"
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

const EMPTY = { body: pageWith("") }
const isChanged = (page) => page.evaluate(() => !/native code/.test(Function.prototype.toString.call(WebSocket)))

/** In the page: everything that a socket of the application's own shows, to its end. */
const talk = (url) =>
  new Promise((resolve) => {
    const socket = new WebSocket(url, ["chat", "other"])
    socket.binaryType = "arraybuffer"
    const heard = []
    socket.onopen = () => {
      heard.push(["open", socket.protocol, socket.extensions])
      socket.send("text")
      socket.send(new Uint8Array(100_000).fill(7))
      socket.send("goodbye")
    }
    socket.onmessage = ({ data }) => heard.push(typeof data === "string" ? data : [data.byteLength, new Set(new Uint8Array(data)).size])
    socket.onclose = ({ code, reason, wasClean }) => resolve([...heard, code, reason, wasClean])
  })
const TALKED = [["open", "chat", ""], "text", [100_000, 1], 4321, "as you say", true]

describe("the application's own WebSocket", () => {
  test("passes as it is, over TCP and over TLS", { timeout: 60_000 }, async (t) => {
    const origin = await startOrigin(t, { "/": EMPTY })
    const plain = await startThrough(t, broker, origin)
    const { key, certificate } = await selfSigned(t)
    const above = `[listen]\ntls = { certificate = "${certificate}", key = "${key}" }`
    const secure = await startThrough(t, broker, origin, { above })
    const direct = await openPage(browser, origin.url)
    const expected = await direct.evaluate(talk, `${origin.url.replace("http", "ws")}/own`)
    assert.deepEqual(expected, TALKED)
    for (const [gateway, host, scheme] of [[plain, plain.public, ""], [secure, secure.public.replace("127.0.0.1", "localhost"), "s"]]) {
      const page = await openPage(browser, `http${scheme}://${host}/`, { ignoreHTTPSErrors: true })
      assert.equal(await isChanged(page), true)
      assert.deepEqual(await page.evaluate(talk, `ws${scheme}://${host}/own`), expected)
      const headers = origin.asked("/own").at(-1)
      assert.deepEqual([headers.origin, headers["x-forwarded-proto"]], [`http${scheme}://${host}`, `http${scheme}`])
      await metric(gateway, 'smeuse_application_websockets_opened_total{application="app"}', 1)
      await metric(gateway, 'smeuse_application_websockets{application="app"}', 0)
      assert.deepEqual(page.problems, [])
      await page.context().close()
    }
    await direct.context().close()
  })
})

describe("a page that the gateway has changed", () => {
  /** In the page: what sockets to these addresses do, and what goes wrong with them. */
  const probe = async ({ echo, nobody }) => {
    const thrown = (work) => {
      try {
        return work() ?? "nothing"
      } catch (error) {
        return [error.name, error instanceof DOMException]
      }
    }
    const life = (url, protocols) =>
      new Promise((resolve) => {
        const socket = new WebSocket(url, protocols)
        const events = [socket.readyState, thrown(() => socket.send("too early"))]
        const members = Object.getOwnPropertyNames(Object.getPrototypeOf(socket)).sort()
        socket.addEventListener("open", () => {
          events.push("open", socket.url === url, socket.protocol, socket.extensions, socket.binaryType, socket.readyState)
          socket.send("hello")
          socket.send(new Blob(["bytes"]))
        })
        socket.addEventListener("message", async ({ data, origin }) => {
          events.push(typeof data, origin === new URL(url).origin, data instanceof Blob ? await data.text() : data)
          if (data instanceof Blob) socket.close(3210, "enough")
        })
        socket.addEventListener("error", ({ constructor }) => events.push("error", constructor.name))
        socket.addEventListener("close", ({ code, reason, wasClean }) =>
          resolve({ events: [...events, code, reason, wasClean, socket.readyState], members, isWebSocket: socket instanceof WebSocket, prototype: /native code/.test(socket.send) }),
        )
      })
    return [await life(echo), await life(nobody), thrown(() => void new WebSocket("no address at all:")), thrown(() => void new WebSocket(echo, ["a", "a"]))]
  }

  test("has the platform's sockets to other hosts, to the last event", { timeout: 60_000 }, async (t) => {
    const origin = await startOrigin(t, { "/": EMPTY })
    const gateway = await startThrough(t, broker, origin)
    // The same path as the service has here, at another place.
    const elsewhere = await startGateway({ config: '[[services]]\nname = "echo"\nkind = "echo"\npaths = ["/ws/amqp"]\nallowed_origins = ["loopback"]\n' })
    t.after(() => elsewhere.kill())
    const gone = createServer()
    await new Promise((resolve) => gone.listen(0, "127.0.0.1", resolve))
    const nobody = `ws://127.0.0.1:${gone.address().port}/ws/amqp`
    await new Promise((resolve) => gone.close(resolve))
    const found = []
    for (const [url, changed] of [[origin.url, false], [`http://${gateway.public}`, true]]) {
      const page = await openPage(browser, `${url}/`)
      assert.equal(await isChanged(page), changed)
      found.push(await page.evaluate(probe, { echo: elsewhere.url, nobody }))
      await page.context().close()
    }
    assert.deepEqual(found[1], found[0])
    assert.ok(found[0][0].events.includes("bytes") && found[0][0].events.includes(3210), JSON.stringify(found[0]))
    assert.ok(found[0][1].events.includes(1006), JSON.stringify(found[0]))
    await metric(elsewhere, 'smeuse_handshakes_total{dialect="none",handshake="opening",outcome="accepted"}', 2)
  })

  test("has the library once, wherever else its tag stands", { timeout: 60_000 }, async (t) => {
    const tag = '<script src="/_smeuse/smeuse.js"></script>'
    const remember = (name) => `<script>globalThis.${name} = WebSocket</script>`
    const body = `${remember("first")}${tag}${remember("second")}<output></output>`
    const origin = await startOrigin(t, { "/": { body: pageWith('<script type="module" src="/application.mjs"></script>', body) } })
    const gateway = await startThrough(t, broker, origin)
    const page = await openPage(browser, `http://${gateway.public}/`)
    await page.waitForFunction(ANSWERED, undefined, { timeout: 20_000 })
    assert.equal(await isChanged(page), true)
    assert.equal(await page.evaluate(() => first === second && second === WebSocket), true)
    assert.equal(await page.evaluate(() => document.querySelectorAll('script[src="/_smeuse/smeuse.js"]').length), 2)
    for (const name of AGREED) await metric(gateway, sessions(name), 1)
    assert.deepEqual(page.problems, [])
    await page.context().close()
  })

  test("and its frames each have the library, but those that are left alone", { timeout: 60_000 }, async (t) => {
    const outer = pageWith("", '<iframe src="/inner.html"></iframe><iframe src="/plain/inner.html"></iframe>')
    const origin = await startOrigin(t, { "/": { body: outer }, "/inner.html": { body: PLAIN }, "/plain/inner.html": { body: PLAIN } })
    const gateway = await startThrough(t, broker, origin, { more: 'skip = ["/plain"]' })
    const page = await openPage(browser, `http://${gateway.public}/`)
    const inner = (path) => page.frames().find((frame) => new URL(frame.url()).pathname === path)
    for (const [path, changed] of [["/inner.html", true], ["/plain/inner.html", false]]) {
      const frame = inner(path)
      await frame.waitForFunction(ANSWERED, undefined, { timeout: 20_000 })
      assert.equal(await isChanged(frame), changed, path)
      assert.equal((await frame.evaluate(() => extensions)) !== "", changed, path)
    }
    assert.equal(await isChanged(page), true)
    await metric(gateway, inserted, 2)
    await metric(gateway, 'smeuse_application_pages_rewritten_total{application="app",outcome="skipped"}', 1)
    for (const name of AGREED) await metric(gateway, sessions(name), 1)
    await metric(gateway, 'smeuse_sessions{service="amqp"}', 2)
    assert.deepEqual(origin.asked("/inner.html").map((headers) => headers["sec-fetch-dest"]), ["iframe"])
    assert.deepEqual(page.problems, [])
    await page.context().close()
  })
})

describe("a page over the gateway's own TLS", () => {
  test("has the library under a policy that means https, and the extensions", { timeout: 60_000 }, async (t) => {
    const policy = "default-src 'none'; script-src https:; connect-src 'self'; img-src data:; frame-src 'self'"
    const page = { headers: { "Content-Security-Policy": policy }, body: PLAIN.replace("<output>", '<iframe src="/inner.html"></iframe><output>') }
    const origin = await startOrigin(t, { "/": page, "/inner.html": EMPTY })
    const { key, certificate } = await selfSigned(t)
    const above = `[listen]\ntls = { certificate = "${certificate}", key = "${key}" }`
    const gateway = await startThrough(t, broker, origin, { above, origins: '"same-origin"' })
    const url = `https://${gateway.public.replace("127.0.0.1", "localhost")}/`
    const opened = await openPage(browser, url, { ignoreHTTPSErrors: true })
    await opened.waitForFunction(ANSWERED, undefined, { timeout: 20_000 })
    assert.equal(await isChanged(opened), true)
    for (const name of AGREED) await metric(gateway, sessions(name), 1)
    await metric(gateway, inserted, 2)
    const answer = await opened.request.get(url, { headers: { "Sec-Fetch-Dest": "document" }, ignoreHTTPSErrors: true })
    assert.equal(answer.headers()["content-security-policy"], policy)
    // What Chromium says of itself here, and what the gateway says of it.
    const [document] = origin.asked("/")
    assert.deepEqual([document["sec-fetch-dest"], document["sec-fetch-mode"]], ["document", "navigate"])
    assert.deepEqual([document["x-forwarded-proto"], document["x-forwarded-host"]], ["https", new URL(url).host])
    assert.deepEqual(
      ["/application.mjs", "/inner.html"].map((path) => origin.asked(path)[0]["sec-fetch-dest"]),
      ["script", "iframe"],
    )
    assert.deepEqual(opened.problems, [])
    await opened.context().close()
  })
})
