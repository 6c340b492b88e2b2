// Commands that the documents show: run where that is harmless, else each of their words is checked to exist.
import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { readFile, stat } from "node:fs/promises"
import { request } from "node:http"
import { join } from "node:path"
import { promisify } from "node:util"
import { parse } from "yaml"
import { program } from "../kit/gateway.js"
import { root, run } from "../kit/process.js"
import { within } from "../kit/wait.js"

const exists = (path) => stat(join(root, path)).then(
  () => true,
  () => false,
)
const must = async (path) => assert.ok(await exists(path), `there is no ${path}`)
const text = (path) => readFile(join(root, path), "utf8")

/** Lines of a block that are commands, without prompts and comments; what a `console` shows besides is output. */
export function commandsOf({ language, text }) {
  const lines = text.replaceAll(/\\\n\s*/g, "").split("\n")
  const typed = language === "console" ? lines.filter((line) => line.startsWith("$ ")).map((line) => line.slice(2)) : lines
  return typed.map((line) => line.replace(/(^|\s)#\s.*$/, "").trim()).filter((line) => line !== "")
}

/** The words of one simple command, quotes taken off. */
const wordsOf = (command) => [...command.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c)

/** Splits `a && b`, `a; b` and `a | b`; whatever else a shell can do stays in its command. */
const partsOf = (line) =>
  [...line.matchAll(/(?:"[^"]*"|'[^']*'|\$\([^()]*\)|[^&;|"'])+/g)].map(([part]) => part.trim()).filter((part) => part !== "")

const ENVIRONMENT = /^[A-Za-z_][A-Za-z0-9_]*=/

/** What a shell can do without anything of ours: run as it stands, in an empty folder that is its home. */
const HARMLESS = ["printf", "echo", "sha256sum", "openssl", "cut", "awk", "install", "chmod", "export", "mkdir"]

/** Whether a line has no other commands than those, inner ones included. */
export function isHarmless(line) {
  const inner = [...line.matchAll(/\$\(([^()]+)\)/g)].map(([, each]) => each)
  const words = [...inner, line.replaceAll(/\$\([^()]+\)/g, "")].flatMap(partsOf).map((part) => part.split(/\s+/).find((word) => word !== "" && !ENVIRONMENT.test(word)))
  return words.every((word) => word === undefined || HARMLESS.includes(word))
}

/** Checks one line. `world` has what needs something that runs. */
export async function checkCommand(line, world) {
  // $(scripts/broker start mine) and the like are commands too.
  for (const [, inner] of line.matchAll(/\$\(([^()]+)\)/g)) await checkCommand(inner, world)
  for (const part of partsOf(line)) {
    const words = wordsOf(part.replaceAll(/\$\([^()]*\)/g, "SUBSTITUTED"))
    while (ENVIRONMENT.test(words[0] ?? "")) await environment(words.shift().split("=")[0])
    if (words.length === 0) continue
    const runner = runners[words[0]] ?? (words[0].startsWith("scripts/") ? script : undefined)
    assert.ok(runner, `nobody knows the command ${words[0]}`)
    await runner(words.slice(1), { ...world, part, line, words })
  }
}

/** A variable that is set for a command is read by something here. */
async function environment(name) {
  if (name.startsWith("SMEUSE__") || name === "AMQP_URL" || name === "PORT" || name !== name.toUpperCase()) return
  const places = ["docker-compose.yml", "src", "benches", "scripts", "tests/it", "tests/js/kit", "tests/browser", "tests/conformance"]
  await promisify(execFile)("grep", ["-rqF", "--exclude-dir=node_modules", name, ...places], { cwd: root }).catch(() => assert.fail(`nothing reads ${name}`))
}

let help
/** What the program says of itself, by subcommand; "" is the program. */
const helpOf = async (command) => {
  help ??= new Map()
  if (!help.has(command)) help.set(command, await run(program, [...(command ? [command] : []), "--help"]))
  return help.get(command)
}

async function flags(words, command) {
  const known = await helpOf(command)
  for (const word of words.filter((word) => word.startsWith("--"))) {
    assert.match(known, new RegExp(`${word.split("=")[0]}(?![\\w-])`), `smeuse ${command} has no ${word}`)
  }
}

const redirected = (words) => {
  const at = words.findIndex((word) => /^\d?>/.test(word))
  return at < 0 ? words : words.slice(0, at)
}

/** The program: its commands are run, and the gateway itself as far as --check goes. */
async function smeuse(all, { folder, files }) {
  const words = redirected(all)
  const subcommands = [...(await helpOf("")).matchAll(/^ {2}([a-z]+-[a-z-]+) /gm)].map(([, name]) => name)
  const command = words.find((word) => subcommands.includes(word))
  assert.ok(command || words.every((word, index) => word.startsWith("-") || words[index - 1]?.startsWith("--")), `smeuse ${words.join(" ")}: neither a flag nor a command`)
  await flags(words, command ?? "")
  if (command) {
    const child = promisify(execFile)(program, words, { cwd: folder })
    child.child.stdin.on("error", () => {})
    child.child.stdin.end("a password\n")
    await child
  } else if (!words.some((word) => /^--(help|version|health)/.test(word))) {
    const here = words.map((word) => files(word))
    const checked = here.some((word) => /^--(check|print-config)/.test(word)) ? here : [...here, "--check"]
    await run(program, checked, { cwd: folder, env: { PATH: process.env.PATH } })
  }
}

async function make(words) {
  const targets = words.filter((word) => !word.startsWith("-") && !word.includes("="))
  const known = await text("Makefile")
  for (const target of targets) assert.match(known, new RegExp(`^${target}:`, "m"), `make has no ${target}`)
}

async function script(words, { words: [name] }) {
  await must(name)
  const source = await text(name)
  if (name === "scripts/setup") for (const word of words) assert.match(source, new RegExp(`^    ${word}\\)`, "m"), `${name} does not know ${word}`)
  if (name === "scripts/broker") assert.match(source, new RegExp(`^  ${words[0]} `, "m"), `${name} does not know ${words[0]}`)
}

const valueOf = (words, flag) => words[words.indexOf(flag) + 1]

async function cargo(words) {
  if (words.includes("fuzz")) {
    const target = words[words.indexOf("run") + 1]
    return must(`fuzz/fuzz_targets/${target}.rs`)
  }
  if (words.includes("--test")) await must(`tests/${valueOf(words, "--test")}`)
  if (words.includes("--example")) {
    const name = valueOf(words, "--example")
    assert.ok((await exists(`examples/${name}`)) || (await exists(`examples/${name}.rs`)), `there is no example ${name}`)
  }
  if (words.includes("--bench")) assert.ok((await text("Cargo.toml")).includes(`name = "${valueOf(words, "--bench")}"`), "no such benchmark")
  const subcommands = ["build", "run", "test", "bench", "fmt", "clippy", "check", "nextest", "install"]
  const [command] = words.filter((word) => !word.startsWith("+"))
  assert.ok(subcommands.includes(command), `cargo ${command} is not a command that this repository needs`)
  // The names of suites and tests that a run is narrowed to.
  const at = words.indexOf("it")
  const filter = at >= 0 ? words[at + 1] : command === "test" && words.includes("--lib") ? words[words.indexOf("--lib") + 1] : undefined
  if (!filter || filter.startsWith("-") || /^[A-Z]+$/.test(filter)) return
  const [first] = filter.split("::")
  const { stdout } = await promisify(execFile)("grep", ["-rlE", `\\b(mod|fn) \\w*${first}`, "src", "tests/it"], { cwd: root })
  assert.notEqual(stdout, "", `no test is called ${filter}`)
}

async function node(words) {
  for (const word of words.filter((word) => !word.startsWith("-"))) {
    if (word.includes("*")) await must(word.slice(0, word.indexOf("*")).replace(/[^/]*$/, ""))
    else await must(word)
  }
}

async function npm(words) {
  const [command, name] = words
  if (command === "test" || command === "run") {
    const packages = ["client/package.json"]
    const scripts = await Promise.all(packages.map(async (path) => JSON.parse(await text(path)).scripts ?? {}))
    assert.ok(scripts.some((known) => (command === "test" ? known.test : known[name])), `npm ${words.join(" ")}: no such script`)
  } else assert.ok(["ci", "install"].includes(command), `npm ${command}`)
}

async function docker(words) {
  const [, command] = words.filter((word, index) => !word.startsWith("-") && !words[index - 1]?.startsWith("--profile"))
  if (words[0] === "compose") {
    const compose = parse(await text("docker-compose.yml"), { merge: true })
    assert.ok(["up", "down", "build", "logs", "ps", "config", "restart", "exec", "kill", "pull"].includes(command), `docker compose ${command}`)
    const profiles = Object.values(compose.services).flatMap((service) => service.profiles ?? [])
    if (words.includes("--profile")) assert.ok(profiles.includes(valueOf(words, "--profile")), `there is no profile ${valueOf(words, "--profile")}`)
    const after = words.slice(words.indexOf(command) + 1).filter((word) => !word.startsWith("-"))
    if (["up", "logs", "restart", "exec", "kill"].includes(command)) {
      const services = command === "exec" ? after.slice(0, 1) : after
      for (const service of services) assert.ok(service in compose.services, `there is no service ${service}`)
    }
  } else {
    assert.ok(["build", "run", "buildx"].includes(words[0]), `docker ${words[0]}`)
    await must("Dockerfile")
  }
}

/** For real, on a node of the test's own. Who is given permissions has been made before. */
async function rabbitmqctl(words, { broker }) {
  const node = await broker()
  const ctl = (...args) => node.ctl(...args)
  if (words[0] === "set_permissions") {
    const user = words[words.indexOf("-p") + 2]
    if (!(await ctl("list_users")).includes(`${user}\t`)) await ctl("add_user", user, "secret")
  }
  if (words[0] === "add_user") await ctl("delete_user", words[1]).catch(() => {})
  await ctl(...words)
}

/** What a server says to this request, as `curl -i` shows it. */
function answer(url, { method, headers }) {
  const asked = new Promise((resolve, reject) => {
    const sent = request(url, { method, headers })
    const told = (response, body) => {
      const lines = response.rawHeaders.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${response.rawHeaders[index + 1]}`] : []))
      resolve({ status: response.statusCode, text: [`HTTP/${response.httpVersion} ${response.statusCode} ${response.statusMessage}`, ...lines, "", body].join("\n") })
    }
    sent.on("error", reject)
    sent.on("upgrade", (response, socket) => {
      socket.destroy()
      told(response, "")
    })
    sent.on("response", (response) => {
      let body = ""
      response.on("data", (data) => (body += data))
      response.on("end", () => told(response, body))
    })
    sent.end()
  })
  return within(5_000, `the answer of ${url}`, asked)
}

/**
 * The gateway answers what is asked of it, where the URL is one of ours; others are somebody else's. What a `console` shows
 * below the command begins lines of the answer; without it the answer is a good one.
 */
async function curl(words, { gateway, shown }) {
  const method = words.includes("-X") ? valueOf(words, "-X") : "GET"
  const headers = Object.fromEntries(words.flatMap((word, index) => (words[index - 1] === "-H" ? [word.split(/:\s*/, 2)] : [])))
  for (const url of words.filter((word, index) => words[index - 1] !== "-H" && (/^https?:/.test(word) || /^localhost[:/]/.test(word)))) {
    const { host, pathname, search } = new URL(url.includes("://") ? url : `http://${url}`)
    const admin = /:15673$/.test(host)
    assert.ok(admin || /:15670$|^gateway\.example$/.test(host), `${host} is not the gateway`)
    const running = await gateway()
    const { status, text } = await answer(`http://${admin ? running.admin : running.public}${pathname}${search}`, { method, headers })
    const placeholder = /\/[A-Z]+$|\/[0-9a-f]{16}$/.test(pathname)
    if (shown.length === 0) assert.ok(status < 400 || placeholder, `${url}: ${status}`)
    for (const line of shown) assert.ok(text.split("\n").some((each) => each.startsWith(line)), `${url} does not say "${line}", but\n${text}`)
  }
}

/** Words of the system that need no proof; what they are given is not ours. */
const system = async () => {}

const runners = {
  smeuse,
  make,
  cargo,
  node,
  npm,
  docker,
  rabbitmqctl,
  curl,
  cd: async ([folder]) => must(folder),
  ...Object.fromEntries(HARMLESS.map((word) => [word, system])),
  cp: system,
  kill: system,
  git: async ([command]) => assert.ok(["clone", "commit", "tag", "push"].includes(command), `git ${command}`),
  rustup: async ([first]) => assert.ok(["install", "toolchain", "component"].includes(first), `rustup ${first}`),
}
