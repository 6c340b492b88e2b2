// One AMQP session over a WebSocket that comes back by itself: connects, says why it was closed, and tries again when
// the close code says that this can help. No DOM in here.
import { AMQPWebSocketClient } from "./node_modules/@cloudamqp/amqp-client/dist/amqp-websocket-client.mjs"

/** What close codes mean at a Smeuse gateway, and whether trying again can help. */
const closeCodes = new Map([
  [1000, ["closed as asked", false]],
  [1001, ["the gateway is going away", true]],
  [1002, ["protocol error", false]],
  [1003, ["text where AMQP is binary", false]],
  [1005, ["closed without a code", false]],
  [1006, ["the connection was lost or refused", true]],
  [1007, ["invalid text", false]],
  [1009, ["message too big", false]],
  [1011, ["fault in the gateway", true]],
  [1013, ["the broker cannot be reached now", true]],
  [1014, ["the broker was lost", true]],
  [4100, ["ended by an operator", false]],
  [4101, ["this page was silent too long", true]],
  [4102, ["this page did not read for too long", true]],
  [4103, ["the login took too long", true]],
  [4104, ["the extended handshake took too long", true]],
  [4105, ["the gateway did not accept the login", false]],
  [4106, ["this user may not use this service", false]],
  [4107, ["the gateway insists on an extension that was not agreed on", false]],
  [4108, ["a message was lost, repeated or overtaken on its way", false]],
  [4109, ["the gateway's answer in the extended handshake makes no sense", false]],
  [4110, ["no credentials were given", false]],
  [4111, ["this page took its messages too slowly", true]],
])

/** Tells what a close code means: `{ meaning, again }`. */
export function explain(code) {
  const known = closeCodes.get(code)
  if (known) return { meaning: known[0], again: known[1] }
  // The broker closed: 4000 and its AMQP reply code. Only connection-forced (320) passes by itself.
  if (code > 4199 && code < 4600) return { meaning: `the broker closed with reply code ${code - 4000}`, again: code === 4320 }
  return { meaning: "unknown close code", again: false }
}

const firstWait = 500
const longestWait = 15_000

/**
 * Events: `opened` (detail: the AMQP connection), `ended` (`{ code, reason, meaning, error, again, asked }`),
 * `waiting` (`{ attempt, milliseconds }`).
 */
export class Session extends EventTarget {
  #options
  #client
  #timer
  #attempt = 0
  #stopped = false

  /** @param options what AMQPWebSocketClient takes, and `reconnect()`: asked whether to try again at all */
  constructor({ reconnect = () => true, ...options }) {
    super()
    this.#options = options
    this.reconnect = reconnect
  }

  async connect() {
    this.#stopped = false
    const client = new AMQPWebSocketClient(this.#options)
    this.#client = client
    // The library hands out the broker's words, first once for each channel, and not the WebSocket's close code.
    let error = ""
    client.onerror = ({ message }) => {
      if (!error || message.startsWith("connection closed")) error = message
    }
    const connecting = client.connect()
    client.socket.addEventListener("close", (event) => this.#ended(event, error))
    try {
      await connecting
      this.#attempt = 0
      this.#tell("opened", client)
    } catch (problem) {
      // The close event says the rest; a failed login comes here as an error with the broker's words.
      if (problem instanceof Error) error ||= problem.message
    }
  }

  /** Closes in an orderly way, or stops trying. */
  async close() {
    this.#stopped = true
    clearTimeout(this.#timer)
    // The library calls a connection closed until the broker has opened it: then there is only the WebSocket to close.
    if (this.#client?.closed === false) await this.#client.close()
    else this.#client?.socket?.close()
  }

  #ended({ code, reason }, error) {
    const { meaning, again } = explain(code)
    const retry = again && !this.#stopped && this.reconnect()
    this.#tell("ended", { code, reason, meaning, error, again: retry, asked: this.#stopped })
    if (!retry) return
    // Twice as long each time, with a part left to chance, so that not all pages come back in the same moment.
    this.#attempt += 1
    const longest = Math.min(longestWait, firstWait * 2 ** (this.#attempt - 1))
    const milliseconds = Math.round(longest * (0.5 + Math.random() / 2))
    this.#tell("waiting", { attempt: this.#attempt, milliseconds })
    this.#timer = setTimeout(() => this.connect(), milliseconds)
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }))
  }
}
