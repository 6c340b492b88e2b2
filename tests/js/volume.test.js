// Much of everything through one session: large bodies, all channels, a long row of publishes.
import assert from "node:assert/strict"
import { createHash, randomBytes } from "node:crypto"
import { after, before, describe, test } from "node:test"
import { sharedBroker } from "./kit/broker.js"
import { connect } from "./kit/client.js"
import { shared, startGateway } from "./kit/gateway.js"
import { deferred, within } from "./kit/wait.js"

let broker
let gateway

before(async () => {
  broker = await sharedBroker()
  gateway = await startGateway({ upstream: broker.url })
})

after(async () => {
  await gateway?.kill()
  await broker?.stop()
})

const digest = (bytes) => createHash("sha256").update(bytes).digest("hex")

describe("large bodies", () => {
  // The library puts a whole publish into one WebSocket message.
  for (const [mebibytes, frameMax] of [
    [1, 8192],
    [20, 131072],
    [20, 8192],
  ]) {
    test(`${mebibytes} MiB with a frame-max of ${frameMax}`, { timeout: 120_000 }, async () => {
      const connection = await connect(gateway.url, { frameMax })
      const channel = await connection.channel()
      const { name } = await channel.queueDeclare("", { exclusive: true })
      const arrived = deferred()
      await channel.basicConsume(name, { noAck: true }, arrived.resolve)
      const body = randomBytes(mebibytes * 1024 * 1024)
      await channel.basicPublish("", name, body)
      const message = await within(90_000, "the large body", arrived.promise)
      assert.equal(message.bodySize, body.length)
      assert.equal(digest(message.body), digest(body))
      await connection.close()
    })
  }
})

describe("channels", () => {
  // Sessions on a shared connection divide its channels.
  test("2,047 on one connection, each of them works", { timeout: 120_000, skip: shared }, async () => {
    const connection = await connect(gateway.url)
    assert.equal(connection.channelMax, 2047)
    const channels = await Promise.all(Array.from({ length: 2047 }, (_, i) => connection.channel(i + 1)))
    assert.equal(new Set(channels.map((channel) => channel.id)).size, 2047)
    assert.equal(channels.at(-1).id, 2047)
    const { name } = await channels[0].queueDeclare("", { exclusive: true })
    await Promise.all(channels.map((channel) => channel.confirmSelect()))
    await Promise.all(channels.map((channel) => channel.basicPublish("", name, `${channel.id}`)))
    assert.equal((await channels[0].queueDeclare(name, { passive: true })).messageCount, 2047)
    await assert.rejects(connection.channel(2048), /Max number of channels reached/)
    await connection.close()
  })
})

describe("publishes", () => {
  test("100,000 in a row arrive, all and in order", { timeout: 180_000 }, async () => {
    const count = 100_000
    const connection = await connect(gateway.url)
    const publisher = await connection.channel()
    const { name } = await publisher.queueDeclare("", { exclusive: true })
    for (let i = 0; i < count; i++) await publisher.basicPublish("", name, `${i}`)

    const consumer = await connect(gateway.url)
    assert.equal(consumer.closed, false)
    await consumer.close()

    const all = deferred()
    let next = 0
    const reader = await connection.channel()
    await reader.basicConsume(name, { noAck: true }, (message) => {
      if (Number(message.bodyString()) !== next) all.reject(new Error(`${message.bodyString()} instead of ${next}`))
      next += 1
      if (next === count) all.resolve()
    })
    await within(150_000, `${count} deliveries (${next} so far)`, all.promise)
    await connection.close()
    await gateway.idle()
  })
})
