// Credentials go to the gateway, and to nobody else who asks.
import "./kit/platform.js"
import assert from "node:assert/strict"
import { after, afterEach, before, describe, test } from "node:test"
import { hostOf, isAt, parseHost } from "../src/hosts.js"
import { watch } from "./kit/events.js"
import { startServer } from "./kit/server.js"

const { WebSocket } = await import("../src/index.js")
const { Configuration } = await import("../src/configuration.js")

let gateway
let other
before(async () => {
  gateway = await startServer()
  other = await startServer()
})
after(async () => {
  await gateway.stop()
  await other.stop()
})
afterEach(() => {
  WebSocket.login = null
  WebSocket.configure({ loginHosts: [] })
  delete globalThis.location
})

const at = (server) => `127.0.0.1:${server.port}`

/** A server that asks, and notes what it is told. */
function asking(server) {
  const told = []
  server.paths["/ws"] = {
    run: async (peer) => {
      await peer.next()
      peer.challenge('Application Basic realm="x"')
      told.push((await peer.extendedRequest()).headers.authorization)
      peer.agree()
    },
  }
  return told
}

/** Opens, and tells how it ended: opened, or the code and reason. */
async function outcome(server, options, path = "/ws") {
  const socket = new WebSocket(server.url + path, [], options)
  const watched = watch(socket)
  await watched.opened().catch(() => {})
  if (socket.readyState === 1) {
    socket.close()
    await watched.closed()
    return "opened"
  }
  return (await watched.closed()).at(-1).slice(1, 3)
}

const credentials = () => ({ username: "guest", password: "hunter2" })
const refused = (server) => [4110, `the page was not asked: ${at(server)} is not among loginHosts`]

describe("the login of the page is for", () => {
  test("nobody, where there is neither a gateway nor a page", async () => {
    const told = asking(other)
    WebSocket.login = () => assert.fail("asked")
    assert.deepEqual(await outcome(other), refused(other))
    assert.deepEqual(told, [])
  })

  test("the page's own host, where there is no gateway", async () => {
    globalThis.location = new URL(`${gateway.http}/page.html`)
    WebSocket.login = credentials
    asking(gateway)
    asking(other)
    assert.equal(await outcome(gateway), "opened")
    assert.deepEqual(await outcome(other), refused(other))
  })

  test("hosts that the page or the socket names", async () => {
    WebSocket.login = credentials
    asking(other)
    assert.equal(await outcome(other, { loginHosts: [at(other)] }), "opened")
    WebSocket.configure({ loginHosts: [at(other)] })
    assert.equal(await outcome(other), "opened")
    assert.deepEqual(await outcome(other, { loginHosts: [] }), refused(other))
  })

  test("the gateway that is configured, and not for the page's own host", async () => {
    globalThis.location = new URL("https://page.example/")
    gateway.files["/_smeuse/config.json"] = ["application/json", JSON.stringify({ version: 1, endpoints: [{ paths: ["/ws"] }] })]
    const configuration = new Configuration()
    configuration.configure({ gateway: gateway.http, login: credentials, loginHosts: ["more.example"] })
    const { loginHosts } = await configuration.route(new URL(`${gateway.url}/ws`), {})
    const may = (url) => loginHosts.some((host) => isAt(new URL(url), host))
    assert.deepEqual([`${gateway.url}/x`, "wss://more.example/", "wss://page.example/", `${other.url}/`].map(may), [true, true, false, false])
  })
})

describe("the login of a socket is for", () => {
  test("the host of its URL", async () => {
    const told = asking(other)
    assert.equal(await outcome(other, { login: credentials }), "opened")
    assert.deepEqual(told, [`Basic ${btoa("guest:hunter2")}`])
  })

  const redirecting = () => {
    gateway.paths["/away"] = {
      run: async (peer) => {
        await peer.next()
        peer.refuse(302, "Found", { headers: [`Location: ${other.url}/ws`], close: { code: 1000, reason: "" } })
      },
    }
    return asking(other)
  }

  test("nobody to whom it is redirected", async () => {
    const told = redirecting()
    assert.deepEqual(await outcome(gateway, { login: () => assert.fail("asked") }, "/away"), refused(other))
    assert.deepEqual(told, [])
  })

  test("those to whom it is redirected and that are named", async () => {
    const told = redirecting()
    assert.equal(await outcome(gateway, { login: credentials, loginHosts: [at(other)] }, "/away"), "opened")
    assert.equal(told.length, 1)
  })
})

describe("a host", () => {
  for (const [text, url, isOne] of [
    ["Gateway.Example", "wss://gateway.example/x", true],
    ["gateway.example", "ws://gateway.example/x", true],
    ["gateway.example:443", "wss://gateway.example/x", true],
    ["gateway.example:443", "ws://gateway.example/x", false],
    ["gateway.example", "wss://gateway.example:8443/x", false],
    ["gateway.example:8443", "wss://gateway.example:8443/x", true],
    ["gateway.example", "wss://evil.gateway.example/", false],
    ["gateway.example:80", "wss://gateway.example/", false],
    ["[::1]:8080", "ws://[::1]:8080/", true],
    ["[::1]", "ws://[::1]/", true],
  ]) {
    test(`${text} ${isOne ? "is" : "is not"} that of ${url}`, () => assert.equal(isAt(new URL(url), parseHost(text)), isOne))
  }

  test("that is none is at no other", () => assert.equal(isAt(new URL("file:///a"), hostOf(new URL("file:///b"))), false))
})

test("servers did as they should", () => assert.deepEqual([...gateway.problems, ...other.problems], []))
