// The example of docs/extensions.md in a real Chromium: the gateway with an extension of somebody's own, and the page's
// half of it, which the gateway delivers.
import assert from "node:assert/strict"
import { copyFile, mkdir, readFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { after, before, describe, test } from "node:test"
import { sharedBroker } from "../js/kit/broker.js"
import { program, startGateway } from "../js/kit/gateway.js"
import { root } from "../js/kit/process.js"
import { until } from "../js/kit/wait.js"
import { amqpService, openPage, startChromium, startSite } from "./kit.js"

const binary = join(dirname(program), "examples/stamp")

let broker
let browser
let site
before(async () => {
  broker = await sharedBroker()
  browser = await startChromium()
  site = await startSite(
    async (folder) => {
      const modules = join(folder, "modules")
      await mkdir(modules)
      await copyFile(join(root, "examples/stamp/acme-stamp.js"), join(modules, "acme-stamp.js"))
      return `
[web]
extensions = "${modules}"
[[services]]
name = "echo"
kind = "echo"
paths = ["/echo"]
extensions = ["acme-stamp"]
page_extensions = ["acme-stamp"]
`
    },
    { binary },
  )
})
after(async () => {
  await browser?.close()
  await site?.stop()
  await broker?.stop()
})

describe("an extension of one's own", () => {
  for (const file of ["extension.rs", "acme-stamp.js"]) {
    test(`needs fewer than 60 lines of ${file}`, async () => {
      const text = await readFile(join(root, "examples/stamp", file), "utf8")
      const lines = text.split("\n").filter((line) => line.trim() !== "")
      assert.ok(lines.length < 60, `${lines.length} lines`)
    })
  }

  test("reaches the page by config.json, works on both sides, and is counted under its name", { timeout: 60_000 }, async () => {
    const page = await openPage(browser, site.url())
    await page.addScriptTag({ url: "/_smeuse/smeuse.js" })
    const started = Date.now()
    const seen = await page.evaluate(
      (url) =>
        new Promise((resolve, reject) => {
          const stamps = []
          addEventListener("acme-stamp", ({ detail }) => stamps.push({ passedAt: detail.passedAt.getTime(), text: detail.text }))
          const socket = new WebSocket(url)
          const received = []
          socket.binaryType = "arraybuffer"
          socket.onclose = ({ code, reason }) => reject(new Error(`${code} ${reason}`))
          socket.onopen = () => {
            socket.send("hello")
            socket.send(new Uint8Array([1, 2, 3]))
          }
          socket.onmessage = ({ data }) => {
            received.push(typeof data === "string" ? data : [...new Uint8Array(data)])
            if (received.length === 2) resolve({ stamps, received, extensions: socket.extensions, names: WebSocket.extensions.names() })
          }
        }),
      `ws://${site.gateway.public}/echo`,
    )
    assert.equal(seen.extensions, "acme-stamp")
    assert.ok(seen.names.includes("acme-stamp"))
    // The gateway stamped it on both ways; the page's half took the second stamp off.
    const [, first] = seen.received[0].match(/^(\d{13}) hello$/)
    assert.deepEqual(seen.received[1], [1, 2, 3])
    const [{ passedAt, text }, ...more] = seen.stamps
    assert.deepEqual(more, [])
    assert.equal(text, seen.received[0])
    assert.ok(started - 1000 <= Number(first) && Number(first) <= passedAt && passedAt <= Date.now() + 1000, `${first} ${passedAt}`)

    await until(5_000, "the traffic in the metrics", async () => {
      const metric = (sample) => site.gateway.metric(sample)
      return (
        (await metric('smeuse_extension_messages_total{direction="from_client",extension="acme-stamp"}')) === 2 &&
        (await metric('smeuse_extension_messages_total{direction="to_client",extension="acme-stamp"}')) === 2 &&
        (await metric('smeuse_extension_offers_total{extension="acme-stamp",outcome="agreed"}')) === 1 &&
        (await metric('smeuse_extension_sessions{extension="acme-stamp"}')) === 1
      )
    })
    assert.deepEqual(page.problems, [])
    await page.context().close()
  })

  test("can be chosen in the demo page, whose content security policy stays as it is", { timeout: 60_000 }, async (t) => {
    const config = amqpService(broker, 'extensions = ["acme-stamp"]\npage_extensions = ["acme-stamp"]')
    const env = { SMEUSE__WEB__ROOT: join(root, "demo"), SMEUSE__WEB__EXTENSIONS: join(root, "examples/stamp") }
    const gateway = await startGateway({ config, env, binary })
    t.after(() => gateway.kill())
    const page = await openPage(browser, `http://${gateway.public}/`)
    await page.locator("#offers").getByLabel("acme-stamp").waitFor({ timeout: 5_000 })
    await page.getByRole("button", { name: "Connect", exact: true }).click()
    await page.locator("#status", { hasText: /^connected$/ }).waitFor({ timeout: 15_000 })
    assert.deepEqual(await page.locator("#negotiation .chips li").allInnerTexts(), ["acme-stamp"])
    assert.deepEqual(page.problems, [])
    await page.context().close()
  })
})
