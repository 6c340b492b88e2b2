// x-kaazing-idle-timeout: the gateway promises a message at least so often; when none comes, the way to it is lost.

/** The longest delay that timers know, in milliseconds. */
const MAX_DELAY = 2 ** 31 - 1

/**
 * Milliseconds between the end of the time and a second look, which decides. In a page that was busy, in an alert() or
 * frozen, the timer may run before messages that came in time; they are delivered until then.
 */
export const GRACE = 100

/**
 * The extension over a clock, so that tests own the time.
 * @param {{ now(): number, setTimeout(run: () => void, delay: number): unknown, clearTimeout(id: unknown): void }} clock
 * @returns {import("../../types/index.d.ts").Extension}
 */
export const idleTimeoutOver = (clock) => ({
  name: "x-kaazing-idle-timeout",

  offer: () => "",

  agree(params, { seesSignsOfLife, fail }) {
    const [name, value] = params[0] ?? []
    if (params.length !== 1 || name !== "timeout" || !/^[1-9]\d{0,14}$/.test(value ?? "")) {
      throw new Error("the timeout is not a number of milliseconds")
    }
    const timeout = Math.min(Number(value), MAX_DELAY)
    const state = { last: clock.now(), timer: undefined }
    // One timer that looks back is cheaper than one set anew for each message.
    const look = (delay, isSecond = false) => {
      state.timer = clock.setTimeout(() => {
        const left = state.last + timeout - clock.now()
        if (left > 0) look(left)
        else if (!isSecond) look(GRACE, true)
        else fail(`nothing came from the gateway for ${timeout} ms`)
      }, delay)
    }
    // Without emulated signs of life the gateway sends native ones, which a page cannot see: silence says nothing then.
    if (seesSignsOfLife) look(timeout)
    return state
  },

  received({ state }) {
    state.last = clock.now()
  },

  ended({ state }) {
    clock.clearTimeout(state.timer)
  },
})

/** @type {import("../../types/index.d.ts").Extension} */
export const idleTimeout = idleTimeoutOver({
  now: () => performance.now(),
  setTimeout: (run, delay) => setTimeout(run, delay),
  clearTimeout: (id) => clearTimeout(id),
})
