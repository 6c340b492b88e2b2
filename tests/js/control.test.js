// A backend in another language: it learns from events who is there, and ends a user's sessions on two gateways with one
// message, by nothing but AMQP.
import assert from "node:assert/strict"
import { after, before, test } from "node:test"
import amqplib from "amqplib"
import WebSocket from "ws"
import { sharedBroker } from "./kit/broker.js"
import { connect, unique } from "./kit/client.js"
import { startGateway } from "./kit/gateway.js"
import { Arrivals, within } from "./kit/wait.js"

const events = unique("smeuse.events")
const commands = unique("smeuse.commands")

let broker
let gateways = []
let backend
let channel

const config = (name) => `
[control]
uris = ["${broker.url}"]
name = "${name}"
events_exchange = "${events}"
commands_exchange = "${commands}"
[[services]]
name = "amqp"
[services.upstream]
uris = ["${broker.url}"]
[[services]]
name = "echo"
kind = "echo"
paths = ["/echo"]
`

before(async () => {
  broker = await sharedBroker()
  gateways = await Promise.all(["g1", "g2"].map((name) => startGateway({ config: config(name) })))
  await Promise.all(gateways.map((gateway) => gateway.line("events and commands ready")))
  backend = await within(15_000, "the backend's connection", amqplib.connect(broker.url))
  channel = await backend.createChannel()
})

after(async () => {
  await channel?.deleteExchange(events)
  await channel?.deleteExchange(commands)
  await backend?.close()
  await Promise.all(gateways.map((gateway) => gateway.kill()))
  await broker?.stop()
})

/** Consumes what the exchange routes by these keys; each message as its key and its content. */
async function listen(...keys) {
  const { queue } = await channel.assertQueue("", { exclusive: true })
  for (const key of keys) await channel.bindQueue(queue, events, key)
  const arrivals = new Arrivals()
  const push = ({ fields, content }) => arrivals.push({ key: fields.routingKey, ...JSON.parse(content) })
  await channel.consume(queue, push, { noAck: true })
  return arrivals
}

/** Publishes a command and resolves with this many replies, by gateway. */
async function command(body, count) {
  const { queue } = await channel.assertQueue("", { exclusive: true })
  const replies = new Arrivals()
  await channel.consume(queue, replies.push, { noAck: true })
  channel.publish(commands, "", Buffer.from(JSON.stringify(body)), { replyTo: queue, correlationId: "42" })
  const read = ({ properties, content }) => {
    assert.equal(properties.correlationId, "42")
    assert.equal(properties.contentType, "application/json")
    return JSON.parse(content)
  }
  const all = (await within(10_000, "the replies", replies.take(count))).map(read)
  return all.sort((one, other) => one.gateway.localeCompare(other.gateway))
}

test("a backend sees who comes and goes, and ends a user's sessions everywhere with one message", async () => {
  const arrivals = await listen("session.#")
  const pages = await Promise.all(gateways.map((gateway) => connect(gateway.url)))
  const opened = await within(10_000, "two sessions", arrivals.take(2))
  for (const event of opened) {
    assert.equal(event.key, "session.opened.amqp")
    assert.equal(event.user, "guest")
    assert.equal(event.version, 1)
    assert.match(event.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  }
  assert.deepEqual(opened.map((event) => event.gateway).sort(), ["g1", "g2"])

  const bystander = new WebSocket(`ws://${gateways[0].public}/echo`)
  await within(5_000, "the bystander", new Promise((resolve) => bystander.on("open", resolve)))

  assert.deepEqual(await command({ command: "end", user: "guest" }, 2), [
    { version: 1, gateway: "g1", ended: 1 },
    { version: 1, gateway: "g2", ended: 1 },
  ])
  for (const page of pages) {
    assert.equal((await within(5_000, "the end", page.webSocket.ending)).code, 4100)
  }
  const ends = (await within(10_000, "the news of it", arrivals.take(5))).slice(3)
  assert.deepEqual(ends.map((event) => event.session).sort(), opened.map((event) => event.session).sort())
  for (const end of ends) {
    assert.equal(end.key, "session.ended.amqp")
    assert.deepEqual([end.by, end.reason, end.close_code], ["operator", "ended", 4100])
    assert.ok(end.duration_seconds > 0 && end.bytes_from_client > 0 && end.bytes_to_client > 0)
  }
  const echoed = new Promise((resolve) => bystander.on("message", resolve))
  bystander.send("still here")
  assert.equal(String(await within(5_000, "the echo", echoed)), "still here")
  bystander.close()
})

test("a backend that asks for nonsense is told so by each gateway", async () => {
  const replies = await command({ command: "end", everybody: true }, 2)
  for (const reply of replies) {
    assert.equal(reply.error, "field_unknown")
    assert.equal(reply.ended, undefined)
  }
})
