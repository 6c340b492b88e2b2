// The phases before data flows and while it does: answers of the gateway, logins, and extensions that end a socket.
import "./kit/platform.js"
import assert from "node:assert/strict"
import { after, before, describe, test } from "node:test"
import { watch } from "./kit/events.js"
import { startServer } from "./kit/server.js"

const { WebSocket } = await import("../src/index.js")

let server
before(async () => {
  server = await startServer()
})
after(() => server.stop())

let count = 0
/** Opens a socket at a path where `run` is the gateway; `ended` is how that saw the end. */
function open(run, { protocols, ...options } = {}) {
  const path = `/${(count += 1)}`
  let ended
  const isThere = new Promise((resolve) => {
    server.paths[path] = { run: (peer) => (resolve(), (ended = peer.closed()), ended.catch(() => {}), run(peer)) }
  })
  const socket = new WebSocket(server.url + path, protocols, options)
  return { socket, ...watch(socket), ended: async () => (await isThere, ended) }
}

/** What page and gateway saw of an end. */
async function ends({ closed, ended }) {
  return { page: await closed(), gateway: await ended() }
}

describe("a refusal", () => {
  test("tells an error and the gateway's close code and reason", async () => {
    const socket = open(async (peer) => {
      await peer.next()
      peer.refuse(403, "Forbidden", { body: "forbidden: not here\n", close: { code: 4106, reason: "forbidden" } })
    })
    assert.deepEqual(await socket.closed(), [["error", 3], ["close", 4106, "forbidden", true]])
  })

  test("of a request that was never complete tells the code of the Close frame", async () => {
    const socket = open(async (peer) => (await peer.next(), peer.ws.close(4104, "handshake_timeout")))
    assert.deepEqual(await socket.closed(), [["error", 3], ["close", 4104, "handshake_timeout", true]])
  })
})

describe("a malformed answer", () => {
  for (const [name, answer, options] of [
    ["no HTTP", (peer) => peer.send("hello")],
    ["an extension that was not offered", (peer) => peer.agree({ extensions: ["acme"] })],
    ["an extension that does not accept its parameters", (peer) => peer.agree({ extensions: ["x-kaazing-idle-timeout; timeout=0"] })],
    ["a subprotocol that was not offered", (peer) => peer.agree({ protocol: "third" }), { protocols: ["amqp"] }],
    ["no subprotocol", (peer) => peer.agree(), { protocols: ["amqp"] }],
  ]) {
    test(`closes with 4109: ${name}`, async () => {
      const { page, gateway } = await ends(open(async (peer) => (await peer.next(), answer(peer)), options))
      assert.deepEqual(page[0], ["error", 3])
      assert.equal(page[1][1], 4109)
      assert.ok(page[1][2].length > 10)
      assert.equal(page.length, 2)
      assert.deepEqual(gateway, { code: 4109, reason: page[1][2] })
    })
  }
})

describe("a login", () => {
  /** Asks until it gets `wanted`, then agrees. */
  const asking = (wanted, ...challenges) => async (peer) => {
    for (;;) {
      const { headers } = await peer.extendedRequest()
      if (headers.authorization === wanted) break
      peer.challenge(...challenges)
    }
    peer.agree()
    peer.send("welcome")
  }
  const basic = 'Application Basic realm="Smeuse"'

  test("is asked of the page until the gateway accepts", async () => {
    const asked = []
    const login = async (challenge) => {
      asked.push(challenge)
      return { username: "joe", password: asked.length < 3 ? "wrong" : "welcome" }
    }
    const socket = open(asking("Basic am9lOndlbGNvbWU=", basic), { login })
    assert.equal(await socket.message(), "welcome")
    assert.deepEqual(asked.map(({ attempt }) => attempt), [1, 2, 3])
    const { scheme, realm, parameters, url } = asked[0]
    assert.deepEqual([scheme, realm, { ...parameters }, url], ["Basic", "Smeuse", { realm: "Smeuse" }, socket.socket.url])
    socket.socket.close()
    await socket.closed()
  })

  test("is shown all challenges, and chooses", async () => {
    let shown
    const login = (challenge) => {
      shown = challenge.challenges.map(({ scheme, realm }) => [scheme, realm])
      const { scheme } = challenge.challenges[1]
      // What the page does with what it was given is its own affair.
      challenge.challenges.length = 0
      return { token: "abc", scheme }
    }
    const socket = open(asking("Token abc", basic, 'Application Token realm="tokens"', "Bearer"), { login })
    assert.equal(await socket.message(), "welcome")
    assert.deepEqual(shown, [["Basic", "Smeuse"], ["Token", "tokens"], ["Bearer", undefined]])
    socket.socket.close()
    await socket.closed()
  })

  test("of the class is for sockets without one of their own", async () => {
    WebSocket.login = () => ({ token: "abc" })
    WebSocket.configure({ loginHosts: [`127.0.0.1:${server.port}`] })
    try {
      const socket = open(asking("Bearer abc", "Application Bearer"))
      assert.equal(await socket.message(), "welcome")
      socket.socket.close()
      await socket.closed()
      const other = open(asking("Bearer xyz", "Application Bearer"), { login: () => "Bearer xyz" })
      assert.equal(await other.message(), "welcome")
      other.socket.close()
      await other.closed()
      assert.equal(typeof WebSocket.login, "function")
    } finally {
      WebSocket.login = null
      WebSocket.configure({ loginHosts: [] })
    }
    assert.equal(WebSocket.login, null)
  })

  for (const [name, login] of [
    ["no login", undefined],
    ["null", async () => null],
    ["undefined", () => undefined],
    ["an error", async () => Promise.reject(new Error("secret"))],
    ["an exception", () => { throw new Error("secret") }],
    ["what cannot be sent", () => ({ token: "secret" })],
    ["a line break", () => "Basic secret\r\nX: y"],
  ]) {
    test(`without credentials closes with 4110: ${name}`, async () => {
      const { page, gateway } = await ends(open(asking("x", basic), { login }))
      assert.deepEqual(page[0], ["error", 3])
      assert.equal(page[1][1], 4110)
      assert.ok(!page[1][2].includes("secret"))
      assert.equal(gateway.code, 4110)
    })
  }

  test("that is refused closes with the gateway's code and reason", async () => {
    const socket = open(
      async (peer) => {
        await peer.next()
        peer.challenge(basic)
        await peer.next()
        peer.ws.close(4105, "login_refused")
      },
      { login: () => ({ username: "joe", password: "wrong" }) },
    )
    assert.deepEqual(await socket.closed(), [["error", 3], ["close", 4105, "login_refused", true]])
  })

  test("may take longer than the handshake, which is bounded again after it", async () => {
    const rounds = []
    const socket = open(
      async (peer) => {
        await peer.next()
        peer.challenge(basic)
        await peer.next()
        rounds.push("answered")
      },
      { handshakeTimeout: 100, login: () => new Promise((resolve) => setTimeout(resolve, 300, "Basic eDp5")) },
    )
    const [, close] = await socket.closed()
    assert.deepEqual(rounds, ["answered"])
    assert.deepEqual(close, ["close", 1006, "no answer to the extended handshake within 100 ms", false])
  })

  test("whose answer comes after the gateway has closed changes nothing", async () => {
    let answer
    const socket = open(async (peer) => (await peer.next(), peer.challenge(basic), peer.ws.close(4105, "too late")), {
      login: () => new Promise((resolve) => (answer = resolve)),
    })
    assert.deepEqual(await socket.closed(), [["error", 3], ["close", 4105, "too late", true]])
    answer("Basic eDp5")
    await new Promise(setImmediate)
    assert.equal(socket.events.length, 2)
  })
})

describe("extensions", () => {
  const agreeing = (extensions, then) => async (peer) => {
    await peer.next()
    peer.agree({ extensions })
    await then(peer)
  }

  test("are asked for as the socket says", async () => {
    let request
    const socket = open(async (peer) => ((request = await peer.extendedRequest()), peer.agree(), peer.send("x")), {
      extensions: ["smeuse-sequence", { name: "x-kaazing-ping-pong" }],
    })
    await socket.message()
    assert.equal(request.headers["sec-websocket-extensions"], "smeuse-sequence, x-kaazing-ping-pong")
    socket.socket.close()
    await socket.closed()
  })

  test("none at all may be asked for", async () => {
    let request
    const socket = open(async (peer) => ((request = await peer.extendedRequest()), peer.agree(), peer.send("x")), { extensions: [] })
    await socket.message()
    assert.deepEqual(request.headers, {})
    socket.socket.close()
    await socket.closed()
  })

  test("that nobody knows are a TypeError", () => {
    assert.throws(() => new WebSocket("ws://127.0.0.1:1/", [], { extensions: ["acme"] }), TypeError)
  })

  test("sequence and ping-pong number, answer and hide what is theirs", async () => {
    let replies
    const socket = open(
      agreeing(["x-kaazing-ping-pong; 01010102", "smeuse-sequence"], async (peer) => {
        peer.send("00000000\x01\x01\x01\x02\t\0")
        peer.send("00000001first")
        replies = [await peer.next(), await peer.next(), await peer.next()]
        peer.ws.close(1000, "enough")
      }),
      { extensions: ["x-kaazing-ping-pong", "smeuse-sequence"] },
    )
    assert.equal(await socket.message(), "first")
    socket.socket.send(new Uint8Array([255]))
    socket.socket.send("text")
    assert.deepEqual((await socket.closed()).at(-1), ["close", 1000, "enough", true])
    assert.deepEqual(replies, ["00000000\x01\x01\x01\x02\n\0", Buffer.from("00000001\xff", "latin1"), "00000002text"])
  })

  test("a message out of sequence closes with 4108 and does not reach the page", async () => {
    const socket = open(agreeing(["smeuse-sequence"], (peer) => (peer.send("00000000a"), peer.send("00000002b"), peer.send("00000001c"))), {
      extensions: ["smeuse-sequence"],
    })
    const { page, gateway } = await ends(socket)
    assert.deepEqual(page.slice(0, 3), [["open", 1], ["message", "a"], ["error", 3]])
    assert.deepEqual(page[3].slice(0, 3), ["close", 4108, "smeuse-sequence: gap, 00000001 was expected"])
    assert.equal(gateway.code, 4108)
  })

  test("an unknown control message closes with 4109", async () => {
    const { page, gateway } = await ends(open(agreeing(["x-kaazing-ping-pong; 01010102"], (peer) => peer.send("\x01\x01\x01\x02x"))))
    assert.deepEqual(page.slice(1), [["error", 3], ["close", 4109, "x-kaazing-ping-pong: an unknown control message", true]])
    assert.equal(gateway.code, 4109)
  })

  test("silence of the gateway ends in 1006 at once, wasClean false, and pings are no silence", async () => {
    const socket = open(
      agreeing(["x-kaazing-idle-timeout; timeout=400", "x-kaazing-ping-pong; 01010102"], async (peer) => {
        for (let ping = 0; ping < 6; ping += 1) {
          peer.send("\x01\x01\x01\x02\t\0")
          await peer.next("a pong")
          await new Promise((resolve) => setTimeout(resolve, 100))
        }
      }),
    )
    await socket.opened()
    const begun = performance.now()
    assert.deepEqual((await socket.closed()).slice(1), [
      ["close", 1006, "x-kaazing-idle-timeout: nothing came from the gateway for 400 ms", false],
    ])
    assert.ok(performance.now() - begun >= 900, "pings were not counted")
    assert.equal((await socket.ended()).code, 1005)
  })

  describe("of the page's own", () => {
    const stamp = {
      name: "acme-stamp",
      offer: (params) => params ?? "level=1",
      agree: (params) => ({ level: params[0][1] }),
      fromServer: (message, { state }) => `${message}@${state.level}`,
      toServer: (message) => {
        if (message === "bad") throw new Error("cannot stamp this")
        return `stamped ${message}`
      },
    }
    before(() => WebSocket.extensions.register(stamp))
    after(() => WebSocket.extensions.unregister("acme-stamp"))

    test("are agreed on with parameters, and handle both directions", async () => {
      let request
      const socket = open(
        async (peer) => {
          request = await peer.extendedRequest()
          peer.agree({ extensions: ["acme-stamp; level=2"] })
          peer.send(await peer.next())
        },
        { extensions: ["acme-stamp; level=3"] },
      )
      await socket.opened()
      socket.socket.send("m")
      assert.equal(await socket.message(), "stamped m@2")
      assert.equal(request.headers["sec-websocket-extensions"], "acme-stamp; level=3")
      assert.equal(socket.socket.extensions, "acme-stamp; level=2")
      socket.socket.close()
      await socket.closed()
    })

    test("that make two messages of one give a page that closes after the first no second", async () => {
      WebSocket.extensions.register({ name: "acme-twice", agree() {}, fromServer: (message) => [message, message] })
      try {
        const socket = open(agreeing(["acme-twice"], (peer) => peer.send("m")), { extensions: ["acme-twice"] })
        socket.socket.onmessage = () => socket.socket.close()
        assert.deepEqual((await socket.closed()).map(([type]) => type), ["open", "message", "close"])
      } finally {
        WebSocket.extensions.unregister("acme-twice")
      }
    })

    test("that throw while sending end the socket, and nothing of the message leaves", async () => {
      const received = []
      const socket = open(
        async (peer) => {
          await peer.next()
          peer.agree({ extensions: ["acme-stamp; level=2"] })
          await peer.closed()
          received.push(...peer.unread)
        },
        { extensions: ["acme-stamp"] },
      )
      await socket.opened()
      socket.socket.send("bad")
      socket.socket.send("good")
      assert.equal(socket.socket.readyState, 2)
      const { page, gateway } = await ends(socket)
      assert.deepEqual(page.slice(1), [["error", 3], ["close", 4109, "acme-stamp: cannot stamp this", true]])
      assert.equal(gateway.code, 4109)
      assert.deepEqual(received, [])
    })
  })

  test("an end of ours that the gateway does not answer is told all the same", async () => {
    const socket = open(
      agreeing(["smeuse-sequence"], (peer) => {
        peer.send("no number")
        // Nothing more is read, so the Close frame of the page is not answered.
        peer.ws._socket.pause()
      }),
      { extensions: ["smeuse-sequence"] },
    )
    assert.deepEqual((await socket.closed()).slice(1), [
      ["error", 3],
      ["close", 4108, "smeuse-sequence: malformed, 00000000 was expected", false],
    ])
  })
})

test("scripts ran as they should", () => assert.deepEqual(server.problems, []))
