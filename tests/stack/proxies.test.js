// The recipes for nginx, HAProxy and Caddy, changed only in addresses, ports, files and times: real sessions through a real
// proxy, TLS at the proxy, to a real RabbitMQ.
import assert from "node:assert/strict"
import { readFile, writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import { request } from "node:https"
import { after, before, describe, test } from "node:test"
import { sharedBroker } from "../js/kit/broker.js"
import { startGateway } from "../js/kit/gateway.js"
import { connect, publishAndConsume } from "../js/kit/library.js"
import { run } from "../js/kit/process.js"
import { until, within } from "../js/kit/wait.js"
import { folderWith, freePorts, Program, read } from "./kit.js"

/** The proxy's own limit on silence here; in the recipes it is 90 s, over pings every 20 s. */
const TIMEOUT = 2
const PINGS = { SMEUSE__WEBSOCKET__PING_INTERVAL: "400ms" }
const NO_PINGS = { SMEUSE__WEBSOCKET__PING_INTERVAL: "50s" }

/** How each recipe becomes one that runs here: `text` is the recipe with the gateways' addresses in it. */
const PROXIES = {
  nginx: {
    recipe: "deploy/proxies/nginx.conf",
    adapt: (text, { port, folder }) =>
      text
        .replace("listen 443 ssl", `listen 127.0.0.1:${port} ssl`)
        .replaceAll(/\/etc\/nginx\/(tls\.\w+)/g, folder.path("$1"))
        .replaceAll(/(proxy_(?:read|send)_timeout) 90s/g, `$1 ${TIMEOUT}s`)
        // Where Debian's package would write.
        .replace("http {", `http {\n    access_log off;\n${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((each) => `    ${each}_temp_path ${folder.path(each)};\n`).join("")}`),
    start: (file, folder) => ["nginx", ["-c", file, "-p", folder.path(), "-e", "stderr", "-g", `daemon off; pid ${folder.path("pid")};`]],
    check: (file, folder) => ["nginx", ["-t", "-c", file, "-p", folder.path(), "-e", "stderr", "-g", `pid ${folder.path("pid")};`]],
    stop: "SIGTERM",
  },
  haproxy: {
    recipe: "deploy/proxies/haproxy.cfg",
    adapt: (text, { port, folder, admin }) =>
      text
        .replace("bind :443 ssl crt /etc/haproxy/gateway.pem", `bind 127.0.0.1:${port} ssl crt ${folder.path("gateway.pem")}`)
        .replace("check port 15673 inter 2s", `check port ${admin} inter 200ms`)
        .replace("timeout tunnel 90s", `timeout tunnel ${TIMEOUT}s`)
        // As many files as a developer's machine gives.
        .replace("maxconn 50000", "maxconn 200"),
    start: (file) => ["haproxy", ["-db", "-f", file]],
    check: (file) => ["haproxy", ["-c", "-f", file]],
    stop: "SIGUSR1",
  },
  caddy: {
    recipe: "deploy/proxies/Caddyfile",
    adapt: (text, { port, folder, admin }) =>
      text
        .replace("gateway.example {", `{\n\tadmin off\n}\n\nhttps://localhost:${port} {\n\tbind 127.0.0.1\n\ttls ${folder.path("tls.crt")} ${folder.path("tls.key")}`)
        .replace("health_port 15673", `health_port ${admin}`)
        .replace("health_interval 2s", "health_interval 200ms"),
    start: (file) => ["caddy", ["run", "--adapter", "caddyfile", "--config", file]],
    check: (file) => ["caddy", ["validate", "--adapter", "caddyfile", "--config", file]],
    stop: "SIGTERM",
    // It never ends what is silent.
    isPatient: true,
    // It asks no second gateway when the first answers 503.
    isHonest: true,
  },
}

let broker
/** An application that is out of order, and what it was asked. */
const asked = []
const shop = createServer((request, response) => {
  asked.push(`${request.method} ${request.url}`)
  response.writeHead(503).end("sold out")
})
before(async () => {
  broker = await sharedBroker()
  await new Promise((resolve) => shop.listen(0, "127.0.0.1", resolve))
})
after(() => {
  shop.close()
  return broker?.stop()
})

/** What a page's request through the proxy is answered. */
const get = (site, path, headers = {}, method = "GET") =>
  within(
    5_000,
    `the answer to ${path}`,
    new Promise((resolve, reject) => {
      const asking = request(`https://localhost:${site.port}${path}`, { ca: site.ca, method, headers, agent: false }, (response) => {
        let body = ""
        response.on("data", (data) => (body += data)).on("end", () => resolve({ status: response.statusCode, headers: response.headers, body }))
      })
      asking.on("error", reject).on("upgrade", (response, socket) => {
        socket.destroy()
        resolve({ status: response.statusCode, headers: response.headers })
      })
      asking.end()
    }),
  )

/** It is behind the gateway, too. */
const SHOP = () => ({
  SMEUSE__WEB__APPLICATIONS__0__NAME: "shop",
  SMEUSE__WEB__APPLICATIONS__0__PATH: "/shop",
  SMEUSE__WEB__APPLICATIONS__0__ORIGIN: `http://127.0.0.1:${shop.address().port}`,
})

/** Two gateways behind a proxy. */
async function startSite(name, { env }) {
  const proxy = PROXIES[name]
  const [port, listen, admin] = await freePorts(3)
  const folder = await folderWith({})
  const [crt, key, pem] = ["tls.crt", "tls.key", "gateway.pem"].map(folder.path)
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
  await run("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", ...subject, "-keyout", key, "-out", crt])
  await writeFile(pem, (await readFile(crt, "utf8")) + (await readFile(key, "utf8")))
  const gateways = await Promise.all(
    ["127.0.0.11", "127.0.0.12"].map((address) =>
      startGateway({
        upstream: broker.url,
        listen: `${address}:${listen}`,
        admin: `${address}:${admin}`,
        env: { SMEUSE__PROXIES__TRUSTED: '["127.0.0.1"]', SMEUSE__DRAIN__DEADLINE: "2s", SMEUSE__DRAIN__SPREAD: "500ms", ...SHOP(), ...env },
      }),
    ),
  )
  const text = (await read(proxy.recipe)).replaceAll(/10\.0\.0\.(1[12]):15670/g, `127.0.0.$1:${listen}`)
  const adapted = proxy.adapt(text, { port, folder, admin })
  const file = folder.path(name === "caddy" ? "Caddyfile" : `${name}.conf`)
  await writeFile(file, adapted)
  const options = { cwd: folder.path(), env: { PATH: `${process.env.PATH}:/usr/sbin`, HOME: folder.path(), XDG_DATA_HOME: folder.path(), XDG_CONFIG_HOME: folder.path() } }
  await run(...proxy.check(file, folder), options)
  const program = new Program(...proxy.start(file, folder), options)
  const site = { port, ca: await readFile(crt, "utf8"), gateways, url: `wss://localhost:${port}/ws/amqp` }
  await program.ready(`${name} with a gateway behind it`, async () => (await get(site, "/_smeuse/config.json").catch(() => ({}))).status === 200)
  return Object.assign(site, {
    async stop() {
      await program.stop(proxy.stop)
      await Promise.all(gateways.map((gateway) => gateway.kill()))
      await folder.remove()
    },
  })
}

/** A session of the published client, from an address of its own, that lies about it. */
const open = (site) =>
  connect(site.url, {
    platform: { ca: site.ca, localAddress: "127.0.0.5", headers: { Forwarded: "for=192.0.2.1", "X-Forwarded-For": "192.0.2.2" } },
  })

/** Each session with its gateway, as the operator sees it. */
const sessions = async (site) => {
  const lists = await Promise.all(
    site.gateways.map(async (gateway) => {
      // One that has ended has none.
      const list = await gateway.ask("/sessions").then((response) => response.json(), () => [])
      return list.map((session) => ({ ...session, gateway }))
    }),
  )
  return lists.flat()
}

for (const [name, proxy] of Object.entries(PROXIES)) {
  describe(`${name}`, { timeout: 120_000 }, () => {
    let site
    before(async () => (site = await startSite(name, { env: PINGS })))
    after(() => site?.stop())

    test("passes pages on, and openings of its own origin alone", async () => {
      const config = await get(site, "/_smeuse/config.json")
      assert.equal(config.status, 200)
      const opening = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==" }
      assert.equal((await get(site, "/ws/amqp", { ...opening, Origin: `https://localhost:${site.port}` })).status, 101)
      const stranger = await get(site, "/ws/amqp", { ...opening, Origin: "https://stranger.example" })
      assert.equal(stranger.status, 403)
      assert.match(stranger.body, /origin_not_allowed/)
    })

    test("carries sessions of the address that they come from, whatever they say", async () => {
      const session = await open(site)
      try {
        assert.equal(await publishAndConsume(session, `through ${name}`), `through ${name}`)
        const [{ client }] = await sessions(site)
        assert.match(client, /^127\.0\.0\.5(:\d+)?$/)
      } finally {
        await session.close()
      }
      await until(5_000, "the end of the session", async () => (await sessions(site)).length === 0)
    })

    test("keeps a silent session for as long as the gateway's pings go on", async () => {
      const session = await open(site)
      try {
        await publishAndConsume(session, "before")
        await until(20_000, "a session that was silent for long", async () => {
          const [own] = await sessions(site)
          assert.ok(own, "the session is there")
          return own.opened_seconds_ago > 3 * TIMEOUT
        })
        assert.equal(await publishAndConsume(session, "after"), "after")
      } finally {
        await session.close().catch(() => {})
      }
    })

    test("asks an application once for what is not to be done twice", async () => {
      for (const method of ["POST", "PATCH"]) {
        asked.length = 0
        const { status, body } = await get(site, "/shop/order", {}, method)
        assert.deepEqual({ status, body }, { status: 503, body: "sold out" })
        assert.deepEqual(asked, [`${method} /shop/order`])
      }
      // And no refusal closes the site for others.
      assert.equal((await get(site, "/_smeuse/config.json")).status, 200)
    })

    test("sends new sessions elsewhere while a gateway drains, and carries its last word", async () => {
      const session = await open(site)
      await publishAndConsume(session, "before the drain")
      const [{ gateway }] = await sessions(site)
      const other = site.gateways.find((each) => each !== gateway)
      gateway.signal("SIGTERM")
      await gateway.line("draining")
      if (proxy.isHonest) {
        // Until its next look at the gateway's health it may pass a refusal on.
        await until(5_000, "sessions at the other gateway", () => open(site).then((next) => next.close().then(() => true), () => false))
      }
      for (let count = 0; count < 4; count += 1) {
        const next = await open(site)
        assert.equal(await publishAndConsume(next, `${count}`), `${count}`)
        assert.equal((await sessions(site)).filter((each) => each.gateway === other).length, 1)
        await next.close()
        await until(5_000, "its end", async () => (await sessions(site)).every((each) => each.gateway !== other))
      }
      const { code, reason } = await within(10_000, "the end of the old session", session.ending)
      assert.equal(code, 1001)
      assert.match(reason, /reconnect/)
      assert.equal(await gateway.ended(), 0)
    })
  })

  // What the test of silent sessions proves: here it is the pings that are missing, and nothing else.
  if (!proxy.isPatient) {
    test(`${name} ends a silent session if the gateway sends no pings`, { timeout: 60_000 }, async () => {
      const site = await startSite(name, { env: NO_PINGS })
      try {
        const session = await open(site)
        await publishAndConsume(session, "before")
        const { code } = await within(10_000, "the end of the session", session.ending)
        assert.equal(code, 1006)
      } finally {
        await site.stop()
      }
    })
  }
}
