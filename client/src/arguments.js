// The arguments of the standard's methods as the standard converts and checks them (WHATWG WebSockets; Web IDL).
import { isToken } from "./header.js"
import { baseURL, utf8Length } from "./platform.js"

const syntaxError = (sentence) => new DOMException(sentence, "SyntaxError")

/**
 * The URL that a socket is opened at.
 * @throws {DOMException} SyntaxError
 */
export function parseURL(text) {
  let url
  try {
    url = new URL(text, baseURL())
  } catch {
    throw syntaxError(`The URL '${text}' is invalid.`)
  }
  url.protocol = url.protocol.replace(/^http/, "ws")
  if (!/^wss?:$/.test(url.protocol)) throw syntaxError(`The URL's scheme must be 'http', 'https', 'ws' or 'wss', not '${url.protocol}'.`)
  // An empty fragment is one too, and only the whole URL tells.
  if (url.href.includes("#")) throw syntaxError(`The URL contains a fragment identifier ('${url.hash}').`)
  return url
}

/** `(DOMString or sequence<DOMString>)` as a list. */
export function toProtocols(value) {
  if (value === undefined) return []
  const isSequence = (typeof value === "object" || typeof value === "function") && value !== null && value[Symbol.iterator] != null
  return isSequence ? Array.from(value, (protocol) => `${protocol}`) : [`${value}`]
}

/** @throws {DOMException} SyntaxError */
export function checkProtocols(protocols) {
  for (const [index, protocol] of protocols.entries()) {
    if (!isToken(protocol)) throw syntaxError(`The subprotocol '${protocol}' is invalid.`)
    if (protocols.indexOf(protocol) !== index) throw syntaxError(`The subprotocol '${protocol}' is duplicated.`)
  }
}

/** `[Clamp] unsigned short`, or undefined. */
export function toCloseCode(value) {
  if (value === undefined) return undefined
  const clamped = Math.min(Math.max(+value, 0), 65535) || 0
  const floor = Math.floor(clamped)
  const isTie = clamped - floor === 0.5
  return isTie ? floor + (floor % 2) : Math.round(clamped)
}

/** @throws {DOMException} InvalidAccessError or SyntaxError */
export function checkClose(code, reason) {
  if (code !== undefined && code !== 1000 && !(code >= 3000 && code <= 4999)) {
    throw new DOMException(`The close code must be 1000 or between 3000 and 4999, not ${code}.`, "InvalidAccessError")
  }
  if (utf8Length(reason) > 123) throw syntaxError("The close reason must not have more than 123 bytes of UTF-8.")
}

/**
 * `(BufferSource or Blob or USVString)` as a string, a view of the caller's own bytes, or a Blob.
 * @throws {TypeError}
 */
export function toMessage(data) {
  if (data instanceof Blob) return data
  if (ArrayBuffer.isView(data)) {
    if (tagOf(data.buffer) === "[object SharedArrayBuffer]") {
      throw new TypeError("The view must not be of shared memory.")
    }
    return bytesOf(data.buffer, data.byteOffset, data.byteLength)
  }
  if (tagOf(data) === "[object ArrayBuffer]") return bytesOf(data, 0, data.byteLength)
  return `${data}`
}

// Of whatever realm; a page without cross-origin isolation has no name for shared memory, but may have some.
const tagOf = (value) => Object.prototype.toString.call(value)

// Of a detached buffer there are none, and no view.
const bytesOf = (buffer, offset, length) => (length === 0 ? new Uint8Array(0) : new Uint8Array(buffer, offset, length))
