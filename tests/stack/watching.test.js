// A real Prometheus, with our configuration but for the ports, scrapes a real gateway and a real RabbitMQ while sessions use
// every extension: what rules and dashboard ask for is there.
import assert from "node:assert/strict"
import { execFileSync, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { writeFile } from "node:fs/promises"
import { request } from "node:http"
import { join } from "node:path"
import { after, before, describe, test } from "node:test"
import { startBroker } from "../js/kit/broker.js"
import { program, startGateway } from "../js/kit/gateway.js"
import { connect, publishAndConsume } from "../js/kit/library.js"
import { root, run } from "../js/kit/process.js"
import { until, within } from "../js/kit/wait.js"
import { stringify } from "../js/kit/yaml.js"
import { expressions, filled, grouping, selectors } from "./expressions.js"
import { answers, composed, folderWith, freePorts, Program, read, readYaml } from "./kit.js"

const DASHBOARD = "config/grafana/dashboards/smeuse.json"
const TOKEN_FILE = join(root, "config/secrets/admin-token")
const TOKEN = await read("config/secrets/admin-token")
const EXTENSIONS = ["x-kaazing-ping-pong", "x-kaazing-idle-timeout", "smeuse-sequence"]

let folder
let broker
let gateway
let prometheus
let address
const sessions = []

/** A certificate for the gateway to show to a broker; nobody need believe it. */
const certificate = (folder) =>
  run("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "40", "-subj", "/CN=gateway"],
    ...["-keyout", folder.path("client.key"), "-out", folder.path("client.crt")],
  ])

/** Services of every kind, and a gateway that speaks of itself. */
const configuration = ({ url, folder }) => `
[web]
extensions = "${folder.path("modules")}"

[[web.applications]]
name = "pages"
folder = "${folder.path("pages")}"

[websocket]
ping_interval = "1s"

[control]
uris = ["${url}/%2F"]
events_exchange = "smeuse.events"

[[services]]
name = "amqp"
paths = ["/ws/amqp"]
idle_timeout = "1s"
trials = [{ extension = "smeuse-sequence", percent = 100 }]

[services.upstream]
uris = ["${url}"]

[[services]]
name = "shared"
paths = ["/shared"]
login = { users = "${folder.path("users.toml")}", schemes = ["amqp"] }

[services.upstream]
uris = ["${url}"]
vhost = "/"
login = "service"
connections = "shared"

[[services]]
name = "far"
paths = ["/far"]

[services.upstream]
uris = ["amqps://localhost:9"]
tls = { certificate = "${folder.path("client.crt")}", key = "${folder.path("client.key")}" }
`

/** A client that agrees on an extension in its opening handshake and breaks its rules: no library does that. */
async function misbehave() {
  const key = Buffer.alloc(16).toString("base64")
  const headers = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key }
  const [host, port] = gateway.public.split(":")
  const asking = request({ host, port, path: "/ws/amqp", headers: { ...headers, "Sec-WebSocket-Extensions": "x-kaazing-ping-pong" } })
  asking.end()
  const [response, socket] = await within(5_000, "the upgrade", new Promise((resolve, reject) => asking.on("upgrade", (...all) => resolve(all)).on("error", reject)))
  assert.equal(response.headers["sec-websocket-accept"], createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64"))
  // A TEXT frame, masked with zeros: the control bytes, and neither ping nor pong behind them.
  socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | 11, 0, 0, 0, 0]), Buffer.from("\x01\x01\x01\x02rubbish")]))
  await within(5_000, "the end", new Promise((resolve) => socket.on("close", resolve).resume()))
}

const ask = async (path, parameters = {}) => {
  const response = await fetch(`http://${address}${path}?${new URLSearchParams(parameters)}`, { signal: AbortSignal.timeout(10_000) })
  const { status, data, error } = await response.json()
  assert.equal(status, "success", `${error} of ${JSON.stringify(parameters)}`)
  return data
}
/** The gateway's private listener, as an operator asks it. */
const asked = (path) => gateway.ask(path, { headers: { Authorization: `Bearer ${TOKEN}` } })
const query = async (expr) => (await ask("/api/v1/query", { query: expr })).result
const value = async (expr) => Number((await query(expr))[0]?.value[1] ?? NaN)

before(async () => {
  const [amqpMetrics, own] = await freePorts(2)
  address = `127.0.0.1:${own}`
  folder = await folderWith({
    "pages/index.html": "<!doctype html><title>A page</title>\n",
    "modules/acme-stamp.js": "export default {}\n",
    "conf/20-smeuse.conf": await read("config/rabbitmq.conf"),
    "conf/90-ports.conf": `prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = ${amqpMetrics}\n`,
  })
  await certificate(folder)
  broker = await startBroker(`watching-${process.pid}`, { plugins: ["rabbitmq_prometheus"], conf: folder.path("conf") })
  const users = execFileSync(program, ["hash-password", "--user", "alice"], { input: "a password\n" })
  await writeFile(folder.path("users.toml"), users, { mode: 0o600 })
  gateway = await startGateway({ config: configuration({ url: broker.url, folder }), env: { SMEUSE__ADMIN__TOKEN_FILE: TOKEN_FILE } })
  const config = await readYaml("config/prometheus.yml")
  const ports = { smeuse: gateway.admin, rabbitmq: `127.0.0.1:${amqpMetrics}`, prometheus: address }
  assert.equal(config.scrape_configs[0].authorization.credentials_file, "/run/secrets/admin-token")
  config.scrape_configs[0].authorization.credentials_file = TOKEN_FILE
  for (const job of config.scrape_configs) job.static_configs[0].targets = [ports[job.job_name]]
  // As configured, but in less time than a minute.
  Object.assign(config.global, { scrape_interval: "500ms", scrape_timeout: "500ms", evaluation_interval: "500ms" })
  await writeFile(folder.path("prometheus.yml"), stringify(config))
  await writeFile(folder.path("alerts.yml"), await read("config/alerts.yml"))
  prometheus = new Program("prometheus", [
    `--config.file=${folder.path("prometheus.yml")}`,
    `--storage.tsdb.path=${folder.path("data")}`,
    `--web.listen-address=${address}`,
  ])
  await prometheus.ready("Prometheus", () => answers(`http://${address}/-/ready`))
  // Rates begin with a second sample.
  await until(20_000, "a first sample", async () => (await value('up{job="smeuse"}')) === 1)
  for (const extension of EXTENSIONS) sessions.push(await connect(gateway.url, { extensions: [extension] }))
  sessions.push(await connect(`ws://${gateway.public}/shared`, { username: "alice", password: "a password" }))
  for (const session of sessions) assert.equal(await publishAndConsume(session, "counted"), "counted")
  assert.match(await (await fetch(`http://${gateway.public}/`)).text(), /<script src="\/_smeuse\/smeuse\.js"/)
  // What is counted when a session ends.
  const short = await connect(gateway.url, { extensions: ["smeuse-sequence"] })
  await short.close()
  await misbehave()
  await until(10_000, "the end of both", async () => (await (await asked("/sessions")).json()).length === sessions.length)
})

after(async () => {
  for (const session of sessions) await session.close().catch(() => {})
  await prometheus?.stop()
  await gateway?.kill()
  await broker?.stop()
  await folder?.remove()
})

describe("Prometheus", () => {
  test("is well by the compose file's own check", async () => {
    const { prometheus } = (await composed()).services
    // The image's wget wants what fetch calls ok.
    assert.ok(await answers(prometheus.healthcheck.test.at(-1).replace("127.0.0.1:9090", address)))
  })

  test("scrapes the gateway, the broker and itself", async () => {
    for (const job of ["smeuse", "rabbitmq", "prometheus"]) {
      await until(20_000, `${job} to be up`, async () => (await value(`up{job="${job}"}`)) === 1)
    }
  })

  test("has the figures of each extension after real sessions", async () => {
    for (const extension of EXTENSIONS) {
      const is = `{extension="${extension}"}`
      await until(20_000, `a session with ${extension}`, async () => (await value(`smeuse_extension_sessions${is}`)) === 1)
      assert.ok((await value(`smeuse_extension_offers_total{extension="${extension}", outcome="agreed"}`)) >= 1, extension)
    }
    // What an extension claims goes through it: sequence numbers are on every message.
    await until(20_000, "messages through smeuse-sequence", async () => (await value('smeuse_extension_messages_total{extension="smeuse-sequence", direction="from_client"}')) > 5)
    await until(20_000, "round trips", async () => (await value('smeuse_extension_round_trip_seconds_count{extension="x-kaazing-ping-pong"}')) > 0)
    await until(20_000, "a failure", async () => (await value('sum(smeuse_extension_failures_total{extension="x-kaazing-ping-pong"})')) === 1)
    assert.ok((await value('smeuse_handshakes_total{handshake="extended", dialect="specification", outcome="accepted"}')) >= 3)
    assert.ok((await value("smeuse_amqp_deliveries_total")) >= 4)
    assert.ok((await value('smeuse_certificate_expiry_timestamp_seconds - time()')) > 39 * 86400)
  })

  test("has our rules, all of them in good health, and none fires over a gateway that is well", async () => {
    const wanted = await expressions("config/alerts.yml")
    const { groups } = await until(20_000, "the rules to be evaluated", async () => {
      const data = await ask("/api/v1/rules")
      return data.groups.every(({ rules }) => rules.every(({ health }) => health !== "unknown")) && data
    })
    const rules = groups.flatMap(({ rules }) => rules)
    assert.equal(rules.length, wanted.length)
    for (const { name, health, lastError } of rules) assert.equal(health, "ok", `${name}: ${lastError}`)
    assert.deepEqual(rules.filter(({ state }) => state === "firing").map(({ name }) => name), [])
  })
})

describe("what is exported", () => {
  test("is for who has the token", async () => {
    assert.equal((await gateway.ask("/metrics")).status, 401)
    assert.equal((await asked("/metrics")).status, 200)
  })

  test("is good in promtool's eyes", async () => {
    const text = await (await asked("/metrics")).text()
    const child = spawn("promtool", ["check", "metrics"], { stdio: ["pipe", "pipe", "pipe"] })
    let said = ""
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (said += data))
    child.stdin.end(text)
    const code = await within(10_000, "promtool", new Promise((resolve) => child.on("close", resolve)))
    assert.equal(code, 0, said)
  })

  test("holds every metric that rules and dashboard name, with the labels they ask for", async () => {
    const families = new Map()
    for (const text of [await (await asked("/metrics")).text(), await (await fetch(`http://${await rabbitTarget()}/metrics`)).text()]) {
      for (const [, name] of text.matchAll(/^# TYPE (\w+) \w+$/gm)) {
        const samples = [...text.matchAll(new RegExp(`^${name}(?:_bucket|_sum|_count)?(?:\\{(.*)\\})? `, "gm"))]
        families.set(name, new Set(samples.flatMap(([, labels = ""]) => [...labels.matchAll(/(\w+)="/g)].map(([, label]) => label))))
      }
    }
    // What Prometheus adds itself.
    const added = ["instance", "job"]
    families.set("up", new Set())
    let named = 0
    for (const { name: where, expr } of [...(await expressions("config/alerts.yml")), ...(await expressions(DASHBOARD))]) {
      const asked = selectors(expr)
      const known = new Set(added)
      for (const { name, labels } of asked) {
        const family = families.has(name) ? name : name.replace(/_(bucket|sum|count)$/, "")
        assert.ok(families.has(family), `${where}: ${name} is not exported`)
        for (const label of families.get(family)) known.add(label)
        for (const label of labels) assert.ok(added.includes(label) || families.get(family).has(label), `${where}: ${name} has no label ${label}`)
        named += 1
      }
      if (asked.length > 0) for (const label of grouping(expr)) assert.ok(known.has(label), `${where}: nothing in it has a label ${label}`)
    }
    assert.ok(named > 120, `${named} metrics are named`)
  })

  test("leaves no own metric without a place in rules or dashboard", async () => {
    const all = [...(await expressions("config/alerts.yml")), ...(await expressions(DASHBOARD))].map(({ expr }) => expr).join("\n")
    const text = await (await asked("/metrics")).text()
    const names = [...text.matchAll(/^# TYPE (smeuse_\w+) \w+$/gm)].map(([, name]) => name)
    assert.deepEqual(names.filter((name) => !all.includes(name)), [])
  })

  test("fills the dashboard: each panel has something to show, but for what has not happened", async () => {
    const quiet = /^(Refused and abandoned|Refused by rule|Limits hit|Ended badly|Bytes per session on trial|Changes of modules|Faulty modules|Refused openings|Events|Commands|Not answered|Live view|Looks of the live view|Refused at the private listener|Starts|Logins|.*: (round trip|control frames|failures|processing)|variable .*)$/
    let shown = 0
    for (const { name, expr } of await expressions(DASHBOARD)) {
      for (const extension of expr.includes("$extension") ? EXTENSIONS : [".*"]) {
        const full = filled(expr, { interval: "1m", extension })
        const isThere = async () => (await query(full)).length > 0
        if (quiet.test(name)) {
          await isThere()
        } else {
          await until(15_000, `${name}: ${full}`, isThere)
          shown += 1
        }
      }
    }
    assert.ok(shown >= 65, `${shown} expressions had a series`)
  })
})

describe("an outage", () => {
  test("of the broker is on its way to an alert within moments, and over with the broker's return", { timeout: 120_000 }, async () => {
    const name = `127.0.0.1:${new URL(broker.url).port}`
    const isPending = async (alert, labels) => (await query(`ALERTS{alertname="${alert}", alertstate="pending", ${labels}}`)).length === 1
    // As a readiness probe does, over and over; the service `far` has no broker at any time.
    const probed = (what, condition) => until(60_000, what, () => gateway.ask("/readyz").then(condition))
    const isDown = () => isPending("SmeuseBrokerDown", `broker="${name}"`)
    assert.equal(await isDown(), false)
    await broker.kill()
    await probed("SmeuseBrokerDown to be pending", isDown)
    await until(20_000, "RabbitMQDown to be pending", () => isPending("RabbitMQDown", 'job="rabbitmq"'))
    await broker.revive()
    await probed("SmeuseBrokerDown to be over", async () => !(await isDown()))
    await until(20_000, "RabbitMQDown to be over", async () => !(await isPending("RabbitMQDown", 'job="rabbitmq"')))
  })
})

const rabbitTarget = async () => (await ask("/api/v1/targets", { state: "active" })).activeTargets.find(({ labels }) => labels.job === "rabbitmq").labels.instance
