// `acme-measure`, an extension of the page alone: counts what a WebSocket carries, and tells it every so many seconds in an
// event of the page's own. It changes nothing that travels, so the gateway needs no part of it.

const bytesOf = (message) => (typeof message === "string" ? new Blob([message]).size : message.length)

function count(way, message) {
  way.messages += 1
  way.bytes += bytesOf(message)
  return message
}

function tell({ sent, received }) {
  globalThis.dispatchEvent(new CustomEvent("acme-measure", { detail: { sent: { ...sent }, received: { ...received } } }))
}

export default {
  name: "acme-measure",

  // What the configuration asks for, such as "every=60".
  offer: (params) => params ?? "every=10",

  agree(params) {
    const [, seconds] = params.find(([name]) => name === "every") ?? []
    if (!(Number(seconds) > 0)) throw new Error("needs every=SECONDS")
    const state = { sent: { messages: 0, bytes: 0 }, received: { messages: 0, bytes: 0 } }
    state.timer = setInterval(() => tell(state), Number(seconds) * 1000)
    return state
  },

  toServer: (message, { state }) => count(state.sent, message),

  fromServer: (message, { state }) => count(state.received, message),

  ended({ state }) {
    clearInterval(state.timer)
    tell(state)
  },
}
