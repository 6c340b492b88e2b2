// One socket from its construction to its close event: the way to it, the ways around, and the time that it may take.
import "./kit/platform.js"
import assert from "node:assert/strict"
import { after, before, describe, test } from "node:test"
import { watch } from "./kit/events.js"
import { HANDSHAKE, startServer } from "./kit/server.js"

const { WebSocket } = await import("../src/index.js")

let server
before(async () => {
  server = await startServer()
})
after(() => server.stop())

let count = 0
/** Gives a script a path of its own and opens a socket there. */
function open(script, { protocols, query = "", ...options } = {}) {
  const path = `/${(count += 1)}`
  server.paths[path] = script
  const socket = new WebSocket(server.url + path + query, protocols, options)
  return { socket, ...watch(socket), openings: () => server.openings.filter((opening) => opening.path === path + query).map(({ offered }) => offered) }
}

const agreeing = async (peer) => {
  const { headers } = await peer.extendedRequest()
  peer.agree({ protocol: headers["sec-websocket-protocol"]?.split(", ")[0] })
}

describe("the extended handshake", () => {
  test("is offered first, then the application's own subprotocols, and is not seen by the page", async () => {
    let request
    const socket = open(
      {
        run: async (peer) => {
          request = await peer.extendedRequest()
          peer.agree({ protocol: "amqp", extensions: ["x-kaazing-ping-pong; 01010102"] })
          peer.send("first")
        },
      },
      { protocols: ["amqp", "other"], query: "?a=b" },
    )
    assert.equal(await socket.message(), "first")
    assert.deepEqual(socket.events, [["open", 1], ["message", "first"]])
    assert.deepEqual(socket.openings(), [[HANDSHAKE, "amqp", "other"]])
    assert.match(request.line, /^GET \/\d+\?a=b HTTP\/1\.1$/)
    assert.deepEqual(request.headers, {
      "sec-websocket-protocol": "amqp, other",
      "sec-websocket-extensions": "x-kaazing-idle-timeout, x-kaazing-ping-pong",
    })
    assert.equal(socket.socket.protocol, "amqp")
    assert.equal(socket.socket.extensions, "x-kaazing-ping-pong; 01010102")
    socket.socket.close(1000, "done")
    assert.deepEqual((await socket.closed()).at(-1), ["close", 1000, "done", true])
  })

  test("may answer in TEXT, too", async () => {
    const socket = open({ run: async (peer) => (await peer.next(), peer.send("HTTP/1.1 101 x\r\n\r\n"), peer.send("data")) })
    assert.equal(await socket.message(), "data")
    socket.socket.close()
    await socket.closed()
  })

  test("is not begun by a page that speaks it itself", async () => {
    const socket = open({ run: (peer) => peer.send("N") }, { protocols: [HANDSHAKE] })
    assert.equal(await socket.message(), "N")
    assert.equal(socket.socket.protocol, HANDSHAKE)
    assert.ok(socket.socket instanceof WebSocket)
    socket.socket.close()
    await socket.closed()
  })
})

describe("a plain WebSocket", () => {
  test("is what a server gets that chooses another subprotocol", async () => {
    const socket = open({ choose: () => "amqp", run: (peer) => peer.send("hello") }, { protocols: ["amqp"] })
    assert.equal(await socket.message(), "hello")
    assert.equal(socket.socket.protocol, "amqp")
    assert.equal(socket.socket.extensions, "")
    assert.deepEqual(socket.openings(), [[HANDSHAKE, "amqp"]])
    socket.socket.close()
    await socket.closed()
  })

  test("is tried when the platform's socket fails before it opens", async () => {
    const isFirst = () => server.openings.filter(({ path }) => path === `/${count}`).length === 1
    const script = {
      // A server that refuses who offers what it does not know.
      get refuse() {
        return isFirst() ? 400 : undefined
      },
      choose: () => "amqp",
      run: (peer) => peer.send("hello"),
    }
    const socket = open(script, { protocols: ["amqp"] })
    assert.equal(await socket.message(), "hello")
    assert.deepEqual(socket.openings(), [[HANDSHAKE, "amqp"], ["amqp"]])
    assert.deepEqual(socket.events, [["open", 1], ["message", "hello"]])
    socket.socket.close()
    await socket.closed()
  })

  test("is tried once only", async () => {
    const socket = open({ refuse: 503 })
    assert.deepEqual(await socket.closed(), [["error", 3], ["close", 1006, "", false]])
    assert.deepEqual(socket.openings(), [[HANDSHAKE], []])
  })

  test("is not tried where the page says so", async () => {
    const socket = open({ refuse: 503 }, { fallback: "error" })
    assert.deepEqual(await socket.closed(), [["error", 3], ["close", 1006, "", false]])
    assert.deepEqual(socket.openings(), [[HANDSHAKE]])
  })

  test("is not tried once a gateway has spoken", async () => {
    const socket = open({ run: async (peer) => (await peer.next(), peer.ws.terminate()) })
    assert.deepEqual(await socket.closed(), [["error", 3], ["close", 1006, "", false]])
    assert.deepEqual(socket.openings(), [[HANDSHAKE]])
  })
})

describe("small binary messages of one turn", () => {
  const received = []
  const extended = (protocol) => ({ run: async (peer) => (await peer.next(), peer.agree({ protocol }), peer.forEach((data) => received.push(`${data.length}`))) })
  const plainly = (protocol) => ({ choose: () => protocol, run: (peer) => peer.forEach((data) => received.push(`${data.length}`)) })

  for (const [what, script, protocols, expected] of [
    ["are joined where AMQP was agreed on", extended("amqp"), ["amqp"], ["3", "1"]],
    ["are left alone where a plain server chose AMQP: it may be anybody's", plainly("AMQP091"), ["AMQP091"], ["1", "2", "1"]],
    ["are left alone elsewhere", extended(undefined), [], ["1", "2", "1"]],
  ]) {
    test(what, async () => {
      const socket = open(script, { protocols })
      await socket.opened()
      socket.socket.send(new Uint8Array(1))
      socket.socket.send(new Uint8Array(2))
      assert.equal(socket.socket.bufferedAmount, 3)
      await Promise.resolve()
      socket.socket.send(new Uint8Array(1))
      socket.socket.close()
      await socket.closed()
      assert.deepEqual(received.splice(0), expected)
    })
  }
})

test("a server that does not know the extended handshake costs one connection more, once", async () => {
  const isExtended = () => server.openings.at(-1).offered.includes(HANDSHAKE)
  const script = {
    get refuse() {
      return isExtended() ? 400 : undefined
    },
    choose: () => "amqp",
  }
  const first = open(script, { protocols: ["amqp"] })
  await first.opened()
  const path = new URL(first.socket.url).pathname
  const again = async (options) => {
    const socket = new WebSocket(`${server.url}${path}?again`, ["amqp"], options)
    const watched = watch(socket)
    await watched.opened().catch(() => {})
    socket.close()
    await watched.closed()
    return server.openings.splice(0).map(({ offered }) => offered)
  }
  server.openings.length = 0
  assert.deepEqual(await again(), [["amqp"]])
  assert.deepEqual(await again({ login: () => null }), [[HANDSHAKE, "amqp"], ["amqp"]], "who asks for more is not content with less")
  assert.deepEqual(await again({ extensions: ["smeuse-sequence"] }), [[HANDSHAKE, "amqp"], ["amqp"]])
  assert.deepEqual(await again({ fallback: "error" }), [[HANDSHAKE, "amqp"]])
  first.socket.close()
  await first.closed()
})

test("a gateway that was overloaded once is still one", async () => {
  let isOverloaded = false
  const script = {
    run: agreeing,
    get refuse() {
      return isOverloaded ? 503 : undefined
    },
  }
  const first = open(script)
  await first.opened()
  const url = first.socket.url
  first.socket.close()
  await first.closed()
  isOverloaded = true
  await watch(new WebSocket(url)).closed()
  isOverloaded = false
  const socket = new WebSocket(url)
  const last = watch(socket)
  await last.opened()
  assert.deepEqual(server.openings.at(-1).offered, [HANDSHAKE])
  socket.close()
  await last.closed()
})

describe("a page that closes before it was opened", () => {
  test("while the platform opens", async () => {
    const socket = open({ run: agreeing })
    socket.socket.close()
    assert.notEqual(socket.socket.readyState, 0)
    assert.deepEqual(await socket.closed(), [["error", 3], ["close", 1006, "", false]])
    assert.ok(socket.openings().length <= 1)
  })

  test("during the extended handshake", async () => {
    let asked
    const isAsked = new Promise((resolve) => (asked = resolve))
    let ended
    const socket = open({ run: async (peer) => (await peer.next(), asked(), (ended = peer.closed())) })
    await isAsked
    socket.socket.close(3000, "never mind")
    assert.equal(socket.socket.readyState, 2)
    assert.deepEqual(socket.events, [])
    assert.deepEqual(await socket.closed(), [["error", 3], ["close", 1006, "", false]])
    assert.equal((await ended).code, 1005)
  })
})

describe("time", () => {
  test("a gateway that does not answer is given up", async () => {
    let ended
    const socket = open({ run: async (peer) => (await peer.next(), (ended = peer.closed())) }, { handshakeTimeout: 50 })
    assert.deepEqual(await socket.closed(), [["error", 3], ["close", 1006, "no answer to the extended handshake within 50 ms", false]])
    assert.equal((await ended).code, 1005)
    assert.deepEqual(socket.openings(), [[HANDSHAKE]])
  })

  test("a refusal without a Close frame ends all the same", async () => {
    const socket = open({ run: async (peer) => (await peer.next(), peer.refuse(403, "Forbidden", { body: "forbidden: not here\n" })) })
    assert.deepEqual(await socket.closed(), [["error", 3], ["close", 1006, "403 forbidden: not here", false]])
  })
})

describe("a redirect", () => {
  const to = (location) => ({
    run: async (peer) => {
      await peer.next()
      peer.refuse(302, "Found", { headers: [`Location: ${location}`], close: { code: 1000, reason: "" } })
    },
  })

  test("is followed, with the path of its Location", async () => {
    let request
    server.paths["/there"] = { run: async (peer) => ((request = await peer.extendedRequest()), peer.agree(), peer.send("here")) }
    const socket = open(to(`${server.url}/there?x=1`))
    assert.equal(await socket.message(), "here")
    assert.equal(request.line, "GET /there?x=1 HTTP/1.1")
    assert.equal(socket.socket.url, `${server.url}/${count}`)
    assert.deepEqual(socket.events, [["open", 1], ["message", "here"]])
    socket.socket.close()
    await socket.closed()
  })

  test("may be relative, and of http:", async () => {
    server.paths["/there2"] = { run: async (peer) => (await agreeing(peer), peer.send("here")) }
    server.paths["/via"] = to(`${server.http}/there2`)
    const socket = open(to("/via"))
    assert.equal(await socket.message(), "here")
    socket.socket.close()
    await socket.closed()
  })

  test("is followed five times and not six", async () => {
    server.paths["/hop0"] = { run: async (peer) => (await agreeing(peer), peer.send("arrived")) }
    for (let hop = 1; hop <= 6; hop += 1) server.paths[`/hop${hop}`] = to(`/hop${hop - 1}`)
    const five = open(to("/hop4"))
    assert.equal(await five.message(), "arrived")
    five.socket.close()
    await five.closed()
    const six = open(to("/hop5"))
    assert.deepEqual(await six.closed(), [["error", 3], ["close", 4109, "extended handshake: more than 5 redirects", true]])
  })

  for (const location of ["ftp://x/", "http://[", "javascript:alert(1)"]) {
    test(`to ${location} is not followed`, async () => {
      const socket = open(to(location))
      const [error, close] = await socket.closed()
      assert.deepEqual([error, close[1]], [["error", 3], 4109])
    })
  }

  test("to where nothing answers is an error, without fallback", async () => {
    const socket = open(to("/nothing"))
    assert.deepEqual(await socket.closed(), [["error", 3], ["close", 1006, "", false]])
    assert.deepEqual(socket.openings(), [[HANDSHAKE]])
    assert.deepEqual(server.openings.filter(({ path }) => path === "/nothing").map(({ offered }) => offered), [[HANDSHAKE]])
  })
})

test("scripts ran as they should", () => assert.deepEqual(server.problems, []))
