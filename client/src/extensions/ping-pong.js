// x-kaazing-ping-pong: pings that script can see and answer, as TEXT messages that begin with four control bytes. A
// TEXT message of the application that begins with them is preceded by an escape: the control bytes alone.

const PING = "\t\0"
const PONG = "\n\0"

/** @type {import("../../types/index.d.ts").Extension} */
export const pingPong = {
  name: "x-kaazing-ping-pong",
  showsSignsOfLife: true,

  offer: () => "",

  agree(params) {
    const [name, value] = params[0] ?? []
    if (params.length !== 1 || value !== null || !/^[0-9a-f]{8}$/i.test(name)) {
      throw new Error("the control bytes are not 8 hexadecimal digits")
    }
    const bytes = name.match(/../g).map((pair) => Number.parseInt(pair, 16))
    // They begin a TEXT message and are compared with its first four characters.
    if (bytes.some((byte) => byte > 0x7f)) throw new Error("the control bytes are not ASCII")
    return { control: String.fromCharCode(...bytes), isEscaped: false }
  },

  fromServer(message, { state, send }) {
    if (typeof message !== "string") {
      state.isEscaped = false
      return message
    }
    const isControl = message.startsWith(state.control)
    if (state.isEscaped) {
      if (!isControl) throw new Error("an escape before what needs none")
      state.isEscaped = false
      return message
    }
    if (!isControl) return message
    const rest = message.slice(state.control.length)
    if (rest === "") state.isEscaped = true
    else if (rest === PING) send(state.control + PONG)
    else if (rest !== PONG) throw new Error("an unknown control message")
    return undefined
  },

  toServer(message, { state }) {
    const isLikeControl = typeof message === "string" && message.startsWith(state.control)
    return isLikeControl ? [state.control, message] : message
  },
}
