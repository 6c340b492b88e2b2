// The published @cloudamqp/amqp-client as a page would use it, on the `ws` package's WebSocket.
import { AMQPWebSocketClient } from "@cloudamqp/amqp-client"
import WebSocket from "ws"
import { within } from "./wait.js"

const sockets = []

// Node 20 has no global WebSocket, and the library looks for one as it would in a browser. This one remembers how it
// ended, which the library tells only in part.
globalThis.WebSocket = class extends WebSocket {
  constructor(...args) {
    super(...args)
    this.ending = new Promise((resolve) => {
      this.addEventListener("close", (event) => resolve({ code: event.code, reason: event.reason, at: Date.now() }))
    })
    sockets.push(this)
  }
}

/** The WebSocket that was opened last. */
export function lastSocket() {
  return sockets.at(-1)
}

/**
 * Connects and resolves with the library's connection; `connection.webSocket` is its WebSocket, and
 * `connection.errors` what its `onerror` was told.
 */
export async function connect(url, options = {}) {
  const client = new AMQPWebSocketClient({ url, ...options })
  const errors = []
  client.onerror = (error) => errors.push(error.message)
  const connecting = client.connect()
  const webSocket = lastSocket()
  const connection = await within(15_000, "the AMQP connection", connecting)
  return Object.assign(connection, { webSocket, errors })
}

/** A name no other test uses. */
export function unique(name) {
  return `${name}-${process.pid}-${Math.random().toString(36).slice(2, 10)}`
}
