// The WebSocket to the gateway: takes pushes and says so, says what is wanted, and comes back when it is lost.

const LOGGED_OUT = 4401
const LONGEST_PAUSE = 10_000

/**
 * Keeps a connection. `onPush` gets each push, `onState` one of "live", "waiting" and "lost" with a sentence.
 * @returns {{ want(view: object): void }}
 */
export function keepConnected({ onPush, onState }) {
  const address = new URL("/live/socket", location.href)
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:"
  let socket
  let view
  let pause = 500

  function connect() {
    let wasOpen = false
    socket = new WebSocket(address)
    socket.onopen = () => {
      wasOpen = true
      if (view) send({ view })
    }
    socket.onmessage = ({ data }) => {
      const push = JSON.parse(data)
      pause = 500
      onState("live", "live")
      onPush(push)
      // Only now: a page that cannot follow gets less.
      send({ taken: push.own.number })
    }
    socket.onclose = async ({ code, reason }) => {
      if (code === LOGGED_OUT) return location.reload()
      const why = wasOpen ? reason : await whyNot()
      if (why === undefined) return location.reload()
      onState("lost", why || "no connection, trying again")
      setTimeout(connect, pause)
      pause = Math.min(pause * 2, LONGEST_PAUSE)
    }
  }

  function send(message) {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message))
  }

  connect()
  return {
    want(wanted) {
      view = wanted
      send({ view })
    },
  }
}

/** A WebSocket that is refused does not say why; a plain request does. Undefined if the login is over. */
async function whyNot() {
  try {
    const answer = await fetch("/live/socket", { cache: "no-store" })
    if (answer.status === 401) return undefined
    return answer.status === 503 ? "too many pages are open" : ""
  } catch {
    return ""
  }
}
