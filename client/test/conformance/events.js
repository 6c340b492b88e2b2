// HTML section 8.1.8 (event handlers) and DOM (EventTarget), as far as sockets show them.
import { done, during, next, opened } from "./environment.js"

/** An open socket, and the message that makes its listeners run. */
async function dispatching(env, prepare) {
  const socket = await opened(env, "/echo")
  const log = []
  await prepare(socket, log)
  const received = next(socket, "message")
  socket.send("m")
  await received
  await done(socket)
  return log
}

/** @type {Record<string, (env: any) => unknown>} */
export const events = {
  "an open event": async (env) => {
    const socket = new env.WebSocket(`${env.base}/echo`)
    const result = await during(socket, "open", (event) => {
      const { type, bubbles, cancelable, composed, eventPhase } = event
      return {
        type, bubbles, cancelable, composed, eventPhase,
        state: socket.readyState,
        name: event.constructor.name,
        target: event.target === socket,
        currentTarget: event.currentTarget === socket,
      }
    })
    await done(socket)
    return result
  },
  "no event during the constructor": async (env) => {
    const order = []
    const socket = new env.WebSocket(`${env.base}/echo`)
    order.push("constructed")
    queueMicrotask(() => order.push("microtask"))
    socket.onopen = () => order.push("open")
    await next(socket, "open")
    await done(socket)
    return order
  },
  "the target while an event is dispatched": (env) =>
    dispatching(env, (socket, log) => {
      socket.onmessage = function (event) {
        log.push(this === socket, event.currentTarget === socket, event.eventPhase, event.composedPath().length, arguments.length)
      }
    }),
  "handlers keep their place among listeners": (env) =>
    dispatching(env, (socket, log) => {
      socket.addEventListener("message", () => log.push("a"))
      socket.onmessage = () => log.push("first handler")
      socket.addEventListener("message", () => log.push("b"))
      socket.onmessage = () => log.push("second handler")
      socket.addEventListener("message", () => log.push("c"))
    }),
  "a handler that was taken away comes last": (env) =>
    dispatching(env, (socket, log) => {
      socket.onmessage = () => log.push("first handler")
      socket.addEventListener("message", () => log.push("a"))
      socket.onmessage = null
      socket.addEventListener("message", () => log.push("b"))
      socket.onmessage = () => log.push("second handler")
    }),
  "what a handler may be": async (env) => {
    const socket = await opened(env, "/echo")
    const results = [() => {}, null, undefined, 1, "text", {}, { handleEvent() {} }, class {}, []].map((value) => {
      socket.onmessage = value
      return socket.onmessage === value ? "same" : socket.onmessage
    })
    await done(socket)
    return results
  },
  "an object is a handler that does nothing": (env) =>
    dispatching(env, (socket, log) => {
      socket.onmessage = { handleEvent: () => log.push("never") }
      socket.addEventListener("message", { handleEvent: () => log.push("listener") })
    }),
  "a handler taken away while its event is dispatched": (env) =>
    dispatching(env, (socket, log) => {
      socket.addEventListener("message", () => {
        log.push("a")
        socket.onmessage = null
      })
      socket.onmessage = () => log.push("never")
    }),
  "a handler set while its event is dispatched": (env) =>
    dispatching(env, (socket, log) => {
      socket.addEventListener("message", () => {
        log.push("a")
        socket.onmessage = () => log.push("not this time")
      })
    }),
  "a handler changed while its event is dispatched": (env) =>
    dispatching(env, (socket, log) => {
      socket.addEventListener("message", () => {
        socket.onmessage = () => log.push("new")
      })
      socket.onmessage = () => log.push("old")
    }),
  "a handler that returns false": (env) =>
    dispatching(env, (socket, log) => {
      socket.onmessage = () => false
      socket.addEventListener("message", (event) => log.push(event.defaultPrevented))
    }),
  "stopImmediatePropagation": async (env) => {
    const socket = await opened(env, "/echo")
    const log = []
    socket.addEventListener("message", (event) => {
      log.push("a")
      event.stopImmediatePropagation()
    })
    socket.onmessage = () => log.push("never")
    socket.addEventListener("message", () => log.push("never"))
    socket.dispatchEvent(new MessageEvent("message"))
    await done(socket)
    return log
  },
  "listeners once, twice the same, and taken off": (env) =>
    dispatching(env, async (socket, log) => {
      const same = () => log.push("same")
      socket.addEventListener("message", same)
      socket.addEventListener("message", same)
      socket.addEventListener("message", () => log.push("once"), { once: true })
      const off = () => log.push("never")
      socket.addEventListener("message", off)
      socket.removeEventListener("message", off)
      const abort = new AbortController()
      socket.addEventListener("message", off, { signal: abort.signal })
      abort.abort()
      const received = next(socket, "message")
      socket.send("first")
      await received
      log.push("|")
    }),
  "events that the page dispatches itself": async (env) => {
    const socket = await opened(env, "/echo")
    const log = []
    socket.onmessage = (event) => log.push([event.type, event.data, event.target === socket])
    socket.onclose = (event) => log.push([event.type, socket.readyState])
    socket.addEventListener("own", (event) => log.push(event.type))
    log.push(socket.dispatchEvent(new MessageEvent("message", { data: "mine" })), socket.dispatchEvent(new Event("own", { cancelable: true })))
    socket.dispatchEvent(new Event("close"))
    log.push(socket.readyState)
    socket.onclose = null
    await done(socket)
    return log
  },
  "all four handlers": async (env) => {
    const socket = new env.WebSocket(`${env.base}/close?code=4000`)
    const log = []
    for (const type of ["open", "message", "error", "close"]) socket[`on${type}`] = (event) => log.push([event.type, socket.readyState])
    await next(socket, "close")
    const failing = new env.WebSocket(`${env.base}/refuse403`)
    for (const type of ["open", "message", "error", "close"]) failing[`on${type}`] = (event) => log.push([event.type, failing.readyState])
    await next(failing, "close")
    return log
  },
  "close in the open handler": async (env) => {
    const socket = new env.WebSocket(`${env.base}/greet`)
    const log = []
    socket.onopen = () => {
      log.push("open")
      socket.close(3000, "early")
      log.push(socket.readyState)
    }
    socket.onmessage = () => log.push("message")
    const { code } = await next(socket, "close")
    return [...log, code]
  },
  "send in the open handler": async (env) => {
    const socket = new env.WebSocket(`${env.base}/echo`)
    socket.onopen = () => socket.send("at once")
    const { data } = await next(socket, "message")
    await done(socket)
    return data
  },
}
