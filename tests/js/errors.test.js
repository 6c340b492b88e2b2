// What the broker objects to reaches the page in the broker's own words: on the channel, on the connection, at login.
import assert from "node:assert/strict"
import { after, before, describe, test } from "node:test"
import { sharedBroker } from "./kit/broker.js"
import { connect, lastSocket, unique } from "./kit/client.js"
import { shared, startGateway } from "./kit/gateway.js"
import { within } from "./kit/wait.js"

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

describe("channel errors close the channel and nothing else", () => {
  const cases = {
    "404 no queue": [(channel) => channel.basicGet("no-such-queue"), "NOT_FOUND - no queue 'no-such-queue' in vhost '/' (404)"],
    "404 no exchange": [
      (channel) => channel.queueBind("amq.nothing", "no-such-exchange", ""),
      /NOT_FOUND - no (exchange|queue) '.*' in vhost '\/' \(404\)/,
    ],
    "403 a reserved name": [
      (channel) => channel.exchangeDeclare("amq.mine", "direct"),
      "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*' (403)",
    ],
    "406 declared otherwise": [
      (channel) => channel.exchangeDeclare("amq.topic", "direct"),
      /PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.topic' in vhost '\/': received 'direct' but current is 'topic' \(406\)/,
    ],
    "404 publish to no exchange": [
      async (channel) => {
        await channel.confirmSelect()
        await channel.basicPublish("no-such-exchange", "", "lost")
      },
      "NOT_FOUND - no exchange 'no-such-exchange' in vhost '/' (404)",
    ],
  }
  for (const [name, [provoke, expected]] of Object.entries(cases)) {
    test(name, async () => {
      const connection = await connect(gateway.url)
      const channel = await connection.channel()
      await assert.rejects(provoke(channel), (error) => {
        if (expected instanceof RegExp) assert.match(error.message, expected)
        else assert.ok(error.message.includes(expected), error.message)
        return true
      })
      assert.equal(channel.closed, true)
      // The connection works on, and so does a channel with the same number.
      const again = await connection.channel()
      await again.queueDeclare(unique("fine"), { exclusive: true })
      await connection.close()
    })
  }

  test("406 an unknown delivery tag", async () => {
    const connection = await connect(gateway.url)
    const channel = await connection.channel()
    await channel.basicAck(1234)
    await assert.rejects(
      channel.queueDeclare(unique("after"), { exclusive: true }),
      /PRECONDITION_FAILED - unknown delivery tag 1234 \(406\)/,
    )
    await connection.close()
  })
})

describe("connection errors close the WebSocket with 4000 + reply code and the broker's text", () => {
  const cases = {
    "540 immediate publish": [
      540,
      "NOT_IMPLEMENTED - immediate=true",
      (channel) => channel.basicPublish("", "x", "now", {}, false, true),
    ],
    "540 prefetch size": [540, "NOT_IMPLEMENTED - prefetch_size!=0 (1000)", (channel) => channel.basicQos(1, 1000)],
    "530 a consumer tag used twice": [
      530,
      "NOT_ALLOWED - attempt to reuse consumer tag 'twice'",
      async (channel) => {
        const { name } = await channel.queueDeclare("", { exclusive: true })
        await channel.basicConsume(name, { tag: "twice" }, () => {})
        await channel.basicConsume(name, { tag: "twice" }, () => {})
      },
    ],
  }
  for (const [name, [replyCode, text, provoke]] of Object.entries(cases)) {
    test(name, async () => {
      const connection = await connect(gateway.url)
      const channel = await connection.channel()
      await Promise.resolve(provoke(channel)).catch(() => {})
      const ending = await within(5_000, "the close", connection.webSocket.ending)
      assert.ok(connection.errors.some((message) => message.includes(`${text} (${replyCode})`)), `${connection.errors}`)
      assert.equal(ending.code, 4000 + replyCode)
      assert.ok(ending.reason.includes(text), ending.reason)
      const line = await gateway.line("session ended", 5_000, (line) => line.close_code === 4000 + replyCode)
      // What would cost the neighbours their connection, the gateway refuses before it gets there.
      assert.equal(line.by, shared ? "client" : "broker")
    })
  }
})

// On a shared connection the broker knows the service alone.
describe("a login that the broker refuses", { skip: shared }, () => {
  test("wrong password: 4403 with RabbitMQ's reason", async () => {
    await assert.rejects(
      connect(gateway.url, { username: "guest", password: "wrong" }),
      /ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN.* \(403\)/,
    )
    const ending = await within(5_000, "the close", lastSocket().ending)
    assert.equal(ending.code, 4403)
    assert.match(ending.reason, /Login was refused/)
  })

  test("no such vhost: 4530 with RabbitMQ's reason", async () => {
    await assert.rejects(connect(gateway.url, { vhost: "nowhere" }), /vhost 'nowhere' not found|vhost nowhere not found/)
    const ending = await within(5_000, "the close", lastSocket().ending)
    assert.equal(ending.code, 4530)
    assert.match(ending.reason, /nowhere/)
  })

  test("nothing of the password is in the logs", () => {
    const text = JSON.stringify(gateway.lines) + gateway.output
    assert.ok(!text.includes("wrong"), "the password is logged")
  })
})

describe("a broker that is not there", () => {
  test("1013 with a reason, at once", async () => {
    const lonely = await startGateway({ upstream: "amqp://127.0.0.1:1" })
    try {
      await assert.rejects(connect(lonely.url))
      const ending = await within(5_000, "the close", lastSocket().ending)
      assert.equal(ending.code, 1013)
      assert.notEqual(ending.reason, "")
      assert.equal((await lonely.ask("/readyz")).status, 503)
      assert.equal((await lonely.ask("/healthz")).status, 200)
    } finally {
      await lonely.kill()
    }
  })
})
