// The broker dies under 200 sessions: every page learns it within 2 s, and nothing is left behind.
import assert from "node:assert/strict"
import { after, before, test } from "node:test"
import { startBroker } from "./kit/broker.js"
import { connect, lastSocket } from "./kit/client.js"
import { shared, startGateway } from "./kit/gateway.js"
import { until, within } from "./kit/wait.js"

const count = 200
let broker
let gateway

before(async () => {
  broker = await startBroker("js-lost")
  gateway = await startGateway({ upstream: broker.url })
})

after(async () => {
  await gateway?.kill()
  await broker?.stop()
})

const readiness = async () => (await gateway.ask("/readyz")).status

test("a broker killed under 200 sessions, and back again", { timeout: 300_000 }, async (t) => {
  await until(10_000, "ready", async () => (await readiness()) === 200)
  // A first session, so that what the gateway opens once and keeps is open already.
  await (await connect(gateway.url)).close()
  await gateway.idle()
  const socketsBefore = await gateway.sockets()

  const sessions = []
  for (let i = 0; i < count; i++) {
    const connection = await connect(gateway.url)
    connection.ondisconnect = () => (connection.toldAt ??= Date.now())
    const channel = await connection.channel()
    const { name } = await channel.queueDeclare("", { exclusive: true })
    await channel.basicConsume(name, { noAck: true }, () => {})
    sessions.push(connection)
  }
  assert.equal(await gateway.metric('smeuse_sessions{service="amqp"}'), count)
  if (shared) assert.ok((await gateway.metric('smeuse_shared_connections{state="open"}')) >= count / 10)
  else assert.equal(await gateway.metric("smeuse_upstream_connections"), count)

  // The node may take a moment to be gone; its sockets close when it is.
  const killed = Date.now()
  await broker.kill()
  const endings = await Promise.all(
    sessions.map((connection) => within(10_000, "the close", connection.webSocket.ending)),
  )
  const slowest = Math.max(...endings.map(({ at }) => at)) - killed
  t.diagnostic(`the last of ${count} pages learnt it ${slowest} ms after the kill`)
  assert.ok(slowest <= 2_000, `the last page learnt it after ${slowest} ms`)
  for (const [i, ending] of endings.entries()) {
    assert.equal(ending.code, 1014)
    assert.notEqual(ending.reason, "")
    assert.ok(sessions[i].toldAt, "the library was not told")
  }
  const told = Math.max(...sessions.map((connection) => connection.toldAt)) - killed
  assert.ok(told <= 2_000, `the last library was told after ${told} ms`)

  await until(5_000, "/readyz turns 503", async () => (await readiness()) === 503)
  assert.match(await (await gateway.ask("/readyz")).text(), /\S/)
  assert.equal((await gateway.ask("/healthz")).status, 200)
  await gateway.idle()
  // A worker's first session opens its first shared connection.
  if (!shared) await until(5_000, "no socket is left", async () => (await gateway.sockets()) <= socketsBefore)
  assert.equal(gateway.lines.filter((line) => line.message === "session ended" && line.reason === "lost").length, count)

  // While it is away new sessions are told why.
  await assert.rejects(connect(gateway.url))
  assert.equal((await within(5_000, "the close", lastSocket().ending)).code, 1013)

  await broker.revive()
  await until(10_000, "ready again", async () => (await readiness()) === 200)
  const again = await connect(gateway.url)
  const channel = await again.channel()
  const { name } = await channel.queueDeclare("", { exclusive: true })
  await channel.basicPublish("", name, "back")
  assert.equal((await until(5_000, "the message", () => channel.basicGet(name))).bodyString(), "back")
  await again.close()
  await gateway.idle()
})
