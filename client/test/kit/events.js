// What a page sees of a socket, as a list.
import { Arrivals, within } from "../../../tests/js/kit/wait.js"

/** Notes every event of a socket from now on. */
export function watch(socket) {
  const events = []
  const messages = new Arrivals()
  let taken = 0
  const closed = new Promise((resolve) => {
    socket.addEventListener("open", () => events.push(["open", socket.readyState]))
    socket.addEventListener("message", ({ data }) => {
      events.push(["message", data])
      messages.push(data)
    })
    socket.addEventListener("error", () => events.push(["error", socket.readyState]))
    socket.addEventListener("close", ({ code, reason, wasClean }) => {
      events.push(["close", code, reason, wasClean])
      resolve(events)
    })
  })
  const opened = new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve)
    socket.addEventListener("close", ({ code, reason }) => reject(new Error(`closed before it was open: ${code} ${reason}`)))
  })
  opened.catch(() => {})
  return {
    events,
    opened: () => within(5000, "open", opened),
    closed: (milliseconds = 8000) => within(milliseconds, "close", closed),
    /** The next message that was not asked for yet. */
    message: async (milliseconds = 5000) => {
      taken += 1
      return (await messages.take(taken, milliseconds))[taken - 1]
    },
  }
}
