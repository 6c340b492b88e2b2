// Extensions that are put into a folder and named in the configuration while everything runs, in a real Chromium: pages
// that are loaded then use them, pages that are open use them for their next connection, and both are counted.
import assert from "node:assert/strict"
import { mkdir, readFile, rename, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { after, before, describe, test } from "node:test"
import { sharedBroker } from "../js/kit/broker.js"
import { root } from "../js/kit/process.js"
import { until } from "../js/kit/wait.js"
import { amqpService, openPage, publishAndConsume, startChromium, startSite } from "./kit.js"

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

const measure = () => readFile(join(root, "examples/measure/acme-measure.js"), "utf8")
const NAMED = 'page_only = ["acme-measure"]\npage_extensions = ["acme-measure; every=1"]'
const echo = (lines) => `\n[[services]]\nname = "echo"\nkind = "echo"\npaths = ["/echo"]\n${lines}\n`

/** A site with an empty folder of modules; `put` places a module there as a deployment does. */
async function startDelivery(t, services, options = {}) {
  let modules
  const site = await startSite(async (folder) => {
    modules = join(folder, "modules")
    await mkdir(modules)
    return `[web]\nextensions = "${modules}"\n${services}`
  }, options)
  t.after(() => site.stop())
  const put = async (name, text) => {
    await writeFile(join(modules, `.${name}`), text)
    await rename(join(modules, `.${name}`), join(modules, name))
  }
  const configure = (services) => writeFile(site.gateway.configuration, `[web]\nextensions = "${modules}"\n${services}`)
  return { ...site, put, configure }
}

const entryOf = async (site) => {
  const response = await fetch(site.url("_smeuse/config.json"))
  return (await response.json()).endpoints[0].extensions[0]
}
const delivered = (site) => until(10_000, "the module in config.json", async () => (await entryOf(site))?.module !== undefined)

const withScript = async (site, name) => {
  const page = await openPage(browser, site.url(name))
  await page.addScriptTag({ url: "/_smeuse/smeuse.js" })
  return page
}

/** In the page: one message there and back, with what was agreed on. */
const roundTrip = (page) =>
  page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket("/echo")
        const missing = []
        socket.addEventListener("extensionfailure", ({ extension, reason }) => missing.push({ extension, reason }))
        socket.onopen = () => socket.send("hello")
        socket.onmessage = ({ data }) => (resolve({ data, extensions: socket.extensions, missing }), socket.close())
        socket.onclose = ({ code, reason }) => reject(new Error(`${code} ${reason}`))
      }),
  )

const messages = (site, direction) => site.gateway.metric(`smeuse_extension_messages_total{direction="${direction}",extension="acme-measure"}`)

describe("an extension that is dropped into the folder while everything runs", () => {
  test("is used by the next page load over AMQP, and its traffic counted under its name", { timeout: 60_000 }, async (t) => {
    const site = await startDelivery(t, amqpService(broker, NAMED))
    await site.put("acme-measure.js", await measure())
    await delivered(site)
    const page = await withScript(site)
    await page.evaluate(() => addEventListener("acme-measure", ({ detail }) => (globalThis.measured = detail)))
    const given = { path: "/ws/amqp", username: "guest", password: "guest", body: "measured" }
    assert.equal(await page.evaluate(publishAndConsume, given), "measured")
    assert.equal(await page.evaluate(() => socket.extensions), "acme-measure; every=1")
    await page.waitForFunction(() => globalThis.measured !== undefined)
    const { sent, received } = await page.evaluate(() => measured)
    // Both sides of the wire agree on what passed.
    await until(5_000, "the traffic in the metrics", async () => (await messages(site, "from_client")) >= sent.messages)
    assert.ok(sent.messages > 0 && received.messages > 0 && sent.bytes > 100, JSON.stringify({ sent, received }))
    await page.evaluate(() => connection.close())
    await page.waitForFunction(() => globalThis.socket.readyState === 3)
    const last = await page.evaluate(() => measured)
    for (const [direction, way] of [["from_client", last.sent], ["to_client", last.received]]) {
      await until(5_000, `${direction} counted`, async () => (await messages(site, direction)) === way.messages)
      assert.equal(await site.gateway.metric(`smeuse_extension_bytes_total{direction="${direction}",extension="acme-measure"}`), way.bytes)
    }
    assert.deepEqual(page.problems, [])
    await page.context().close()
  })

  test("and is named in the configuration then, is used by the next connection of a page that is open", { timeout: 60_000 }, async (t) => {
    const site = await startDelivery(t, echo("page_extensions = []"))
    const page = await withScript(site)
    assert.deepEqual(await roundTrip(page), { data: "hello", extensions: "", missing: [] })
    await site.put("acme-measure.js", await measure())
    await site.configure(echo(NAMED))
    await delivered(site)
    // config.json counts as new for two seconds.
    await page.waitForTimeout(2_100)
    assert.deepEqual(await roundTrip(page), { data: "hello", extensions: "acme-measure; every=1", missing: [] })
    const other = await withScript(site)
    assert.deepEqual((await roundTrip(other)).extensions, "acme-measure; every=1")
    await until(5_000, "the traffic in the metrics", async () => (await messages(site, "from_client")) === 2)
    assert.equal(await site.gateway.metric('smeuse_extension_offers_total{extension="acme-measure",outcome="agreed"}'), 2)
    for (const each of [page, other]) {
      assert.deepEqual(each.problems, [])
      await each.context().close()
    }
  })

  test("asks no more of the network than an empty answer, as long as nothing changes", { timeout: 60_000 }, async (t) => {
    const site = await startDelivery(t, echo(NAMED))
    await site.put("acme-measure.js", await measure())
    await delivered(site)
    const page = await openPage(browser, site.url())
    const client = await page.context().newCDPSession(page)
    await client.send("Network.enable")
    const [asked, statuses] = [new Map(), []]
    client.on("Network.requestWillBeSent", ({ requestId, request }) => asked.set(requestId, new URL(request.url).pathname))
    client.on("Network.responseReceivedExtraInfo", ({ requestId, statusCode }) => statuses.push([requestId, statusCode]))
    // Which of the two events of a request comes first is not said.
    const answered = () => statuses.map(([id, status]) => [asked.get(id), status])
    await page.addScriptTag({ url: "/_smeuse/smeuse.js" })
    await roundTrip(page)
    const config = () => answered().filter(([path]) => path === "/_smeuse/config.json").map(([, status]) => status)
    await until(20_000, "config.json to be asked for again", async () => {
      for (let socket = 0; socket < 3; socket += 1) await roundTrip(page)
      return config().length > 1
    })
    const [first, ...others] = config()
    assert.deepEqual([first, [...new Set(others)]], [200, [304]])
    const modules = answered().filter(([path]) => path?.startsWith("/_smeuse/extensions/"))
    assert.deepEqual(modules.map(([, status]) => status), [200])
    await page.context().close()
  })
})

test("a broken module leaves pages without it, with a clear word, until it is mended", { timeout: 60_000 }, async (t) => {
  const site = await startDelivery(t, echo(NAMED))
  await site.put("acme-measure.js", "export default {")
  await delivered(site)
  const page = await withScript(site)
  const { data, extensions, missing } = await roundTrip(page)
  assert.deepEqual([data, extensions, missing.length], ["hello", "", 1])
  assert.match(missing[0].reason, /^the extension acme-measure cannot be loaded: .*Unexpected end of input/)
  await site.put("acme-measure.js", await measure())
  await until(20_000, "the mended module", async () => (await roundTrip(page)).extensions !== "")
  await page.context().close()
})

test("a broken module of an extension that pages need fails them, until it is mended", { timeout: 60_000 }, async (t) => {
  const site = await startDelivery(t, echo(`${NAMED}\npage_required = ["acme-measure"]`))
  await site.put("acme-measure.js", "throw new Error('not today')")
  await delivered(site)
  const page = await withScript(site)
  await assert.rejects(roundTrip(page), /1006 the extension acme-measure cannot be loaded: not today/)
  await site.put("acme-measure.js", await measure())
  await until(20_000, "the mended module", () => roundTrip(page).then(({ extensions }) => extensions !== "", () => false))
  await page.context().close()
})

describe("an extension on trial", () => {
  test("reaches the users of its share and no others, and metrics tell both apart", { timeout: 60_000 }, async (t) => {
    const users = join(root, "tests/vectors/users.toml")
    const login = `login = { users = "${users}", schemes = ["application-basic"], realm = "x" }`
    // Of acme-measure, joe is at 25.88 percent and bob at 48.03.
    const site = await startDelivery(t, echo(`${NAMED}\n${login}\ntrials = [{ extension = "acme-measure", percent = 37 }]`))
    await site.put("acme-measure.js", await measure())
    await delivered(site)
    for (const [username, password, extensions, group] of [["joe", "welcome", "acme-measure; every=1", "with"], ["bob", "builder", "", "without"]]) {
      const page = await withScript(site)
      await page.evaluate((credentials) => (WebSocket.login = ({ attempt }) => (attempt > 1 ? null : credentials)), { username, password })
      assert.equal((await roundTrip(page)).extensions, extensions, username)
      await until(5_000, "the session in the metrics", async () => (await site.gateway.metric(`smeuse_trial_sessions_total{extension="acme-measure",group="${group}",service="echo"}`)) === 1)
      assert.deepEqual(page.problems, [])
      await page.context().close()
    }
  })
})
