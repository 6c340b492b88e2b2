// smeuse-sequence: every message begins with its number, eight hexadecimal digits, counted for each direction on its
// own. A message lost, repeated or overtaken on the way is found out, and ends the session.

/** Close code towards the gateway: the numbers of its messages do not follow one another. */
export const SEQUENCE_VIOLATED = 4108

const DIGITS = 8

/** @type {import("../../types/index.d.ts").Extension} */
export const sequence = {
  name: "smeuse-sequence",

  offer: () => "",

  agree(params) {
    if (params.length > 0) throw new Error("parameters where none are known")
    return { next: 0, expected: 0 }
  },

  fromServer(message, { state, close }) {
    const fault = classify(digitsOf(message), state.expected)
    if (fault !== null) {
      close(SEQUENCE_VIOLATED, `smeuse-sequence: ${fault}, ${format(state.expected)} was expected`)
      return undefined
    }
    state.expected = (state.expected + 1) >>> 0
    return typeof message === "string" ? message.slice(DIGITS) : message.subarray(DIGITS)
  },

  toServer(message, { state }) {
    const digits = format(state.next)
    state.next = (state.next + 1) >>> 0
    if (typeof message === "string") return digits + message
    const numbered = new Uint8Array(DIGITS + message.length)
    for (let index = 0; index < DIGITS; index += 1) numbered[index] = digits.charCodeAt(index)
    numbered.set(message, DIGITS)
    return numbered
  },
}

const format = (number) => number.toString(16).padStart(DIGITS, "0")

const digitsOf = (message) =>
  typeof message === "string" ? message.slice(0, DIGITS) : String.fromCharCode(...message.subarray(0, DIGITS))

/** What is wrong with a number: malformed, duplicate, reordered, gap, or null for nothing. */
export function classify(digits, expected) {
  if (!/^[0-9a-f]{8}$/.test(digits)) return "malformed"
  const difference = (Number.parseInt(digits, 16) - expected) | 0
  if (difference === 0) return null
  if (difference === -1) return "duplicate"
  return difference < 0 ? "reordered" : "gap"
}
