// A real Chromium with a fresh profile, pages in it, and the gateway that serves them.
import { execFile } from "node:child_process"
import { copyFile, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { chromium } from "playwright-core"
import { startGateway } from "../js/kit/gateway.js"
import { root } from "../js/kit/process.js"

export const chromiumPath = async () => (await promisify(execFile)(join(root, "scripts/setup"), ["chromium-path"])).stdout.trim()

/** The page must not call home. */
export const CHROMIUM_FLAGS = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--no-first-run",
  "--host-resolver-rules=MAP stranger.example 127.0.0.1",
]

export async function startChromium() {
  return chromium.launch({
    executablePath: await chromiumPath(),
    // Playwright's own choice of old headless mode is not in every Chromium.
    ignoreDefaultArgs: ["--headless"],
    args: CHROMIUM_FLAGS,
    timeout: 60_000,
  })
}

/** Opens a page that fails the test on any error, and on anything the content security policy forbids. */
export async function openPage(browser, url, options = {}) {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  const problems = []
  page.on("pageerror", (error) => problems.push(String(error)))
  page.on("console", (message) => {
    // Chromium reports every WebSocket that fails as an error; those are what some tests are about.
    if (message.type() === "error" && !message.text().includes("WebSocket")) problems.push(message.text())
  })
  page.problems = problems
  await page.goto(url)
  return page
}

/**
 * A gateway that serves a folder with these files, an empty page, and the published AMQP client. Its services are those
 * of the text, which finds the folder in `folder`.
 * @param {(folder: string) => string} config text of a TOML configuration file
 * @param {{ files?: Record<string, string>, binary?: string }} options
 */
export async function startSite(config, { files = {}, ...options } = {}) {
  const folder = await mkdtemp(join(tmpdir(), "smeuse-site-"))
  const all = { "empty.html": '<!doctype html><title>empty</title><link rel="icon" href="data:,">', ...files }
  for (const [name, text] of Object.entries(all)) await writeFile(join(folder, name), text)
  const client = "node_modules/@cloudamqp/amqp-client/dist/amqp-websocket-client.mjs"
  await copyFile(join(root, "tests/js", client), join(folder, "amqp-client.mjs"))
  const gateway = await startGateway({ ...options, config: await config(folder), env: { SMEUSE__WEB__ROOT: folder } })
  const site = {
    /** A test may put another in its place. */
    gateway,
    url: (name = "empty.html") => `http://${gateway.public}/${name}`,
    async stop() {
      await site.gateway.kill()
      await rm(folder, { recursive: true, force: true })
    },
  }
  return site
}

/** What every service of the tests has in common; `more` are lines of its table. */
export const amqpService = (broker, more = "", upstream = "") => `
[[services]]
name = "amqp"
kind = "amqp"
paths = ["/ws/amqp"]
${more}
[services.upstream]
uris = ["${broker.url}"]
${upstream}
`

/** In the page: publishes one message over the published client and waits for its delivery. */
export const publishAndConsume = async ({ path, username, password, body }) => {
  const { AMQPWebSocketClient } = await import("/amqp-client.mjs")
  const client = new AMQPWebSocketClient(new URL(path, location.href.replace(/^http/, "ws")).href, "/", username, password)
  const connecting = client.connect()
  // What the client keeps to itself.
  globalThis.socket = client.socket
  globalThis.ending = new Promise((resolve) =>
    client.socket.addEventListener("close", ({ code, reason, wasClean }) => resolve({ code, reason, wasClean, at: performance.now() })),
  )
  const connection = await connecting
  const channel = await connection.channel()
  await channel.confirmSelect()
  const queue = await channel.queueDeclare("", { exclusive: true })
  const delivered = new Promise((resolve) => channel.basicConsume(queue.name, { noAck: true }, (message) => resolve(message.bodyString())))
  await channel.basicPublish("", queue.name, body)
  globalThis.connection = connection
  return delivered
}
