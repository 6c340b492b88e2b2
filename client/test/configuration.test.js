// What applies to a socket before it is opened: options, config.json, and the endpoints named there.
import "./kit/platform.js"
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { after, before, describe, test } from "node:test"
import { deferred, until } from "../../tests/js/kit/wait.js"
import { extensions } from "../src/catalogue.js"
import { CHECK_INTERVAL, CHECK_TIMEOUT, Configuration, LOADING_TIMEOUT, parseConfig } from "../src/configuration.js"
import { formatOffer } from "../src/header.js"
import { startServer } from "./kit/server.js"

let server
before(async () => {
  server = await startServer()
})
after(() => server.stop())

const offersOf = ({ offers }) => offers.map(({ offer }) => formatOffer(offer))
const json = (config) => () => ["application/json", JSON.stringify(config)]
const endpoint = { service: "amqp", kind: "amqp", paths: ["/ws/amqp", "/amqp"], extensions: [{ name: "smeuse-sequence" }, { name: "of-another-version" }], fallback: "error" }
const gateway = (config, path = "/_smeuse/config.json") => {
  server.files[path] = json(config)
  const configuration = new Configuration()
  configuration.configure({ gateway: path === "/_smeuse/config.json" ? server.http : server.http + path })
  return configuration
}
const at = (path) => new URL(server.url + path)

describe("without a gateway", () => {
  test("every URL is an endpoint, with the built-in defaults", () => {
    const { learn, ...route } = new Configuration().route(new URL("ws://anywhere/x"), {})
    assert.deepEqual({ ...route, offers: offersOf(route) }, {
      isExtended: true, kind: undefined, messageBytes: undefined, offers: ["x-kaazing-idle-timeout", "x-kaazing-ping-pong"], fallback: "plain", missing: [], handshakeTimeout: 5000, login: null, loginHosts: [],
    })
  })

  test("the socket's options come before the page's", () => {
    const configuration = new Configuration()
    const [login, own] = [() => "a", () => "b"]
    configuration.configure({ extensions: ["smeuse-sequence"], fallback: "error", handshakeTimeout: 7, login })
    const route = configuration.route(new URL("ws://x/"), {})
    assert.deepEqual([offersOf(route), route.fallback, route.handshakeTimeout, route.login], [["smeuse-sequence"], "error", 7, login])
    const other = configuration.route(new URL("ws://x/"), { extensions: [], fallback: "plain", handshakeTimeout: 9, login: own })
    assert.deepEqual([offersOf(other), other.fallback, other.handshakeTimeout, other.login], [[], "plain", 9, own])
    assert.equal(configuration.route(new URL("ws://x/"), { login: null }).login, null)
    configuration.configure({ fallback: "plain" })
    assert.deepEqual(offersOf(configuration.route(new URL("ws://x/"), {})), ["smeuse-sequence"])
  })

  for (const options of [
    { fallback: "never" }, { handshakeTimeout: 0 }, { handshakeTimeout: "x" }, { handshakeTimeout: Infinity }, { login: "joe" }, { extensions: "x" },
    { loginHosts: "x" }, { loginHosts: [1] }, { loginHosts: ["https://x/"] }, { loginHosts: ["x/y"] }, { loginHosts: ["joe@x"] }, { loginHosts: [""] }, { loginHosts: ["x:99999"] },
    { extensions: [""] }, { extensions: ["a b"] }, { extensions: [{}] }, { extensions: ["smeuse-sequence", { name: "smeuse-sequence" }] },
  ]) {
    test(`refuses ${JSON.stringify(options)}, whoever says it`, () => {
      assert.throws(() => new Configuration().configure(options), TypeError)
      assert.throws(() => new Configuration().route(new URL("ws://x/"), options), TypeError)
    })
  }

  test("a gateway of null means no endpoint at all", () => {
    const configuration = new Configuration()
    configuration.configure({ gateway: null })
    assert.equal(configuration.route(new URL("ws://x/"), {}), null)
  })

  test("a gateway is an http: URL, which ws: stands for, too", () => {
    assert.throws(() => new Configuration().configure({ gateway: "ftp://x/" }), TypeError)
    assert.throws(() => new Configuration().configure({ gateway: "relative" }), TypeError)
  })
})

describe("offers", () => {
  test("are made by the extension, from what is asked for", () => {
    extensions.register({ name: "acme", agree() {}, offer: (params) => (params === "no" ? null : `level=${params ?? 1}`) })
    extensions.register({ name: "bare", agree() {} })
    try {
      const configuration = new Configuration()
      const offered = (...asked) => offersOf(configuration.route(new URL("ws://x/"), { extensions: asked }))
      assert.deepEqual(offered("acme", "bare"), ["acme; level=1", "bare"])
      assert.deepEqual(offered("acme; 7", { name: "bare", params: "a=1; b" }), ["acme; level=7", "bare; a=1; b"])
      assert.deepEqual(offered("acme;no"), [])
      for (const params of ["a=1, other", "a=\n", "=", "é"]) assert.throws(() => offered({ name: "bare", params }), params)
    } finally {
      extensions.unregister("acme")
      extensions.unregister("bare")
    }
  })
})

describe("with a gateway", () => {
  test("its endpoints have what config.json says, its other paths are plain", async () => {
    const configuration = gateway({ version: 1, library: {}, endpoints: [endpoint] })
    const route = await configuration.route(at("/amqp?x=1"), {})
    assert.deepEqual([route.isExtended, route.kind, offersOf(route), route.fallback], [true, "amqp", ["smeuse-sequence"], "error"])
    assert.deepEqual(offersOf(await configuration.route(at("/ws/amqp"), { extensions: ["x-kaazing-ping-pong"] })), ["x-kaazing-ping-pong"])
    assert.deepEqual(await configuration.route(at("/amqp/"), {}), { isExtended: false })
  })

  test("other hosts and ports are none of its", () => {
    const configuration = gateway({ version: 1, endpoints: [endpoint] })
    for (const url of [`ws://localhost:${server.port}/amqp`, "ws://127.0.0.1/amqp", "wss://127.0.0.1/amqp"]) {
      assert.equal(configuration.route(new URL(url), {}), null, url)
    }
  })

  test("and nobody looks at what their sockets are given as options", () => {
    const configuration = gateway({ version: 1, endpoints: [endpoint] })
    const foreign = { extensions: "permessage-deflate", handshakeTimeout: 0, get login() { throw new Error("looked at") } }
    assert.equal(configuration.route(new URL("wss://other.test/"), foreign), null)
    configuration.configure({ gateway: null })
    assert.equal(configuration.route(new URL("wss://other.test/"), foreign), null)
  })

  test("default ports are ports", () => {
    const configuration = new Configuration()
    configuration.configure({ gateway: "https://127.0.0.1/" })
    assert.equal(configuration.route(new URL("ws://127.0.0.1/"), {}), null)
    const route = configuration.route(new URL("wss://127.0.0.1:443/"), {})
    assert.ok(route instanceof Promise)
  })

  test("config.json may have another name", async () => {
    const configuration = gateway({ version: 1, endpoints: [endpoint] }, "/other.json")
    assert.equal((await configuration.route(at("/amqp"), {})).kind, "amqp")
  })

  test("it is loaded once, and again after a failure", async () => {
    let loaded = 0
    const configuration = new Configuration()
    server.files["/_smeuse/config.json"] = () => ((loaded += 1), ["application/json", loaded === 1 ? "no JSON" : JSON.stringify({ version: 1, endpoints: [endpoint] })])
    configuration.configure({ gateway: server.http })
    assert.deepEqual(await configuration.route(at("/amqp"), {}), { isExtended: false })
    assert.equal((await configuration.route(at("/amqp"), {})).kind, "amqp")
    assert.equal((await configuration.route(at("/amqp"), {})).kind, "amqp")
    assert.equal(loaded, 2)
  })

  describe("when it has been there for a while", () => {
    const newer = { ...endpoint, extensions: [{ name: "x-kaazing-ping-pong" }] }
    /** A configuration whose clock stands still, with what the gateway was asked. */
    function aged(t) {
      const clock = { now: 1000 }
      t.mock.method(performance, "now", () => clock.now)
      const configuration = gateway({ version: 1, endpoints: [endpoint] })
      let asked = 0
      const answers = (answer) => (server.files["/_smeuse/config.json"] = () => ((asked += 1), answer()))
      answers(json({ version: 1, endpoints: [endpoint] }))
      const offers = async () => offersOf(await configuration.route(at("/amqp"), {}))
      return { clock, configuration, answers, offers, asked: () => asked }
    }

    test("the next socket asks for it again, and not more often than every two seconds", async (t) => {
      const { clock, answers, offers, asked } = aged(t)
      assert.deepEqual(await offers(), ["smeuse-sequence"])
      answers(json({ version: 1, endpoints: [newer] }))
      clock.now += CHECK_INTERVAL - 1
      assert.deepEqual(await offers(), ["smeuse-sequence"])
      assert.equal(asked(), 1)
      clock.now += 1
      // Sockets that are opened together ask once.
      assert.deepEqual(await Promise.all([offers(), offers(), offers()]), Array(3).fill(["x-kaazing-ping-pong"]))
      assert.deepEqual(await offers(), ["x-kaazing-ping-pong"])
      assert.equal(asked(), 2)
    })

    for (const [what, answer] of [
      ["is not there any more", undefined],
      ["is of another version", json({ version: 2, endpoints: [] })],
      ["is no JSON", () => ["application/json", "<html>"]],
    ]) {
      test(`one that ${what} changes nothing`, async (t) => {
        const { clock, answers, offers } = aged(t)
        assert.deepEqual(await offers(), ["smeuse-sequence"])
        if (answer === undefined) delete server.files["/_smeuse/config.json"]
        else answers(answer)
        clock.now += CHECK_INTERVAL
        assert.deepEqual(await offers(), ["smeuse-sequence"])
        answers(json({ version: 1, endpoints: [newer] }))
        clock.now += CHECK_INTERVAL
        assert.deepEqual(await offers(), ["x-kaazing-ping-pong"])
      })
    }

    test("a gateway that does not answer holds a socket up for a second, and none after it", async (t) => {
      const { clock, answers, offers } = aged(t)
      await offers()
      const { promise, resolve } = deferred()
      answers(() => promise)
      clock.now += CHECK_INTERVAL
      const began = Date.now()
      assert.deepEqual(await offers(), ["smeuse-sequence"])
      const took = Date.now() - began
      assert.ok(took >= CHECK_TIMEOUT - 50 && took < LOADING_TIMEOUT, `${took} ms`)
      const again = Date.now()
      assert.deepEqual(await offers(), ["smeuse-sequence"])
      assert.ok(Date.now() - again < CHECK_TIMEOUT / 2, `${Date.now() - again} ms`)
      // What comes late counts for those that come later.
      resolve(json({ version: 1, endpoints: [newer] })())
      await until(5000, "the late answer", async () => (await offers())[0] === "x-kaazing-ping-pong")
    })

    test("another gateway is asked at once", async (t) => {
      const { configuration, offers } = aged(t)
      await offers()
      server.files["/other.json"] = json({ version: 1, endpoints: [newer] })
      configuration.configure({ gateway: `${server.http}/other.json` })
      assert.deepEqual(await offers(), ["x-kaazing-ping-pong"])
    })
  })

  describe("when it cannot be had", () => {
    for (const [what, page, socket, isError] of [
      ["plain, where nobody says otherwise", {}, {}, false],
      ["an error, where the page says so", { fallback: "error" }, {}, true],
      ["an error, where the socket says so", { fallback: "plain" }, { fallback: "error" }, true],
      ["an error, where the socket asks for extensions", {}, { extensions: ["smeuse-sequence"] }, true],
      ["plain, where the page says so", { fallback: "plain" }, { extensions: ["smeuse-sequence"] }, false],
      ["plain, where the socket says so", { fallback: "error" }, { fallback: "plain", extensions: ["smeuse-sequence"] }, false],
      ["plain, where the socket asks for none", {}, { extensions: [] }, false],
    ]) {
      test(`sockets are ${what}`, async (t) => {
        t.mock.method(console, "warn", () => {})
        const configuration = new Configuration()
        configuration.configure({ gateway: `${server.http}/nothing.json`, ...page })
        const route = configuration.route(at("/amqp"), socket)
        if (isError) await assert.rejects(route, /nothing\.json cannot be used: status 404/)
        else assert.deepEqual(await route, { isExtended: false })
      })
    }
  })

  for (const [what, config] of [["another version", { version: 2, endpoints: [endpoint] }], ["no endpoints", { version: 1 }], ["null", null], ["an endpoint without paths", { version: 1, endpoints: [{}] }]]) {
    test(`a config.json with ${what} cannot be used`, () => assert.throws(() => parseConfig(config), TypeError))
  }

  test("it says how large a message may be", async () => {
    const configuration = gateway({ version: 1, endpoints: [{ ...endpoint, messageBytes: 5000 }] })
    assert.equal((await configuration.route(at("/amqp"), {})).messageBytes, 5000)
    for (const messageBytes of [0, "x", null, -1]) assert.ok(!("messageBytes" in parseConfig({ version: 1, endpoints: [{ paths: ["/x"], messageBytes }] }).get("/x")))
  })

  test("what it does not know, it passes over", () => {
    const [[path, found]] = parseConfig({ version: 1, new: 1, endpoints: [{ paths: ["/x"], kind: "mqtt", speed: 7 }] })
    assert.deepEqual([path, found], ["/x", { kind: "mqtt" }])
  })
})

describe("an extension module of config.json", () => {
  const text = `export default { name: "acme-stamp", agree: () => ({}), toServer: (message) => message + "!" }`
  const integrity = `sha384-${createHash("sha384").update(text).digest("base64")}`
  const routed = (entry, options = {}) => {
    server.files["/_smeuse/extensions/acme-stamp.js"] = ["text/javascript", text]
    return gateway({ version: 1, endpoints: [{ ...endpoint, extensions: [{ name: "acme-stamp", params: "level=2", module: "/_smeuse/extensions/acme-stamp.js", ...entry }] }] }).route(at("/amqp"), options)
  }

  test("is imported when it is what config.json says", async () => {
    assert.deepEqual(offersOf(await routed({ integrity })), ["acme-stamp; level=2"])
    assert.ok(extensions.names().includes("acme-stamp"))
    assert.deepEqual(offersOf(await routed({ integrity }, { extensions: ["acme-stamp; level=3"] })), ["acme-stamp; level=3"])
    extensions.unregister("acme-stamp")
  })

  test("that was replaced since config.json was loaded is had by the next socket", async () => {
    const entry = (integrity) => ({ ...endpoint, extensions: [{ name: "acme-stamp", module: "/_smeuse/extensions/acme-stamp.js", integrity }] })
    server.files["/_smeuse/extensions/acme-stamp.js"] = ["text/javascript", text]
    const configuration = gateway({ version: 1, endpoints: [entry(integrity.replace(/-..../, "-AAAA"))] })
    await assert.rejects(configuration.route(at("/amqp"), {}), /cannot be loaded/)
    server.files["/_smeuse/config.json"] = json({ version: 1, endpoints: [entry(integrity)] })
    assert.deepEqual(offersOf(await configuration.route(at("/amqp"), {})), ["acme-stamp"])
    extensions.unregister("acme-stamp")
  })

  test("in a newer version is what the next socket has, and one that is delivered is asked for no more", async () => {
    let asked = 0
    const entry = (text) => {
      server.files["/_smeuse/extensions/acme-stamp.js"] = () => ((asked += 1), ["text/javascript", text])
      const integrity = `sha384-${createHash("sha384").update(text).digest("base64")}`
      return gateway({ version: 1, endpoints: [{ ...endpoint, extensions: [{ name: "acme-stamp", module: "/_smeuse/extensions/acme-stamp.js", integrity }] }] })
    }
    const old = await entry(text).route(at("/amqp"), {})
    const marks = ({ offers: [{ extension }] }) => extension.toServer("x")
    assert.equal(marks(old), "x!")
    await entry(text).route(at("/amqp"), {})
    assert.equal(asked, 1)
    const newer = entry(text.replace("!", "?"))
    // Two sockets run it once.
    const routes = await Promise.all([newer.route(at("/amqp"), {}), newer.route(at("/amqp"), {})])
    assert.deepEqual(routes.map(marks), ["x?", "x?"])
    assert.equal(routes[0].offers[0].extension, routes[1].offers[0].extension)
    assert.equal(asked, 2)
    assert.equal(marks(old), "x!")
    assert.ok(extensions.unregister("acme-stamp"))
    assert.ok(!extensions.unregister("acme-stamp"))
  })

  test("is not asked for where the page has an extension of that name", async () => {
    extensions.register({ name: "acme-stamp", agree() {}, toServer: (message) => `${message} of the page` })
    const route = await routed({ integrity })
    assert.equal(route.offers[0].extension.toServer("x"), "x of the page")
    extensions.unregister("acme-stamp")
  })

  for (const [what, entry, options, isError] of [
    ["fails the socket, where config.json does not say", {}, {}, true],
    ["fails the socket, where config.json requires it", { required: true }, {}, true],
    ["is left out, where config.json does not require it", { required: false }, {}, false],
    ["fails the socket, where the page asks for it", { required: false }, { extensions: ["smeuse-sequence", "acme-stamp"] }, true],
    ["is left out, where the page says so", { required: true }, { extensions: ["smeuse-sequence", { name: "acme-stamp", required: false }] }, false],
  ]) {
    test(`that cannot be loaded ${what}`, async (t) => {
      const warn = t.mock.method(console, "warn", () => {})
      const broken = { integrity: integrity.replace(/-..../, "-AAAA"), ...entry }
      const why = "the extension acme-stamp cannot be loaded: what is there is not what config.json names (integrity)"
      if (isError) return assert.rejects(routed(broken, options), { message: why })
      const route = await routed(broken, options)
      assert.deepEqual(route.missing, [{ extension: "acme-stamp", reason: why }])
      assert.deepEqual(offersOf(route), options.extensions === undefined ? [] : ["smeuse-sequence"])
      assert.deepEqual(warn.mock.calls.map(({ arguments: [line] }) => line), [`smeuse: the connection goes on without an extension: ${why}`])
    })
  }

  for (const [what, entry, problem] of [
    ["no integrity", {}, /gives no integrity/],
    ["an integrity that is none", { integrity: "sha384" }, /gives no integrity/],
    ["the integrity of another", { integrity: integrity.replace(/-..../, "-AAAA") }, /cannot be loaded/],
    ["a module that is not there", { integrity, module: "/nothing.js" }, /cannot be loaded/],
    ["the module of another", { integrity, name: "acme-other" }, /its module is that of acme-stamp/],
  ]) {
    test(`with ${what} fails the socket`, async () => {
      await assert.rejects(routed(entry), problem)
      assert.ok(!extensions.names().includes("acme-stamp"))
    })
  }
})
