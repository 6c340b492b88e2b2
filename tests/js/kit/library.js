// The published client over the browser library in Node, on the `ws` package's WebSocket, for suites that have no
// packages of their own.
import { AMQPWebSocketClient } from "@cloudamqp/amqp-client"
import { WebSocket as PlatformWebSocket } from "ws"
import { within } from "./wait.js"

globalThis.WebSocket = PlatformWebSocket
const { WebSocket } = await import("../../../client/src/index.js")
globalThis.WebSocket = WebSocket

/**
 * Connects and resolves with the client's connection; `ending` resolves when its WebSocket is closed.
 * @param {object} options
 * @param {string[]} [options.extensions] to ask for, in the extended handshake; none: the platform's WebSocket alone
 * @param {object} [options.platform] without extensions: options of that WebSocket, such as `localAddress`, `ca`, `headers`
 */
export async function connect(url, { username = "guest", password = "guest", extensions = [], platform = {} } = {}) {
  class Platform extends PlatformWebSocket {
    constructor(address, protocols) {
      super(address, protocols, platform)
    }
  }
  WebSocket.configure({ extensions })
  // The client takes what it finds at that moment.
  globalThis.WebSocket = extensions.length === 0 ? Platform : WebSocket
  const client = new AMQPWebSocketClient({ url, username, password })
  const connecting = client.connect()
  globalThis.WebSocket = WebSocket
  const { socket } = client
  const ending = new Promise((resolve) => socket.addEventListener("close", ({ code, reason }) => resolve({ code, reason: String(reason) })))
  const connection = await within(15_000, "the AMQP connection", connecting)
  return Object.assign(connection, { webSocket: socket, ending })
}

/** Publishes one message to a queue of its own and resolves with the body that comes back. */
export async function publishAndConsume(connection, body) {
  const channel = await connection.channel()
  await channel.confirmSelect()
  const queue = await channel.queueDeclare("", { exclusive: true })
  const delivered = new Promise((resolve) => channel.basicConsume(queue.name, { noAck: true }, (message) => resolve(message.bodyString())))
  await channel.basicPublish("", queue.name, body)
  return within(10_000, "the delivery", delivered)
}
