// What the cases of the table use: a socket's life as a list, and outcomes that can be compared and sent.

const DEADLINE = 8000

/** What an action returns or throws, as a value. */
export function outcome(action) {
  try {
    return { returns: plain(action()) }
  } catch (error) {
    return { throws: error.name, isDOMException: error instanceof DOMException, isTypeError: error instanceof TypeError }
  }
}

const plain = (value) => (typeof value === "function" || (typeof value === "object" && value !== null) ? Object.prototype.toString.call(value) : value)

function bounded(promise, what) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come`)), DEADLINE)
  })
  const result = Promise.race([promise, late]).finally(() => clearTimeout(timer))
  // Not every case comes to await what it waits for.
  result.catch(() => {})
  return result
}

/** Resolves with the next event of this type. */
export const next = (socket, type) =>
  bounded(new Promise((resolve) => socket.addEventListener(type, resolve, { once: true })), `an event ${type}`)

/** Resolves with what `look` finds in the next event of this type, while it is dispatched. */
export const during = (socket, type, look) =>
  bounded(new Promise((resolve) => socket.addEventListener(type, (event) => resolve(look(event)), { once: true })), `an event ${type}`)

/** Resolves with the data of so many messages from now on, binary ones as [class, bytes]. */
export function messages(socket, count) {
  const received = []
  const all = new Promise((resolve) => {
    socket.addEventListener("message", ({ data }) => {
      received.push(data)
      if (received.length === count) resolve()
    })
  })
  const result = bounded(all, `${count} messages`).then(() => Promise.all(received.map(readable)))
  result.catch(() => {})
  return result
}

/** A message's data as a value. */
export async function readable(data) {
  if (typeof data === "string") return data
  const buffer = data instanceof Blob ? await data.arrayBuffer() : data
  return [Object.prototype.toString.call(data), [...new Uint8Array(buffer)]]
}

/** Notes all events until the close event, with the state they came in. */
export function life(socket) {
  const events = []
  for (const type of ["open", "message", "error", "close"]) {
    socket.addEventListener(type, (event) => {
      events.push([type, socket.readyState, ...(type === "close" ? [event.code, event.reason, event.wasClean] : [])])
    })
  }
  return next(socket, "close").then(() => events)
}

/** Closes a socket and waits until it is closed. */
export async function done(socket) {
  if (socket.readyState === 3) return
  const closed = next(socket, "close")
  socket.close()
  await closed
}

/** A socket that is open. `env.connect` and not a constructor call, so that cases read as what they are about. */
export async function opened(env, path, protocols) {
  const socket = new env.WebSocket(env.base + path, protocols)
  const failed = next(socket, "close").then(({ code }) => Promise.reject(new Error(`${path} closed with ${code}`)))
  failed.catch(() => {})
  await Promise.race([next(socket, "open"), failed])
  return socket
}
