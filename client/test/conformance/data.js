// WHATWG WebSockets section 3.1: send, bufferedAmount, binaryType and message events.
import { done, during, messages, next, opened, outcome, readable } from "./environment.js"

/** What an echo gives back for everything that is sent. */
async function echoed(env, send, count, path = "/echo") {
  const socket = await opened(env, path)
  socket.binaryType = "arraybuffer"
  const received = messages(socket, count)
  await send(socket)
  const result = await received
  await done(socket)
  return result
}

/** @type {Record<string, (env: any) => unknown>} */
export const data = {
  "send while connecting": async (env) => {
    const socket = new env.WebSocket(`${env.base}/echo`)
    const results = [outcome(() => socket.send("x")), outcome(() => socket.send()), outcome(() => socket.send(Symbol("x"))), socket.bufferedAmount]
    await done(socket)
    return results
  },
  "send without arguments, and what cannot be sent": async (env) => {
    const socket = await opened(env, "/echo")
    const results = [outcome(() => socket.send()), outcome(() => socket.send(Symbol("x"))), outcome(() => socket.send({ toString: () => { throw new RangeError("no") } }))]
    await done(socket)
    return results
  },
  "send returns nothing": async (env) => {
    const socket = await opened(env, "/echo")
    const results = [outcome(() => socket.send("x")), outcome(() => socket.send(new ArrayBuffer(1)))]
    await done(socket)
    return results
  },
  "strings": (env) => echoed(env, (socket) => ["", "hello", "ü€😀", "a\0b", "\uD800", "x".repeat(70_000)].forEach((text) => socket.send(text)), 6),
  "what becomes a string": (env) =>
    echoed(env, (socket) => [1, null, undefined, true, {}, [1, [2]], { toString: () => "own" }, new String("object"), new Date(NaN), 1n].forEach((value) => socket.send(value)), 10),
  "text that begins like a control message": (env) => echoed(env, (socket) => ["\x01\x01\x01\x02", "\x01\x01\x01\x02\t\0", "\x01\x01\x01", "00000000"].forEach((text) => socket.send(text)), 4),
  "bytes that begin like a control message": (env) => echoed(env, (socket) => socket.send(new Uint8Array([1, 1, 1, 2, 9, 0])), 1),
  "buffers and views": (env) =>
    echoed(
      env,
      (socket) => {
        const bytes = Uint8Array.from({ length: 16 }, (_, index) => index)
        for (const view of [bytes.buffer, bytes.subarray(3, 5), new DataView(bytes.buffer, 8, 4), new Uint16Array(bytes.buffer, 4, 2), new Float64Array(1), new BigInt64Array(1), new Uint8ClampedArray([300]), new ArrayBuffer(0), new Uint8Array(0)]) socket.send(view)
      },
      9,
    ),
  "a view of shared memory": async (env) => {
    const socket = await opened(env, "/echo")
    // Pages have shared memory without having a constructor for it.
    const { buffer } = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })
    const result = outcome(() => socket.send(new Uint8Array(buffer)))
    await done(socket)
    return result
  },
  "bytes that change after send": (env) =>
    echoed(
      env,
      (socket) => {
        const bytes = new Uint8Array([1, 2, 3])
        socket.send(bytes)
        bytes.fill(9)
      },
      1,
    ),
  "a detached buffer": (env) =>
    echoed(
      env,
      (socket) => {
        const buffer = new ArrayBuffer(4)
        structuredClone(buffer, { transfer: [buffer] })
        socket.send(buffer)
      },
      1,
    ),
  "Blobs keep their place": (env) =>
    echoed(
      env,
      (socket) => {
        socket.send("before")
        socket.send(new Blob(["one"]))
        socket.send("between")
        socket.send(new Uint8Array([1]))
        socket.send(new Blob([]))
        socket.send(new Blob(["x".repeat(10_000)]))
        socket.send("after")
      },
      7,
    ),
  "bytes that change behind a Blob": (env) =>
    echoed(
      env,
      (socket) => {
        const bytes = new Uint8Array([1, 2, 3])
        socket.send(new Blob(["x"]))
        socket.send(bytes)
        bytes.fill(9)
      },
      2,
    ),
  "a megabyte": async (env) => {
    const [[type, bytes]] = await echoed(env, (socket) => socket.send(Uint8Array.from({ length: 1 << 20 }, (_, index) => index % 251)), 1)
    return [type, bytes.length, bytes.every((byte, index) => byte === index % 251)]
  },
  "a thousand messages in order": async (env) => {
    const all = await echoed(env, (socket) => { for (let index = 0; index < 1000; index += 1) socket.send(`${index}`) }, 1000)
    return all.every((text, index) => text === `${index}`)
  },
  "send once closing and closed": async (env) => {
    const socket = await opened(env, "/echo")
    const results = []
    socket.addEventListener("message", () => results.push("message"))
    const closed = next(socket, "close")
    socket.close()
    const before = socket.bufferedAmount
    results.push(outcome(() => socket.send("ü€")), socket.bufferedAmount - before)
    await closed
    const after = socket.bufferedAmount
    results.push(outcome(() => socket.send(new Uint8Array(10))), socket.bufferedAmount - after, outcome(() => socket.send(new Blob(["123"]))), socket.bufferedAmount - after)
    results.push(outcome(() => socket.send()), outcome(() => socket.send(Symbol("x"))))
    return results
  },

  "bufferedAmount counts bytes": async (env) => {
    const socket = await opened(env, "/echo")
    const amounts = [socket.bufferedAmount]
    for (const data of ["abc", "ü€😀", "\uD800", new ArrayBuffer(10), new Uint8Array(20).subarray(5, 8), new Blob(["12345"]), "", "after"]) {
      socket.send(data)
      amounts.push(socket.bufferedAmount)
    }
    await done(socket)
    return amounts
  },
  "bufferedAmount falls to zero once all is sent": async (env) => {
    const socket = await opened(env, "/echo")
    const received = messages(socket, 2)
    socket.send("x".repeat(1000))
    socket.send(new Uint8Array(1000))
    const amount = socket.bufferedAmount
    await received
    const result = [amount, socket.bufferedAmount]
    await done(socket)
    return result
  },
  "bufferedAmount does not fall to zero on close": async (env) => {
    const socket = await opened(env, "/echo")
    await done(socket)
    socket.send("x")
    const first = socket.bufferedAmount
    socket.send("x")
    return [first > 0, socket.bufferedAmount === 2 * first]
  },

  "a message event": async (env) => {
    const socket = await opened(env, "/echo")
    const received = during(socket, "message", (event) => {
      const { data, origin, lastEventId, source, ports, type, bubbles, cancelable, defaultPrevented, composed, eventPhase } = event
      return {
        data, lastEventId, source, type, bubbles, cancelable, defaultPrevented, composed, eventPhase,
        origin: origin === new URL(env.base).origin,
        ports: ports.length,
        name: event.constructor.name,
        tag: String(event),
        isMessageEvent: event instanceof MessageEvent,
        target: event.target === socket,
        currentTarget: event.currentTarget === socket,
      }
    })
    socket.send("data")
    const result = await received
    await done(socket)
    return result
  },
  "binaryType decides when a message comes": async (env) => {
    const socket = await opened(env, "/echo")
    const results = []
    for (const type of ["blob", "arraybuffer", "blob"]) {
      socket.binaryType = type
      const received = next(socket, "message")
      socket.send(new Uint8Array([1, 2]))
      const { data } = await received
      results.push(await readable(data), data instanceof Blob ? [data.size, data.type] : data.byteLength)
    }
    await done(socket)
    return results
  },
  "binaryType changed in a listener is for the next": async (env) => {
    const socket = await opened(env, "/echo")
    socket.addEventListener("message", () => { socket.binaryType = "arraybuffer" }, { once: true })
    const received = messages(socket, 2)
    socket.send(new Uint8Array([1]))
    socket.send(new Uint8Array([2]))
    const result = await received
    await done(socket)
    return result
  },
  "messages of the server right after the opening": async (env) => {
    const socket = new env.WebSocket(`${env.base}/greet`)
    socket.binaryType = "arraybuffer"
    const events = []
    socket.onopen = () => events.push("open")
    socket.onmessage = async ({ data }) => events.push(await readable(data))
    await messages(socket, 3)
    await done(socket)
    return events
  },
  "microtasks of one message run before the next": async (env) => {
    const socket = new env.WebSocket(`${env.base}/greet`)
    const order = []
    socket.onmessage = () => {
      order.push("message")
      queueMicrotask(() => order.push("microtask"))
    }
    await messages(socket, 3)
    await done(socket)
    return order
  },
  "no messages once closing": async (env) => {
    const socket = await opened(env, "/echo")
    let count = 0
    socket.onmessage = () => (count += 1)
    for (let index = 0; index < 10; index += 1) socket.send("x")
    await done(socket)
    return count
  },
}
