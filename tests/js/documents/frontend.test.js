// docs/frontend.md: its page is built five times, with each of its frameworks, and opened in a real Chromium against a real
// gateway and RabbitMQ.
import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { after, before, describe, test } from "node:test"
import { AMQPClient } from "@cloudamqp/amqp-client"
import * as esbuild from "esbuild"
import { compile } from "svelte/compiler"
import { compileScript, parse as parseVue } from "vue/compiler-sfc"
import { amqpService, openPage, startChromium, startSite } from "../../browser/kit.js"
import { sharedBroker } from "../kit/broker.js"
import { program, startGateway } from "../kit/gateway.js"
import { root } from "../kit/process.js"
import { until } from "../kit/wait.js"
import { block, namedBlocks, read } from "./blocks.js"
import { table } from "./tables.js"

const PAGE = "docs/frontend.md"
const GATEWAY = "wss://gateway.example"

/** Where each framework's example stands, and what shows it: the three lines that every application has. */
const FRAMEWORKS = {
  "Plain JavaScript": { language: "js", file: "news-page.js", entry: `import { stop } from "./news-page.js"; globalThis.unmount = stop` },
  React: {
    language: "tsx",
    file: "News.tsx",
    entry: `import { createElement, StrictMode } from "react"; import { createRoot } from "react-dom/client"; import { News } from "./News.tsx"
      const root = createRoot(document.querySelector("#app")); root.render(createElement(StrictMode, null, createElement(News)))
      globalThis.unmount = () => root.unmount()`,
  },
  Vue: {
    language: "vue",
    file: "News.vue",
    entry: `import { createApp } from "vue"; import News from "./News.vue"; const app = createApp(News); app.mount("#app"); globalThis.unmount = () => app.unmount()`,
  },
  Svelte: {
    language: "svelte",
    file: "News.svelte",
    entry: `import { mount, unmount } from "svelte"; import News from "./News.svelte"
      const app = mount(News, { target: document.querySelector("#app") }); globalThis.unmount = () => unmount(app)`,
  },
  Angular: {
    language: "ts",
    file: "news-component.ts",
    entry: `import "@angular/compiler"; import { provideZonelessChangeDetection } from "@angular/core"; import { bootstrapApplication } from "@angular/platform-browser"
      import { News } from "./news-component.ts"
      document.querySelector("#app").append(document.createElement("app-news"))
      bootstrapApplication(News, { providers: [provideZonelessChangeDetection()] }).then((app) => (globalThis.unmount = () => app.destroy()))`,
  },
}

/** Makes one script of an entry and the files of the document, by the compilers of the frameworks themselves. */
async function bundle(entry, files) {
  const sources = {
    name: "the blocks of the document",
    setup(build) {
      build.onResolve({ filter: /^\.\// }, ({ path, importer, namespace }) => {
        const name = path.slice(2)
        const found = [name, `${name}.ts`, `${name}.js`].find((each) => each in files)
        return found && (importer === "<stdin>" || namespace === "document") ? { path: found, namespace: "document" } : undefined
      })
      build.onLoad({ filter: /./, namespace: "document" }, ({ path }) => {
        const resolveDir = join(root, "tests/js/documents")
        if (path.endsWith(".vue")) {
          const { descriptor, errors } = parseVue(files[path])
          assert.deepEqual(errors, [])
          return { contents: compileScript(descriptor, { id: path, inlineTemplate: true }).content, loader: "ts", resolveDir }
        }
        if (path.endsWith(".svelte")) {
          const { js, warnings } = compile(files[path], { filename: path, generate: "client" })
          assert.deepEqual(warnings, [])
          return { contents: js.code, loader: "js", resolveDir }
        }
        return { contents: files[path], loader: path.split(".").at(-1), resolveDir }
      })
    },
  }
  const { outputFiles } = await esbuild.build({
    stdin: { contents: entry, resolveDir: join(root, "tests/js/documents"), loader: "js" },
    bundle: true,
    write: false,
    format: "esm",
    platform: "browser",
    target: "es2022",
    jsx: "automatic",
    logLevel: "silent",
    nodePaths: [join(root, "tests/js/node_modules")],
    define: { "process.env.NODE_ENV": '"development"', __VUE_OPTIONS_API__: "false", __VUE_PROD_DEVTOOLS__: "false", __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false" },
    tsconfigRaw: { compilerOptions: { experimentalDecorators: true, useDefineForClassFields: false } },
    plugins: [sources],
  })
  return outputFiles[0].text
}

let broker
let browser
let site
let folder
let publisher
/** The document's page, and its modules with the address of the test's own gateway. */
const shell = await block(PAGE, "Connecting", "html")
const here = (text) => text.replaceAll(GATEWAY, `ws://${site.gateway.public}`).replaceAll("https://gateway.example", "")

before(async () => {
  broker = await sharedBroker()
  browser = await startChromium()
  site = await startSite((own) => {
    folder = own
    return amqpService(broker)
  })
  publisher = await (await new AMQPClient(broker.url).connect()).channel()
})
after(async () => {
  await publisher?.connection.close()
  await browser?.close()
  await site?.stop()
  await broker?.stop()
})

/** Builds the page of a framework and opens it; `page.app` is where the framework works. */
async function open(framework) {
  const { language, file, entry } = FRAMEWORKS[framework]
  const named = Object.fromEntries(Object.entries(await namedBlocks(PAGE)).map(([name, text]) => [name, here(text)]))
  const script = await bundle(entry, { ...named, [file]: here(await block(PAGE, framework, language)) })
  const name = framework.split(" ")[0].toLowerCase()
  await writeFile(join(folder, `${name}.js`), script)
  await writeFile(join(folder, `${name}.html`), here(shell).replace("app.js", `${name}.js`).replace("<title>", '<link rel="icon" href="data:,"><title>'))
  const page = await openPage(browser, site.url(`${name}.html`))
  return Object.assign(page, { phase: (text) => page.locator("#app p", { hasText: new RegExp(`^${text}$`) }).waitFor({ timeout: 20_000 }) })
}

const publish = (text) => publisher.basicPublish("amq.topic", "news.today", text)
const arrives = (page, text) => page.locator("#app li", { hasText: new RegExp(`^${text}$`) }).waitFor({ timeout: 10_000 })
const sessions = async () => (await site.gateway.ask("/sessions")).json()
const noSession = () => until(10_000, "the end of the session", async () => (await sessions()).length === 0)

describe("the page of docs/frontend.md", () => {
  for (const framework of Object.keys(FRAMEWORKS)) {
    test(`with ${framework}`, { timeout: 90_000 }, async () => {
      const page = await open(framework)
      await page.phase("open")
      const own = await until(10_000, "one session", async () => {
        const all = await sessions()
        return all.length === 1 && all[0]
      })
      assert.match(JSON.stringify(own), /x-kaazing-ping-pong/)
      for (const text of ["first", "second"]) {
        await publish(`${text} for ${framework}`)
        await arrives(page, `${text} for ${framework}`)
      }
      assert.equal(await page.locator("#app li").count(), 2)
      // It goes, and so does the session.
      await page.evaluate(() => globalThis.unmount())
      await noSession()
      assert.deepEqual(page.problems, [])
      await page.context().close()
    })
  }

  test("comes back when the gateway is replaced, and stays away when an operator ends it", { timeout: 90_000 }, async () => {
    const page = await open("Plain JavaScript")
    await page.phase("open")
    const address = site.gateway.public
    await site.gateway.kill()
    await page.phase("waiting")
    // What goes on while nobody is there: a try that fails, and another.
    site.gateway = await startGateway({ listen: address, config: amqpService(broker), env: { SMEUSE__WEB__ROOT: folder } })
    await page.phase("open")
    await publish("after")
    await arrives(page, "after")
    const [{ id }] = await sessions()
    assert.equal((await site.gateway.ask(`/sessions/${id}`, { method: "DELETE" })).status, 204)
    await page.phase("ended")
    await noSession()
    assert.deepEqual(await site.gateway.metric('smeuse_sessions_opened_total{service="amqp"}'), 1)
    await page.context().close()
  })
})

test("the codes after which it comes back are those of the protocol", async () => {
  const { "live.ts": source } = await namedBlocks(PAGE)
  const again = new Set(source.match(/new Set\(\[([\d, ]+)\]\)/)[1].split(", ").map(Number))
  const rows = table(await read("docs/protocol.md"), "## Endings")
  const expected = new Set([1006, 4320, ...rows.filter(([, , code, reconnect]) => /^\d+$/.test(code) && reconnect === "yes").map(([, , code]) => Number(code))])
  assert.ok(rows.some(([, , , reconnect]) => reconnect === "after 320") && rows.some(([, , , reconnect]) => reconnect === "after 4101"))
  assert.deepEqual([...again].sort(), [...expected].sort())
})

describe("with a login", () => {
  const PASSWORD = "a password"
  let guarded
  before(async () => {
    guarded = await startSite(async (own) => {
      const users = join(own, "users.toml")
      await writeFile(users, execFileSync(program, ["hash-password", "--user", "alice"], { input: `${PASSWORD}\n` }), { mode: 0o600 })
      return amqpService(broker, `login = { users = "${users}" }`)
    })
  })
  after(() => guarded?.stop())

  /** A page with the dialog of the document, which opens a WebSocket and remembers how that went. */
  async function visit() {
    const dialog = await block(PAGE, "Logging in", "html")
    const login = await esbuild.transform(await block(PAGE, "Logging in", "ts"), { loader: "ts" })
    const page = await openPage(browser, guarded.url())
    await page.setContent(`<!doctype html><script src="/_smeuse/smeuse.js"></script>${dialog}<script>${login.code}
      globalThis.socket = new WebSocket("${guarded.gateway.url}")
      globalThis.outcome = new Promise((resolve) => { socket.onopen = () => resolve("open"); socket.onclose = ({ code }) => resolve(code) })</script>`)
    return page
  }
  const type = async (page, password) => {
    await page.locator("input[name=username]").fill("alice")
    await page.locator("input[name=password]").fill(password)
    await page.getByRole("button", { name: "Log in" }).click()
  }

  test("the dialog asks again after a wrong password, and lets the right one in", { timeout: 60_000 }, async () => {
    const page = await visit()
    await page.getByText("Log in to Smeuse").waitFor()
    await type(page, "another")
    await page.getByText("That was not right").waitFor()
    await type(page, PASSWORD)
    assert.equal(await page.evaluate(() => globalThis.outcome), "open")
    await page.context().close()
  })

  test("who gives up gets 4110", { timeout: 60_000 }, async () => {
    const page = await visit()
    await page.getByText("Log in to Smeuse").waitFor()
    await page.keyboard.press("Escape")
    assert.equal(await page.evaluate(() => globalThis.outcome), 4110)
    await page.context().close()
  })
})

test("its other snippets do what they say", { timeout: 60_000 }, async () => {
  const extensions = here(await block(PAGE, "Extensions", "js"))
  const types = await esbuild.transform(await block(PAGE, "TypeScript", "ts"), { loader: "ts" })
  const page = await openPage(browser, site.url())
  const line = page.waitForEvent("console", { timeout: 15_000 })
  await page.setContent(`<!doctype html><script src="/_smeuse/smeuse.js"></script><script type="module">${types.code}</script>`)
  assert.match((await line).text(), /x-kaazing-ping-pong/)
  const agreed = await page.evaluate(
    (snippet) => new Function(`${snippet}; return new Promise((resolve) => { socket.onopen = () => resolve(socket.extensions); socket.onclose = ({ code }) => resolve(code) })`)(),
    extensions,
  )
  assert.match(String(agreed), /x-kaazing-idle-timeout; timeout=\d+, x-kaazing-ping-pong/)
  assert.deepEqual(page.problems, [])
  await page.context().close()
})

test("the five minutes of docs/README.md end with a message", { timeout: 60_000 }, async () => {
  const own = await block("docs/README.md", "You write a page", "html")
  const file = "node_modules/@cloudamqp/amqp-client/dist/amqp-websocket-client.mjs"
  const config = async (folder) => {
    await mkdir(join(folder, dirname(file)), { recursive: true })
    await copyFile(join(root, "demo", file), join(folder, file))
    return amqpService(broker)
  }
  const demo = await startSite(config, { files: { "mine.html": own } })
  try {
    const page = await openPage(browser, demo.url("mine.html"))
    await page.getByText("Hello from a page").waitFor({ timeout: 15_000 })
    await page.context().close()
  } finally {
    await demo.stop()
  }
})

test("each example is in the page, and no framework of the page is left out", async () => {
  const text = await readFile(join(root, PAGE), "utf8")
  const [, section] = text.split("\n## Frameworks\n")
  const headings = [...section.split(/^## /m)[0].matchAll(/^### (.+)$/gm)].map(([, heading]) => heading)
  assert.deepEqual(headings, Object.keys(FRAMEWORKS))
})
