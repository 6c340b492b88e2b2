// docs/troubleshooting.md has every ending and every refusal, and what it says of them is what happens.
import assert from "node:assert/strict"
import { readFile } from "node:fs/promises"
import { request } from "node:http"
import { join } from "node:path"
import { after, before, describe, test } from "node:test"
import WebSocket from "ws"
import { startGateway } from "../kit/gateway.js"
import { root } from "../kit/process.js"
import { deferred, within } from "../kit/wait.js"
import { table } from "./tables.js"

const read = (path) => readFile(join(root, path), "utf8")
const page = await read("docs/troubleshooting.md")
const code = (cell) => cell.match(/`([\w-]+)`/)?.[1]
const sorted = (rows) => rows.map((row) => row.join(" ")).sort()

describe("the tables", () => {
  test("of close codes has every ending, with the code and the advice of the protocol", async () => {
    const told = table(page, "## By close code").map(([close, by, reason, again]) => [by, reason, close, again])
    const real = table(await read("docs/protocol.md"), "## Endings").map((row) => row.slice(0, 4))
    assert.deepEqual(sorted(told), sorted(real))
  })

  test("of the library's close codes has those of docs/browser.md, with their advice", async () => {
    const told = table(page, "The library itself closes with these, and the gateway may see another one:").map(([close, again]) => [close, again])
    const real = table(await read("docs/browser.md"), "## Errors and close codes").map(([close, , again]) => [close, again])
    assert.deepEqual(sorted(told), sorted(real))
  })

  test("of refusals has every code with its status", async () => {
    const told = table(page, "## By refusal").map(([status, name]) => [status, code(name)])
    const real = table(await read("docs/protocol.md"), "## Opening handshake").map(([status, name]) => [status, code(name)])
    assert.deepEqual(sorted(told), sorted(real))
  })

  test("of reply codes has their names", async () => {
    const source = await read("src/wire/amqp/reply_code.rs")
    for (const [close, name] of table(page, "## By AMQP's reply code")) assert.match(source, new RegExp(`\\b${name} = ${close - 4000}\\b`), name)
  })

  test("leave no cell empty", () => {
    for (const line of page.split("\n").filter((line) => line.startsWith("|"))) assert.doesNotMatch(line, /\|\s*\|/, line)
  })
})

describe("what it names is there", () => {
  test("metrics with their labels", async () => {
    const rows = new Map(table(await read("docs/metrics.md"), "## Metrics").map(([name, , labels]) => [code(name), labels]))
    const named = [...page.matchAll(/`(smeuse_\w+)(?:\{([^}]*)\})?`/g)]
    assert.ok(named.length > 15)
    for (const [, name, labels = ""] of named) {
      assert.ok(rows.has(name), name)
      for (const label of labels.split(",").filter(Boolean)) assert.ok(rows.get(name).includes(`\`${label}\``), `${name}: ${label}`)
    }
  })

  test("settings", async () => {
    const reference = await read("docs/configuration.md")
    const sections = new Map([...reference.matchAll(/^## `\[+([a-z_.]+)\]+`\n([^]*?)(?=^## |(?![^]))/gm)].map(([, name, text]) => [name, text]))
    const named = [...page.matchAll(/`((?:listen|admin|web|log|proxies|drain|limits|websocket|handshake|amqp|control|services)\.[a-z_.]+)`/g)].map(([, name]) => name)
    assert.ok(named.length > 20)
    for (const name of named) {
      const parts = name.split(".")
      const found = parts.some((_, index) => sections.get(parts.slice(0, index + 1).join("."))?.includes(`| \`${parts.slice(index + 1).join(".")}\`<br>`))
      assert.ok(found, name)
    }
  })

  test("lines of the log", async () => {
    const told = await read("docs/operations.md")
    const named = ["session opened", "session agreed", "session ended", "handshake refused", "extended handshake refused", "broker down"]
    for (const line of named) {
      assert.ok(page.includes(`\`${line}\``), line)
      assert.ok(told.includes(`\`${line}\``), line)
    }
  })
})

describe("a gateway does what the tables say", () => {
  let gateway
  before(async () => {
    gateway = await startGateway({
      config: `
[limits]
sessions = 2
[amqp]
login_deadline = "300ms"
[[services]]
name = "amqp"
kind = "amqp"
paths = ["/ws/amqp"]
[services.upstream]
uris = ["amqp://127.0.0.1:1"]
connect_deadline = "200ms"
[[services]]
name = "echo"
kind = "echo"
paths = ["/echo"]
missing_origin = "refuse"
[[services]]
name = "second"
kind = "echo"
paths = ["/second"]
negotiation = "double"
require_extensions = ["smeuse-sequence"]
[[services]]
name = "elsewhere"
kind = "echo"
paths = ["/elsewhere"]
redirect = { to = "wss://other.example/ws" }
`,
    })
  })
  after(() => gateway?.kill())

  const GOOD = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "c21ldXNlLXNtZXVzZS0hIQ==" }
  /** Status and body of an opening; `socket` instead of the body for a 101. */
  const ask = (path, headers = {}, method = "GET") =>
    within(
      5_000,
      "the answer",
      new Promise((resolve, reject) => {
        const all = Object.fromEntries(Object.entries({ ...GOOD, ...headers }).filter(([, value]) => value !== undefined))
        const asked = request({ host: "127.0.0.1", port: gateway.public.split(":")[1], path, method, headers: all })
        asked.on("error", reject)
        asked.on("upgrade", ({ statusCode }, socket) => resolve({ status: statusCode, socket }))
        asked.on("response", (response) => {
          let body = ""
          response.on("data", (data) => (body += data))
          response.on("end", () => resolve({ status: response.statusCode, body }))
        })
        asked.end()
      }),
    )

  const refusals = {
    upgrade_malformed: ["/ws/amqp", { Upgrade: "h2c" }],
    key_missing: ["/ws/amqp", { "Sec-WebSocket-Key": undefined }],
    key_malformed: ["/ws/amqp", { "Sec-WebSocket-Key": "short" }],
    header_malformed: ["/ws/amqp", { "Sec-WebSocket-Protocol": "a b" }],
    subprotocol_not_acceptable: ["/ws/amqp", { "Sec-WebSocket-Protocol": "mqtt" }],
    extension_malformed: ["/echo", { Origin: "http://localhost", "Sec-WebSocket-Extensions": "smeuse-sequence; x" }],
    origin_not_allowed: ["/ws/amqp", { Origin: "https://app.example" }],
    origin_missing: ["/echo"],
    extended_handshake_required: ["/second"],
    path_not_found: ["/ws/amqp/"],
    method_not_allowed: ["/ws/amqp", {}, "POST"],
    upgrade_required: ["/ws/amqp", { Upgrade: undefined, Connection: "close" }],
    version_not_supported: ["/ws/amqp", { "Sec-WebSocket-Version": "8" }],
    redirected: ["/elsewhere"],
  }
  for (const [name, [path, headers, method]] of Object.entries(refusals)) {
    test(`refusal ${name}`, async () => {
      const [status] = table(page, "## By refusal").find(([, each]) => code(each) === name)
      const answer = await ask(path, headers, method)
      assert.deepEqual([answer.status, answer.body.split(":")[0]], [Number(status), name])
      await gateway.line("handshake refused", 5_000, (line) => line.code === name && line.status === answer.status)
      const text = await (await gateway.ask("/metrics")).text()
      assert.match(text, new RegExp(`^smeuse_handshakes_total\\{[^}]*outcome="${name}"[^}]*\\} [1-9]`, "m"))
    })
  }

  const socket = (path, protocols = []) => new WebSocket(`ws://${gateway.public}${path}`, protocols, { origin: "http://localhost" })
  const endings = {
    "1002 not_amqp": ["/ws/amqp", [], (socket) => socket.send(Buffer.from("GET / HTTP/1.1\r\n"))],
    "1003 text_message": ["/ws/amqp", [], (socket) => socket.send("text")],
    "1007 invalid_utf8": ["/echo", [], (socket) => socket.send(Buffer.from([0xff]), { binary: false })],
    "1009 message_too_big": ["/ws/amqp", [], (socket) => socket.send(Buffer.concat([Buffer.from("AMQP\0\0\x09\x01"), Buffer.alloc(100_000)]))],
    "1013 unreachable": ["/ws/amqp", [], (socket) => socket.send(Buffer.from("AMQP\0\0\x09\x01"))],
    "4103 login_timeout": ["/ws/amqp", [], () => {}],
    "4107 extension_required": ["/second", ["x-kaazing-handshake"], (socket) => socket.send("GET /second HTTP/1.1\r\n\r\n")],
    "1002 handshake_malformed": ["/second", ["x-kaazing-handshake"], (socket) => socket.send("nothing like it")],
    "4100 ended": [
      "/echo",
      [],
      async () => {
        const [session] = await (await gateway.ask("/sessions")).json()
        assert.equal((await gateway.ask(`/sessions/${session.id}`, { method: "DELETE" })).status, 204)
      },
    ],
  }
  for (const [name, [path, protocols, provoke]] of Object.entries(endings)) {
    const [close, reason] = name.split(" ")
    test(`ending ${name}`, async () => {
      const [, by] = table(page, "## By close code").find(([each, , label]) => each === close && code(label) === reason)
      const before = gateway.lines.length
      const closed = deferred()
      const opened = socket(path, protocols)
      opened.on("error", closed.reject)
      opened.on("open", () => Promise.resolve(provoke(opened)).catch(closed.reject))
      opened.on("close", (code) => closed.resolve(code))
      assert.equal(await within(5_000, "the close", closed.promise), Number(close))
      await gateway.line("session ended", 5_000, (line) => gateway.lines.indexOf(line) >= before && line.by === by && line.reason === reason)
      const text = await (await gateway.ask("/metrics")).text()
      assert.match(text, new RegExp(`^smeuse_sessions_closed_total\\{by="${by}",reason="${reason}",service="\\w+"\\} [1-9]`, "m"))
    })
  }

  test("refusal too_many_sessions, and the metric that it names", async () => {
    const open = [socket("/echo"), socket("/echo")]
    await Promise.all(open.map((each) => within(5_000, "the open socket", new Promise((resolve, reject) => each.on("open", resolve).on("error", reject)))))
    const answer = await ask("/ws/amqp")
    assert.deepEqual([answer.status, answer.body.split(":")[0]], [503, "too_many_sessions"])
    assert.equal(await gateway.metric('smeuse_limits_hit_total{limit="sessions"}'), 1)
    open.forEach((each) => each.terminate())
  })
})
