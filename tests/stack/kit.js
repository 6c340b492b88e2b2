// What the suites of the stack share: its files, the tools that check them, and programs that run beside the gateway.
import { spawn } from "node:child_process"
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { root, run } from "../js/kit/process.js"
import { deferred, until, within } from "../js/kit/wait.js"
import { parse } from "../js/kit/yaml.js"

export const read = (path) => readFile(join(root, path), "utf8")
export const readYaml = async (path) => parse(await read(path))

/** A tool that `scripts/setup stack` has put beside the build. */
export const tool = (name) => join(root, "target/stack/bin", name)

/** Services of docker-compose.yml as Compose itself understands them, monitoring included. */
export async function composed(env = {}) {
  const args = ["--project-directory", root, "-f", join(root, "docker-compose.yml"), "--profile", "monitoring", "config", "--format", "json"]
  return JSON.parse(await run(tool("docker-compose"), args, { env: { PATH: process.env.PATH, HOME: tmpdir(), ...env } }))
}

/** Free ports of 127.0.0.1, all different. */
export async function freePorts(count) {
  const servers = []
  for (let index = 0; index < count; index += 1) {
    const server = createServer()
    await new Promise((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve))
    servers.push(server)
  }
  const ports = servers.map((server) => server.address().port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** A folder that goes away, with these files in it. */
export async function folderWith(files) {
  const folder = await mkdtemp(join(tmpdir(), "smeuse-stack-"))
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), text)
  }
  return { path: (name = "") => join(folder, name), remove: () => rm(folder, { recursive: true, force: true }) }
}

/** A program that runs until it is stopped; what it says is kept for the report of a failure. */
export class Program {
  output = ""
  #child
  #exit = deferred()

  constructor(program, args, options = {}) {
    this.name = program
    this.#child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], ...options })
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream.on("data", (data) => (this.output += data))
    this.#child.on("error", (error) => this.#exit.resolve(error.message))
    this.#child.on("close", (code, signal) => this.#exit.resolve(code ?? signal))
  }

  get pid() {
    return this.#child.pid
  }

  /** Resolves once the condition holds; rejects with the program's output if it ends first, or in time. */
  async ready(what, condition, milliseconds = 20_000) {
    let ended = false
    this.#exit.promise.then(() => (ended = true))
    try {
      await until(milliseconds, what, async () => {
        if (ended) throw new Error(`${this.name} ended with ${await this.#exit.promise}`)
        return condition()
      })
    } catch (error) {
      await this.stop()
      throw new Error(`${error.message}\n${this.output}`)
    }
    return this
  }

  signal(name) {
    this.#child.kill(name)
  }

  ended(milliseconds = 20_000) {
    return within(milliseconds, `the end of ${this.name}`, this.#exit.promise)
  }

  /** Ends it in order, by force if it takes long. */
  async stop(signal = "SIGTERM") {
    this.#child.kill(signal)
    await this.ended(10_000).catch(() => this.#child.kill("SIGKILL"))
    return this.ended()
  }
}

/** Whether a GET is answered with 200. */
export const answers = (url) =>
  fetch(url, { signal: AbortSignal.timeout(2_000) }).then(
    (response) => response.ok,
    () => false,
  )
