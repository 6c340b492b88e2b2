// amqplib, the TCP client most Node programs use, through the gateway: its own framing, frame-max and heartbeats.
import assert from "node:assert/strict"
import { after, before, describe, test } from "node:test"
import amqplib from "amqplib"
import { sharedBroker } from "./kit/broker.js"
import { unique } from "./kit/client.js"
import { shared, startGateway } from "./kit/gateway.js"
import { loopback } from "./kit/loopback.js"
import { Arrivals, deferred, until, within } from "./kit/wait.js"

let broker
let gateway
let entrance
let connection

const address = (query = "") => `amqp://guest:guest@127.0.0.1:${entrance.port}/%2F${query}`

before(async () => {
  broker = await sharedBroker()
  gateway = await startGateway({ upstream: broker.url })
  entrance = await loopback(gateway.url)
  connection = await within(15_000, "the AMQP connection", amqplib.connect(address("?heartbeat=10")))
})

after(async () => {
  await connection?.close()
  await entrance?.close()
  await gateway?.kill()
  await broker?.stop()
})

async function channelWithQueue(options = {}) {
  const channel = await connection.createChannel()
  const { queue } = await channel.assertQueue("", { exclusive: true, ...options })
  return { channel, queue }
}

describe("amqplib", () => {
  test("publishes, gets, acknowledges", async () => {
    const { channel, queue } = await channelWithQueue()
    channel.sendToQueue(queue, Buffer.from("hello"))
    const message = await until(5_000, "a message", () => channel.get(queue))
    assert.equal(message.content.toString(), "hello")
    channel.ack(message)
    assert.equal((await channel.checkQueue(queue)).messageCount, 0)
  })

  test("consumes in order, cancels", async () => {
    const { channel, queue } = await channelWithQueue()
    const arrivals = new Arrivals()
    const { consumerTag } = await channel.consume(queue, arrivals.push, { noAck: true })
    for (let i = 0; i < 1000; i++) channel.sendToQueue(queue, Buffer.from(String(i)))
    const messages = await arrivals.take(1000)
    assert.deepEqual(
      messages.map((message) => Number(message.content)),
      Array.from({ length: 1000 }, (_, i) => i),
    )
    await channel.cancel(consumerTag)
    channel.sendToQueue(queue, Buffer.from("left"))
    assert.equal((await until(5_000, "a message", () => channel.get(queue))).content.toString(), "left")
  })

  test("confirms, returns, nacks", async () => {
    const channel = await connection.createConfirmChannel()
    const { queue } = await channel.assertQueue("", { exclusive: true })
    const returned = deferred()
    channel.on("return", returned.resolve)
    channel.publish("amq.direct", "nowhere", Buffer.from("back"), { mandatory: true })
    channel.sendToQueue(queue, Buffer.from("kept"))
    await channel.waitForConfirms()
    const message = await within(5_000, "the return", returned.promise)
    assert.equal(message.fields.replyCode, 312)
    assert.equal(message.content.toString(), "back")
    const first = await channel.get(queue)
    channel.nack(first)
    const again = await until(5_000, "the message again", () => channel.get(queue))
    assert.equal(again.fields.redelivered, true)
    channel.ack(again)
  })

  test("holds to prefetch", async () => {
    const channel = await connection.createConfirmChannel()
    const { queue } = await channel.assertQueue("", { exclusive: true })
    await channel.prefetch(3)
    for (let i = 0; i < 10; i++) channel.sendToQueue(queue, Buffer.from(String(i)))
    await channel.waitForConfirms()
    const arrivals = new Arrivals()
    await channel.consume(queue, arrivals.push)
    await arrivals.take(3)
    assert.equal((await channel.checkQueue(queue)).messageCount, 7)
    assert.equal(arrivals.count, 3)
    channel.ackAll()
    await arrivals.take(6)
  })

  test("headers of every type of the specification", async () => {
    const { channel, queue } = await channelWithQueue()
    const headers = {
      boolean: true,
      byte: { "!": "byte", value: -7 },
      short: { "!": "short", value: -30000 },
      int: { "!": "int", value: -2000000000 },
      long: { "!": "long", value: 2 ** 50 },
      float: { "!": "float", value: 0.25 },
      double: { "!": "double", value: Math.PI },
      decimal: { "!": "decimal", value: { digits: 31415, places: 4 } },
      timestamp: { "!": "timestamp", value: 1_700_000_000 },
      string: "text",
      bytes: Buffer.from([0, 255, 1]),
      array: [1, "two", [3]],
      table: { nested: { more: false } },
      nothing: null,
    }
    channel.sendToQueue(queue, Buffer.alloc(0), { headers })
    const message = await until(5_000, "a message", () => channel.get(queue))
    const back = message.properties.headers
    assert.equal(message.content.length, 0)
    assert.deepEqual(
      {
        boolean: back.boolean,
        byte: back.byte,
        short: back.short,
        int: back.int,
        long: back.long,
        float: back.float,
        double: back.double,
        decimal: back.decimal.value,
        timestamp: back.timestamp.value,
        string: back.string,
        bytes: [...back.bytes],
        array: back.array,
        table: back.table,
        nothing: back.nothing,
      },
      {
        boolean: true,
        byte: -7,
        short: -30000,
        int: -2000000000,
        long: 2 ** 50,
        float: 0.25,
        double: Math.PI,
        decimal: { digits: 31415, places: 4 },
        timestamp: 1_700_000_000,
        string: "text",
        bytes: [0, 255, 1],
        array: [1, "two", [3]],
        table: { nested: { more: false } },
        nothing: null,
      },
    )
  })

  test("bodies around the frame boundary and of 8 MiB come back whole", async () => {
    const { channel, queue } = await channelWithQueue()
    const frameBody = 131072 - 8
    for (const size of [1, frameBody - 1, frameBody, frameBody + 1, 8 * 1024 * 1024]) {
      const body = Buffer.alloc(size, (i) => i)
      for (let i = 0; i < size; i += 4099) body[i] = i % 251
      channel.sendToQueue(queue, body)
      const message = await until(20_000, `the body of ${size} bytes`, () => channel.get(queue, { noAck: true }))
      assert.ok(message.content.equals(body), `the body of ${size} bytes is another`)
    }
  })

  test("frame-max of 4096 and heartbeats of one second", async () => {
    const other = await amqplib.connect(address("?frameMax=4096&heartbeat=1"))
    const closed = deferred()
    other.on("error", closed.reject)
    const channel = await other.createChannel()
    const { queue } = await channel.assertQueue("", { exclusive: true })
    // The broker closes after two missed intervals, and amqplib too: outlive four with nothing else on the wire.
    const beats = await outlive(4_000, closed.promise)
    assert.equal(beats, "alive")
    channel.sendToQueue(queue, Buffer.alloc(100_000, 7))
    const message = await until(5_000, "a message", () => channel.get(queue))
    assert.equal(message.content.length, 100_000)
    await other.close()
  })

  test("a channel error has the broker's text and leaves the connection open", async () => {
    const channel = await connection.createChannel()
    const failed = deferred()
    channel.on("error", failed.resolve)
    await assert.rejects(
      channel.checkQueue("no-such-queue"),
      /NOT_FOUND - no queue 'no-such-queue' in vhost '\/'/,
    )
    assert.equal((await within(5_000, "the error", failed.promise)).code, 404)
    await (await connection.createChannel()).close()
  })

  test("a connection error has the broker's text, and the WebSocket its close code", async () => {
    const other = await amqplib.connect(address())
    const failed = deferred()
    other.on("error", failed.resolve)
    const channel = await other.createChannel()
    channel.on("error", () => {})
    const { queue } = await channel.assertQueue("", { exclusive: true })
    await channel.consume(queue, () => {}, { consumerTag: "twice" })
    channel.consume(queue, () => {}, { consumerTag: "twice" }).catch(() => {})
    const error = await within(5_000, "the error", failed.promise)
    assert.equal(error.code, 530)
    assert.match(error.message, /NOT_ALLOWED - attempt to reuse consumer tag 'twice'/)
    const ending = await until(5_000, "close code 4530", () => entrance.endings.find(({ code }) => code === 4530))
    assert.match(ending.reason, /attempt to reuse consumer tag/)
  })

  // On a shared connection the broker knows the service alone.
  test("a wrong password has the broker's text", { skip: shared }, async () => {
    await assert.rejects(
      amqplib.connect(`amqp://guest:wrong@127.0.0.1:${entrance.port}`),
      /403.*ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN/i,
    )
  })

  test("exchanges and bindings", async () => {
    const { channel, queue } = await channelWithQueue()
    const { exchange } = await channel.assertExchange(unique("topic"), "topic", { durable: false, autoDelete: true })
    await channel.bindQueue(queue, exchange, "*.important")
    await channel.bindExchange(exchange, "amq.topic", "#")
    channel.publish("amq.topic", "very.important", Buffer.from("both"))
    const message = await until(5_000, "a message", () => channel.get(queue))
    assert.equal(message.content.toString(), "both")
    await channel.unbindExchange(exchange, "amq.topic", "#")
    await channel.unbindQueue(queue, exchange, "*.important")
    assert.equal((await channel.deleteQueue(queue)).messageCount, 0)
  })
})

/** "alive" if nothing failed for this long. Time itself is what is tested here, so time is what is waited for. */
function outlive(milliseconds, failure) {
  return Promise.race([failure, new Promise((resolve) => setTimeout(() => resolve("alive"), milliseconds))])
}
