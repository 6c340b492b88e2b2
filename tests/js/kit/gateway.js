// The real gateway as a child process on free ports, read through its logs and its admin listener.
import { spawn } from "node:child_process"
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { root } from "./process.js"
import { deferred, until, within } from "./wait.js"

/** The gateway program that is tested. */
export const program = process.env.SMEUSE_BIN ?? join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), "debug/smeuse")

/**
 * Starts a gateway and resolves once it listens.
 *
 * @param {object} options
 * @param {string} [options.upstream] AMQP URL of the broker
 * @param {string} [options.config] text of a TOML configuration file
 * @param {Record<string, string>} [options.env] further environment
 * @param {string} [options.listen] address of the public listener, a free port by default
 * @param {string} [options.admin] address of the private listener, a free port by default
 * @param {string} [options.binary] another gateway program than the one that is tested
 */
export async function startGateway({ upstream, config, env = {}, listen = "127.0.0.1:0", admin = "127.0.0.1:0", binary = program } = {}) {
  // A folder of its own: no configuration file lies there unless the test wrote it.
  const folder = await mkdtemp(join(tmpdir(), "smeuse-test-"))
  const args = ["--listen", listen, "--admin", admin]
  if (upstream && shared) config = sharing(upstream)
  else if (upstream) args.push("--upstream", upstream)
  if (config) {
    await writeFile(join(folder, "test.toml"), config)
    args.push("--config", join(folder, "test.toml"))
  }
  const gateway = new Gateway(spawn(binary, args, { cwd: folder, env: { ...inherited(), ...env } }), folder)
  try {
    const line = await gateway.line("listening", 15_000)
    gateway.public = line.public
    gateway.admin = line.admin
  } catch (error) {
    await gateway.kill()
    throw new Error(`${error.message}\n${gateway.output}`)
  }
  return gateway
}

/** Whether suites that run over either kind of broker connection shall run over shared ones. */
export const shared = process.env.SMEUSE_TEST_CONNECTIONS === "shared"

/** A configuration whose sessions share connections to this broker. */
function sharing(upstream) {
  const uri = upstream.includes("@") ? upstream : upstream.replace("amqp://", "amqp://guest:guest@")
  return `
[[services]]
name = "amqp"
kind = "amqp"
paths = ["/ws/amqp", "/amqp", "/ws"]

[services.upstream]
uris = ["${uri}"]
vhost = "/"
login = "service"
connections = "shared"

[services.upstream.shared]
sessions_per_connection = 10
message_bytes = 67108864
queue_bytes = 67108864
trust_queue_types = true
`
}

/** What a gateway under test may see of our own environment: nothing that configures it. */
function inherited() {
  const own = Object.entries(process.env).filter(
    ([name]) => !name.startsWith("SMEUSE") && name !== "AMQP_URL" && name !== "PORT",
  )
  return { ...Object.fromEntries(own), SMEUSE__LOG__FORMAT: "json" }
}

class Gateway {
  /** Log lines as objects, oldest first. */
  lines = []
  /** Everything it wrote that is no log line, for the report of a failure. */
  output = ""
  #child
  #folder
  #exit = deferred()
  #watchers = new Set()

  constructor(child, folder) {
    this.#child = child
    this.#folder = folder
    /** Where its configuration lies, if it was given one; it may be written anew. */
    this.configuration = join(folder, "test.toml")
    createInterface({ input: child.stdout }).on("line", (text) => this.#read(text))
    child.stderr.on("data", (data) => (this.output += data))
    child.on("error", (error) => this.#exit.resolve(`did not start: ${error.message}`))
    child.on("close", (code, signal) => this.#exit.resolve(code ?? signal))
    this.#exit.promise.then(() => this.#watchers.forEach((watch) => watch()))
  }

  get pid() {
    return this.#child.pid
  }
  /** URL of the AMQP service's first path. */
  get url() {
    return `ws://${this.public}/ws/amqp`
  }

  #read(text) {
    try {
      this.lines.push(JSON.parse(text))
    } catch {
      this.output += `${text}\n`
    }
    this.#watchers.forEach((watch) => watch())
  }

  /** The first log line with this message (and, if given, for which `accept` is true), past or to come. */
  line(message, milliseconds = 5_000, accept = () => true) {
    const wanted = deferred()
    const watch = () => {
      const line = this.lines.find((line) => line.message === message && accept(line))
      if (line) wanted.resolve(line)
    }
    const ended = this.#exit.promise.then((code) => {
      throw new Error(`the gateway ended (${code}) before it logged "${message}"`)
    })
    this.#watchers.add(watch)
    watch()
    return within(milliseconds, `the log line "${message}"`, Promise.race([wanted.promise, ended])).finally(() =>
      this.#watchers.delete(watch),
    )
  }

  /** GET on the admin listener. */
  ask(path, options = {}) {
    return fetch(`http://${this.admin}${path}`, { signal: AbortSignal.timeout(5_000), ...options })
  }

  /** One sample of /metrics, such as `smeuse_sessions{service="amqp"}`; undefined if it is not there. */
  async metric(sample) {
    const text = await (await this.ask("/metrics")).text()
    const line = text.split("\n").find((line) => line.startsWith(`${sample} `))
    return line === undefined ? undefined : Number(line.slice(sample.length + 1))
  }

  /** Resolves once no session and no broker socket is left; shared ones wait for the next session. */
  idle(milliseconds = 5_000) {
    return until(milliseconds, "no sessions and no upstream connections", async () => {
      const sessions = await this.metric('smeuse_sessions{service="amqp"}')
      if (shared) return sessions === 0
      const upstream = await this.metric("smeuse_upstream_connections")
      return sessions === 0 && upstream === 0
    })
  }

  /** How many sockets the process holds. */
  async sockets() {
    const { readlink } = await import("node:fs/promises")
    const names = await readdir(`/proc/${this.pid}/fd`)
    const targets = await Promise.all(names.map((name) => readlink(`/proc/${this.pid}/fd/${name}`).catch(() => "")))
    return targets.filter((target) => target.startsWith("socket:")).length
  }

  signal(name) {
    this.#child.kill(name)
  }

  /** Resolves with the exit code (or the name of the signal that ended it). */
  ended(milliseconds = 40_000) {
    return within(milliseconds, "the end of the gateway", this.#exit.promise)
  }

  async kill() {
    this.#child.kill("SIGKILL")
    await this.ended()
    await rm(this.#folder, { recursive: true, force: true })
  }
}
