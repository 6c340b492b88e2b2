// Applications that know nothing of Smeuse, on an origin server that knows nothing of it either, and a gateway in front.
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { gzipSync } from "node:zlib"
import { WebSocketServer } from "../js/node_modules/ws/wrapper.mjs"
import { startGateway } from "../js/kit/gateway.js"
import { root } from "../js/kit/process.js"
import { until } from "../js/kit/wait.js"
import { amqpService } from "./kit.js"

/** The whole application: publish a message, get it back. Where the broker is it learns from its address, or is the page's host. */
const APPLICATION = `
import { AMQPWebSocketClient } from "/amqp-client.mjs"
const url = new URLSearchParams(location.search).get("socket") ?? location.origin.replace(/^http/, "ws") + "/ws/amqp"
const client = new AMQPWebSocketClient(url, "/", "guest", "guest")
const connection = await client.connect()
const channel = await connection.channel()
await channel.confirmSelect()
const queue = await channel.queueDeclare("", { exclusive: true })
const output = document.querySelector("output")
await channel.basicConsume(queue.name, { noAck: true }, (message) => (output.textContent = message.bodyString()))
await channel.basicPublish("", queue.name, "there and back")
globalThis.extensions = client.socket.extensions
globalThis.disconnect = () => connection.close()
`

const HEAD = `<meta charset="utf-8"><title>An application</title><link rel="icon" href="data:,">`
export const pageWith = (script, body = "<output></output>") => `<!doctype html>\n<html lang="en">\n<head>\n${HEAD}\n${script}\n</head>\n<body>${body}</body>\n</html>\n`
export const PLAIN = pageWith('<script type="module" src="/application.mjs"></script>')

/** In the page: whether the application has done what it does. */
export const ANSWERED = () => document.querySelector("output").textContent === "there and back" && "extensions" in globalThis
export const AGREED = ["x-kaazing-idle-timeout", "x-kaazing-ping-pong", "smeuse-sequence"]

/**
 * A static server as anyone would write it, with a WebSocket of its own: at `/own` it sends back what it gets, and closes
 * with 4321 when it is told "goodbye".
 */
export async function startOrigin(t, pages) {
  const client = await readFile(join(root, "tests/js/node_modules/@cloudamqp/amqp-client/dist/amqp-websocket-client.mjs"))
  const javascript = { "Content-Type": "text/javascript" }
  const files = {
    "/amqp-client.mjs": { headers: javascript, body: client },
    "/application.mjs": { headers: javascript, body: APPLICATION },
    ...pages,
  }
  const seen = []
  const requests = []
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://origin")
    seen.push(pathname)
    requests.push({ pathname, headers: request.headers })
    const file = files[pathname]
    if (!file) return response.writeHead(404, { "Content-Type": "text/plain" }).end("no such page")
    const body = Buffer.from(typeof file.body === "function" ? file.body() : file.body)
    const etag = `"${createHash("sha1").update(body).digest("hex")}"`
    const headers = { "Content-Type": "text/html; charset=utf-8", ETag: etag, ...file.headers }
    if (request.headers["if-none-match"] === etag) return response.writeHead(304, headers).end()
    if (/\bgzip\b/.test(request.headers["accept-encoding"])) return response.writeHead(200, { ...headers, "Content-Encoding": "gzip" }).end(gzipSync(body))
    response.writeHead(200, { ...headers, "Content-Length": body.length }).end(body)
  })
  const sockets = new WebSocketServer({ server, path: "/own" })
  sockets.on("connection", (socket, request) => {
    requests.push({ pathname: "/own", headers: request.headers })
    socket.on("message", (data, isBinary) => (`${data}` === "goodbye" ? socket.close(4321, "as you say") : socket.send(data, { binary: isBinary })))
  })
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.after(() => {
    for (const socket of sockets.clients) socket.terminate()
    server.closeAllConnections()
    server.close()
  })
  /** The headers of the requests for a path. */
  const asked = (path) => requests.filter(({ pathname }) => pathname === path).map(({ headers }) => headers)
  return { url: `http://127.0.0.1:${server.address().port}`, seen, asked }
}

/** The gateway in front of it; `more` are lines of the application, `above` tables. */
export async function startThrough(t, broker, origin, { more = "", above = "", origins = '"loopback"' } = {}) {
  const config = `
${above}
[[web.applications]]
name = "app"
origin = "${origin.url}"
${more}
${amqpService(broker, `page_extensions = ${JSON.stringify(AGREED)}\nallowed_origins = [${origins}]`)}`
  const gateway = await startGateway({ config })
  t.after(() => gateway.kill())
  return gateway
}

/** A certificate for localhost that nobody has signed: the paths of its files. */
export async function selfSigned(t) {
  const folder = await mkdtemp(join(tmpdir(), "smeuse-identity-"))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const [key, certificate] = [join(folder, "key.pem"), join(folder, "certificate.pem")]
  const named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
  const made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-keyout", key, "-out", certificate, ...named]
  await promisify(execFile)("openssl", made)
  return { key, certificate }
}

/** Waits until a sample has this value. */
export const metric = (gateway, sample, value) => until(5_000, `${sample} to be ${value}`, async () => (await gateway.metric(sample)) === value)
export const inserted = 'smeuse_application_pages_rewritten_total{application="app",outcome="inserted"}'
export const sessions = (name) => `smeuse_extension_sessions{extension="${name}"}`
