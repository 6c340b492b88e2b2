// The standard's surface (WHATWG WebSockets, section 3.1) on a real EventTarget. No protocol in it: that is the session's.
import { checkClose, checkProtocols, parseURL, toCloseCode, toMessage, toProtocols } from "./arguments.js"
import { extensions } from "./catalogue.js"
import { Configuration } from "./configuration.js"
import { EventHandlers } from "./event-handlers.js"
import { SUBPROTOCOL } from "./handshake.js"
import { anew, CloseEvent, PLATFORM, platformWebSocket } from "./platform.js"
import { Session } from "./session.js"

const configuration = new Configuration()

/**
 * The platform's WebSocket, and to Smeuse's endpoints one with the second negotiation. Everything that the standard
 * says holds; `login`, `extensions`, `configure` and the third argument are what it does not know.
 */
export class WebSocket extends EventTarget {
  #url
  #session
  #binaryType = "blob"
  #handlers = new EventHandlers(this)

  /**
   * @param {string | URL} url
   * @param {string | string[]} [protocols] the application's own subprotocols
   * @param {import("../types/index.d.ts").SocketOptions} [options] what applies to this socket only
   * @throws {DOMException} SyntaxError for a URL or a subprotocol that cannot be
   * @throws {TypeError} for an option that cannot be
   */
  constructor(url, protocols = [], options = undefined) {
    if (arguments.length === 0) throw new TypeError("Failed to construct 'WebSocket': 1 argument required, but only 0 present.")
    const address = `${url}`
    const own = toProtocols(protocols)
    const parsed = parseURL(address)
    checkProtocols(own)
    // A page that speaks the extended handshake itself is not helped.
    const route = own.includes(SUBPROTOCOL) ? null : configuration.route(parsed, Object(options))
    // None of ours: the platform's own object, untouched.
    if (route === null && new.target === WebSocket) return new (platformWebSocket())(parsed.href, own)
    super()
    this.#url = parsed
    const page = {
      missed: (missing) => this.dispatchEvent(Object.assign(new Event("extensionfailure"), missing)),
      opened: () => this.dispatchEvent(new Event("open")),
      received: (message) => this.#receive(message),
      ended: (ending) => this.#end(ending),
    }
    this.#session = new Session(page, parsed, own, route ?? { isExtended: false })
  }

  /** The URL as it was parsed; a redirect does not change it. */
  get url() {
    return this.#url.href
  }

  /** CONNECTING, OPEN, CLOSING or CLOSED. */
  get readyState() {
    return this.#session.phase.readyState
  }

  /** Bytes of the page that are not on their way yet. */
  get bufferedAmount() {
    return this.#session.phase.bufferedAmount
  }

  /** What was agreed on: the browser's own extensions, then ours from the application towards the network. */
  get extensions() {
    return this.#session.phase.extensions
  }

  /** The subprotocol that was chosen of the application's own, or an empty string. */
  get protocol() {
    return this.#session.phase.protocol
  }

  /** As what binary messages are received: "blob" or "arraybuffer". */
  get binaryType() {
    return this.#binaryType
  }
  set binaryType(value) {
    const type = `${value}`
    if (type === "blob" || type === "arraybuffer") this.#binaryType = type
  }

  get onopen() {
    return this.#handlers.of("open")
  }
  set onopen(value) {
    this.#handlers.set("open", value)
  }

  get onerror() {
    return this.#handlers.of("error")
  }
  set onerror(value) {
    this.#handlers.set("error", value)
  }

  get onclose() {
    return this.#handlers.of("close")
  }
  set onclose(value) {
    this.#handlers.set("close", value)
  }

  get onmessage() {
    return this.#handlers.of("message")
  }
  set onmessage(value) {
    this.#handlers.set("message", value)
  }

  /**
   * Closes the connection; what was sent before is sent first.
   * @param {number} [code] 1000 or 3000 to 4999
   * @param {string} [reason] at most 123 bytes of UTF-8
   * @throws {DOMException} InvalidAccessError or SyntaxError
   */
  close(code = undefined, reason = undefined) {
    const session = this.#session
    const closeCode = toCloseCode(code)
    const closeReason = reason === undefined ? undefined : `${reason}`
    checkClose(closeCode, closeReason ?? "")
    session.phase.close(closeCode, closeReason)
  }

  /**
   * @param {string | ArrayBufferLike | ArrayBufferView | Blob} data
   * @throws {DOMException} InvalidStateError before the open event
   */
  send(data) {
    const session = this.#session
    if (arguments.length === 0) throw new TypeError("Failed to execute 'send' on 'WebSocket': 1 argument required, but only 0 present.")
    const message = toMessage(data)
    if (session.phase.readyState === WebSocket.CONNECTING) {
      throw new DOMException("Failed to execute 'send' on 'WebSocket': Still in CONNECTING state.", "InvalidStateError")
    }
    session.phase.send(message)
  }

  #receive(message) {
    const data = typeof message === "string" ? message : this.#binaryType === "blob" ? new Blob([message]) : bufferOf(message)
    this.dispatchEvent(new MessageEvent("message", { data, origin: this.#url.origin }))
  }

  #end({ code, reason, wasClean, error }) {
    if (error !== null) this.dispatchEvent(error === true ? new Event("error") : anew(error))
    this.dispatchEvent(new CloseEvent("close", { code, reason, wasClean }))
  }

  /** Answers the challenges of all sockets without one of their own: `async (challenge) => credentials`. */
  static get login() {
    return configuration.login
  }
  static set login(login) {
    configuration.login = login
  }

  /** What may be agreed on: `register(extension)`, `unregister(name)`, `names()`. */
  static get extensions() {
    return extensions
  }

  /**
   * Sets what applies to all sockets; what is not named stays as it is.
   * @param {import("../types/index.d.ts").Configuration} options
   */
  static configure(options) {
    configuration.configure(options)
  }

  /** The platform's own class, for another copy of this library. */
  static get [PLATFORM]() {
    return platformWebSocket()
  }

  /** Sockets that were handed to the platform are WebSockets too. */
  static [Symbol.hasInstance](value) {
    return super[Symbol.hasInstance](value) || (this === WebSocket && value instanceof platformWebSocket())
  }
}

/** An ArrayBuffer of exactly these bytes; copied only if they are a part of one. */
const bufferOf = ({ buffer, byteOffset, byteLength }) =>
  byteLength === buffer.byteLength ? buffer : buffer.slice(byteOffset, byteOffset + byteLength)

// Web IDL, sections 3.7.3 and 3.7.5 to 3.7.7: constants on class and prototype, members that for-in finds, and the tag.
for (const [value, name] of ["CONNECTING", "OPEN", "CLOSING", "CLOSED"].entries()) {
  for (const object of [WebSocket, WebSocket.prototype]) Object.defineProperty(object, name, { value, enumerable: true })
}
for (const name of Object.getOwnPropertyNames(WebSocket.prototype)) {
  if (name !== "constructor") Object.defineProperty(WebSocket.prototype, name, { enumerable: true })
}
// A bundler may have called the class something else.
Object.defineProperty(WebSocket, "name", { value: "WebSocket", configurable: true })
Object.defineProperty(WebSocket.prototype, Symbol.toStringTag, { value: "WebSocket", configurable: true })
