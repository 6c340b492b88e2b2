// The extended handshake as a value: no socket, no clock. Each state is named by what it awaits; what comes in gives
// the next state and what is to be done. The dialect is the specification's: one message asks, one message answers.
import { parseChallenge } from "./challenge.js"
import { formatOffer, isToken, parseOffers, parseTokens } from "./header.js"

/** The subprotocol that asks for an extended handshake; always offered first. */
export const SUBPROTOCOL = "x-kaazing-handshake"

/** Close code towards the gateway: its answer is malformed, or agrees on what was not offered. */
export const BAD_ANSWER = 4109
/** Close code towards the gateway: the page gave no credentials. */
export const NO_CREDENTIALS = 4110

/** Bytes of one answer: status, a few headers and a sentence. The gateway allows as much for a request. */
export const MAX_ANSWER_BYTES = 16 * 1024

/**
 * What is to be done, by `do`:
 * - `send`: `text` to the gateway; the answer is then awaited for a bounded time
 * - `ask`: the page for an answer to `challenges`, the `attempt`th time; then call `answer` with the Authorization value
 * - `open`: agreed on `protocol` and `extensions`
 * - `redirect`: to `location`
 * - `await_close`: the gateway refused with `status` and `sentence`, and will send a Close frame
 * - `fail`: close with `code` and `reason`
 * @typedef {{ do: string, [detail: string]: unknown }} Action
 * @typedef {{ next: object | null, action: Action }} Step `next` is null when the handshake is over
 */

/**
 * Begins a handshake.
 * @param {{ target: string, protocols: string[], offers: import("./header.js").Offer[] }} request path and query of
 *   the URL, the application's own subprotocols, and the extensions to offer from the application towards the network
 * @returns {Step}
 */
export function begin(request) {
  return { next: new ExpectResponse(request, 0), action: { do: "send", text: formatRequest(request) } }
}

/** The request was sent. */
export class ExpectResponse {
  #request
  #attempts

  constructor(request, attempts) {
    this.#request = request
    this.#attempts = attempts
  }

  /**
   * @param {string | ArrayBuffer} payload the gateway's message
   * @returns {Step}
   */
  receive(payload) {
    try {
      return this.#judge(parseResponse(payload))
    } catch (error) {
      return failed(error.message)
    }
  }

  #judge({ status, headers, body }) {
    const all = (name) => headers.filter((header) => header.name === name).map((header) => header.value)
    if (status === 101) return { next: null, action: { do: "open", ...this.#agreement(all) } }
    if (status === 401 && all("www-authenticate").length > 0) {
      const challenges = all("www-authenticate").map(parseChallenge)
      const attempt = this.#attempts + 1
      return { next: new ExpectCredentials(this.#request, attempt), action: { do: "ask", challenges, attempt } }
    }
    if (status === 302) {
      const [location] = all("location")
      if (location === undefined) throw new Error("a redirect without a Location")
      return { next: null, action: { do: "redirect", location } }
    }
    if (status >= 400) return { next: null, action: { do: "await_close", status, sentence: body.trim() } }
    throw new Error(`unexpected status ${status}`)
  }

  #agreement(all) {
    const { protocols, offers } = this.#request
    const [protocol = "", ...more] = parseTokens(all("sec-websocket-protocol").filter(Boolean))
    if (more.length > 0) throw new Error("several subprotocols were chosen")
    if (protocol !== "" && !protocols.includes(protocol)) throw new Error(`the subprotocol ${protocol} was not offered`)
    // As the platform has it: a page that offered subprotocols and gets none has no WebSocket.
    if (protocol === "" && protocols.length > 0) throw new Error("no subprotocol was chosen")
    const extensions = parseOffers(all("sec-websocket-extensions"))
    for (const [index, { name }] of extensions.entries()) {
      if (!offers.some((offer) => offer.name === name)) throw new Error(`the extension ${name} was not offered`)
      if (extensions.findIndex((extension) => extension.name === name) !== index) {
        throw new Error(`the extension ${name} was agreed on twice`)
      }
    }
    return { protocol, extensions }
  }
}

/** The page is being asked. The gateway limits the time. */
export class ExpectCredentials {
  #request
  #attempt

  constructor(request, attempt) {
    this.#request = request
    this.#attempt = attempt
  }

  /**
   * @param {string | null} authorization the value of the Authorization header; it is not kept
   * @returns {Step}
   */
  answer(authorization) {
    if (authorization === null) {
      return { next: null, action: { do: "fail", code: NO_CREDENTIALS, reason: "the page gave no credentials" } }
    }
    const text = formatRequest(this.#request, authorization)
    return { next: new ExpectResponse(this.#request, this.#attempt), action: { do: "send", text } }
  }

  /** Nothing was asked of the gateway, so nothing can be answered. */
  receive() {
    return failed("a message while credentials are awaited")
  }
}

const failed = (reason) => ({ next: null, action: { do: "fail", code: BAD_ANSWER, reason: `extended handshake: ${reason}` } })

function formatRequest({ target, protocols, offers }, authorization) {
  const lines = [`GET ${target} HTTP/1.1`]
  if (protocols.length > 0) lines.push(`Sec-WebSocket-Protocol: ${protocols.join(", ")}`)
  if (offers.length > 0) lines.push(`Sec-WebSocket-Extensions: ${offers.map(formatOffer).join(", ")}`)
  if (authorization !== undefined) lines.push(`Authorization: ${authorization}`)
  return `${lines.join("\r\n")}\r\n\r\n`
}

/** @param {string | ArrayBuffer} payload */
function parseResponse(payload) {
  const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : new Uint8Array(payload)
  if (bytes.length > MAX_ANSWER_BYTES) throw new Error(`the answer has more than ${MAX_ANSWER_BYTES} bytes`)
  const text = new TextDecoder().decode(bytes)
  const end = text.indexOf("\r\n\r\n")
  if (end === -1) throw new Error("the answer's head does not end")
  const [statusLine, ...lines] = text.slice(0, end).split("\r\n")
  const status = /^HTTP\/1\.1 ([1-5]\d\d)(?: |$)/.exec(statusLine)?.[1]
  if (status === undefined) throw new Error("the answer has no status")
  const headers = lines.map((line) => {
    const [, name, value] = /^([^\s:]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? []
    if (name === undefined || !isToken(name)) throw new Error("a line of the answer is not a header")
    return { name: name.toLowerCase(), value }
  })
  return { status: Number(status), headers, body: text.slice(end + 4) }
}
