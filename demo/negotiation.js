// What one socket of the page negotiated, and what it carried since: put together from what the two taps tell. No DOM.
import { sizeOf } from "./tap.js"

export const EXTENDED = "x-kaazing-handshake"

const DIGITS = 8
const PING = "\t\0"
const PONG = "\n\0"

/** Messages and bytes of one side, each way. */
class Traffic {
  sent = { messages: 0, bytes: 0 }
  received = { messages: 0, bytes: 0 }

  count(direction, data) {
    this[direction].messages += 1
    this[direction].bytes += sizeOf(data)
  }
}

export class Negotiation {
  /** Opening handshakes, one after another where the library fell back or was sent elsewhere. */
  openings = []
  /** Steps of the extended handshake: `{ kind: "request" | "response" | "challenge", text }`. */
  steps = []
  /** What was agreed on inside, as the gateway wrote it: `{ name, params }`. */
  agreed = []
  /** The page's own socket. */
  socket = null
  /** As the page sees it, and as it is on the wire. The extended handshake is not counted. */
  page = new Traffic()
  wire = new Traffic()
  /** Emulated pings of the gateway, those that were answered, and pongs that came unasked, as signs of life. */
  pings = { asked: 0, answered: 0, unasked: 0 }
  /** Numbers of smeuse-sequence, the last ones. */
  numbers = { sent: null, received: null }
  /** When the last message came, in milliseconds as `performance.now()` has them. */
  heardAt = null

  /** A challenge that the page was asked to answer; the answer is nobody's business. */
  challenged({ scheme, realm, attempt }) {
    this.steps.push({ kind: "challenge", text: `${scheme}, realm "${realm}", attempt ${attempt}` })
  }

  /** Watches the page's own socket. */
  watchPage() {
    return {
      constructed: (socket) => {
        this.socket = socket
      },
      sent: (data) => this.page.count("sent", data),
      received: (data) => this.page.count("received", data),
    }
  }

  /** Watches a socket of the platform. */
  watchWire(url, offered) {
    const opening = { url, offered, chosen: "", extensions: "", outcome: "under way" }
    this.openings.push(opening)
    let native
    let isNegotiating = false
    return {
      constructed: (socket) => {
        native = socket
      },
      opened: () => {
        Object.assign(opening, { chosen: native.protocol, extensions: native.extensions, outcome: "101 Switching Protocols" })
        isNegotiating = native.protocol === EXTENDED
        this.heardAt = performance.now()
      },
      sent: (data) => {
        if (isNegotiating) this.steps.push({ kind: "request", text: withoutCredentials(data) })
        else this.#onWire("sent", data)
      },
      received: (data) => {
        this.heardAt = performance.now()
        if (!isNegotiating) this.#onWire("received", data)
        else isNegotiating = !this.#responded(typeof data === "string" ? data : new TextDecoder().decode(data))
      },
      closed: ({ code }) => {
        if (opening.outcome === "under way") opening.outcome = `refused or unreachable (${code})`
      },
    }
  }

  /** The limit that x-kaazing-idle-timeout was agreed on with, in milliseconds; undefined without it. */
  get idleLimit() {
    const [, limit] = this.#params("x-kaazing-idle-timeout")?.match(/^timeout=(\d+)$/) ?? []
    return limit === undefined ? undefined : Number(limit)
  }

  has(name) {
    return this.#params(name) !== undefined
  }

  #params(name) {
    return this.agreed.find((extension) => extension.name === name)?.params
  }

  /** Takes a response; true if it was the last. */
  #responded(text) {
    this.steps.push({ kind: "response", text })
    if (!text.startsWith("HTTP/1.1 101 ")) return false
    const lines = [...text.matchAll(/^sec-websocket-extensions:[ \t]*(.*?)[ \t\r]*$/gim)]
    this.agreed = lines.map(([, line]) => {
      const [name, ...params] = line.split(";")
      return { name: name.trim(), params: params.join(";").trim() }
    })
    return true
  }

  #onWire(direction, data) {
    this.wire.count(direction, data)
    const order = (name) => this.agreed.findIndex((extension) => extension.name === name)
    const [numbered, pinged] = [order("smeuse-sequence"), order("x-kaazing-ping-pong")]
    // AMQP is binary, so TEXT is ping-pong's; it has a number if sequence stands nearer to the network.
    const isNumbered = numbered >= 0 && (typeof data !== "string" || numbered > pinged)
    if (isNumbered) this.numbers[direction] = firstOf(data, DIGITS)
    if (typeof data !== "string" || pinged < 0) return
    const control = isNumbered ? data.slice(DIGITS) : data
    if (direction === "sent" && control.endsWith(PONG)) this.pings.answered += 1
    if (direction === "received" && control.endsWith(PONG)) this.pings.unasked += 1
    if (direction === "received" && control.endsWith(PING)) this.pings.asked += 1
  }
}

// The scheme is shown, but only where something stands behind it: one word alone may be the secret itself.
const withoutCredentials = (text) =>
  text.replace(/^(authorization:[ \t]*)(?:(\S+[ \t]+)\S.*|.*)$/gim, (_, name, scheme = "") => `${name}${scheme}(not shown)`)

function firstOf(data, count) {
  if (typeof data === "string") return data.slice(0, count)
  const bytes = data instanceof ArrayBuffer ? new Uint8Array(data) : data
  return String.fromCharCode(...bytes.subarray(0, count))
}
