// Logins in a real Chromium: the gateway asks inside the WebSocket, the page answers, and the broker's password stays
// with the gateway.
import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, test } from "node:test"
import { sharedBroker } from "../js/kit/broker.js"
import { program, startGateway } from "../js/kit/gateway.js"
import { root } from "../js/kit/process.js"
import { amqpService, openPage, publishAndConsume, startChromium, startSite } from "./kit.js"

const RIGHT = { username: "alice", password: "käse & brot" }
const WRONG = { username: "alice", password: "käse" }

let broker
let browser
let site
const screenshots = join(root, "target/screenshots")
before(async () => {
  await mkdir(screenshots, { recursive: true })
  broker = await sharedBroker()
  browser = await startChromium()
  site = await startSite(withLogin)
})
after(async () => {
  await browser?.close()
  await site?.stop()
  await broker?.stop()
})

/** One user, who has two tries; the gateway logs in to the broker by itself. */
async function withLogin(folder) {
  const users = join(folder, "users.toml")
  await writeFile(users, execFileSync(program, ["hash-password", "--user", RIGHT.username], { input: `${RIGHT.password}\n` }), { mode: 0o600 })
  return amqpService(broker, `login = { users = "${users}", realm = "Hedge", attempts = 2 }`, 'login = "service"')
}

/** A page whose login gives these answers, one after another, and writes down what it was asked. */
async function pageThatAnswers(...answers) {
  const page = await openPage(browser, site.url())
  await page.addScriptTag({ url: "/_smeuse/smeuse.js" })
  await page.evaluate((answers) => {
    globalThis.challenges = []
    WebSocket.login = async (challenge) => {
      challenges.push(challenge)
      return answers[challenge.attempt - 1]
    }
  }, answers)
  return page
}

/** Publishes without any password of the broker's. */
const relay = (page, body) =>
  page.evaluate(`(${publishAndConsume})(${JSON.stringify({ path: "/ws/amqp", username: "", password: "", body })})`)

/** Events of a socket that is not to open. */
const events = (page) =>
  page.evaluate(
    (url) =>
      new Promise((resolve) => {
        const events = []
        const socket = new WebSocket(url)
        socket.onopen = () => events.push("open")
        socket.onerror = () => events.push("error")
        socket.onclose = ({ code, reason, wasClean }) => resolve([...events, "close", code, reason, wasClean])
      }),
    site.gateway.url,
  )

const logins = (outcome) => site.gateway.metric(`smeuse_logins_total{outcome="${outcome}",service="amqp"}`)

describe("WebSocket.login", () => {
  test("is asked, and what it answers opens the broker without a password of the broker's", { timeout: 60_000 }, async () => {
    const page = await pageThatAnswers(RIGHT)
    const accepted = await logins("accepted")
    assert.equal(await relay(page, "no password in this page"), "no password in this page")
    const one = { scheme: "Basic", realm: "Hedge", parameters: { realm: "Hedge" } }
    assert.deepEqual(await page.evaluate(() => challenges), [{ ...one, challenges: [one], url: site.gateway.url, attempt: 1 }])
    assert.equal(await logins("accepted"), accepted + 1)
    await page.evaluate(() => connection.close())
    await site.gateway.idle()
    assert.deepEqual(page.problems, [])
    await page.context().close()
  })

  test("is asked again after wrong credentials", { timeout: 60_000 }, async () => {
    const page = await pageThatAnswers(WRONG, RIGHT)
    assert.equal(await relay(page, "second thoughts"), "second thoughts")
    assert.deepEqual(await page.evaluate(() => challenges.map(({ attempt }) => attempt)), [1, 2])
    await page.context().close()
    await site.gateway.idle()
  })

  test("that is wrong once too often ends the socket with 4105 and the reason", { timeout: 60_000 }, async () => {
    const page = await pageThatAnswers(WRONG, WRONG)
    assert.deepEqual(await events(page), ["error", "close", 4105, "the credentials are wrong, and were tried as often as they may", true])
    const line = await site.gateway.line("session ended", 5_000, (line) => line.reason === "login_refused")
    assert.equal(Number(line.close_code), 4105)
    assert.deepEqual(page.problems, [])
    await page.context().close()
  })

  test("that knows nobody ends the socket with 4110", { timeout: 60_000 }, async () => {
    const page = await pageThatAnswers(null)
    assert.deepEqual(await events(page), ["error", "close", 4110, "the page gave no credentials", true])
    await page.context().close()
  })
})

describe("the demo page", () => {
  test("asks its user, shows the challenge and not the answer", { timeout: 60_000 }, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "smeuse-users-"))
    t.after(() => rm(folder, { recursive: true, force: true }))
    const gateway = await startGateway({ config: await withLogin(folder), env: { SMEUSE__WEB__ROOT: join(root, "demo") } })
    t.after(() => gateway.kill())
    const page = await openPage(browser, `http://${gateway.public}/`)
    const answer = async ({ username, password }) => {
      const dialog = page.getByRole("dialog", { name: "Who are you?" })
      await dialog.getByLabel("User").fill(username)
      await dialog.getByLabel("Password").fill(password)
      await dialog.getByRole("button", { name: "Log in" }).click()
    }
    await page.getByRole("button", { name: "Connect", exact: true }).click()
    await page.locator("#login-why", { hasText: /^[\d.:]+ asks for a login to Hedge\.$/ }).waitFor({ timeout: 10_000 })
    await page.screenshot({ path: join(screenshots, "login.png"), fullPage: true })
    await answer(WRONG)
    await page.locator("#login-why", { hasText: "That was not accepted." }).waitFor({ timeout: 10_000 })
    await answer(RIGHT)
    await page.locator("#status", { hasText: /^connected$/ }).waitFor({ timeout: 15_000 })
    const shown = await page.locator("#negotiation").innerText()
    for (const part of ["HTTP/1.1 401", 'Basic, realm "Hedge", attempt 2', "Authorization: Basic (not shown)", "HTTP/1.1 101"]) {
      assert.ok(shown.includes(part), `${part} in:\n${shown}`)
    }
    assert.ok(!shown.includes(Buffer.from(`${RIGHT.username}:${RIGHT.password}`).toString("base64")))
    await page.getByRole("button", { name: "Disconnect" }).click()
    await page.locator("#status", { hasText: "not connected" }).waitFor({ timeout: 10_000 })
    assert.deepEqual(page.problems, [])
    await page.context().close()
  })
})
