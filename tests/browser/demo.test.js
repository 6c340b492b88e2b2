// The demo page in a real Chromium: publishes, receives, tells why it was closed, comes back.
import assert from "node:assert/strict"
import { mkdir } from "node:fs/promises"
import { createServer } from "node:http"
import { createServer as listenTCP } from "node:net"
import { join } from "node:path"
import { after, before, describe, test } from "node:test"
import { startBroker } from "../js/kit/broker.js"
import { startGateway } from "../js/kit/gateway.js"
import { root } from "../js/kit/process.js"
import { deferred, until, within } from "../js/kit/wait.js"
import { openPage, startChromium } from "./kit.js"

const screenshots = join(root, "target/screenshots")
let broker
let gateway
let browser

before(async () => {
  await mkdir(screenshots, { recursive: true })
  broker = await startBroker("browser")
  gateway = await startGateway({ upstream: broker.url, env: { SMEUSE__WEB__ROOT: join(root, "demo"), SMEUSE__SERVICES__0__IDLE_TIMEOUT: "1s" } })
  browser = await startChromium()
})

after(async () => {
  await browser?.close()
  await gateway?.kill()
  await broker?.stop()
})

const demo = () => `http://${gateway.public}/`

async function connected(page) {
  await page.getByRole("button", { name: "Connect", exact: true }).click()
  await page.locator("#status", { hasText: /^connected$/ }).waitFor({ timeout: 15_000 })
}

async function publish(page, body, times = 1) {
  await page.getByLabel("Body").fill(body)
  await page.getByLabel("times").fill(String(times))
  await page.getByRole("button", { name: "Publish" }).click()
}

/** The newest entry of the history that has this text. */
const entry = (page, text) => page.locator("#history li", { hasText: text }).first()

describe("the demo page", () => {
  test("publishes and shows its own deliveries", { timeout: 60_000 }, async () => {
    const page = await openPage(browser, demo())
    assert.equal(await page.getByLabel("WebSocket URL").inputValue(), gateway.url)
    await connected(page)
    await publish(page, "Hello, broker")
    const delivery = page.locator("#deliveries li").first()
    await delivery.waitFor({ timeout: 10_000 })
    assert.match(await delivery.innerText(), /amq\.topic \/ demo\.greeting/)
    assert.match(await delivery.innerText(), /Hello, broker/)
    await page.locator("#published", { hasText: "1 confirmed" }).waitFor({ timeout: 10_000 })

    await publish(page, "many", 1000)
    await page.locator("#delivered", { hasText: /^1[,.  ]?001$/ }).waitFor({ timeout: 20_000 })
    assert.match(await page.locator("#deliveries li").first().innerText(), /many #1000/)
    assert.equal(await page.locator("#deliveries li").count(), 200)

    await page.getByRole("button", { name: "Disconnect" }).click()
    await page.locator("#status", { hasText: "not connected" }).waitFor({ timeout: 10_000 })
    await entry(page, "Closed").waitFor({ timeout: 10_000 })
    await gateway.idle()
    assert.deepEqual(page.problems, [])
    await page.context().close()
  })

  test("shows both negotiations as they happened, and what travels", { timeout: 60_000 }, async () => {
    const page = await openPage(browser, demo())
    await page.locator("#handshake :checked[value=extended]").waitFor({ timeout: 5_000 })
    const offers = page.locator("#offers")
    // What config.json proposes is chosen, what it does not is there to be chosen.
    for (const [name, isChosen] of [
      ["x-kaazing-idle-timeout", true],
      ["x-kaazing-ping-pong", true],
      ["smeuse-sequence", false],
    ]) {
      assert.equal(await offers.getByLabel(name).isChecked(), isChosen, name)
      await offers.getByLabel(name).check()
    }
    await connected(page)
    await publish(page, "numbered", 10)
    await page.locator("#delivered", { hasText: /^10$/ }).waitFor({ timeout: 10_000 })

    const agreed = "x-kaazing-idle-timeout; timeout=1000, x-kaazing-ping-pong; 01010102, smeuse-sequence"
    const shown = await page.locator("#negotiation").innerText()
    for (const part of [
      "x-kaazing-handshake",
      "GET /ws/amqp HTTP/1.1",
      "Sec-WebSocket-Extensions: x-kaazing-idle-timeout, x-kaazing-ping-pong, smeuse-sequence",
      "HTTP/1.1 101 Web Socket Protocol Handshake",
      "Sec-WebSocket-Extensions: x-kaazing-ping-pong; 01010102",
      `"${agreed}"`,
    ]) {
      assert.ok(shown.includes(part), `${part} in:\n${shown}`)
    }
    const traffic = page.locator("#traffic")
    await traffic.locator("dd", { hasText: /^([1-9]\d*) of \1$/ }).waitFor({ timeout: 10_000 })
    const figures = await traffic.locator("tbody tr").evaluateAll((rows) =>
      rows.map((row) => [...row.cells].slice(1).map((cell) => Number(cell.textContent.replace(/\D/g, "")))),
    )
    const [[, sent], [pageBytes, wireBytes], [received, wireReceived]] = figures
    // On the wire each message has its number, and there are pings that the page does not see.
    assert.ok(sent > 0 && wireBytes > pageBytes && wireReceived > received && received > 0, JSON.stringify(figures))
    assert.match(await traffic.locator("dl").innerText(), /Last number sent\s+[0-9a-f]{8}/)
    await page.screenshot({ path: join(screenshots, "negotiation.png"), fullPage: true })
    assert.deepEqual(page.problems, [])
    await page.context().close()
    await gateway.idle()
  })

  test("can do without the library", { timeout: 60_000 }, async () => {
    const page = await openPage(browser, demo())
    await page.locator("#handshake :checked[value=extended]").waitFor({ timeout: 5_000 })
    await page.locator("#handshake").getByLabel("plain WebSocket").check()
    assert.equal(await page.locator("#offers").getByLabel("smeuse-sequence").isDisabled(), true)
    await connected(page)
    const shown = await page.locator("#negotiation").innerText()
    assert.match(shown, /Subprotocols offered\s+none/)
    assert.ok(!shown.includes("Extended handshake") && shown.includes("a plain WebSocket"), shown)
    // The other one in the same page, and back again.
    for (const [label, text] of [
      ["extended (Smeuse library)", "Extended handshake"],
      ["plain WebSocket", "No extensions: a plain WebSocket."],
    ]) {
      await page.getByRole("button", { name: "Disconnect" }).click()
      await page.locator("#status", { hasText: "not connected" }).waitFor({ timeout: 10_000 })
      await page.locator("#handshake").getByLabel(label).check()
      await connected(page)
      await page.locator("#negotiation", { hasText: text }).waitFor({ timeout: 5_000 })
    }
    assert.deepEqual(page.problems, [])
    await page.context().close()
    await gateway.idle()
  })

  for (const [name, env, openings] of [
    ["that speaks no extended handshake", { SMEUSE__SERVICES__0__NEGOTIATION: "combined" }, ["x-kaazing-handshake", "none"]],
    ["without the library", { SMEUSE__WEB__LIBRARY: "false" }, ["none"]],
  ]) {
    test(`connects plainly to a gateway ${name}`, { timeout: 60_000 }, async (t) => {
      const other = await startGateway({ upstream: broker.url, env: { SMEUSE__WEB__ROOT: join(root, "demo"), ...env } })
      t.after(() => other.kill())
      const page = await openPage(browser, `http://${other.public}/`)
      await connected(page)
      const offered = page.locator("#negotiation dt", { hasText: "Subprotocols offered" }).locator("+ dd")
      assert.deepEqual(await offered.allInnerTexts(), openings)
      await page.locator("#negotiation", { hasText: "No extensions: a plain WebSocket." }).waitFor({ timeout: 5_000 })
      const choice = page.locator("#handshake [value=extended]")
      assert.equal(await choice.isChecked(), openings.length > 1)
      // That config.json is not there is all that Chromium has to say.
      assert.ok(page.problems.every((problem) => problem.includes("404")), `${page.problems}`)
      await page.context().close()
    })
  }

  test("lets go of a gateway that never answers", { timeout: 60_000 }, async (t) => {
    const accepted = deferred()
    const mute = listenTCP((socket) => accepted.resolve(socket))
    t.after(() => mute.close())
    await new Promise((resolve) => mute.listen(0, "127.0.0.1", resolve))
    const page = await openPage(browser, demo())
    await page.getByLabel("WebSocket URL").fill(`ws://127.0.0.1:${mute.address().port}/ws/amqp`)
    await page.getByRole("button", { name: "Connect", exact: true }).click()
    const socket = await within(10_000, "the page's connection", accepted.promise)
    t.after(() => socket.destroy())
    const gone = new Promise((resolve) => socket.once("close", resolve))
    socket.on("error", () => {}).resume()
    await page.getByRole("button", { name: "Disconnect" }).click()
    await page.locator("#status", { hasText: "not connected" }).waitFor({ timeout: 10_000 })
    await within(10_000, "the end of the connection", gone)
    await page.context().close()
  })

  test("two pages see each other", { timeout: 60_000 }, async () => {
    const [one, other] = [await openPage(browser, demo()), await openPage(browser, demo())]
    await connected(one)
    await connected(other)
    await publish(one, "from one")
    await other.locator("#deliveries li", { hasText: "from one" }).waitFor({ timeout: 10_000 })
    await one.context().close()
    await other.context().close()
    await gateway.idle()
  })

  test("shows the broker's words when the login is refused, and does not try again", { timeout: 60_000 }, async () => {
    const page = await openPage(browser, demo())
    await page.locator("#connection").getByLabel("Password").fill("not this")
    await page.getByRole("button", { name: "Connect", exact: true }).click()
    await entry(page, "Login was refused").waitFor({ timeout: 15_000 })
    assert.match(await entry(page, "Login was refused").innerText(), /4403/)
    await page.locator("#status", { hasText: "closed (4403)" }).waitFor({ timeout: 5_000 })
    assert.equal(await page.locator("#history li", { hasText: "Reconnecting" }).count(), 0)
    await page.context().close()
  })

  test("shows why it was closed when the broker dies, and reconnects when it is back", { timeout: 300_000 }, async () => {
    const page = await openPage(browser, demo())
    await connected(page)
    await broker.kill()
    const closed = entry(page, "the broker was lost")
    await closed.waitFor({ timeout: 5_000 })
    assert.match(await closed.innerText(), /1014/)
    assert.match(await closed.innerText(), /reason: \S/)
    await entry(page, "Reconnecting in").waitFor({ timeout: 5_000 })
    await entry(page, "the broker cannot be reached now").waitFor({ timeout: 20_000 })
    await page.screenshot({ path: join(screenshots, "broker-lost.png"), fullPage: true })

    await broker.revive()
    await page.locator("#status", { hasText: /^connected$/ }).waitFor({ timeout: 40_000 })
    await publish(page, "after the crash")
    await page.locator("#deliveries li", { hasText: "after the crash" }).waitFor({ timeout: 10_000 })
    assert.deepEqual(page.problems, [])
    await page.context().close()
  })

  test("is told of an operator's end and stays away", { timeout: 60_000 }, async () => {
    const page = await openPage(browser, demo())
    await connected(page)
    const [session] = await (await gateway.ask("/sessions")).json()
    assert.equal((await gateway.ask(`/sessions/${session.id}`, { method: "DELETE" })).status, 204)
    await entry(page, "ended by an operator").waitFor({ timeout: 10_000 })
    assert.match(await entry(page, "ended by an operator").innerText(), /4100/)
    await page.locator("#status", { hasText: "closed (4100)" }).waitFor({ timeout: 5_000 })
    await page.context().close()
  })

  for (const [name, width, height] of [
    ["narrow", 390, 844],
    ["wide", 1280, 900],
  ]) {
    for (const colorScheme of ["light", "dark"]) {
      test(`fits a ${name} ${colorScheme} window`, { timeout: 60_000 }, async () => {
        const page = await openPage(browser, demo(), { viewport: { width, height }, colorScheme })
        await connected(page)
        for (const body of ["Hello from a page", "The hare goes through the gap in the hedge", "x".repeat(300)]) {
          await publish(page, body)
        }
        await page.locator("#delivered", { hasText: /^3$/ }).waitFor({ timeout: 10_000 })
        await page.screenshot({ path: join(screenshots, `${name}-${colorScheme}.png`), fullPage: true })
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
        assert.ok(overflow <= 0, `${overflow} pixels stick out`)
        await page.context().close()
      })
    }
  }
})

describe("a page from another origin", () => {
  test("is refused with 403 before anything is opened", { timeout: 60_000 }, async (t) => {
    // stranger.example leads to this machine in this Chromium, and is a stranger's origin all the same.
    const stranger = createServer((_, response) => {
      response.setHeader("Content-Type", "text/html")
      response.end("<!doctype html><title>stranger</title>")
    })
    await new Promise((resolve) => stranger.listen(0, "127.0.0.1", resolve))
    t.after(() => stranger.close())
    const strange = await browser.newContext()
    const page = await strange.newPage()
    await page.goto(`http://stranger.example:${stranger.address().port}/`)
    const code = await page.evaluate(
      (url) =>
        new Promise((resolve) => {
          const socket = new WebSocket(url)
          socket.onopen = () => resolve("opened")
          socket.onclose = (event) => resolve(event.code)
        }),
      gateway.url,
    )
    assert.equal(code, 1006)
    const line = await gateway.line("handshake refused", 5_000, (line) => line.code === "origin_not_allowed")
    assert.equal(Number(line.status), 403)
    const total = 'smeuse_handshakes_total{dialect="none",handshake="opening",outcome="origin_not_allowed"}'
    await until(5_000, "the refusal in the metrics", async () => (await gateway.metric(total)) === 1)
    await strange.close()
  })
})
