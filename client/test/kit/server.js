// A scripted gateway: a WebSocket server whose every path does what a test says, the extended handshake included.
import { createServer } from "node:http"
import { WebSocketServer } from "ws"
import { deferred, within } from "../../../tests/js/kit/wait.js"

export const HANDSHAKE = "x-kaazing-handshake"

/** How long a peer waits for a message before the test fails. */
const DEADLINE = 5000

/**
 * Starts a server on a free port. `paths` maps a path to `{ choose, run, refuse }`: which subprotocol is answered of
 * those offered (by default the handshake's if offered, else none), what is done with the socket, and a status instead.
 * `files` maps a path to `[type, body, headers]` for plain requests, or to a function that gives or promises it.
 */
export async function startServer(paths = {}, files = {}) {
  const http = createServer(async (request, response) => {
    const found = files[new URL(request.url, "http://x").pathname]
    if (found === undefined) return response.writeHead(404).end()
    const [type, body, headers = {}] = typeof found === "function" ? await found() : found
    response.writeHead(200, { "Content-Type": type, "Access-Control-Allow-Origin": "*", ...headers }).end(body)
  })
  const problems = []
  const openings = []
  const peers = new Set()
  const serverFor = (choose) => new WebSocketServer({ noServer: true, handleProtocols: (offered) => choose([...offered]) ?? false })

  http.on("upgrade", (request, socket, head) => {
    const { pathname } = new URL(request.url, "http://x")
    const script = paths[pathname]
    socket.on("error", () => {})
    const offered = (request.headers["sec-websocket-protocol"] ?? "").split(/\s*,\s*/).filter(Boolean)
    openings.push({ path: request.url, offered, at: performance.now() })
    if (script === undefined || script.refuse !== undefined) {
      socket.end(`HTTP/1.1 ${script?.refuse ?? 404} No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
      return
    }
    const choose = script.choose ?? ((protocols) => protocols.find((protocol) => protocol === HANDSHAKE))
    serverFor(choose).handleUpgrade(request, socket, head, (ws) => {
      const peer = new Peer(ws, request, offered)
      peers.add(peer)
      ws.on("close", () => peers.delete(peer))
      // A client that leaves is seen by the test on its own side.
      Promise.resolve(script.run?.(peer)).catch((error) => error instanceof ClientLeft || problems.push(error))
    })
  })
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve))
  const { port } = http.address()
  return {
    paths,
    files,
    port,
    openings,
    problems,
    url: `ws://127.0.0.1:${port}`,
    http: `http://127.0.0.1:${port}`,
    async stop() {
      for (const peer of peers) peer.ws.terminate()
      http.closeAllConnections?.()
      await new Promise((resolve) => http.close(resolve))
      if (problems.length > 0) throw problems[0]
    },
  }
}

/** A script waited for a message, and the client closed instead. */
export class ClientLeft extends Error {}

/** One client as a script sees it. */
export class Peer {
  #arrived = []
  #waiting = []
  #closed = deferred()
  isGone = false

  constructor(ws, request, offered) {
    this.ws = ws
    this.request = request
    this.offered = offered
    ws.on("message", (data, isBinary) => {
      const message = isBinary ? data : data.toString()
      const waiting = this.#waiting.shift()
      if (waiting) waiting.resolve(message)
      else this.#arrived.push(message)
    })
    ws.on("error", () => {})
    ws.on("close", (code, reason) => {
      this.isGone = true
      for (const { reject } of this.#waiting) reject(new ClientLeft(`the client closed with ${code} instead`))
      this.#closed.resolve({ code, reason: reason.toString() })
    })
  }

  /** The next message: a string or a Buffer. */
  next(what = "a message of the client") {
    if (this.#arrived.length > 0) return Promise.resolve(this.#arrived.shift())
    if (this.isGone) return Promise.reject(new ClientLeft(`the client has closed instead of sending ${what}`))
    const arrival = deferred()
    this.#waiting.push(arrival)
    return within(DEADLINE, what, arrival.promise)
  }

  /** Calls `handle` with every message, those that have arrived first. */
  forEach(handle) {
    for (const message of this.#arrived.splice(0)) handle(message)
    this.#arrived.push = handle
  }

  /** What has arrived and was not asked for. */
  get unread() {
    return this.#arrived
  }

  /** How the client ended: code (1005 none, 1006 no Close frame) and reason. */
  closed() {
    return within(DEADLINE, "the end of the client", this.#closed.promise)
  }

  send(data) {
    this.ws.send(data)
  }

  /** The extended request as a value: its line and its headers in lower case. */
  async extendedRequest() {
    return parseRequest(await this.next("the extended request"))
  }

  /** Answers an extended request; always BINARY. */
  respond(status, reason, headers = [], body = "") {
    const head = [`HTTP/1.1 ${status} ${reason}`, ...headers, ""].join("\r\n")
    this.ws.send(Buffer.from(`${head}\r\n${body}`))
  }

  /** Answers with a 101 that agrees on these extensions, written as in a header. */
  agree({ extensions = [], protocol } = {}) {
    this.respond(101, "Web Socket Protocol Handshake", [
      "Connection: Upgrade",
      "Date: Thu, 01 Jan 2015 00:00:00 GMT",
      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
      ...extensions.map((extension) => `Sec-WebSocket-Extensions: ${extension}`),
      ...(protocol === undefined ? [] : [`Sec-WebSocket-Protocol: ${protocol}`]),
      "Server: Scripted",
      "Upgrade: websocket",
    ])
  }

  /** Refuses as the gateway does: a status, a sentence, and a Close frame unless `close` is null. */
  refuse(status, reason, { headers = [], body = "", close = null } = {}) {
    const all = ["Content-Type: text/plain; charset=utf-8", ...headers, `Content-Length: ${Buffer.byteLength(body)}`]
    this.respond(status, reason, all, body)
    if (close !== null) this.ws.close(close.code, close.reason)
  }

  /** Asks for credentials. */
  challenge(...challenges) {
    this.refuse(401, "Unauthorized", { headers: challenges.map((each) => `WWW-Authenticate: ${each}`), body: "login_required: who is it?\n" })
  }
}

/** @returns {{ line: string, headers: Record<string, string> }} */
export function parseRequest(text) {
  const [line, ...lines] = String(text).split("\r\n")
  const headers = {}
  for (const header of lines) {
    const colon = header.indexOf(":")
    if (colon > 0) headers[header.slice(0, colon).toLowerCase()] = header.slice(colon + 1).trim()
  }
  return { line, headers }
}
