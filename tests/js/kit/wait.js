// Waiting for conditions, always with a deadline that says what did not come.

/** Resolves as the promise does, or rejects when `milliseconds` have passed first. */
export function within(milliseconds, what, promise) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${milliseconds} ms`)), milliseconds)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** Asks again and again until the condition holds (is truthy) and resolves with what it returned. */
export async function until(milliseconds, what, condition) {
  const deadline = Date.now() + milliseconds
  for (;;) {
    const value = await condition()
    if (value) return value
    if (Date.now() > deadline) throw new Error(`${what}: not within ${milliseconds} ms`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** A promise with its resolve and reject outside. */
export function deferred() {
  const self = {}
  self.promise = new Promise((resolve, reject) => Object.assign(self, { resolve, reject }))
  return self
}

/** Collects what arrives one by one; `take(n)` resolves with the first n once they are there. */
export class Arrivals {
  #items = []
  #waiting = []

  push = (item) => {
    this.#items.push(item)
    this.#waiting = this.#waiting.filter(({ count, resolve }) => {
      if (this.#items.length < count) return true
      resolve(this.#items.slice(0, count))
      return false
    })
  }

  get count() {
    return this.#items.length
  }

  take(count, milliseconds = 10_000) {
    if (this.#items.length >= count) return Promise.resolve(this.#items.slice(0, count))
    const { promise, resolve } = deferred()
    this.#waiting.push({ count, resolve })
    return within(milliseconds, `${count} arrivals`, promise)
  }
}
