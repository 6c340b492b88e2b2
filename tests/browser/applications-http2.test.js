// Origins that speak HTTP/2: by prior knowledge over plain TCP, and by what TLS agrees on. Node's own server is the witness.
import assert from "node:assert/strict"
import { readFile } from "node:fs/promises"
import { constants, createSecureServer, createServer } from "node:http2"
import { describe, test } from "node:test"
import { startGateway } from "../js/kit/gateway.js"
import { selfSigned } from "./application.js"

const PAGE = "<!doctype html><head><title>x</title></head><p>y"

/** Answers with what it was asked, a page at "/", and a stream of two parts at "/parts". */
function answer(request, response) {
  if (request.url === "/") return response.writeHead(200, { "content-type": "text/html" }).end(PAGE)
  if (request.url === "/parts") {
    response.writeHead(200, { "content-type": "text/plain" })
    response.write("first ")
    return setTimeout(() => response.end("second"), 50)
  }
  const body = []
  request.on("data", (chunk) => body.push(chunk))
  request.on("end", () => {
    const { method, url, httpVersion, headers } = request
    response.writeHead(200, { "content-type": "application/json" })
    response.end(JSON.stringify({ method, url, httpVersion, headers, authority: request.authority, body: Buffer.concat(body).toString() }))
  })
}

async function through(t, server, application) {
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))
  const sessions = new Set()
  server.on("session", (session) => sessions.add(session))
  t.after(() => {
    for (const session of sessions) session.destroy()
    server.close()
  })
  const config = `
[listen]
workers = 1
[[web.applications]]
name = "app"
${application(server.address().port)}
[[services]]
name = "echo"
kind = "echo"
paths = ["/echo"]
`
  const gateway = await startGateway({ config })
  t.after(() => gateway.kill())
  return { url: `http://${gateway.public}`, gateway, sessions }
}

async function speaks(url, host, secure) {
  const asked = await (await fetch(`${url}/ask?x=1`, { method: "POST", body: "a body", headers: { Connection: "close", TE: "trailers" } })).json()
  assert.equal(asked.httpVersion, "2.0")
  assert.deepEqual([asked.method, asked.url, asked.body], ["POST", "/ask?x=1", "a body"])
  assert.equal(asked.authority, host)
  assert.equal(asked.headers[":scheme"], secure ? "https" : "http")
  for (const gone of ["connection", "transfer-encoding", "te", "upgrade"]) assert.equal(asked.headers[gone], undefined, gone)
  assert.equal(asked.headers["x-forwarded-for"], "127.0.0.1")
  assert.equal(asked.headers["x-forwarded-proto"], "http")
  assert.equal(await (await fetch(`${url}/parts`)).text(), "first second")
  const page = await (await fetch(url, { headers: { Accept: "text/html" } })).text()
  assert.match(page, /^<!doctype html><head><script src="\/_smeuse\/smeuse.js" integrity="sha384-/)
}

describe("an origin that speaks HTTP/2", () => {
  test("over plain TCP, many requests on one connection", { timeout: 60_000 }, async (t) => {
    const { url, sessions } = await through(t, createServer(answer), (port) => `origin = "http://127.0.0.1:${port}"\nprotocol = "http2"`)
    await speaks(url, url.slice("http://".length), false)
    await Promise.all(Array.from({ length: 20 }, async () => assert.equal(await (await fetch(`${url}/parts`)).text(), "first second")))
    assert.equal(sessions.size, 1)
  })

  test("is asked once, also where it resets a stream of a connection that has answered", { timeout: 60_000 }, async (t) => {
    let resets = 0
    const server = createServer((request, response) => {
      if (request.url !== "/reset") return answer(request, response)
      resets += 1
      response.stream.close(constants.NGHTTP2_INTERNAL_ERROR)
    })
    const { url, sessions } = await through(t, server, (port) => `origin = "http://127.0.0.1:${port}"\nprotocol = "http2"`)
    assert.equal((await fetch(`${url}/ask`)).status, 200)
    assert.equal((await fetch(`${url}/reset`)).status, 502)
    assert.deepEqual([resets, sessions.size], [1, 1])
    assert.equal((await fetch(`${url}/ask`)).status, 200)
  })

  test("over TLS, where it offers it, under its own authority", { timeout: 60_000 }, async (t) => {
    const { key, certificate } = await selfSigned(t)
    const identity = { key: await readFile(key), cert: await readFile(certificate) }
    const at = (more) => (port) =>
      `origin = "https://127.0.0.1:${port}"\ntls = { ca = "${certificate}", server_name = "localhost" }\nhost_header = "origin"\n${more}`
    const server = createSecureServer({ ...identity, allowHTTP1: true }, answer)
    const both = await through(t, server, at(""))
    await speaks(both.url, `127.0.0.1:${server.address().port}`, true)
    const old = createSecureServer({ ...identity, allowHTTP1: true }, answer)
    const first = await through(t, old, at('protocol = "http1"'))
    const asked = await (await fetch(`${first.url}/ask`)).json()
    assert.equal(asked.httpVersion, "1.1")
    // Who is not trusted is not spoken to.
    const stranger = createSecureServer({ ...identity, allowHTTP1: true }, answer)
    const { url, gateway } = await through(t, stranger, (port) => `origin = "https://127.0.0.1:${port}"`)
    assert.equal((await fetch(`${url}/`)).status, 502)
    assert.equal(await gateway.metric('smeuse_application_failures_total{application="app",reason="origin_unreachable"}'), 1)
  })
})
