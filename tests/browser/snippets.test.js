// What README.md and docs/browser.md show to authors of pages does what they say: each snippet runs in a real Chromium,
// with the test's own gateway in the place of the one that they name.
import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { after, before, describe, test } from "node:test"
import { sharedBroker } from "../js/kit/broker.js"
import { program } from "../js/kit/gateway.js"
import { root } from "../js/kit/process.js"
import { amqpService, openPage, startChromium, startSite } from "./kit.js"

const PASSWORD = "a password"

let broker
let browser
let site
let withLogin
before(async () => {
  broker = await sharedBroker()
  browser = await startChromium()
  site = await startSite(() => amqpService(broker))
  withLogin = await startSite(async (folder) => {
    const users = join(folder, "users.toml")
    await writeFile(users, execFileSync(program, ["hash-password", "--user", "alice"], { input: `${PASSWORD}\n` }), { mode: 0o600 })
    return amqpService(broker, `login = { users = "${users}" }`, 'login = "service"')
  })
})
after(async () => {
  await browser?.close()
  await site?.stop()
  await withLogin?.stop()
  await broker?.stop()
})

/** The snippets of one language below this heading, with the gateway's address in the place of those that are named. */
async function snippets(document, heading, language, gateway) {
  const text = await readFile(join(root, document), "utf8")
  const section = text.slice(text.indexOf(`\n## ${heading}\n`) + 1).split(/^## /m)[1]
  return [...section.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, "gm"))].map(([, snippet]) =>
    snippet
      .replaceAll(/\bhttps?:\/\/(?:gateway\.example|localhost:15670)/g, `http://${gateway.public}`)
      .replaceAll(/\bwss?:\/\/(?:gateway\.example|localhost:15670)/g, `ws://${gateway.public}`)
      .replaceAll('"@cloudamqp/amqp-client"', '"/amqp-client.mjs"'),
  )
}

/** Runs a page with this in its head, and resolves with the first line that it writes to the console. */
async function firstLine(site, head, { answer } = {}) {
  const page = await openPage(browser, site.url())
  page.on("dialog", (dialog) => dialog.accept(answer))
  const line = page.waitForEvent("console", { timeout: 15_000 })
  await page.setContent(`<!doctype html><head>${head}</head>`)
  const text = (await line).text()
  assert.deepEqual(page.problems, [])
  await page.context().close()
  return text
}

const module = (...parts) => `<script type="module">${parts.join("\n")}</script>`
const tellExtensions = "socket.onopen = () => console.log(socket.extensions)"
const DEFAULT = "x-kaazing-idle-timeout; timeout=30000, x-kaazing-ping-pong; 01010102"

describe("README.md", () => {
  test("connects a page in three ways", { timeout: 60_000 }, async () => {
    const [tag] = await snippets("README.md", "Connect from a page", "html", site.gateway)
    const [plain, byImport] = await snippets("README.md", "Connect from a page", "js", site.gateway)
    const tell = "console.log(connection.socket.extensions)"
    // The example prints the message that it gets; here it tells first what its socket agreed on.
    const told = (program) => program.replace(/^const channel/m, `${tell}\n$&`)
    assert.equal(await firstLine(site, module(plain)), "Hello from a page")
    assert.equal(await firstLine(site, module(told(plain))), "")
    assert.equal(await firstLine(site, tag + module(told(plain))), DEFAULT)
    assert.equal(await firstLine(site, module(byImport, told(plain))), DEFAULT)
  })
})

describe("docs/browser.md", () => {
  test("loads the library in two ways", { timeout: 60_000 }, async () => {
    const [tag] = await snippets("docs/browser.md", "Loading", "html", site.gateway)
    const [byImport] = await snippets("docs/browser.md", "Loading", "js", site.gateway)
    const open = `const socket = new WebSocket("${site.gateway.url}")`
    assert.equal(await firstLine(site, tag + module(open, tellExtensions)), DEFAULT)
    assert.equal(await firstLine(site, module(byImport, tellExtensions)), DEFAULT)
  })

  test("chooses extensions for one socket", { timeout: 60_000 }, async () => {
    const [tag] = await snippets("docs/browser.md", "Loading", "html", site.gateway)
    const [options] = await snippets("docs/browser.md", "Configuration", "js", site.gateway)
    assert.equal(await firstLine(site, tag + module(options)), `${DEFAULT}, smeuse-sequence`)
  })

  test("logs in", { timeout: 60_000 }, async () => {
    const [tag] = await snippets("docs/browser.md", "Loading", "html", withLogin.gateway)
    const [login] = await snippets("docs/browser.md", "Login", "js", withLogin.gateway)
    const open = `const socket = new WebSocket("${withLogin.gateway.url}")`
    const tell = "socket.onclose = ({ code }) => console.log(code)"
    assert.equal(await firstLine(withLogin, tag + module(login, open, tellExtensions, tell), { answer: PASSWORD }), DEFAULT)
    assert.equal(await firstLine(withLogin, tag + module(login, open, tellExtensions, tell), { answer: "another" }), "4105")
  })
})
