// WHATWG WebSockets sections 3.1 (close) and 4: how sockets end, and what the page is told.
import { done, during, life, next, opened, outcome } from "./environment.js"

/** Sends all, closes, and gives what the server got. */
async function tell(env, all) {
  const id = `${Math.random()}`
  const listening = await opened(env, `/told?${id}`)
  const told = next(listening, "message")
  const socket = await opened(env, `/tell?${id}`)
  for (const data of all) socket.send(data)
  await done(socket)
  const { data } = await told
  await done(listening)
  return data
}

/** @type {Record<string, (env: any) => unknown>} */
export const endings = {
  "codes that close takes": async (env) => {
    const codes = [undefined, 1000, 3000, 4999, "3000", 3000.5, 4999.4, 1000.4, { valueOf: () => 3001 }]
    const results = []
    for (const code of codes) {
      const socket = await opened(env, "/echo")
      const events = life(socket)
      results.push(outcome(() => socket.close(code)), socket.readyState, (await events).at(-1))
    }
    return results
  },
  "codes that close does not take": async (env) => {
    const socket = await opened(env, "/echo")
    // Fractions next to a limit are left out: Chromium cuts them off where Web IDL rounds.
    const codes = [0, 1, 999, 1001, 1004, 1005, 1006, 1015, 2999, 5000, 65_536, 66_536, -1, NaN, null, "", "x", {}, Infinity, 1n, Symbol("x")]
    const results = codes.map((code) => [outcome(() => socket.close(code)), socket.readyState])
    await done(socket)
    return results
  },
  "reasons": async (env) => {
    const reasons = ["", "bye", "ü€😀", "x".repeat(123), "é".repeat(61), 7, null, { toString: () => "own" }, undefined, "\uD800"]
    const results = []
    for (const reason of reasons) {
      const socket = await opened(env, "/echo")
      const events = life(socket)
      results.push(outcome(() => socket.close(3456, reason)), (await events).at(-1))
    }
    return results
  },
  "reasons that close does not take": async (env) => {
    const socket = await opened(env, "/echo")
    const results = ["x".repeat(124), "é".repeat(62), Symbol("x")].map((reason) => [outcome(() => socket.close(1000, reason)), socket.readyState])
    results.push(outcome(() => socket.close(999, "x".repeat(124))))
    await done(socket)
    return results
  },
  "close without a code": async (env) => {
    const socket = await opened(env, "/echo")
    const events = life(socket)
    socket.close()
    return [socket.readyState, await events]
  },
  "close twice, and once closed": async (env) => {
    const socket = await opened(env, "/echo")
    const events = life(socket)
    socket.close(3001, "first")
    socket.close(3002, "second")
    const all = await events
    return [all, outcome(() => socket.close(3003)), outcome(() => socket.close(1)), outcome(() => socket.close(1000, "x".repeat(124)))]
  },
  "what was sent before close arrives": (env) => tell(env, ["one", "two", "three"]),
  "what was sent before close arrives, Blobs too": (env) => tell(env, ["one", new Blob(["two"]), "three"]),
  "close while connecting": async (env) => {
    const socket = new env.WebSocket(`${env.base}/silent`)
    const events = life(socket)
    socket.close()
    return [await events, socket.protocol, socket.extensions]
  },
  "close with a code while connecting": async (env) => {
    const socket = new env.WebSocket(`${env.base}/silent`)
    const events = life(socket)
    const refused = [outcome(() => socket.close(1)), socket.readyState, outcome(() => socket.close(1000, "x".repeat(124))), socket.readyState]
    return [refused, outcome(() => socket.close(3000, "x")), await events]
  },
  "the server closes": async (env) => {
    const results = []
    for (const query of ["code=1000", "code=1000&reason=bye", "code=1001", "code=1003", "code=1011&reason=%C3%BC%E2%82%AC", "code=1013", "code=3000", "code=4999&reason=own", ""]) {
      results.push(await life(new env.WebSocket(`${env.base}/close?${query}`)))
    }
    return results
  },
  "the server closes after data": async (env) => {
    const socket = await opened(env, "/last-words")
    const events = life(socket)
    socket.send("go")
    return events
  },
  "the connection is cut": async (env) => {
    const socket = await opened(env, "/cut")
    const closed = next(socket, "close")
    socket.send("go")
    const { code, reason, wasClean } = await closed
    return [code, reason, wasClean, socket.readyState]
  },
  "the opening is refused": async (env) => {
    const results = []
    for (const path of ["/refuse400", "/refuse403", "/refuse503", "/nothing"]) results.push(await life(new env.WebSocket(env.base + path)))
    return results
  },
  "nobody listens": (env) => life(new env.WebSocket("ws://127.0.0.1:1/")),
  "the server breaks the protocol": async (env) => {
    const socket = await opened(env, "/malformed")
    const closed = next(socket, "close")
    socket.send("go")
    const { code, wasClean } = await closed
    return [code, wasClean]
  },
  "a subprotocol is chosen": async (env) => {
    const results = []
    for (const [path, protocols] of [["/first", ["one", "two"]], ["/last", ["one", "two"]], ["/last", "one"], ["/echo", undefined]]) {
      const socket = await opened(env, path, protocols)
      const while_ = socket.protocol
      await done(socket)
      results.push([while_, socket.protocol])
    }
    return results
  },
  "no subprotocol is chosen": (env) => life(new env.WebSocket(`${env.base}/none`, ["one", "two"])),
  "a subprotocol is chosen that was not offered": (env) => life(new env.WebSocket(`${env.base}/foreign`, ["one"])),
  "the server's own extensions": async (env) => {
    const socket = await opened(env, "/echo")
    // Those of the second negotiation are the library's business, and tested elsewhere.
    const theirs = () => socket.extensions.split(", ").filter((extension) => extension !== "" && !/^(x-kaazing|smeuse)-/.test(extension))
    const open = theirs()
    await done(socket)
    return [open, theirs()]
  },
  "a close event": (env) => {
    const socket = new env.WebSocket(`${env.base}/close?code=4000&reason=x`)
    return during(socket, "close", (event) => {
      const { type, code, reason, wasClean, bubbles, cancelable, eventPhase } = event
      return {
        type, code, reason, wasClean, bubbles, cancelable, eventPhase,
        name: event.constructor.name,
        tag: String(event),
        isEvent: event instanceof Event,
        isCloseEvent: event instanceof CloseEvent,
        target: event.target === socket,
        currentTarget: event.currentTarget === socket,
      }
    })
  },
  "an error event": async (env) => {
    const socket = new env.WebSocket(`${env.base}/refuse403`)
    const closed = next(socket, "close")
    const result = await during(socket, "error", (event) => {
      const { type, bubbles, cancelable, eventPhase } = event
      return {
        type, bubbles, cancelable, eventPhase,
        state: socket.readyState,
        name: event.constructor.name,
        tag: String(event),
        isEvent: event instanceof Event,
        target: event.target === socket,
        currentTarget: event.currentTarget === socket,
      }
    })
    await closed
    return result
  },
}
