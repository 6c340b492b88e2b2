// The library in a real Chromium, where it depends on one: script tags, config.json, extension modules, logins, and an
// AMQP library that knows nothing of it.
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { after, before, beforeEach, describe, test } from "node:test"
import { deferred } from "../../../tests/js/kit/wait.js"
import { speakAmqp } from "../kit/broker.js"
import { libraryFiles, openPage, startChromium } from "../kit/browser.js"
import { liveInPage, openLibraryPage } from "../kit/e2e.js"
import { HANDSHAKE, startServer } from "../kit/server.js"

let server
let browser
before(async () => {
  server = await startServer({}, libraryFiles())
  browser = await startChromium()
})
after(async () => {
  await browser?.close()
  await server?.stop()
})

const stamp = `export default {
  name: "acme-stamp",
  agree: (params) => ({ level: params[0][1] }),
  toServer: (message, { state }) => message + "!".repeat(Number(state.level)),
}`
const integrityOf = (text) => `sha384-${createHash("sha384").update(text).digest("base64")}`
const endpoint = { service: "x", kind: "echo", paths: ["/ws"], extensions: [{ name: "x-kaazing-ping-pong" }], fallback: "plain" }
const config = (...endpoints) => ["application/json", JSON.stringify({ version: 1, endpoints })]

/** Agrees on all that is offered, as it is offered, and echoes. */
async function gateway(peer) {
  if (peer.ws.protocol !== HANDSHAKE) return
  const { headers } = await peer.extendedRequest()
  const offered = headers["sec-websocket-extensions"]?.split(", ") ?? []
  peer.agree({ extensions: offered.map((name) => (name === "x-kaazing-ping-pong" ? `${name}; 01010102` : name)) })
  peer.forEach((message) => peer.send(message))
}

beforeEach(() => {
  server.openings.length = 0
  Object.assign(server.paths, { "/ws": { run: gateway }, "/other": { run: (peer) => peer.forEach((message) => peer.send(message)) } })
  server.files["/_smeuse/config.json"] = config(endpoint)
})

const classic = async (path = "/empty.html") => {
  const page = await openPage(browser, server.http + path)
  if (path === "/empty.html") await page.addScriptTag({ url: "/_smeuse/smeuse.js" })
  return page
}

/** In the page: opens, sends `x`, and tells what happened until the first message or the end. */
const roundTrip = (page, url, options) =>
  page.evaluate(
    ({ url, options }) =>
      new Promise((resolve) => {
        const socket = new WebSocket(url, [], options)
        const tell = (more) => resolve({ ...more, extensions: socket.extensions, isInstance: socket instanceof WebSocket, isOurs: socket.constructor === WebSocket, url: socket.url })
        const events = []
        socket.onopen = () => socket.send("x")
        socket.onmessage = ({ data }) => tell({ data })
        socket.onerror = () => events.push("error")
        socket.onclose = ({ code, reason }) => tell({ events, code, reason })
      }),
    { url, options },
  )

describe("the classic script", () => {
  test("gives the second negotiation to the endpoints of config.json", async () => {
    const page = await classic()
    const { data, extensions, isInstance, isOurs } = await roundTrip(page, "/ws")
    assert.deepEqual({ data, extensions, isInstance, isOurs }, { data: "x", extensions: "x-kaazing-ping-pong; 01010102", isInstance: true, isOurs: true })
    assert.deepEqual(server.openings.map(({ offered }) => offered), [[HANDSHAKE]])
    await page.context().close()
  })

  test("gives the gateway's other paths a plain WebSocket", async () => {
    const page = await classic()
    const { data, extensions } = await roundTrip(page, "/other")
    assert.deepEqual([data, extensions], ["x", ""])
    assert.deepEqual(server.openings.map(({ offered }) => offered), [[]])
    await page.context().close()
  })

  test("hands sockets to other hosts to the platform, untouched", async () => {
    const page = await classic()
    const { data, isInstance, isOurs } = await roundTrip(page, `ws://localhost:${server.port}/other`)
    assert.deepEqual([data, isInstance, isOurs], ["x", true, false])
    assert.deepEqual(server.openings.map(({ offered }) => offered), [[]])
    await page.context().close()
  })

  test("waits for config.json, during which a socket is connecting", async () => {
    const asked = deferred()
    const answer = deferred()
    server.files["/_smeuse/config.json"] = () => (asked.resolve(), answer.promise)
    const page = await classic()
    await asked.promise
    const result = roundTrip(page, "/ws")
    const states = await page.evaluate(() => {
      const socket = new WebSocket("/ws")
      const before = [socket.readyState, socket.bufferedAmount, socket.protocol, socket.extensions]
      socket.close()
      return new Promise((resolve) => (socket.onclose = ({ code, wasClean }) => resolve([before, code, wasClean, socket.readyState])))
    })
    assert.deepEqual(states, [[0, 0, "", ""], 1006, false, 3])
    assert.deepEqual(server.openings, [])
    answer.resolve(config(endpoint))
    assert.equal((await result).data, "x")
    await page.context().close()
  })

  test("does not wait for ever", async () => {
    server.files["/_smeuse/config.json"] = () => new Promise(() => {})
    const page = await classic()
    const { data, extensions } = await roundTrip(page, "/other")
    assert.deepEqual([data, extensions], ["x", ""])
    await page.context().close()
  })

  test("without a config.json leaves plain WebSockets", async () => {
    delete server.files["/_smeuse/config.json"]
    const page = await classic()
    const { data, extensions } = await roundTrip(page, "/other")
    assert.deepEqual([data, extensions], ["x", ""])
    await page.context().close()
  })

  test("finds config.json where data-config says", async () => {
    delete server.files["/_smeuse/config.json"]
    server.files["/elsewhere.json"] = config(endpoint)
    server.files["/tag.html"] = ["text/html", `<!doctype html><title>x</title><script src="/_smeuse/smeuse.js" data-config="elsewhere.json"></script>`]
    const page = await classic("/tag.html")
    assert.equal((await roundTrip(page, "/ws")).extensions, "x-kaazing-ping-pong; 01010102")
    await page.context().close()
  })

  test("twice is once, and the module beside it stands on the platform's WebSocket", async () => {
    const page = await classic()
    const first = await page.evaluateHandle(() => WebSocket)
    await page.addScriptTag({ url: "/_smeuse/smeuse.js" })
    assert.ok(await page.evaluate((first) => first === WebSocket, first))
    const opened = await page.evaluate(async () => {
      const { WebSocket } = await import("/_smeuse/smeuse.mjs")
      const socket = new WebSocket("/ws", [], { extensions: ["smeuse-sequence"] })
      return new Promise((resolve) => (socket.onopen = socket.onclose = ({ type }) => resolve([type, socket.extensions])))
    })
    assert.deepEqual(opened, ["open", "smeuse-sequence"])
    assert.deepEqual(server.openings.map(({ offered }) => offered), [[HANDSHAKE]])
    await page.context().close()
  })

  test("replaces a property that looks as before", async () => {
    const page = await openPage(browser, `${server.http}/empty.html`)
    const look = () => page.evaluate(() => ({ ...Object.getOwnPropertyDescriptor(globalThis, "WebSocket"), value: typeof WebSocket }))
    const before = await look()
    await page.addScriptTag({ url: "/_smeuse/smeuse.js" })
    assert.deepEqual(await look(), before)
    await page.context().close()
  })

  test("in a worker made from a Blob, which has no host, changes nothing until it is told the gateway", async () => {
    const page = await openPage(browser, `${server.http}/empty.html`)
    const result = await page.evaluate(
      (http) =>
        new Promise((resolve, reject) => {
          const text = `importScripts("${http}/_smeuse/smeuse.js")
            const open = () => new Promise((resolve) => {
              const socket = new WebSocket("${http}/ws")
              socket.onopen = socket.onclose = ({ type }) => resolve([type, socket.extensions, socket.constructor === WebSocket])
            })
            ;(async () => {
              const before = await open()
              WebSocket.configure({ gateway: "${http}" })
              postMessage([before[2], await open()])
            })()`
          const worker = new Worker(URL.createObjectURL(new Blob([text])))
          worker.onmessage = ({ data }) => resolve(data)
          worker.onerror = ({ message }) => reject(new Error(message))
        }),
      server.http,
    )
    assert.deepEqual(result, [false, ["open", "x-kaazing-ping-pong; 01010102", true]])
    await page.context().close()
  })
})

describe("the module", () => {
  const opened = (page, from, url) =>
    page.evaluate(
      async ({ from, url }) => {
        const { WebSocket } = await import(from)
        const socket = new WebSocket(url)
        return new Promise((resolve) => (socket.onopen = socket.onclose = ({ type }) => resolve([type, socket.extensions, socket.constructor === WebSocket])))
      },
      { from, url },
    )
  const offered = () => server.openings.map(({ offered }) => offered)

  test("of a gateway has the config.json beside it, and other hosts have the platform's own objects", async () => {
    const page = await openPage(browser, `${server.http}/empty.html`)
    assert.deepEqual(await opened(page, "/_smeuse/smeuse.mjs", "/ws"), ["open", "x-kaazing-ping-pong; 01010102", true])
    assert.deepEqual(await opened(page, "/_smeuse/smeuse.mjs", `ws://localhost:${server.port}/other`), ["open", "", false])
    assert.deepEqual(offered(), [[HANDSHAKE], []])
    await page.context().close()
  })

  test("that installs it replaces globalThis.WebSocket, in a module script and in a module worker, and once", async () => {
    const line = 'import "/_smeuse/install.mjs"'
    server.files["/worker.js"] = ["text/javascript", `${line}
      const socket = new WebSocket("/ws")
      socket.onopen = socket.onclose = ({ type }) => postMessage([type, socket.extensions])`]
    const page = await openPage(browser, `${server.http}/empty.html`)
    await page.addScriptTag({ type: "module", content: `${line}\nglobalThis.installed = WebSocket` })
    await page.waitForFunction(() => globalThis.installed)
    assert.equal((await roundTrip(page, "/ws")).extensions, "x-kaazing-ping-pong; 01010102")
    const inWorker = await page.evaluate(
      () =>
        new Promise((resolve, reject) => {
          const worker = new Worker("/worker.js", { type: "module" })
          worker.onmessage = ({ data }) => resolve(data)
          worker.onerror = ({ message }) => reject(new Error(message))
        }),
    )
    assert.deepEqual(inWorker, ["open", "x-kaazing-ping-pong; 01010102"])
    assert.deepEqual(offered(), [[HANDSHAKE], [HANDSHAKE]])
    // The classic script finds that another copy was there before.
    await page.addScriptTag({ url: "/_smeuse/smeuse.js" })
    assert.ok(await page.evaluate(() => WebSocket === installed))
    const later = await openPage(browser, `${server.http}/empty.html`)
    await later.addScriptTag({ url: "/_smeuse/smeuse.js" })
    assert.ok(await later.evaluate(async () => { const classic = WebSocket; await import("/_smeuse/install.mjs"); return WebSocket === classic }))
    for (const each of [page, later]) await each.context().close()
  })

  test("from npm tries a server that knows nothing of the extended handshake once", async () => {
    server.paths["/other"].choose = () => undefined
    const page = await openPage(browser, `${server.http}/empty.html`)
    for (const expected of [[[HANDSHAKE], []], [[]]]) {
      assert.deepEqual(await opened(page, "/npm/smeuse.mjs", "/other"), ["open", "", true])
      assert.deepEqual(offered(), expected)
      server.openings.length = 0
    }
    await page.context().close()
  })

  test("has a login for the page's own host, and nobody is asked for others", async () => {
    server.paths["/ws"].run = async (peer) => {
      await peer.next()
      peer.challenge('Application Basic realm="Smeuse"')
      await peer.next()
      peer.agree()
    }
    const page = await openPage(browser, `${server.http}/empty.html`)
    const ends = await page.evaluate(async (port) => {
      const { WebSocket } = await import("/npm/smeuse.mjs")
      const asked = []
      WebSocket.login = ({ url }) => (asked.push(new URL(url).hostname), { username: "guest", password: "x" })
      const end = (host) =>
        new Promise((resolve) => {
          const socket = new WebSocket(`ws://${host}:${port}/ws`)
          socket.onopen = () => resolve("open")
          socket.onclose = ({ code }) => resolve(code)
        })
      return [await end("127.0.0.1"), await end("localhost"), asked]
    }, server.port)
    assert.deepEqual(ends, ["open", 4110, ["127.0.0.1"]])
    await page.context().close()
  })
})

describe("extension modules of config.json", () => {
  const withModule = (integrity) => {
    server.files["/_smeuse/extensions/acme-stamp.js"] = ["text/javascript", stamp]
    const extensions = [{ name: "acme-stamp", params: "level=2", module: "/_smeuse/extensions/acme-stamp.js", integrity }]
    server.files["/_smeuse/config.json"] = config({ ...endpoint, extensions })
  }

  test("are imported, when they are unchanged", async () => {
    withModule(integrityOf(stamp))
    const page = await classic()
    const { data, extensions } = await roundTrip(page, "/ws")
    assert.deepEqual([data, extensions], ["x!!", "acme-stamp; level=2"])
    await page.context().close()
  })

  test("that were changed fail the socket before anything is opened", async () => {
    withModule(integrityOf(`${stamp} `))
    const page = await classic()
    const { events, code, reason } = await roundTrip(page, "/ws")
    assert.deepEqual([events, code], [["error"], 1006])
    assert.match(reason, /^the extension acme-stamp cannot be loaded/)
    assert.deepEqual(server.openings, [])
    await page.context().close()
  })
})

describe("in a page", () => {
  for (const by of ["classic", "module"]) {
    test(`a login asks once for each round (${by})`, async () => {
      server.paths["/ws"].run = async (peer) => {
        for (;;) {
          const { headers } = await peer.extendedRequest()
          if (headers.authorization === `Basic ${Buffer.from("jö:pä€").toString("base64")}`) break
          peer.challenge('Application Basic realm="Smeuse"')
        }
        peer.agree({ extensions: ["x-kaazing-ping-pong; 01010102"] })
        peer.forEach((message) => peer.send(message))
      }
      const page = await openLibraryPage(browser, server.http, { by, page: "/empty.html" })
      const credentials = ["wrong", "pä€"].map((password) => ({ username: "jö", password }))
      const life = await liveInPage(page, { url: `${server.url}/ws`, credentials, send: ["hello"] })
      const one = { scheme: "Basic", realm: "Smeuse", parameters: { realm: "Smeuse" } }
      assert.deepEqual(life, {
        events: [["open"], ["message", "hello"], ["close", 1005, "", true]],
        challenges: [1, 2].map((attempt) => ({ ...one, challenges: [one], url: `${server.url}/ws`, attempt })),
        protocol: "",
        extensions: "x-kaazing-ping-pong; 01010102",
      })
      await page.context().close()
    })
  }

  test("a listener that throws is reported, and the others still run", async () => {
    const page = await classic()
    const log = await page.evaluate(
      () =>
        new Promise((resolve) => {
          const log = []
          addEventListener("error", (event) => (log.push(event.message), event.preventDefault()))
          const socket = new WebSocket("/ws")
          socket.onopen = () => {
            throw new Error("mine")
          }
          socket.addEventListener("open", () => socket.send("x"))
          socket.onmessage = () => resolve(log)
        }),
    )
    assert.deepEqual(log, ["Uncaught Error: mine"])
    await page.context().close()
  })

  test("@cloudamqp/amqp-client works unmodified, with its frames joined", async () => {
    let seen
    server.files["/_smeuse/config.json"] = config({ ...endpoint, kind: "amqp" })
    server.paths["/ws"].run = async (peer) => {
      await peer.extendedRequest()
      peer.agree({ extensions: ["x-kaazing-ping-pong; 01010102"] })
      seen = speakAmqp({ send: (data) => peer.send(data), onMessage: (handle) => peer.forEach(handle) })
    }
    const page = await classic()
    const received = await page.evaluate(async (url) => {
      const { AMQPWebSocketClient } = await import("/amqp-client.mjs")
      const client = new AMQPWebSocketClient({ url, vhost: "/", username: "guest", password: "guest" })
      const connection = await client.connect()
      const channel = await connection.channel()
      await channel.queueDeclare("q")
      const bodies = []
      let finish
      const all = new Promise((resolve) => (finish = resolve))
      await channel.basicConsume("q", { noAck: true }, (message) => {
        bodies.push(message.bodyString())
        if (bodies.length === 100) finish()
      })
      for (let index = 0; index < 100; index += 1) channel.basicPublish("", "q", `message ${index}`)
      await all
      await connection.close()
      return bodies
    }, `${server.url}/ws`)
    assert.deepEqual(received, Array.from({ length: 100 }, (_, index) => `message ${index}`))
    assert.ok(seen.frames > 300, `${seen.frames} frames`)
    assert.ok(seen.messages.length < 60, `${seen.messages.length} WebSocket messages for ${seen.frames} frames`)
    await page.context().close()
  })
})

test("scripts ran as they should", () => assert.deepEqual(server.problems, []))
