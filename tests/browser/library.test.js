// The browser library in a real Chromium, in front of the real gateway and a real RabbitMQ: the published AMQP client
// over all extensions, by one script tag, and where the gateway speaks no extended handshake.
import assert from "node:assert/strict"
import { after, before, describe, test } from "node:test"
import { sharedBroker } from "../js/kit/broker.js"
import { until } from "../js/kit/wait.js"
import { amqpService, openPage, publishAndConsume, startChromium, startSite } from "./kit.js"

const EXTENSIONS = ["x-kaazing-idle-timeout", "x-kaazing-ping-pong", "smeuse-sequence"]
const GUEST = { path: "/ws/amqp", username: "guest", password: "guest" }

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

async function started(t, config, options) {
  const site = await startSite(config, options)
  t.after(() => site.stop())
  return site
}

/** Metrics that have this many counts, or come to have them. */
async function counted(gateway, samples) {
  for (const [sample, count] of Object.entries(samples)) {
    const isRight = typeof count === "function" ? count : (value) => value === count
    let value
    await until(5_000, sample, async () => isRight((value = await gateway.metric(sample)))).catch((error) => {
      throw new Error(`${error.message}; it is ${value}`)
    })
  }
}

describe("the published AMQP client over the library", () => {
  test("publishes and consumes through all three extensions, and the gateway counts them", { timeout: 60_000 }, async (t) => {
    const site = await started(t, () => amqpService(broker, 'idle_timeout = "1s"'))
    const page = await openPage(browser, site.url())
    const body = await page.evaluate(
      async ({ extensions, publishAndConsume, arguments: given }) => {
        const { WebSocket } = await import("/_smeuse/smeuse.mjs")
        WebSocket.configure({ extensions })
        globalThis.WebSocket = WebSocket
        return (0, eval)(`(${publishAndConsume})`)(given)
      },
      { extensions: EXTENSIONS, publishAndConsume: `${publishAndConsume}`, arguments: { ...GUEST, body: "through all three" } },
    )
    assert.equal(body, "through all three")
    assert.deepEqual(
      await page.evaluate(() => ({ extensions: socket.extensions, protocol: socket.protocol, url: socket.url })),
      { extensions: "x-kaazing-idle-timeout; timeout=1000, x-kaazing-ping-pong; 01010102, smeuse-sequence", protocol: "", url: site.gateway.url },
    )
    const moreThanNone = (value) => value > 0
    await counted(site.gateway, {
      ...Object.fromEntries(EXTENSIONS.map((name) => [`smeuse_extension_offers_total{extension="${name}",outcome="agreed"}`, 1])),
      ...Object.fromEntries(EXTENSIONS.map((name) => [`smeuse_extension_sessions{extension="${name}"}`, 1])),
      'smeuse_extension_messages_total{direction="from_client",extension="smeuse-sequence"}': moreThanNone,
      'smeuse_extension_messages_total{direction="to_client",extension="smeuse-sequence"}': moreThanNone,
      // The gateway asked, and was answered, by what a page can see.
      'smeuse_extension_control_frames_total{direction="to_client",extension="x-kaazing-ping-pong",kind="ping"}': moreThanNone,
      'smeuse_extension_control_frames_total{direction="from_client",extension="x-kaazing-ping-pong",kind="pong"}': moreThanNone,
      'smeuse_handshakes_total{dialect="specification",handshake="extended",outcome="accepted"}': 1,
      'smeuse_amqp_publishes_total': 1,
      'smeuse_amqp_deliveries_total': 1,
    })
    await page.evaluate(() => connection.close())
    assert.equal((await page.evaluate(() => ending)).code, 1000)
    await counted(site.gateway, {
      ...Object.fromEntries(EXTENSIONS.map((name) => [`smeuse_extension_sessions{extension="${name}"}`, 0])),
      'smeuse_sessions_closed_total{by="client",reason="amqp_closed",service="amqp"}': 1,
    })
    assert.deepEqual(page.problems, [])
    await page.context().close()
  })
})

/** A page that was written without a thought of Smeuse. */
const UNKNOWING = `<!doctype html>
<html lang="en">
  <head>
    <title>One message, there and back</title>
    <link rel="icon" href="data:," />
  </head>
  <body>
    <p id="body"></p>
    <script type="module">
      import { AMQPWebSocketClient } from "./amqp-client.mjs"
      const url = location.href.replace(/^http/, "ws").replace(/[^/]*$/, "ws/amqp")
      const client = new AMQPWebSocketClient(url, "/", "guest", "guest")
      const connecting = client.connect()
      globalThis.client = client
      const channel = await (await connecting).channel()
      const queue = await channel.queueDeclare("", { exclusive: true })
      await channel.basicConsume(queue.name, { noAck: true }, (message) => {
        document.getElementById("body").textContent = message.bodyString()
      })
      await channel.basicPublish("", queue.name, "there and back")
    </script>
  </body>
</html>
`
const TAG = '<script src="/_smeuse/smeuse.js"></script>'

describe("the classic script", () => {
  test("is one tag in a page that knows nothing of it, and sockets to other hosts stay the platform's", { timeout: 60_000 }, async (t) => {
    const files = { "before.html": UNKNOWING, "after.html": UNKNOWING.replace("<head>", `<head>\n    ${TAG}`) }
    assert.equal(files["after.html"].length - files["before.html"].length, TAG.length + 5)
    const site = await started(t, () => amqpService(broker), { files })
    const elsewhere = await started(t, () => '[[services]]\nname = "echo"\nkind = "echo"\npaths = ["/ws/amqp"]\n')

    for (const [name, labels, extensions] of [
      ["before.html", 'dialect="none",handshake="opening"', ""],
      ["after.html", 'dialect="specification",handshake="extended"', "x-kaazing-idle-timeout; timeout=30000, x-kaazing-ping-pong; 01010102"],
    ]) {
      const page = await openPage(browser, site.url(name))
      await page.locator("#body", { hasText: "there and back" }).waitFor({ timeout: 15_000 })
      assert.equal(await page.evaluate(() => client.socket.extensions), extensions)
      await counted(site.gateway, { [`smeuse_handshakes_total{${labels},outcome="accepted"}`]: 1 })
      assert.deepEqual(page.problems, [])

      const other = await page.evaluate(
        (url) =>
          new Promise((resolve) => {
            const frame = document.body.appendChild(document.createElement("iframe"))
            const own = (value) => Object.getOwnPropertyNames(value).sort().join()
            const socket = new WebSocket(url)
            const found = {
              isWebSocket: socket instanceof WebSocket,
              // The platform's class has no private state of ours: its methods work, and its members are those of a
              // class that nobody has touched, which the frame has.
              isPlatforms: /native code/.test(socket.send) && own(Object.getPrototypeOf(socket)) === own(frame.contentWindow.WebSocket.prototype),
            }
            socket.onopen = () => socket.send("hello")
            socket.onmessage = ({ data }) => {
              socket.close()
              resolve({ ...found, data, extensions: socket.extensions, protocol: socket.protocol })
            }
          }),
        elsewhere.gateway.url,
      )
      assert.deepEqual(other, { isWebSocket: true, isPlatforms: true, data: "hello", extensions: "", protocol: "" }, name)
      await page.context().close()
    }
    const opened = 'smeuse_handshakes_total{dialect="none",handshake="opening",outcome="accepted"}'
    await counted(elsewhere.gateway, { [opened]: 2 })
  })
})

describe("in front of a gateway that speaks no extended handshake", () => {
  const combined = (more) => () => amqpService(broker, `negotiation = "combined"\n${more}`)

  test("the client gets a plain WebSocket", { timeout: 60_000 }, async (t) => {
    const files = { "after.html": UNKNOWING.replace("<head>", `<head>\n    ${TAG}`) }
    const site = await started(t, combined('page_fallback = "plain"'), { files })
    const page = await openPage(browser, site.url("after.html"))
    await page.locator("#body", { hasText: "there and back" }).waitFor({ timeout: 15_000 })
    assert.equal(await page.evaluate(() => client.socket.extensions), "")
    assert.equal(await page.evaluate(() => client.socket instanceof WebSocket), true)
    await page.context().close()
  })

  test('the client gets an error where page_fallback is "error"', { timeout: 60_000 }, async (t) => {
    const site = await started(t, combined('page_fallback = "error"'))
    const page = await openPage(browser, site.url())
    await page.addScriptTag({ url: "/_smeuse/smeuse.js" })
    const events = await page.evaluate(
      (url) =>
        new Promise((resolve) => {
          const events = []
          const socket = new WebSocket(url)
          socket.onopen = () => events.push("open")
          socket.onerror = () => events.push("error")
          socket.onclose = ({ code, wasClean }) => resolve([...events, "close", code, wasClean, socket.readyState])
        }),
      site.gateway.url,
    )
    assert.deepEqual(events, ["error", "close", 1006, false, 3])
    await page.context().close()
  })
})
