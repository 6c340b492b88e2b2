// What the platform gives: its own WebSocket, its event classes, the address that relative URLs begin at.

/** Under this key a WebSocket of this library keeps the platform's own, so that two copies never stand on one another. */
export const PLATFORM = Symbol.for("smeuse.platform")

const found = globalThis.WebSocket

/** The platform's own WebSocket class, whatever `globalThis.WebSocket` has become since. */
export function platformWebSocket() {
  const native = found ?? globalThis.WebSocket
  if (native === undefined) throw new Error("there is no WebSocket here: give globalThis.WebSocket one before smeuse is used")
  return native[PLATFORM] ?? native
}

/** The address that relative URLs begin at: the document's, a worker's own, none elsewhere. */
export const baseURL = () => globalThis.document?.baseURI ?? globalThis.location?.href

/** The platform's CloseEvent; Node before 23 has none. */
export const CloseEvent =
  globalThis.CloseEvent ??
  class CloseEvent extends Event {
    #init
    constructor(type, init = {}) {
      super(type, init)
      this.#init = { wasClean: Boolean(init.wasClean), code: init.code ?? 0, reason: init.reason ?? "" }
    }
    get wasClean() {
      return this.#init.wasClean
    }
    get code() {
      return this.#init.code
    }
    get reason() {
      return this.#init.reason
    }
  }

/** An event that was dispatched once already, anew, and of its own class. */
export const anew = (event) => new event.constructor(event.type, event)

/** Tells the page's developer of an error that must not stop what is being done. */
export const report = (error) => (globalThis.reportError ?? console.error)(error)

const encoder = new TextEncoder()

/** The length of a text in UTF-8, in bytes; a lone surrogate counts as U+FFFD, which is what is sent for it. */
export const utf8Length = (text) => encoder.encode(text).length

/** The first `bytes` bytes of a text in UTF-8, never half a character. */
export const utf8Prefix = (text, bytes) => text.slice(0, encoder.encodeInto(text, new Uint8Array(bytes)).read)
