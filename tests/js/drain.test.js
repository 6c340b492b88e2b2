// SIGTERM: no new sessions, the old ones told to reconnect elsewhere, exit code 0.
import assert from "node:assert/strict"
import { after, before, test } from "node:test"
import WebSocket from "ws"
import { sharedBroker } from "./kit/broker.js"
import { connect } from "./kit/client.js"
import { startGateway } from "./kit/gateway.js"
import { until, within } from "./kit/wait.js"

let broker

before(async () => {
  broker = await sharedBroker()
})

after(async () => {
  await broker?.stop()
})

/** Status, Retry-After and body of a refused opening handshake. */
function refusal(url) {
  return new Promise((resolve, reject) => {
    const webSocket = new WebSocket(url)
    webSocket.on("open", () => reject(new Error("was not refused")))
    webSocket.on("error", reject)
    webSocket.on("unexpected-response", async (_, response) => {
      let body = ""
      for await (const chunk of response) body += chunk
      resolve({ status: response.statusCode, retryAfter: response.headers["retry-after"], body })
    })
  })
}

test("sessions go on until the deadline, then close with 1001; exit code 0", { timeout: 60_000 }, async (t) => {
  const gateway = await startGateway({
    upstream: broker.url,
    env: { SMEUSE__DRAIN__DEADLINE: "3s", SMEUSE__DRAIN__SPREAD: "1s" },
  })
  t.after(() => gateway.kill())
  const sessions = await Promise.all(Array.from({ length: 20 }, () => connect(gateway.url)))
  const channel = await sessions[0].channel()
  const { name } = await channel.queueDeclare("", { exclusive: true })

  const signalled = Date.now()
  gateway.signal("SIGTERM")
  await gateway.line("draining")
  assert.equal((await gateway.ask("/readyz")).status, 503)
  assert.equal((await gateway.ask("/healthz")).status, 200)

  const refused = await within(5_000, "the refusal", refusal(gateway.url))
  assert.equal(refused.status, 503)
  assert.ok(Number(refused.retryAfter) > 0, `Retry-After: ${refused.retryAfter}`)
  assert.match(refused.body, /^draining: .+\n$/)

  await channel.basicPublish("", name, "still works")
  assert.equal((await until(5_000, "the message", () => channel.basicGet(name))).bodyString(), "still works")

  const endings = await Promise.all(sessions.map(({ webSocket }) => within(10_000, "the close", webSocket.ending)))
  for (const ending of endings) {
    assert.equal(ending.code, 1001)
    assert.match(ending.reason, /reconnect/i)
  }
  assert.equal(await gateway.ended(10_000), 0)
  assert.ok(Date.now() - signalled < 8_000)
  assert.ok(gateway.lines.some(({ message }) => message === "drained"))
})

test("with no session it ends at once", { timeout: 30_000 }, async (t) => {
  const gateway = await startGateway({ upstream: broker.url })
  t.after(() => gateway.kill())
  gateway.signal("SIGTERM")
  assert.equal(await gateway.ended(5_000), 0)
})

test("a second signal ends it at once", { timeout: 30_000 }, async (t) => {
  const gateway = await startGateway({ upstream: broker.url })
  t.after(() => gateway.kill())
  const session = await connect(gateway.url)
  gateway.signal("SIGTERM")
  await gateway.line("draining")
  gateway.signal("SIGTERM")
  await gateway.ended(5_000)
  await within(5_000, "the close", session.webSocket.ending)
})
