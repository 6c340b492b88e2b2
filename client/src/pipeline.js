// The agreed extensions of one socket, in order. They are listed from the application towards the network: with `a, b`,
// what the page sends passes a and then b, what comes from the gateway passes b and then a. A link knows only its
// neighbours; what one returns goes to the next, and nothing leaves the pipeline before all of it has passed.
import { checkClose } from "./arguments.js"
import { BAD_ANSWER } from "./handshake.js"
import { report } from "./platform.js"

/** An extension broke down or found the peer to have broken its rules; the text names it. */
export class ExtensionError extends Error {
  name = "ExtensionError"
}

/**
 * What a pipeline does to its socket.
 * @typedef {object} Ends
 * @property {(message: string | Uint8Array) => void} transmit sends what has passed all links
 * @property {(code: number, reason: string) => void} close closes towards the gateway; the page sees an error and this
 * @property {(reason: string) => void} fail gives the socket up; the page sees 1006 at once
 */

export class Pipeline {
  #links = []
  #ends
  #hasEnded = false

  /**
   * @param {{ extension: import("../types/index.d.ts").Extension, params: [string, string | null][] }[]} agreed
   * @param {Ends} ends
   * @throws {ExtensionError} if an extension does not accept its parameters
   */
  constructor(agreed, ends) {
    this.#ends = ends
    try {
      const seesSignsOfLife = agreed.some(({ extension }) => extension.showsSignsOfLife === true)
      for (const { extension, params } of agreed) this.#add(extension, params, seesSignsOfLife)
    } catch (error) {
      this.end()
      throw error
    }
  }

  #add(extension, params, seesSignsOfLife) {
    const index = this.#links.length
    let isAgreed = false
    const acting = (word, act) => (...values) => {
      if (this.#hasEnded) return
      if (!isAgreed) throw new ExtensionError(`${extension.name}: ${word} within agree, before the socket is open`)
      act(...values)
    }
    const context = {
      state: undefined,
      seesSignsOfLife,
      send: acting("send", (message) => {
        for (const passed of this.#pass(checked(extension, message), index + 1)) this.#ends.transmit(passed)
      }),
      close: acting("close", (code, reason) => this.#close(extension, code, reason)),
      fail: acting("fail", (reason) => this.#ends.fail(`${extension.name}: ${reason}`)),
    }
    context.state = guarded(extension, () => extension.agree(params, context))
    isAgreed = true
    this.#links.push({ extension, context })
  }

  #close(extension, code, reason) {
    try {
      guarded(extension, () => checkClose(code ?? 0, `${reason}`))
    } catch (error) {
      // Whoever called may be a timer, where nobody else would hear of it.
      this.#ends.close(BAD_ANSWER, error.message)
      throw error
    }
    this.#ends.close(code, `${reason}`)
  }

  /** Whether no extension was agreed on. */
  get isEmpty() {
    return this.#links.length === 0
  }

  /** Whether what the page sends is passed on as it is; then even a Blob need not be read. */
  get isTransparent() {
    return this.#links.every(({ extension }) => extension.toServer === undefined)
  }

  /**
   * From the page.
   * @param {string | Uint8Array} message
   * @returns {(string | Uint8Array)[]} what is to be sent
   * @throws {ExtensionError}
   */
  toServer(message) {
    return this.#pass(message, 0)
  }

  /**
   * From the gateway.
   * @param {string | Uint8Array} message
   * @returns {(string | Uint8Array)[]} what the page gets
   * @throws {ExtensionError}
   */
  fromServer(message) {
    for (const { extension, context } of this.#links) guarded(extension, () => extension.received?.(context))
    return this.#links.reduceRight((messages, link) => messages.flatMap((each) => handle(link, "fromServer", each)), [message])
  }

  /** The socket has ended, or is being closed; timers stop, and what extensions still say is not heard. */
  end() {
    this.#hasEnded = true
    for (const { extension, context } of this.#links.splice(0)) {
      try {
        guarded(extension, () => extension.ended?.(context))
      } catch (error) {
        report(error)
      }
    }
  }

  #pass(message, from) {
    const links = this.#links.slice(from)
    return links.reduce((messages, link) => messages.flatMap((each) => handle(link, "toServer", each)), [message])
  }
}

function handle({ extension, context }, direction, message) {
  if (extension[direction] === undefined) return [message]
  const result = guarded(extension, () => extension[direction](message, context))
  if (result === undefined || result === null) return []
  return (Array.isArray(result) ? result : [result]).map((each) => checked(extension, each))
}

function guarded(extension, call) {
  try {
    return call()
  } catch (error) {
    if (error instanceof ExtensionError) throw error
    throw new ExtensionError(`${extension.name}: ${error?.message ?? error}`, { cause: error })
  }
}

function checked(extension, message) {
  if (typeof message === "string" || message instanceof Uint8Array) return message
  if (message instanceof ArrayBuffer) return new Uint8Array(message)
  throw new ExtensionError(`${extension.name}: a message is a string or a Uint8Array`)
}
