// Pages that come to a real Chromium on unusual ways, or under rules about what scripts they may have, and get the library all
// the same.
import assert from "node:assert/strict"
import { after, before, test } from "node:test"
import { sharedBroker } from "../js/kit/broker.js"
import { inserted, metric, pageWith, startOrigin, startThrough } from "./application.js"
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

const javascript = { "Content-Type": "text/javascript" }
const isChanged = (page) => page.evaluate(() => !/native code/.test(Function.prototype.toString.call(WebSocket)))

/** In the page: a service worker from there is in charge of it. */
const register = async (path) => {
  await navigator.serviceWorker.register(path)
  await navigator.serviceWorker.ready
  if (!navigator.serviceWorker.controller) await new Promise((resolve) => navigator.serviceWorker.addEventListener("controllerchange", resolve, { once: true }))
}
const CLAIM = "addEventListener('install', () => skipWaiting()); addEventListener('activate', (event) => event.waitUntil(clients.claim()))\n"

test("a page that a service worker fetches for the browser has the library", { timeout: 60_000 }, async (t) => {
  const body = `${CLAIM}addEventListener("fetch", (event) => event.respondWith(fetch(event.request)))`
  const origin = await startOrigin(t, { "/": { body: pageWith("") }, "/sw.js": { headers: javascript, body } })
  const gateway = await startThrough(t, broker, origin)
  const page = await openPage(browser, `http://${gateway.public}/`)
  assert.equal(await isChanged(page), true)
  await page.evaluate(register, "/sw.js")
  await page.reload()
  assert.equal(await page.evaluate(() => navigator.serviceWorker.controller !== null), true)
  assert.equal(await isChanged(page), true)
  const [first, second] = origin.asked("/")
  assert.deepEqual([first["sec-fetch-dest"], second["sec-fetch-dest"], second["sec-fetch-mode"]], ["document", "empty", "navigate"])
  assert.deepEqual(page.problems, [])
})

test("a page that a service worker keeps has the library if the configuration names it", { timeout: 60_000 }, async (t) => {
  const body = (kept) => `${CLAIM}addEventListener("install", (event) => event.waitUntil(caches.open("1").then((cache) => cache.addAll(["${kept}"]))))
addEventListener("fetch", (event) => event.respondWith(caches.match(event.request, { ignoreVary: true }).then((kept) => kept ?? fetch(event.request))))`
  const pages = {}
  for (const name of ["named", "other"]) {
    pages[`/${name}/`] = { body: pageWith("") }
    pages[`/${name}/sw.js`] = { headers: javascript, body: body(`/${name}/`) }
  }
  const origin = await startOrigin(t, pages)
  const gateway = await startThrough(t, broker, origin, { more: 'documents = ["/named/"]' })
  for (const [name, expected] of [["named", true], ["other", false]]) {
    const page = await openPage(browser, `http://${gateway.public}/${name}/`)
    await page.evaluate(register, `/${name}/sw.js`)
    const asked = origin.asked(`/${name}/`).length
    await page.reload()
    assert.equal(await isChanged(page), expected, name)
    assert.equal(origin.asked(`/${name}/`).length, asked, "the page came from the worker's cache")
    await page.context().close()
  }
})

test("a page in a sandbox, or with a rule on integrity, runs the script", { timeout: 60_000 }, async (t) => {
  const origin = await startOrigin(t, {
    "/sandbox": { headers: { "Content-Security-Policy": "sandbox allow-scripts" }, body: pageWith("") },
    "/integrity": { headers: { "Integrity-Policy": "blocked-destinations=(script)" }, body: pageWith("") },
    "/isolated": { headers: { "Cross-Origin-Embedder-Policy": "require-corp", "Cross-Origin-Opener-Policy": "same-origin" }, body: pageWith("") },
  })
  const gateway = await startThrough(t, broker, origin)
  let count = 0
  for (const path of ["/sandbox", "/integrity", "/isolated"]) {
    const page = await openPage(browser, `http://${gateway.public}${path}`)
    assert.equal(await isChanged(page), true, path)
    await metric(gateway, inserted, (count += 1))
    await page.context().close()
  }
})

test("a page without a type is a page if it looks like one", { timeout: 60_000 }, async (t) => {
  const origin = await startOrigin(t, {
    "/": { headers: { "Content-Type": [] }, body: pageWith("") },
    "/text": { headers: { "Content-Type": [] }, body: "only text" },
  })
  const gateway = await startThrough(t, broker, origin)
  const page = await openPage(browser, `http://${gateway.public}/`)
  assert.equal(await isChanged(page), true)
  await page.goto(`http://${gateway.public}/text`)
  assert.equal(await isChanged(page), false)
  assert.equal(await page.evaluate(() => document.body.textContent), "only text")
})

test("workers of every kind that the configuration names have the library", { timeout: 60_000 }, async (t) => {
  const says = "/native code/.test(Function.prototype.toString.call(WebSocket)) ? 'native' : 'changed'"
  const origin = await startOrigin(t, {
    "/": { body: pageWith("") },
    "/assets/module-3f2a.mjs": { headers: javascript, body: `postMessage(${says})` },
    "/classic.js": { headers: javascript, body: `"use strict"; postMessage(${says} + (function () { return this })())` },
    "/shared.js": { headers: javascript, body: `onconnect = ({ ports: [port] }) => port.postMessage(${says})` },
    "/other.js": { headers: javascript, body: `postMessage(${says})` },
  })
  const gateway = await startThrough(t, broker, origin, { more: 'modules = ["/assets/module-*.mjs"]\nworkers = ["/classic.js", "/shared.js"]' })
  const page = await openPage(browser, `http://${gateway.public}/`)
  const said = await page.evaluate(() => {
    const first = (from) => new Promise((resolve) => from.addEventListener("message", ({ data }) => resolve(data), { once: true }))
    const { port } = new SharedWorker("/shared.js")
    port.start()
    return Promise.all([first(new Worker("/assets/module-3f2a.mjs", { type: "module" })), first(new Worker("/classic.js")), first(port), first(new Worker("/other.js"))])
  })
  assert.deepEqual(said, ["changed", "changedundefined", "changed", "native"])
  await metric(gateway, 'smeuse_application_pages_rewritten_total{application="app",outcome="loader"}', 3)
  assert.deepEqual(page.problems, [])
})
