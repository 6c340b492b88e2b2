// The operator's live view in a real Chromium: real sessions of a real RabbitMQ appear on it, are found, looked at and
// ended; and it can be read at two widths, light and dark.
import assert from "node:assert/strict"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, test } from "node:test"
import { startBroker } from "../js/kit/broker.js"
import { connect } from "../js/kit/client.js"
import { startGateway } from "../js/kit/gateway.js"
import { root } from "../js/kit/process.js"
import { amqpService, openPage, publishAndConsume, startChromium, startSite } from "./kit.js"

const screenshots = join(root, "target/screenshots")
const ANN = { username: "ann", password: "anns-secret" }
const GUEST = { username: "guest", password: "guest" }
const ECHO = '\n[[services]]\nname = "echo"\nkind = "echo"\npaths = ["/echo"]\n'
let broker
let browser
let site

before(async () => {
  await mkdir(screenshots, { recursive: true })
  broker = await startBroker("live")
  await broker.ctl("add_user", ANN.username, ANN.password)
  await broker.ctl("set_permissions", ANN.username, ".*", ".*", ".*")
  site = await startSite(() => amqpService(broker, 'idle_timeout = "1s"') + ECHO)
  browser = await startChromium()
})

after(async () => {
  await browser?.close()
  await site?.stop()
  await broker?.stop()
})

/** A page that has published and consumed over the gateway, and goes on; by the library, with its extensions, if asked. */
async function client({ username, password }, { byLibrary = false } = {}) {
  const page = await openPage(browser, site.url())
  if (byLibrary) await page.addScriptTag({ url: "/_smeuse/smeuse.js" })
  assert.equal(await page.evaluate(publishAndConsume, { path: "/ws/amqp", username, password, body: "hello" }), "hello")
  return page
}

/**
 * The live view, once it shows something. Whatever its policy forbids fails the test.
 * @param {{ alter?: (push: object) => object }} options `alter` changes what the gateway pushes, the rest is the context's
 */
async function live(gateway = site.gateway, { alter, ...options } = {}) {
  const page = await openPage(browser, "about:blank", { viewport: { width: 1280, height: 900 }, ...options })
  if (alter) {
    await page.routeWebSocket(/./, (socket) => {
      const server = socket.connectToServer()
      server.onMessage((text) => socket.send(JSON.stringify(alter(JSON.parse(text)))))
    })
  }
  await page.addInitScript(() =>
    addEventListener("securitypolicyviolation", (event) => console.error(`forbidden: ${event.violatedDirective} ${event.blockedURI}`)),
  )
  await page.goto(`http://${gateway.admin}/`)
  await page.locator("main[data-state=live]").waitFor({ timeout: 15_000 })
  return page
}

const rows = (page) => page.locator("#rows tbody tr")
const row = (page, text) => rows(page).filter({ hasText: text })
const fact = (page, name) => page.locator("#detail .facts div").filter({ has: page.locator(`dt:text-is("${name}")`) }).locator("dd")
const tile = (page, title) => page.locator(".tile").filter({ has: page.locator(`h3:text-is("${title}")`) })
const count = (page, list, name) => page.locator(`#${list} li`).filter({ hasText: name })

describe("the live view", () => {
  test("shows sessions that come and go, finds one by its user, and ends it", { timeout: 120_000 }, async () => {
    const page = await live()
    await page.getByText("No session is open.").waitFor({ timeout: 5_000 })
    const guest = await client(GUEST)
    const ann = await client(ANN, { byLibrary: true })
    await row(page, "guest").waitFor({ timeout: 10_000 })
    await row(page, "ann").waitFor({ timeout: 10_000 })
    assert.match(await tile(page, "Sessions").locator("strong").innerText(), /^2$/)
    assert.match(await page.title(), /^2 sessions/)
    await page.locator("#brokers li", { hasText: new URL(broker.url.replace("amqp", "http")).host }).filter({ hasText: "up" }).waitFor()
    const extension = page.locator("#extensions li", { hasText: "x-kaazing-ping-pong" })
    await extension.locator("strong", { hasText: /^1$/ }).waitFor({ timeout: 5_000 })
    // The gateway's idle timeout makes it ping this page, which answers.
    await extension.filter({ hasText: /\d ping, \d+ pong|\d pong, \d+ ping/ }).waitFor({ timeout: 10_000 })

    await page.getByRole("searchbox").fill("AN")
    await page.locator("#found", { hasText: "2 open · 1 found" }).waitFor({ timeout: 5_000 })
    assert.equal(await rows(page).count(), 1)
    await row(page, "ann").getByRole("button").press("Enter")
    await fact(page, "Channels").filter({ hasText: /^1$/ }).waitFor({ timeout: 5_000 })
    assert.equal(await page.locator("#detail-title").innerText(), "ann")
    assert.equal(await page.evaluate(() => document.activeElement.id), "detail-title")
    for (const [name, text] of [
      ["Client", "127.0.0.1"],
      ["Service", "amqp"],
      ["State", "open"],
      ["Broker", new URL(broker.url.replace("amqp", "http")).host],
      ["Extensions", "x-kaazing-idle-timeout, x-kaazing-ping-pong"],
    ]) {
      assert.equal(await fact(page, name).innerText(), text, name)
    }

    await page.getByRole("button", { name: "End session…" }).click()
    const dialog = page.getByRole("dialog", { name: "End this session?" })
    assert.match(await dialog.innerText(), /ann, from 127\.0\.0\.1, on amqp/)
    await page.screenshot({ path: join(screenshots, "live-end.png") })
    await dialog.getByRole("button", { name: "Keep it" }).click()
    assert.equal(await site.gateway.metric('smeuse_sessions{service="amqp"}'), 2)
    await page.getByRole("button", { name: "End session…" }).click()
    await dialog.getByRole("button", { name: "End session" }).click()
    const { code, reason } = await ann.evaluate(() => globalThis.ending)
    assert.deepEqual([code, reason], [4100, "an operator ended the session"])
    await page.getByRole("status").filter({ hasText: "The session is being ended." }).waitFor({ timeout: 5_000 })
    await page.getByText("This session has ended.").waitFor({ timeout: 5_000 })
    await page.getByText("No session matches.").waitFor({ timeout: 5_000 })
    await count(page, "endings", "operator ended").waitFor({ timeout: 5_000 })
    const line = await site.gateway.line("operator ends session")
    assert.equal(line.operator, "127.0.0.1")

    await page.locator("#detail").getByRole("button", { name: "Close" }).click()
    await page.getByRole("searchbox").fill("")
    await row(page, "guest").waitFor({ timeout: 5_000 })
    await guest.context().close()
    await page.getByText("No session is open.").waitFor({ timeout: 10_000 })
    assert.deepEqual(page.problems, [])
    await page.context().close()
    await ann.context().close()
    await site.gateway.idle()
  })

  test("shows refusals with their meaning, and rates as they are", { timeout: 60_000 }, async () => {
    const page = await live()
    const stranger = await openPage(browser, site.url().replace("127.0.0.1", "stranger.example"))
    await stranger.evaluate((url) => new Promise((resolve) => (new WebSocket(url).onclose = resolve)), `ws://${site.gateway.public}/echo`)
    const refusal = count(page, "refusals", "origin_not_allowed")
    await refusal.waitFor({ timeout: 5_000 })
    await refusal.locator("summary").press("Enter")
    assert.match(await refusal.innerText(), /page's origin is not in the service's allowed_origins/)
    // What is unfolded stays so while figures change under it.
    const pushed = () => page.locator("#build").innerText()
    const before = await pushed()
    await page.waitForFunction((text) => document.querySelector("#build").innerText !== text, before, { timeout: 5_000 })
    assert.equal(await refusal.locator("details").getAttribute("open"), "")

    const busy = await openPage(browser, site.url())
    await busy.evaluate((url) => {
      const socket = new WebSocket(url)
      socket.onopen = () => setInterval(() => socket.send("x".repeat(1000)), 50)
    }, `ws://${site.gateway.public}/echo`)
    await tile(page, "Messages").locator("strong.from", { hasText: /^(1\d|2\d)(\.\d)?\/s$/ }).waitFor({ timeout: 15_000 })
    assert.match(await tile(page, "Messages").locator("svg").getAttribute("aria-label"), /now from client [\d.]+\/s, to client [\d.]+\/s, at most/)
    await row(page, "echo").waitFor({ timeout: 5_000 })
    await page.getByLabel("Service", { exact: true }).selectOption("amqp")
    await page.getByText("No session matches.").waitFor({ timeout: 5_000 })
    assert.deepEqual(page.problems, [])
    for (const each of [page, stranger, busy]) await each.context().close()
  })

  test("orders by a heading, by keyboard alone", { timeout: 60_000 }, async () => {
    const pages = [await client(GUEST), await client(ANN)]
    const page = await live()
    await rows(page).nth(1).waitFor({ timeout: 10_000 })
    const heading = page.getByRole("columnheader", { name: "User" })
    for (const [order, first] of [["ascending", "ann"], ["descending", "guest"]]) {
      await heading.getByRole("button").press("Enter")
      assert.equal(await heading.getAttribute("aria-sort"), order)
      await rows(page).first().filter({ hasText: first }).waitFor({ timeout: 5_000 })
    }
    assert.deepEqual(page.problems, [])
    for (const each of [page, ...pages]) await each.context().close()
    await site.gateway.idle()
  })

  test("names a broker that is down at the top of the page", { timeout: 60_000 }, async (t) => {
    const other = await startGateway({ config: amqpService({ url: "amqp://127.0.0.1:9" }) })
    t.after(() => other.kill())
    const page = await live(other)
    assert.equal(await page.locator("#alarm").isVisible(), false)
    const failing = connect(other.url, GUEST).catch((error) => error)
    await page.locator("#alarm", { hasText: "Broker 127.0.0.1:9 is down" }).waitFor({ timeout: 15_000 })
    await page.locator("#brokers li", { hasText: "127.0.0.1:9" }).filter({ hasText: /refused.*; tried/ }).waitFor({ timeout: 5_000 })
    await failing
    assert.deepEqual(page.problems, [])
    await page.context().close()
  })

  test("says that the gateway is gone", { timeout: 60_000 }, async () => {
    const other = await startGateway({ config: ECHO })
    const page = await live(other)
    await other.kill()
    await page.locator("#status", { hasText: "no connection, trying again" }).waitFor({ timeout: 10_000 })
    assert.equal(await page.locator("main").getAttribute("data-state"), "stale")
    await page.context().close()
  })
})

/** Markup that runs if anybody makes elements of it. */
const MARKUP = '<img src=x onerror="globalThis.ran = true">'

describe("markup in names", () => {
  const isText = async (page) => {
    // One push more, in case it runs late.
    const before = await page.locator("#build").innerText()
    await page.waitForFunction((text) => document.querySelector("#build").innerText !== text, before, { timeout: 5_000 })
    assert.equal(await page.evaluate(() => document.querySelectorAll("img").length), 0)
    assert.equal(await page.evaluate(() => globalThis.ran), undefined)
    assert.deepEqual(page.problems, [])
  }

  test("of a user is text in the row, the detail and the dialog", { timeout: 60_000 }, async () => {
    const password = "markups-secret"
    await broker.ctl("add_user", MARKUP, password)
    await broker.ctl("set_permissions", MARKUP, ".*", ".*", ".*")
    const user = await client({ username: MARKUP, password })
    const page = await live()
    await row(page, MARKUP).getByRole("button").click({ timeout: 10_000 })
    await page.locator("#detail-title", { hasText: MARKUP }).waitFor({ timeout: 5_000 })
    assert.equal(await page.locator("#detail-title").innerText(), MARKUP)
    await fact(page, "Channels").filter({ hasText: /^1$/ }).waitFor({ timeout: 5_000 })
    await page.getByRole("button", { name: "End session…" }).click()
    const dialog = page.getByRole("dialog", { name: "End this session?" })
    assert.ok((await dialog.innerText()).includes(`${MARKUP}, from 127.0.0.1`))
    await isText(page)
    await dialog.getByRole("button", { name: "End session" }).click()
    await page.getByText("This session has ended.").waitFor({ timeout: 5_000 })
    await isText(page)
    for (const each of [page, user]) await each.context().close()
    await site.gateway.idle()
  })

  test("is text wherever the gateway says something", { timeout: 60_000 }, async () => {
    const user = await client(ANN, { byLibrary: true })
    const marked = (value) => {
      if (typeof value === "string") return /^\d*$|^[0-9a-f]{16}$/.test(value) ? value : `${MARKUP}${value}`
      if (Array.isArray(value)) return value.map(marked)
      return value !== null && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, marked(each)])) : value
    }
    // Names that are keys; those that the page looks up by stay.
    const renamed = (table) => Object.fromEntries(Object.entries(table).map(([name, value]) => [`${MARKUP}${name}`, value]))
    const alter = ({ now, own }) => {
      const { brokers, extensions, services, happened } = now
      const down = { ...marked(brokers[0]), failure: MARKUP }
      const ended = { name: `client/${MARKUP}`, total: 3, recent: 2 }
      const everything = { ...now, brokers: [down], extensions: renamed(extensions), services: renamed(services), happened: [...happened, ended] }
      const { rows, ...found } = own.sessions
      const altered = { ...own, sessions: { ...found, rows: rows.map(marked) }, detail: marked(own.detail) }
      if (own.start) altered.start = { ...own.start, version: MARKUP, services: marked(own.start.services) }
      return { now: everything, own: altered }
    }
    const page = await live(site.gateway, { alter })
    await row(page, "ann").getByRole("button").click({ timeout: 10_000 })
    await fact(page, "Extensions").filter({ hasText: `${MARKUP}x-kaazing-ping-pong` }).waitFor({ timeout: 10_000 })
    for (const place of ["#alarm", "#brokers li", "#services tbody", "#extensions li", "#endings li", "#service option", "#build"]) {
      await page.locator(place, { hasText: MARKUP }).first().waitFor({ state: "attached", timeout: 5_000 })
    }
    for (const name of ["Client", "Service", "State", "Broker"]) assert.ok((await fact(page, name).innerText()).startsWith(MARKUP), name)
    await isText(page)
    for (const each of [page, user]) await each.context().close()
    await site.gateway.idle()
  })
})

test("what there is no room for is counted", { timeout: 60_000 }, async () => {
  const alter = ({ now, own }) => {
    const sessions = { ...own.sessions, total: 5, found: 5, rows: [] }
    return { now: { ...now, left_out: { extensions: 12, services: 1, brokers: 3 } }, own: { ...own, sessions } }
  }
  const page = await live(site.gateway, { alter })
  await page.getByText("12 more are in the metrics.").waitFor({ timeout: 5_000 })
  await page.getByText("1 more is in the metrics.").waitFor({ timeout: 5_000 })
  await page.getByText("3 more are in the metrics.").waitFor({ timeout: 5_000 })
  assert.equal(await page.locator("#nobody").innerText(), "There is no room for the sessions that were found.")
  assert.deepEqual(page.problems, [])
  await page.context().close()
})

describe("with a token", () => {
  test("the page asks for it once, and forgets it on request", { timeout: 60_000 }, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "smeuse-token-"))
    t.after(() => rm(folder, { recursive: true, force: true }))
    await writeFile(join(folder, "token"), "a-token-for-operators\n")
    const gateway = await startGateway({ config: `[admin]\ntoken_file = "${join(folder, "token")}"\n${ECHO}` })
    t.after(() => gateway.kill())
    const page = await openPage(browser, `http://${gateway.admin}/`)
    const log = async (token) => {
      await page.getByLabel("Token").fill(token)
      await page.getByRole("button", { name: "Log in" }).click()
    }
    await page.screenshot({ path: join(screenshots, "live-login.png") })
    await log("another-token-altogether")
    await page.getByRole("alert").filter({ hasText: "This is not the token." }).waitFor({ timeout: 10_000 })
    await log("a-token-for-operators")
    await page.locator("main[data-state=live]").waitFor({ timeout: 15_000 })
    const [cookie] = await page.context().cookies()
    assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path], [true, "Strict", "/"])
    assert.ok(!(await page.content()).includes("a-token-for-operators"))

    // Another page of the same browser is let in, and out with the first.
    const second = await page.context().newPage()
    await second.goto(`http://${gateway.admin}/live`)
    await second.locator("main[data-state=live]").waitFor({ timeout: 15_000 })
    await page.getByRole("button", { name: "Log out" }).click()
    await page.getByLabel("Token").waitFor({ timeout: 10_000 })
    await second.getByLabel("Token").waitFor({ timeout: 10_000 })
    // That a page was answered with 401 is all that Chromium has to say.
    assert.ok(page.problems.every((problem) => problem.includes("401")), `${page.problems}`)
    await page.context().close()
  })
})

describe("can be read", () => {
  let pages

  before(async () => {
    pages = [await client(GUEST), await client(ANN, { byLibrary: true }), await openPage(browser, site.url())]
    await pages[2].evaluate((url) => {
      for (let index = 0; index < 12; index += 1) {
        const socket = new WebSocket(url)
        socket.onopen = () => setInterval(() => socket.send("x".repeat(100 * index)), 200)
      }
    }, `ws://${site.gateway.public}/echo`)
  })
  after(async () => {
    for (const page of pages ?? []) await page.context().close()
  })

  for (const [width, height] of [[1280, 900], [390, 844]]) {
    for (const colorScheme of ["light", "dark"]) {
      test(`at ${width} pixels, ${colorScheme}`, { timeout: 60_000 }, async () => {
        const page = await live(site.gateway, { viewport: { width, height }, colorScheme, reducedMotion: "reduce" })
        await rows(page).nth(13).waitFor({ timeout: 10_000 })
        await row(page, "ann").getByRole("button").click()
        await fact(page, "Channels").filter({ hasText: /^1$/ }).waitFor({ timeout: 5_000 })
        await page.locator("#endings summary").first().click()
        // So that there is a line to be seen.
        await page.waitForFunction(() => document.querySelector("#detail .line").getAttribute("d").split("L").length > 4, null, { timeout: 15_000 })
        await page.locator("#rows[aria-busy=false]").waitFor({ timeout: 5_000 })
        const { overflow, outside } = await page.evaluate(wide)
        assert.equal(overflow, 0)
        assert.deepEqual(outside, [])
        assert.deepEqual(await page.evaluate(faint), [])
        assert.deepEqual(await page.evaluate(unnamed), [])
        await page.evaluate(() => scrollTo(0, 0))
        await page.screenshot({ path: join(screenshots, `live-${width}-${colorScheme}.png`), fullPage: true })
        assert.deepEqual(page.problems, [])
        await page.context().close()
      })
    }
  }
})

/** In the page: how much wider it is than its window, and what sticks out of it but for what scrolls. */
function wide() {
  const limit = document.documentElement.clientWidth
  const sticksOut = (element) => {
    const { right, left, width } = element.getBoundingClientRect()
    return width > 1 && (right > limit + 1 || left < -1) && !element.closest(".scroll, .hidden, .skip, svg")
  }
  const outside = [...document.body.querySelectorAll("*")].filter(sticksOut)
  return {
    overflow: document.documentElement.scrollWidth - limit,
    outside: outside.map((element) => element.outerHTML.slice(0, 120)),
  }
}

/** In the page: texts whose contrast is under that of WCAG 2.2, AA: 4.5, or 3 if they are large. */
function faint() {
  const parse = (text) => text.match(/[\d.]+/g).map(Number)
  const luminance = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const groundOf = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const ground = parse(getComputedStyle(each).backgroundColor)
      if (ground.length === 3 || ground[3] === 1) return ground
      if (ground[3] > 0) throw new Error(`a ground that is half there: ${each.outerHTML.slice(0, 100)}`)
    }
    throw new Error("no ground")
  }
  const found = []
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement
    if (walker.currentNode.textContent.trim() === "" || !element.checkVisibility({ visibilityProperty: true })) continue
    const style = getComputedStyle(element)
    const [light, dark] = [luminance(parse(style.color)), luminance(groundOf(element))].sort((one, other) => other - one)
    const ratio = (light + 0.05) / (dark + 0.05)
    const size = parseFloat(style.fontSize)
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700)
    if (ratio < (isLarge ? 3 : 4.5)) found.push(`${ratio.toFixed(2)} ${element.outerHTML.slice(0, 100)}`)
  }
  return found
}

/** In the page: what can be used and has no name that is read out. */
function unnamed() {
  const name = (element) => element.getAttribute("aria-label") || element.labels?.[0]?.textContent || element.textContent
  const controls = [...document.querySelectorAll("button, input, select, summary, [role=img]")]
  return controls.filter((element) => !name(element)?.trim()).map((element) => element.outerHTML.slice(0, 120))
}
