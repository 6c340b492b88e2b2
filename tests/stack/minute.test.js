// The documented minute: what docs/operations.md and README.md say of `docker compose up` is what docker-compose.yml does, and the
// same programs with the same configuration, started without containers, carry messages in the demo.
import assert from "node:assert/strict"
import { copyFile } from "node:fs/promises"
import { join } from "node:path"
import { after, before, describe, test } from "node:test"
import { openPage, startChromium } from "../browser/kit.js"
import { startBroker } from "../js/kit/broker.js"
import { program, startGateway } from "../js/kit/gateway.js"
import { root, run } from "../js/kit/process.js"
import { composed, folderWith, freePorts, read, tool } from "./kit.js"

const manual = (await read("docs/operations.md")).split("\n## The stack in containers\n")[1].split(/^## /m)[0]
const readme = await read("README.md")
const { services, secrets } = await composed()

/** What the RabbitMQ of the compose file takes as its login. */
const loginFile = secrets["rabbitmq-login"].file
const login = Object.fromEntries([...(await read("config/secrets/rabbitmq-login.conf")).matchAll(/^default_(user|pass) = (\S+)$/gm)].map(([, key, value]) => [key, value]))

/** Port of this machine at which a service's own is published. */
const published = (name, target) => services[name].ports.find((port) => port.target === target)?.published

describe("the documents", () => {
  test("give the commands that Compose knows, and the addresses that it publishes", () => {
    const commands = [...manual.matchAll(/^(?:SMEUSE_PUBLISH=\S+ )?docker compose (.*)$/gm)].map(([, args]) => args)
    assert.deepEqual(commands, ["up", "--profile monitoring up", "up"])
    const own = Object.entries({ gateway: [15670, 15673], rabbitmq: [15672], prometheus: [9090], grafana: [3000] })
    for (const [name, targets] of own) {
      for (const target of targets) assert.equal(published(name, target), `${target}`)
      assert.equal(services[name].ports.length, targets.length, name)
    }
    const linked = [...manual.matchAll(/<http:\/\/localhost:(\d+)\/(?:metrics)?>/g)].map(([, port]) => Number(port))
    assert.deepEqual(linked.sort(), own.flatMap(([, targets]) => targets).sort())
    assert.match(readme, /^docker compose up$/m)
    assert.ok(readme.includes("<http://localhost:15670/>"))
  })

  test("give the logins that lie in the files", async () => {
    for (const text of [manual, readme]) assert.match(text, new RegExp(`user \`${login.user}\`,\\s+password\\s+\`${login.pass}\``))
    const password = await read("config/secrets/grafana-password")
    assert.match(manual, new RegExp(`user \`admin\`,\\s+password \`${password}\``))
    assert.ok(manual.includes(`token\n\`${await read("config/secrets/admin-token")}\``) || manual.includes(`token \`${await read("config/secrets/admin-token")}\``))
    const comment = await read("docker-compose.yml")
    assert.ok(comment.includes(`(${login.user}, ${login.pass})`) && comment.includes(`(admin, ${password})`))
  })

  test("have a table of the parts that is the file's own", () => {
    const size = (bytes) => (bytes % 2 ** 30 === 0 ? `${bytes / 2 ** 30} GiB` : `${bytes / 2 ** 20} MiB`)
    const rows = [...manual.matchAll(/^\| `(\w+)` \| (?:`(.*?)`|built here) \| (.*?) \| (.*?) \|$/gm)]
    assert.deepEqual(rows.map(([, name]) => name).sort(), Object.keys(services).sort())
    for (const [, name, image, uses, ports] of rows) {
      const { mem_limit, cpus, build } = services[name]
      assert.equal(image, build ? undefined : services[name].image, name)
      assert.equal(uses, `${size(Number(mem_limit))}, ${cpus} core${cpus === 1 ? "" : "s"}`, name)
      assert.deepEqual([...ports.matchAll(/\d+/g)].map(String), (services[name].ports ?? []).map(({ published }) => published), name)
    }
  })

  test("show how to make secrets of one's own, and that works", async () => {
    const script = manual.match(/```sh\n(install [^]*?)```/)[1]
    // Compose itself, asked what it would start.
    const folder = await folderWith({ "bin/docker": `#!/bin/sh\n[ "$*" = "compose up" ] || exit 1\nexec "${tool("docker-compose")}" -f "${join(root, "docker-compose.yml")}" --profile monitoring config --format json\n` })
    try {
      await run("chmod", ["+x", folder.path("bin/docker")])
      const text = await run("bash", ["-euc", script], { env: { PATH: `${folder.path("bin")}:${process.env.PATH}`, HOME: folder.path() } })
      const made = JSON.parse(text)
      assert.equal(made.services.gateway.ports[0].host_ip, "0.0.0.0")
      for (const { file } of Object.values(made.secrets)) assert.ok(file.startsWith(folder.path()), file)
      const own = await run("cat", [made.secrets["rabbitmq-login"].file])
      const token = await run("cat", [made.secrets["admin-token"].file])
      assert.match(token, /^[0-9a-f]{48}\n$/)
      assert.match(own, /^default_user = demo\ndefault_pass = [0-9a-f]{32}\n$/)
    } finally {
      await folder.remove()
    }
  })
})

describe("the same programs without containers", { timeout: 180_000 }, () => {
  let folder
  let broker
  let management
  let gateway
  let browser
  let environment

  before(async () => {
    const [managementPort, metricsPort] = await freePorts(2)
    management = `http://127.0.0.1:${managementPort}`
    folder = await folderWith({
      "conf/90-ports.conf": `management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = ${managementPort}\nprometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = ${metricsPort}\n`,
    })
    // What the compose file mounts, under the names that it has there.
    const mounts = services.rabbitmq.volumes.filter(({ type }) => type === "bind").map(({ source, target }) => [source, target])
    mounts.push([loginFile, services.rabbitmq.secrets[0].target])
    for (const [source, target] of mounts) {
      const [, name] = target.match(/^\/etc\/rabbitmq\/conf\.d\/(.*)$/) ?? []
      if (name) await copyFile(source, folder.path(`conf/${name}`))
    }
    const plugins = (await read("config/rabbitmq-plugins")).match(/\w+/g)
    broker = await startBroker(`minute-${process.pid}`, { plugins, conf: folder.path("conf") })
    // The gateway's own environment; of names and places only what a machine without containers has not.
    environment = { ...services.gateway.environment }
    assert.equal(environment.AMQP_URL, "amqp://rabbitmq:5672")
    environment.AMQP_URL = `amqp://127.0.0.1:${new URL(broker.url).port}`
    assert.equal(environment.SMEUSE__WEB__ROOT, "/usr/share/smeuse/demo")
    environment.SMEUSE__WEB__ROOT = join(root, "demo")
    assert.equal(environment.SMEUSE__ADMIN__TOKEN_FILE, "/run/secrets/admin-token")
    environment.SMEUSE__ADMIN__TOKEN_FILE = secrets["admin-token"].file
    gateway = await startGateway({ config: await read("config/smeuse.toml"), env: environment })
    browser = await startChromium()
  })
  after(async () => {
    await browser?.close()
    await gateway?.kill()
    await broker?.stop()
    await folder?.remove()
  })

  test("are well by the compose file's own check", async () => {
    const [, command, ...args] = services.gateway.healthcheck.test
    assert.equal(command, "/usr/local/bin/smeuse")
    const [host, port] = environment.SMEUSE__ADMIN__ADDRESS.split(":")
    assert.deepEqual([host, port], ["0.0.0.0", "15673"])
    const own = args.map((each) => (each === "/etc/smeuse/smeuse.toml" ? join(root, "config/smeuse.toml") : each))
    const env = { ...environment, SMEUSE__ADMIN__ADDRESS: `${host}:${gateway.admin.split(":")[1]}` }
    assert.match(await run(program, own, { env }), /^ready: ready\n$/)
  })

  test("let in who has the login, at the broker and at its page, and nobody else", async () => {
    const basic = (user, pass) => ({ headers: { Authorization: `Basic ${Buffer.from(`${user}:${pass}`).toString("base64")}` } })
    const whoami = (user, pass) => fetch(`${management}/api/whoami`, basic(user, pass))
    const mine = await whoami(login.user, login.pass)
    assert.equal(mine.status, 200)
    assert.match(JSON.stringify(await mine.json()), /administrator/)
    assert.equal((await whoami("guest", "guest")).status, 401)
    const token = await read("config/secrets/admin-token")
    assert.equal((await gateway.ask("/metrics")).status, 401)
    assert.equal((await gateway.ask("/metrics", { headers: { Authorization: `Bearer ${token}` } })).status, 200)
  })

  test("carry a message in the demo, step by step as documented", { timeout: 60_000 }, async () => {
    // The buttons and fields that the document names.
    const steps = manual.match(/^2\. [^]*?(?=\n\n)/m)[0]
    const [, ...named] = steps.match(/press \*(\w+)\*[^]*Press \*(\w+)\*[^]*under \*(\w+)\*/)
    const [connect, publish, deliveries] = named
    const page = await openPage(browser, `http://localhost:${gateway.public.split(":")[1]}/`)
    await page.getByRole("textbox", { name: "User" }).fill(login.user)
    await page.locator("#connection").getByLabel("Password").fill(login.pass)
    await page.getByRole("button", { name: connect, exact: true }).click()
    await page.locator("#status", { hasText: /^connected$/ }).waitFor({ timeout: 15_000 })
    await page.getByRole("button", { name: publish, exact: true }).click()
    const shown = page.getByRole("region", { name: deliveries })
    await shown.getByText("Hello from a page").first().waitFor({ timeout: 10_000 })
    assert.deepEqual(page.problems, [])
    await page.context().close()
  })
})
