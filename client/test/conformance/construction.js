// WHATWG WebSockets section 3.1: the constructor, and what its objects look like before anything happens.
import { done, life, next, opened, outcome } from "./environment.js"

const STANDARD = [
  "CONNECTING", "OPEN", "CLOSING", "CLOSED", "url", "readyState", "bufferedAmount", "onopen", "onerror", "onclose", "extensions",
  "protocol", "close", "onmessage", "binaryType", "send", "constructor",
]
const describeProperty = (object, key) => {
  const { value, get, set, ...flags } = Object.getOwnPropertyDescriptor(object, key) ?? {}
  const shape = (part) => (typeof part === "function" ? `${part.name}/${part.length}` : typeof part === "number" ? part : typeof part)
  return { ...flags, value: shape(value), get: shape(get), set: shape(set) }
}

/** What a constructor call throws, or the URL and state it gives; the socket is closed again. */
const constructing = (env, ...args) => {
  let socket
  const result = outcome(() => {
    socket = new env.WebSocket(...args)
    return `${socket.readyState} ${socket.url}`
  })
  return socket === undefined ? result : done(socket).then(() => result)
}

/** @type {Record<string, (env: any) => unknown>} */
export const construction = {
  "the constructor without new": ({ WebSocket }) => outcome(() => WebSocket("ws://127.0.0.1/")),
  "the constructor without arguments": ({ WebSocket }) => outcome(() => new WebSocket()),
  "a URL that is none": (env) => constructing(env, "http://["),
  "a symbol for a URL": (env) => constructing(env, Symbol("url")),
  "an object for a URL": (env) => constructing(env, new URL(`${env.base}/silent`)),
  "an object whose toString throws": (env) => constructing(env, { toString: () => { throw new RangeError("no") } }),
  "a URL in capitals with white space": (env) => constructing(env, `  ${env.base.replace("ws", "WS")}/a/../silent?q=ü  `),
  "http: is ws:": (env) => constructing(env, `${env.base.replace("ws", "http")}/silent`),
  "https: is wss:": async (env) => {
    const socket = new env.WebSocket("https://127.0.0.1:1/")
    const events = await life(socket)
    return [socket.url, events]
  },
  "other schemes": (env) => ["ftp://x/", "mailto:x", "data:,x", "javascript:1", "about:blank", "blob:x"].map((url) => constructing(env, url)),
  "a relative URL": (env) => constructing(env, "relative"),
  "an absolute path": (env) => constructing(env, "/silent"),
  "a URL without a scheme": (env) => constructing(env, "//127.0.0.1:1/"),
  "an empty URL": (env) => constructing(env, ""),
  "a fragment": (env) => constructing(env, `${env.base}/silent#x`),
  "an empty fragment": (env) => constructing(env, `${env.base}/silent#`),
  "a port that is none": (env) => constructing(env, "ws://127.0.0.1:99999/"),
  "subprotocols that cannot be": async (env) => {
    const all = ["", " ", "a b", "a,b", "a/b", "é", "a\n", '"a"', "\u007f", ["a", "a"], ["a", ""], ["a", "b", "a"], [""], null, 1, undefined, [], {}, [["a"]], [null], [undefined], true]
    const results = []
    for (const protocols of all) results.push(await constructing(env, `${env.base}/last`, protocols))
    return results
  },
  "subprotocols of every iterable": async (env) => {
    const sockets = [new Set(["a", "b"]), { *[Symbol.iterator]() { yield "c" } }, new String("d"), "e"].map((protocols) => new env.WebSocket(`${env.base}/last`, protocols))
    const results = await Promise.all(
      sockets.map((socket) => Promise.race([next(socket, "open"), next(socket, "close")]).then(({ type }) => [type, socket.protocol])),
    )
    await Promise.all(sockets.map(done))
    return results
  },
  "an iterable of subprotocols that throws": (env) => constructing(env, `${env.base}/silent`, { [Symbol.iterator]() { throw new RangeError("no") } }),
  "the URL is looked at before the subprotocols": (env) => constructing(env, "ftp://x/", ["a", "a"]),
  "arguments are converted in order, before anything is checked": (env) => {
    const order = []
    const result = outcome(() => new env.WebSocket({ toString: () => (order.push("url"), "ftp://x/") }, { toString: () => (order.push("protocols"), "a b") }))
    return [order, result]
  },

  "length and name of the class": ({ WebSocket }) => [WebSocket.length, WebSocket.name, typeof WebSocket],
  "the class extends EventTarget": ({ WebSocket }) => [
    Object.getPrototypeOf(WebSocket) === EventTarget,
    Object.getPrototypeOf(WebSocket.prototype) === EventTarget.prototype,
    WebSocket.prototype.constructor === WebSocket,
  ],
  "the prototype property of the class": ({ WebSocket }) => describeProperty(WebSocket, "prototype"),
  "properties of the class that for-in finds": ({ WebSocket }) => Object.keys(WebSocket).sort(),
  "constants of the class": ({ WebSocket }) => STANDARD.slice(0, 4).map((key) => describeProperty(WebSocket, key)),
  "properties of the prototype": ({ WebSocket }) => STANDARD.map((key) => [key, describeProperty(WebSocket.prototype, key)]),
  "names on the prototype": ({ WebSocket }) => Object.getOwnPropertyNames(WebSocket.prototype).sort(),
  "the tag": ({ WebSocket }) => Object.getOwnPropertyDescriptor(WebSocket.prototype, Symbol.toStringTag),
  "getters and methods of something else": ({ WebSocket }) => {
    const results = {}
    for (const key of STANDARD.slice(4, -1)) {
      const { get, value } = Object.getOwnPropertyDescriptor(WebSocket.prototype, key)
      results[key] = [outcome(() => (get ?? value).call({})), outcome(() => (get ?? value).call(WebSocket.prototype, 1))]
    }
    return results
  },

  "a new socket": async (env) => {
    const socket = new env.WebSocket(`${env.base}/silent`)
    const { url, readyState, bufferedAmount, extensions, protocol, binaryType, onopen, onmessage, onerror, onclose } = socket
    const inFor = []
    for (const key in socket) inFor.push(key)
    const result = {
      url, readyState, bufferedAmount, extensions, protocol, binaryType, onopen, onmessage, onerror, onclose,
      own: Reflect.ownKeys(socket).filter((key) => typeof key === "string"),
      inFor: inFor.sort(),
      tag: String(socket),
      json: JSON.stringify(socket),
      isInstance: socket instanceof env.WebSocket,
      isEventTarget: socket instanceof EventTarget,
      constants: [socket.CONNECTING, socket.OPEN, socket.CLOSING, socket.CLOSED],
    }
    await done(socket)
    return result
  },
  "what cannot be assigned": async (env) => {
    const socket = new env.WebSocket(`${env.base}/silent`)
    const keys = ["url", "readyState", "bufferedAmount", "extensions", "protocol", "CONNECTING", "OPEN"]
    const results = keys.map((key) => outcome(() => { socket[key] = 7 }))
    await done(socket)
    return results
  },
  "binaryType takes what it knows": async (env) => {
    const socket = new env.WebSocket(`${env.base}/silent`)
    const results = ["arraybuffer", "ARRAYBUFFER", "blob", "", null, undefined, 1, { toString: () => "arraybuffer" }].map((type) => {
      socket.binaryType = type
      return socket.binaryType
    })
    results.push(outcome(() => { socket.binaryType = Symbol("x") }))
    await done(socket)
    return results
  },
  "a subclass": async (env) => {
    class Mine extends env.WebSocket {
      greet() {
        return `${this.url}!`
      }
    }
    const socket = await opened({ ...env, WebSocket: Mine }, "/echo")
    const result = [socket instanceof Mine, socket instanceof env.WebSocket, socket.greet(), socket.constructor === Mine, socket.readyState, Mine.OPEN]
    await done(socket)
    return result
  },
  "things that are no instances": ({ WebSocket }) => [{}, null, 1, "x", new EventTarget(), WebSocket.prototype, Object.create(WebSocket.prototype)].map((thing) => thing instanceof WebSocket),
}
