// What the page sends, on its way to the platform: small binary messages of one turn are joined where their boundaries
// mean nothing (AMQP), Blobs are read where extensions want their bytes, and the order is the page's throughout.
import { Backlog } from "./backlog.js"
import { utf8Length } from "./platform.js"

/** Bytes of one joined message. The gateway joins up to as much in the other direction. */
export const MAX_JOINED_BYTES = 64 * 1024

/** Bytes that extensions may add to a joined message without making it larger than the gateway takes. */
const EXTENSIONS_ROOM = 256

/** Bytes of a message of the page; a string's in UTF-8. */
export const sizeOf = (data) => (typeof data === "string" ? utf8Length(data) : (data.size ?? data.byteLength))

export class Outbox {
  #native
  #pipeline
  #joinedMost
  #onError
  #backlog = new Backlog()
  #joined = new Uint8Array(1024)
  #joinedLength = 0
  #isFlushDue = false
  /** What waits behind a Blob that is being read; the Blob itself is the first. */
  #waiting = []
  #waitingBytes = 0
  #afterwards = null
  #isBroken = false

  /**
   * @param {WebSocket} native
   * @param {import("./pipeline.js").Pipeline} pipeline
   * @param {{ joins: boolean, messageBytes?: number, onError: (error: Error) => void }} options whether small binary
   *   messages are joined, how large a message the gateway takes, and who is told that an extension or the reading of a
   *   Blob failed; nothing is sent after that
   */
  constructor(native, pipeline, { joins, messageBytes = MAX_JOINED_BYTES, onError }) {
    this.#native = native
    this.#pipeline = pipeline
    const room = pipeline.isTransparent ? 0 : EXTENSIONS_ROOM
    this.#joinedMost = joins ? Math.min(MAX_JOINED_BYTES, messageBytes - room) : 0
    this.#onError = (error) => {
      this.#isBroken = true
      onError(error)
    }
  }

  /** Bytes that the page has sent and the platform has not; in UTF-8, without what extensions add. */
  get bufferedAmount() {
    return this.#joinedLength + this.#waitingBytes + this.#backlog.remaining(this.#native.bufferedAmount)
  }

  /**
   * @param {string | Uint8Array | Blob} data bytes may change once this has returned
   */
  send(data) {
    if (this.#waiting.length > 0) this.#wait(data)
    else if (data instanceof Uint8Array && this.#canJoin(data)) this.#join(data)
    else {
      this.flush()
      if (!(data instanceof Blob)) this.#pass(data)
      else if (this.#pipeline.isTransparent) this.#give(data, data.size)
      else {
        this.#wait(data)
        this.#readFirst()
      }
    }
  }

  /** Sends what was joined so far. */
  flush() {
    if (this.#joinedLength === 0) return
    const length = this.#joinedLength
    this.#joinedLength = 0
    // An extension may keep what it gets; the platform copies.
    this.#pass(this.#pipeline.isTransparent ? this.#joined.subarray(0, length) : this.#joined.slice(0, length))
  }

  /** Sends all that was accepted and then calls `afterwards`, at once if nothing waits. */
  finish(afterwards) {
    this.flush()
    if (this.#waiting.length === 0) afterwards()
    else this.#afterwards = afterwards
  }

  /** Gives one message to the platform that has passed all extensions; `own` of its bytes are the page's. */
  transmit(message, own = 0) {
    this.#give(message, own)
  }

  // An empty message says something that a joined one would not.
  #canJoin = (bytes) => bytes.length > 0 && bytes.length <= this.#joinedMost

  #join(bytes) {
    if (this.#joinedLength + bytes.length > this.#joinedMost) this.flush()
    const length = this.#joinedLength + bytes.length
    if (length > this.#joined.length) {
      const larger = new Uint8Array(Math.min(this.#joinedMost, Math.max(length, this.#joined.length * 2)))
      larger.set(this.#joined.subarray(0, this.#joinedLength))
      this.#joined = larger
    }
    this.#joined.set(bytes, this.#joinedLength)
    this.#joinedLength = length
    if (this.#isFlushDue) return
    this.#isFlushDue = true
    queueMicrotask(() => {
      this.#isFlushDue = false
      this.flush()
    })
  }

  #pass(message) {
    if (this.#isBroken) return
    let messages
    try {
      messages = this.#pipeline.toServer(message)
    } catch (error) {
      this.#onError(error)
      return
    }
    const own = sizeOf(message)
    messages.forEach((each, index) => this.#give(each, index === messages.length - 1 ? own : 0))
  }

  #give(data, own) {
    this.#native.send(data)
    if (!this.#pipeline.isEmpty) this.#backlog.add(own, sizeOf(data), this.#native.bufferedAmount)
  }

  #wait(data) {
    // The page may change its bytes once send() has returned.
    this.#waiting.push(data instanceof Uint8Array ? data.slice() : data)
    this.#waitingBytes += sizeOf(data)
  }

  #readFirst() {
    this.#waiting[0].arrayBuffer().then((buffer) => {
      const [, ...rest] = this.#waiting
      this.#waiting = []
      this.#waitingBytes = 0
      this.#pass(new Uint8Array(buffer))
      for (const data of rest) this.send(data)
      if (this.#waiting.length > 0 || this.#afterwards === null) return
      this.flush()
      this.#afterwards()
    }, this.#onError)
  }
}
