// The published @cloudamqp/amqp-client over the browser library in Node, which has no WebSocket of its own in every
// version: the `ws` package's stands in for the platform's.
import assert from "node:assert/strict"
import { randomBytes } from "node:crypto"
import { after, before, describe, test } from "node:test"
import { AMQPWebSocketClient } from "@cloudamqp/amqp-client"
import { WebSocket as PlatformWebSocket } from "ws"
import { sharedBroker } from "./kit/broker.js"
import { startGateway } from "./kit/gateway.js"
import { Arrivals, until, within } from "./kit/wait.js"

globalThis.WebSocket = PlatformWebSocket
const { WebSocket } = await import("../../client/src/index.js")
globalThis.WebSocket = WebSocket

let broker
let gateway
before(async () => {
  broker = await sharedBroker()
  gateway = await startGateway({ upstream: broker.url, env: { SMEUSE__SERVICES__0__IDLE_TIMEOUT: "1s" } })
})
after(async () => {
  await gateway?.kill()
  await broker?.stop()
})

describe("the published client over the library", () => {
  // Both orders, because what one does is what its neighbour gets: pings have a number of their own, or none.
  for (const extensions of [
    ["x-kaazing-idle-timeout", "x-kaazing-ping-pong", "smeuse-sequence"],
    ["smeuse-sequence", "x-kaazing-ping-pong", "x-kaazing-idle-timeout"],
  ]) {
    test(`carries bodies of all sizes unchanged and in order through ${extensions.join(", ")}`, { timeout: 60_000 }, async () => {
      WebSocket.configure({ extensions })
      const connection = await within(15_000, "the connection", new AMQPWebSocketClient(gateway.url, "/", "guest", "guest").connect())
      const { socket } = connection
      const names = socket.extensions.split(", ").map((each) => each.split(";")[0])
      assert.deepEqual(names, extensions)

      const channel = await connection.channel()
      await channel.confirmSelect()
      const queue = await channel.queueDeclare("", { exclusive: true })
      const arrivals = new Arrivals()
      await channel.basicConsume(queue.name, { noAck: true }, (message) => arrivals.push(Buffer.from(message.body ?? [])))
      const sizes = [0, 1, 2, 7, 8, 9, 4096, 65_535, 65_536, 200_000, 1_000_000, ...Array.from({ length: 1000 }, (_, i) => i)]
      const bodies = sizes.map((size) => randomBytes(size))
      await Promise.all(bodies.map((body) => channel.basicPublish("", queue.name, body)))
      const received = await arrivals.take(bodies.length, 30_000)
      bodies.forEach((body, index) => assert.ok(body.equals(received[index]), `body ${index} of ${body.length} bytes`))

      // Longer than the gateway's patience without a word of the application's.
      const answered = 'smeuse_extension_control_frames_total{direction="from_client",extension="x-kaazing-ping-pong",kind="pong"}'
      const before = (await gateway.metric(answered)) ?? 0
      await until(10_000, "answers to two pings", async () => (await gateway.metric(answered)) >= before + 2)
      assert.equal(socket.readyState, 1)
      await connection.close()
      await gateway.idle()
    })
  }
})
