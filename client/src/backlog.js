// How many of the bytes that the platform still buffers are the page's own. Extensions add to what the page sends, and
// bufferedAmount must not tell of it.

export class Backlog {
  #entries = []
  #first = 0
  #own = 0
  #wire = 0

  /** A message was given to the platform: `own` bytes of the page became `wire` bytes. */
  add(own, wire, buffered) {
    this.#entries.push({ own, wire })
    this.#own += own
    this.#wire += wire
    this.#forget(buffered)
  }

  /** The page's own bytes, when the platform buffers `buffered`. */
  remaining(buffered) {
    this.#forget(buffered)
    // More than was added here was given to the platform by the page itself: after the close.
    if (buffered >= this.#wire) return this.#own + buffered - this.#wire
    const front = this.#entries[this.#first]
    return this.#own - front.own + Math.min(front.own, buffered - (this.#wire - front.wire))
  }

  /** The platform sends in order, so what is gone is in front. */
  #forget(buffered) {
    while (this.#first < this.#entries.length && this.#wire - this.#entries[this.#first].wire >= buffered) {
      const { own, wire } = this.#entries[this.#first]
      this.#own -= own
      this.#wire -= wire
      this.#first += 1
    }
    if (this.#first * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#first)
      this.#first = 0
    }
  }
}
