// Is the other side still there? The extensions idle-timeout and ping-pong in a real Chromium: a gateway that is killed,
// a network that says nothing any more, a tab that nobody looks at.
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { createConnection, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, test } from "node:test"
import { chromium } from "playwright-core"
import { sharedBroker } from "../js/kit/broker.js"
import { deferred, until, within } from "../js/kit/wait.js"
import { amqpService, CHROMIUM_FLAGS, chromiumPath, openPage, publishAndConsume, startChromium, startSite } from "./kit.js"

/** What stands for the 30 s of the defaults. */
const IDLE = 2_000

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

async function started(t) {
  const site = await startSite(() => amqpService(broker, `idle_timeout = "${IDLE}ms"`))
  t.after(() => site.stop())
  return site
}

/** The page is connected over the library, and what it published came back. */
async function connect(page, url) {
  await page.addScriptTag({ url: "/_smeuse/smeuse.js" })
  // All URLs on this host, and the port of the test's own network.
  await page.evaluate((gateway) => WebSocket.configure({ gateway }), new URL("/_smeuse/config.json", url.replace(/^ws/, "http")).href)
  const given = JSON.stringify({ path: url, username: "guest", password: "guest", body: "alive" })
  assert.equal(await page.evaluate(`(${publishAndConsume})(${given})`), "alive")
  assert.equal(await page.evaluate(() => socket.extensions), `x-kaazing-idle-timeout; timeout=${IDLE}, x-kaazing-ping-pong; 01010102`)
}

const ending = (page) => page.evaluate(() => ending)

/** A network between page and gateway that can be cut: then it stays open, and carries nothing. */
async function startNetwork(gateway) {
  const [host, port] = gateway.public.split(":")
  const ends = new Set()
  let isCut = false
  const server = createServer((near) => {
    const far = createConnection({ host, port: Number(port) })
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      ends.add(from)
      from.on("data", (data) => !isCut && to.write(data))
      from.on("end", () => !isCut && to.end())
      from.on("error", () => {})
    }
  })
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    url: `ws://127.0.0.1:${server.address().port}/ws/amqp`,
    cut: () => (isCut = true),
    stop() {
      ends.forEach((end) => end.destroy())
      return new Promise((resolve) => server.close(resolve))
    },
  }
}

const failures = (site) => site.gateway.metric('smeuse_extension_failures_total{extension="x-kaazing-idle-timeout",reason="silent"}')

describe("the page", () => {
  test("is told at once when the gateway is killed", { timeout: 60_000 }, async (t) => {
    const site = await started(t)
    const page = await openPage(browser, site.url())
    await connect(page, site.gateway.url)
    const killedAt = await page.evaluate(() => performance.now())
    site.gateway.signal("SIGKILL")
    const { code, wasClean, at } = await within(5_000, "the page's close event", ending(page))
    assert.deepEqual({ code, wasClean }, { code: 1006, wasClean: false })
    // The page has just heard the gateway, so the idle timeout would have taken longer.
    assert.ok(at - killedAt < IDLE / 2, `${at - killedAt} ms`)
    await page.context().close()
  })

  test("and the gateway find out by themselves that the network is gone", { timeout: 60_000 }, async (t) => {
    const site = await started(t)
    const network = await startNetwork(site.gateway)
    t.after(() => network.stop())
    const page = await openPage(browser, site.url())
    await connect(page, network.url)
    // More than the timeout without a word of the application's: signs of life keep it open.
    await page.waitForTimeout(IDLE * 1.5)
    assert.equal(await page.evaluate(() => socket.readyState), 1)

    const cutAt = await page.evaluate(() => performance.now())
    network.cut()
    const { code, wasClean, at } = await within(3 * IDLE, "the page's close event", ending(page))
    assert.deepEqual({ code, wasClean }, { code: 1006, wasClean: false })
    // The last message may have come up to 3/4 of the timeout before the cut, or on its way during it.
    assert.ok(at - cutAt > IDLE * 0.2 && at - cutAt < IDLE * 1.5, `${at - cutAt} ms`)

    const line = await site.gateway.line("session ended", 3 * IDLE)
    assert.deepEqual([line.by, line.reason, Number(line.close_code)], ["client", "extension_failed", 4101])
    assert.match(line.detail, /^x-kaazing-idle-timeout/)
    await until(5_000, "the failure in the metrics", async () => (await failures(site)) === 1)
    await page.context().close()
  })
})

/** A Chromium as its users have it: Playwright's own keeps every tab in the foreground, and all timers punctual. */
async function startOrdinaryChromium(t) {
  const profile = await mkdtemp(join(tmpdir(), "smeuse-profile-"))
  const child = spawn(
    await chromiumPath(),
    // Chromium begins to wake hidden tabs once a minute only after five minutes; here after a second.
    [...CHROMIUM_FLAGS, "--remote-debugging-port=0", `--user-data-dir=${profile}`, "--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/1", "about:blank"],
    { stdio: ["ignore", "ignore", "pipe"] },
  )
  const gone = new Promise((resolve) => child.on("close", resolve))
  t.after(async () => {
    child.kill("SIGKILL")
    await gone
    await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  })
  const address = deferred()
  let said = ""
  child.stderr.on("data", (data) => {
    said += data
    const [, found] = /DevTools listening on (ws:\S+)/.exec(said) ?? []
    if (found) address.resolve(found)
  })
  const ordinary = await chromium.connectOverCDP(await within(30_000, "Chromium's address", address.promise), { noDefaults: true })
  return ordinary.contexts()[0]
}

describe("a tab in the background", () => {
  // What is real here: the tab is hidden behind another, and Chromium wakes its timers once a minute, as it does with
  // tabs that were hidden for five minutes. What is simulated: those five minutes, by a flag, and the idle timeout,
  // which is 2 s instead of 30 s; so 60 s are for this session what 15 min are for one with the defaults. A session
  // lives on as long as message events answer pings, since those are not timers.
  test("keeps its session while its timers run once a minute", { timeout: 180_000 }, async (t) => {
    const site = await started(t)
    const context = await startOrdinaryChromium(t)
    const page = await context.newPage()
    await page.goto(site.url())
    await connect(page, site.gateway.url)
    const other = await context.newPage()
    await other.goto("about:blank")
    await other.bringToFront()
    await until(5_000, "a hidden tab", () => page.evaluate(() => document.visibilityState === "hidden"))
    // A timer of the page's that would like to run twenty times a second, and writes down when it does.
    await page.evaluate(() => {
      globalThis.ticks = [performance.now()]
      const again = () =>
        setTimeout(() => {
          ticks.push(performance.now())
          again()
        }, 50)
      again()
    })
    await new Promise((resolve) => setTimeout(resolve, 30 * IDLE))

    const { ticks, readyState, now } = await page.evaluate(() => ({ ticks, readyState: socket.readyState, now: performance.now() }))
    const gaps = [...ticks.slice(1), now].map((at, index) => at - ticks[index])
    assert.ok(Math.max(...gaps) > 10 * IDLE, `timers were not held back: ${gaps.map(Math.round)}`)
    assert.equal(readyState, 1)
    assert.equal((await failures(site)) ?? 0, 0)
    // And it carries data, without anybody having looked at it.
    const again = await page.evaluate(async () => {
      const channel = await connection.channel()
      const queue = await channel.queueDeclare("", { exclusive: true })
      const delivered = new Promise((resolve) => channel.basicConsume(queue.name, { noAck: true }, (message) => resolve(message.bodyString())))
      await channel.basicPublish("", queue.name, "still there")
      return delivered
    })
    assert.equal(again, "still there")
  })

  // Frozen is more than hidden: nothing of the page runs, message events neither. To the gateway such a page is gone.
  test("that is frozen loses its session, and is told when it wakes up", { timeout: 60_000 }, async (t) => {
    const site = await started(t)
    const context = await startOrdinaryChromium(t)
    const page = await context.newPage()
    await page.goto(site.url())
    await connect(page, site.gateway.url)
    const devTools = await context.newCDPSession(page)
    await devTools.send("Page.setWebLifecycleState", { state: "frozen" })
    const line = await site.gateway.line("session ended", 5 * IDLE)
    assert.deepEqual([line.by, line.reason], ["client", "extension_failed"])
    await devTools.send("Page.setWebLifecycleState", { state: "active" })
    const { code } = await within(5_000, "the page's close event", ending(page))
    assert.equal(code, 1006)
  })
})
