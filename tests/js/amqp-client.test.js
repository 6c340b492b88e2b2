// Every operation of the published @cloudamqp/amqp-client, unmodified, through the gateway to a real RabbitMQ.
import assert from "node:assert/strict"
import { after, before, describe, test } from "node:test"
import { sharedBroker } from "./kit/broker.js"
import { connect, unique } from "./kit/client.js"
import { startGateway } from "./kit/gateway.js"
import { Arrivals, deferred, until, within } from "./kit/wait.js"

let broker
let gateway
let connection

before(async () => {
  broker = await sharedBroker()
  gateway = await startGateway({ upstream: broker.url })
  connection = await connect(gateway.url, { name: "operations" })
})

after(async () => {
  if (connection && !connection.closed) await connection.close()
  await gateway?.kill()
  await broker?.stop()
})

/** A channel with an empty queue of its own that goes with the connection. */
async function channelWithQueue() {
  const channel = await connection.channel()
  const { name: queue } = await channel.queueDeclare(unique("queue"), { durable: false, exclusive: true })
  return { channel, queue }
}

describe("connecting", () => {
  for (const path of ["/ws/amqp", "/amqp", "/ws"]) {
    test(`at ${path}`, async () => {
      const other = await connect(`ws://${gateway.public}${path}`)
      const channel = await other.channel()
      await channel.close()
      await other.close()
      // Both sides may close the WebSocket after connection.close-ok; the library does it without a code (1005).
      const { code } = await within(5_000, "the close", other.webSocket.ending)
      assert.ok([1000, 1005].includes(code), `close code ${code}`)
    })
  }

  test("negotiates frame-max, channel-max and heartbeat as asked", async () => {
    const other = await connect(gateway.url, { frameMax: 65536, channelMax: 100, heartbeat: 30 })
    assert.equal(other.frameMax, 65536)
    assert.equal(other.channelMax, 100)
    assert.equal(other.heartbeat, 30)
    await other.close()
  })

  test("updates the secret (connection.update-secret)", async () => {
    // RabbitMQ's internal users have no secret that expires, and it says so by closing; either way the answer is its own.
    const other = await connect(gateway.url)
    await within(5_000, "an answer to update-secret", other.updateSecret("guest", "renewed"))
    if (!other.closed) await other.close()
  })
})

describe("publish", () => {
  test("and get", async () => {
    const { channel, queue } = await channelWithQueue()
    await channel.basicPublish("", queue, "first")
    await channel.basicPublish("", queue, new Uint8Array([0, 1, 2, 255]))
    await channel.basicPublish("", queue, null)
    const got = []
    for (let i = 0; i < 3; i++) {
      got.push(await until(5_000, "a message to get", () => channel.basicGet(queue)))
    }
    assert.equal(got[0].bodyString(), "first")
    assert.equal(got[0].messageCount, 2)
    assert.deepEqual([...got[1].body], [0, 1, 2, 255])
    assert.equal(got[2].bodySize, 0)
    assert.equal(await channel.basicGet(queue), null)
  })

  test("with confirms, each with its number", async () => {
    const { channel, queue } = await channelWithQueue()
    await channel.confirmSelect()
    const numbers = await Promise.all(Array.from({ length: 100 }, (_, i) => channel.basicPublish("", queue, `${i}`)))
    assert.deepEqual(
      numbers,
      Array.from({ length: 100 }, (_, i) => i + 1),
    )
    assert.equal((await channel.queueDeclare(queue, { passive: true })).messageCount, 100)
  })

  test("is refused by a full queue (confirm nack)", async () => {
    const channel = await connection.channel()
    const { name } = await channel.queueDeclare(
      unique("full"),
      { durable: false, exclusive: true },
      { "x-max-length": 1, "x-overflow": "reject-publish" },
    )
    await channel.confirmSelect()
    await channel.basicPublish("", name, "fits")
    await assert.rejects(channel.basicPublish("", name, "does not"), /rejected/i)
  })

  test("mandatory and unroutable comes back (basic.return)", async () => {
    const { channel } = await channelWithQueue()
    const returned = new Arrivals()
    channel.onReturn = returned.push
    await channel.basicPublish("amq.direct", "nowhere", "back", { messageId: "m" }, true)
    const [message] = await returned.take(1)
    assert.equal(message.replyCode, 312)
    assert.equal(message.replyText, "NO_ROUTE")
    assert.equal(message.exchange, "amq.direct")
    assert.equal(message.routingKey, "nowhere")
    assert.equal(message.bodyString(), "back")
    assert.equal(message.properties.messageId, "m")
  })

  test("every property and headers of every type the library writes", async () => {
    const { channel, queue } = await channelWithQueue()
    const headers = {
      string: "päivää €",
      empty: "",
      true: true,
      false: false,
      int: -2147483648,
      long: 2 ** 40,
      big: 2n ** 53n - 1n,
      float: 0.5,
      double: 2 ** 33 + 0.5,
      null: null,
      date: new Date(1_700_000_000_000),
      bytes: new Uint8Array([1, 2, 3]),
      list: ["a", 1, true, ["nested"]],
      table: { inner: { deepest: "value" } },
    }
    const properties = {
      contentType: "text/plain",
      contentEncoding: "utf-8",
      deliveryMode: 2,
      priority: 5,
      correlationId: "correlation",
      replyTo: "reply",
      expiration: "60000",
      messageId: "message",
      timestamp: new Date(1_700_000_001_000),
      type: "kind",
      userId: "guest",
      appId: "tests",
    }
    await channel.basicPublish("", queue, "with headers", { ...properties, headers })
    const message = await until(5_000, "the message", () => channel.basicGet(queue))
    const { headers: back, ...others } = message.properties
    assert.deepEqual(others, properties)
    assert.deepEqual({ ...back, bytes: [...back.bytes] }, { ...headers, big: Number(headers.big), bytes: [1, 2, 3] })
  })
})

describe("consume", () => {
  test("with a callback, in order, then cancel", async () => {
    const { channel, queue } = await channelWithQueue()
    const arrivals = new Arrivals()
    const consumer = await channel.basicConsume(queue, { tag: "mine" }, arrivals.push)
    assert.equal(consumer.tag, "mine")
    for (let i = 0; i < 500; i++) await channel.basicPublish("", queue, `${i}`)
    const messages = await arrivals.take(500)
    assert.deepEqual(
      messages.map((message) => Number(message.bodyString())),
      Array.from({ length: 500 }, (_, i) => i),
    )
    await consumer.cancel()
    await channel.basicPublish("", queue, "after")
    const left = await until(5_000, "the message", () => channel.basicGet(queue))
    assert.equal(left.bodyString(), "after")
    assert.equal(arrivals.count, 500)
  })

  test("with an async iterator", async () => {
    const { channel, queue } = await channelWithQueue()
    const consumer = await channel.basicConsume(queue, { noAck: false })
    await channel.basicPublish("", queue, "one")
    for await (const message of consumer.messages) {
      assert.equal(message.bodyString(), "one")
      await message.ack()
      break
    }
    assert.equal(await channel.basicGet(queue), null)
  })

  test("exclusively: a second consumer is refused by the broker", async () => {
    const { channel, queue } = await channelWithQueue()
    await channel.basicConsume(queue, { exclusive: true }, () => {})
    const other = await connection.channel()
    await assert.rejects(
      other.basicConsume(queue, {}, () => {}),
      new RegExp(`ACCESS_REFUSED - queue '${queue}' in vhost '/' in exclusive use`),
    )
  })

  test("learns that its queue was deleted (basic.cancel from the broker)", async () => {
    const { channel, queue } = await channelWithQueue()
    const consumer = await channel.basicConsume(queue, {}, () => {})
    const cancelled = consumer.wait().catch((error) => error.message)
    const other = await connection.channel()
    await other.queueDelete(queue)
    assert.match(await within(5_000, "the cancel", cancelled), /cancel/i)
  })
})

describe("acknowledgement", () => {
  async function consuming(count) {
    const { channel, queue } = await channelWithQueue()
    await channel.basicQos(count)
    const arrivals = new Arrivals()
    const consumer = await channel.basicConsume(queue, { noAck: false }, arrivals.push)
    return { channel, queue, arrivals, consumer }
  }

  test("qos holds deliveries back until ack", async () => {
    const { channel, queue, arrivals } = await consuming(2)
    await channel.confirmSelect()
    for (let i = 0; i < 5; i++) await channel.basicPublish("", queue, `${i}`)
    const [first] = await arrivals.take(2)
    assert.equal((await channel.queueDeclare(queue, { passive: true })).messageCount, 3)
    assert.equal(arrivals.count, 2)
    await first.ack()
    assert.equal((await arrivals.take(3))[2].bodyString(), "2")
  })

  test("ack multiple", async () => {
    const { channel, queue, arrivals, consumer } = await consuming(10)
    for (let i = 0; i < 10; i++) await channel.basicPublish("", queue, `${i}`)
    const messages = await arrivals.take(10)
    await messages[8].ack(true)
    await consumer.cancel()
    await channel.basicRecover(true)
    const left = await until(5_000, "the one not acked", () => channel.basicGet(queue))
    assert.equal(left.bodyString(), "9")
    assert.equal(left.redelivered, true)
    assert.equal(await channel.basicGet(queue), null)
  })

  test("nack with requeue delivers again, without drops; multiple works", async () => {
    const { channel, queue, arrivals } = await consuming(3)
    for (let i = 0; i < 3; i++) await channel.basicPublish("", queue, `${i}`)
    const messages = await arrivals.take(3)
    await messages[2].nack(true, true)
    const again = (await arrivals.take(6)).slice(3)
    assert.deepEqual(
      again.map((message) => [message.bodyString(), message.redelivered]),
      [
        ["0", true],
        ["1", true],
        ["2", true],
      ],
    )
    await again[2].nack(false, true)
    assert.equal((await channel.queueDeclare(queue, { passive: true })).messageCount, 0)
  })

  test("reject with and without requeue", async () => {
    const { channel, queue, arrivals } = await consuming(1)
    await channel.basicPublish("", queue, "again")
    const [first] = await arrivals.take(1)
    await first.reject(true)
    const [, second] = await arrivals.take(2)
    assert.equal(second.redelivered, true)
    await second.reject(false)
    assert.equal((await channel.queueDeclare(queue, { passive: true })).messageCount, 0)
    assert.equal(arrivals.count, 2)
  })

  test("what a vanished session had not acked is delivered again", async () => {
    const queue = unique("requeued")
    const channel = await connection.channel()
    await channel.queueDeclare(queue, { durable: false })
    const other = await connect(gateway.url)
    const otherChannel = await other.channel()
    const arrivals = new Arrivals()
    await otherChannel.basicConsume(queue, { noAck: false }, arrivals.push)
    await channel.basicPublish("", queue, "kept")
    await arrivals.take(1)
    other.webSocket.terminate()
    const message = await until(5_000, "the requeued message", () => channel.basicGet(queue))
    assert.equal(message.bodyString(), "kept")
    assert.equal(message.redelivered, true)
    await channel.queueDelete(queue)
  })
})

describe("transactions", () => {
  test("commit publishes, rollback does not", async () => {
    const { channel, queue } = await channelWithQueue()
    await channel.txSelect()
    await channel.basicPublish("", queue, "rolled back")
    await channel.txRollback()
    await channel.basicPublish("", queue, "committed")
    const other = await connection.channel()
    assert.equal((await other.queueDeclare(queue, { passive: true })).messageCount, 0)
    await channel.txCommit()
    assert.equal((await other.queueDeclare(queue, { passive: true })).messageCount, 1)
    assert.equal((await other.basicGet(queue)).bodyString(), "committed")
  })
})

describe("queues, exchanges and bindings", () => {
  test("server-named and exclusive queues", async () => {
    const channel = await connection.channel()
    const { name } = await channel.queueDeclare("", { exclusive: true })
    assert.match(name, /^amq\.gen-/)
    const other = await connect(gateway.url)
    const otherChannel = await other.channel()
    await assert.rejects(
      otherChannel.queueDeclare(name, { passive: true }),
      /RESOURCE_LOCKED - cannot obtain exclusive access to locked queue/,
    )
    await other.close()
  })

  test("an exclusive queue goes with its session", async () => {
    const other = await connect(gateway.url)
    const queue = unique("gone")
    await (await other.channel()).queueDeclare(queue, { exclusive: true })
    await other.close()
    const channel = await connection.channel()
    await assert.rejects(channel.queueDeclare(queue, { passive: true }), /NOT_FOUND/)
  })

  test("bind, unbind, purge, delete", async () => {
    const { channel, queue } = await channelWithQueue()
    await channel.queueBind(queue, "amq.topic", "a.#")
    await channel.confirmSelect()
    await channel.basicPublish("amq.topic", "a.b.c", "bound")
    assert.equal((await channel.queueDeclare(queue, { passive: true })).messageCount, 1)
    await channel.queueUnbind(queue, "amq.topic", "a.#")
    await channel.basicPublish("amq.topic", "a.b.c", "unbound")
    assert.equal((await channel.queuePurge(queue)).messageCount, 1)
    await channel.basicPublish("", queue, "last")
    assert.equal((await channel.queueDelete(queue)).messageCount, 1)
  })

  test("bind by headers", async () => {
    const { channel, queue } = await channelWithQueue()
    await channel.queueBind(queue, "amq.headers", "", { "x-match": "all", colour: "red", size: 3 })
    await channel.confirmSelect()
    await channel.basicPublish("amq.headers", "", "yes", { headers: { colour: "red", size: 3 } })
    await channel.basicPublish("amq.headers", "", "no", { headers: { colour: "blue", size: 3 } })
    assert.equal((await channel.queueDeclare(queue, { passive: true })).messageCount, 1)
  })

  test("exchange declare, bind, unbind, delete", async () => {
    const { channel, queue } = await channelWithQueue()
    const source = unique("source")
    const destination = unique("destination")
    await channel.exchangeDeclare(source, "fanout", { durable: false, autoDelete: true })
    await channel.exchangeDeclare(destination, "direct", { durable: false, internal: true })
    await channel.exchangeBind(destination, source)
    await channel.queueBind(queue, destination, "key")
    await channel.confirmSelect()
    await channel.basicPublish(source, "key", "through both")
    assert.equal((await channel.basicGet(queue)).bodyString(), "through both")
    await channel.exchangeUnbind(destination, source)
    await channel.exchangeDelete(destination)
    await channel.exchangeDelete(source)
    await assert.rejects(channel.exchangeDeclare(source, "fanout", { passive: true }), /NOT_FOUND - no exchange/)
  })

  test("channels close and their numbers are used again", async () => {
    const other = await connect(gateway.url)
    const ids = []
    for (let i = 0; i < 3; i++) {
      const channel = await other.channel()
      ids.push(channel.id)
      await channel.close()
    }
    assert.equal(new Set(ids).size, 1)
    await other.close()
  })

  test("channel.flow is answered by the broker", async () => {
    const channel = await connection.channel()
    assert.equal(await channel.basicFlow(true), true)
  })
})

describe("several at once", () => {
  test("two sessions talk to each other", async () => {
    const other = await connect(gateway.url)
    const [there, here] = [await other.channel(), await connection.channel()]
    const { name } = await there.queueDeclare("", { exclusive: true })
    const question = deferred()
    await there.basicConsume(name, {}, async (message) => {
      await there.basicPublish("", message.properties.replyTo, `answer to ${message.bodyString()}`, {
        correlationId: message.properties.correlationId,
      })
    })
    await here.basicConsume("amq.rabbitmq.reply-to", { noAck: true }, question.resolve)
    await here.basicPublish("", name, "question", { replyTo: "amq.rabbitmq.reply-to", correlationId: "1" })
    const answer = await within(5_000, "the answer", question.promise)
    assert.equal(answer.bodyString(), "answer to question")
    assert.equal(answer.properties.correlationId, "1")
    await other.close()
  })
})
