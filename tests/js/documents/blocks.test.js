// Every fenced block of the documents is somebody's: it is run, checked by the tool that it is for, or, where it is
// neither, named here with the reason. `node --test tests/js/documents/blocks.test.js`
import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { mkdtemp, readdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { after, before, describe, test } from "node:test"
import { promisify } from "node:util"
import WebSocket from "ws"
import { parseAllDocuments } from "yaml"
import { startBroker } from "../kit/broker.js"
import { startGateway } from "../kit/gateway.js"
import { root } from "../kit/process.js"
import { deferred, within } from "../kit/wait.js"
import { allBlocks, blocksOf, documents, namedBlocks } from "./blocks.js"
import { checkCommand, commandsOf, isHarmless } from "./commands.js"
import { Server } from "./settings.js"
import { problemsOf } from "./types.js"

/** Blocks that are not for a machine, by document and heading, each with the reason. */
const DRAWINGS = {
  "README.md": { Smeuse: "the picture of the flow" },
  "ARCHITECTURE.md": { "The flow": "the picture of the flow" },
}

let server
let broker
let gateway
before(async () => (server = await Server.make()))
after(async () => {
  await gateway?.kill()
  await broker?.stop()
  await server?.stop()
})

/** Things that run, each started when the first block needs it. */
const world = {
  get folder() {
    return server.folder
  },
  files: (word) => word,
  broker: async () => (broker ??= await startBroker(`documents-${process.pid}`)),
  gateway: async () => (gateway ??= await startGateway({ config: '[[services]]\nkind = "echo"\nname = "amqp"\npaths = ["/ws/amqp"]\n', env: { SMEUSE__WEB__ROOT: join(root, "demo") } })),
}

/** Checks a block of commands, and runs what is harmless of it; the files that they name lie where `server` has put them. */
async function run(block) {
  const shown = block.language === "console" ? block.text.split("\n").filter((line) => line !== "" && !line.startsWith("$ ")) : []
  const commands = commandsOf(block)
  for (const line of commands) await checkCommand(await server.files(line), { ...world, shown })
  const harmless = commands.filter(isHarmless)
  if (harmless.length === 0) return
  const home = await mkdtemp(join(server.folder, "home-"))
  await promisify(execFile)("bash", ["-eo", "pipefail", "-c", harmless.join("\n")], { cwd: home, env: { PATH: process.env.PATH, HOME: home }, timeout: 30_000 })
}

/** A configuration of another program, judged by that program. */
const judgedBy = (command, wrap) => async (block) => {
  const file = join(server.folder, `${block.language}-${block.line}`)
  await writeFile(file, await server.files(wrap(block.text, server.folder)))
  const [name, ...args] = command(file)
  await promisify(execFile)(name, args, { env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } }).catch((error) => assert.fail(`${error.stderr}`))
}

async function types(block) {
  const beside = (await documents()).includes(block.document) ? await namedBlocks(block.document) : {}
  assert.deepEqual(problemsOf(block, beside), [])
}

/** A tag's address is answered by a gateway. */
async function html({ text }) {
  const addresses = [...text.matchAll(/\b(?:src|href)="(?:https?:\/\/[^/"]+)?(\/[^"]*)"/g)].map(([, path]) => path)
  const running = await world.gateway()
  for (const path of addresses) assert.equal((await fetch(`http://${running.public}${path}`)).status, 200, path)
  const open = [...text.matchAll(/<(\w+)[^>]*>/g)].map(([, name]) => name)
  for (const name of open) assert.ok(/^(?:!doctype|meta|link|input|br|img)$/i.test(name) || text.includes(`</${name}>`), `<${name}> is not closed`)
}

async function json({ text }) {
  JSON.parse(text)
}

async function yaml({ text }) {
  for (const document of parseAllDocuments(text)) assert.deepEqual(document.errors, [])
}

/** A source of the repository, which is built and tested there. */
async function source({ text }) {
  const files = (await readdir(join(root, "examples"), { recursive: true })).filter((name) => name.endsWith(".rs"))
  const sources = await Promise.all(files.map((name) => readFile(join(root, "examples", name), "utf8")))
  assert.ok(sources.some((source) => source.trim() === text.trim()), "no file of examples/ is this")
}

/** A message of the extended handshake and its answer, as a gateway gives it. */
async function handshake({ text }) {
  const [request, response] = text.split("\n\n")
  const running = await world.gateway()
  const socket = new WebSocket(running.url, ["x-kaazing-handshake"])
  const answered = deferred()
  socket.on("error", answered.reject)
  socket.on("message", (data) => answered.resolve(String(data)))
  socket.on("open", () => socket.send(`${request.replaceAll("\n", "\r\n")}\r\n\r\n`))
  try {
    const unlike = (text) => text.replace(/^(Date|Sec-WebSocket-Accept): .*$/gm, "$1: ...")
    const answer = (await within(5_000, "the response", answered.promise)).replaceAll("\r\n", "\n").trim()
    assert.equal(unlike(answer), unlike(response))
  } finally {
    socket.terminate()
  }
}

const runners = {
  sh: run,
  bash: run,
  console: run,
  toml: ({ text }) => server.check(text),
  js: types,
  javascript: types,
  mjs: types,
  jsx: types,
  ts: types,
  tsx: types,
  // Pages of one framework or another: tests/js/documents/frontend.test.js builds each and opens it in Chromium.
  vue: ran("docs/frontend.md"),
  svelte: ran("docs/frontend.md"),
  html,
  json,
  yaml,
  yml: yaml,
  rust: source,
  http: handshake,
  nginx: judgedBy(
    (file) => ["nginx", "-t", "-q", "-c", file],
    (text, folder) => `pid ${folder}/nginx.pid; error_log stderr; events {} http { access_log off; ${/^\s*(?:server|upstream|map|http)\b/.test(text) ? text : `server { listen 127.0.0.1:8080; ${text} }`} }`,
  ),
  caddyfile: judgedBy(
    (file) => ["caddy", "validate", "--adapter", "caddyfile", "--config", file],
    (text) => text,
  ),
  haproxy: judgedBy(
    (file) => ["haproxy", "-c", "-q", "-f", file],
    (text) => `${text}\n`,
  ),
}

/** A claim that another suite runs all such blocks of this document; that suite insists on it by itself. */
function ran(document) {
  return async (block) => assert.equal(block.document, document, `nobody runs ${block.language} there`)
}

/** What a block without a language is. */
function untold(block) {
  if (DRAWINGS[block.document]?.[block.heading]) return async () => {}
  if (/^GET \S+ HTTP\/1\.1\n/.test(block.text)) return handshake
  if (/^(?:smeuse|make|scripts\/|docker|cargo|npm|node|curl|[A-Z_]+=\S* )/.test(block.text)) return run
  return undefined
}

for (const block of await allBlocks()) {
  test(`${block.document}:${block.line}, below "${block.heading}": ${block.language || "a block"}`, { timeout: 120_000 }, async () => {
    const runner = block.language ? runners[block.language] : untold(block)
    assert.ok(runner, `nobody runs or checks this:\n${block.text}`)
    await runner(block)
  })
}

describe("the walker itself", () => {
  test("finds nested, indented and unlabelled blocks, and refuses one that is not closed", () => {
    const found = blocksOf("a.md", "# One\n```js\n1\n```\n- x\n\n  ~~~~\n  ```\n  2\n  ~~~~\n")
    assert.deepEqual(
      found.map(({ heading, line, language, text }) => [heading, line, language, text]),
      [
        ["One", 2, "js", "1"],
        ["One", 7, "", "```\n2"],
      ],
    )
    assert.throws(() => blocksOf("a.md", "```\n1"), /a\.md:1/)
  })

  test("refuses what is wrong", { timeout: 120_000 }, async () => {
    const refused = (language, text, reason) => assert.rejects(async () => runners[language]({ document: "x.md", heading: "x", line: 1, language, text }), reason, `${language}: ${text}`)
    await refused("toml", "[limits]\nsession = 1", /unknown key, did you mean "sessions"/)
    await refused("toml", "[limits]\nsessions = 0", /nonzero/)
    await refused("toml", 'kind = "nothing"', /services\[0\]\.kind: unknown variant/)
    await refused("toml", '[services.upstream]\nuris = ["nothing"]', /upstream\.uris/)
    await refused("toml", '[[users]]\nname = "alice"\npassword = "plain"', /password/)
    await refused("sh", "make nothing", /make has no nothing/)
    await refused("sh", "smeuse --nothing", /smeuse {2}has no --nothing/)
    await refused("sh", "smeuse check", /neither a flag nor a command/)
    await refused("sh", "smeuse --config /etc/smeuse/smeuse.toml --listen nowhere", /--listen/)
    await refused("sh", "scripts/nothing", /there is no scripts\/nothing/)
    await refused("sh", "scripts/setup nothing", /does not know nothing/)
    await refused("sh", "cargo test --test nothing", /there is no tests\/nothing/)
    await refused("sh", "SMEUSE_NOTHING=1 make bench", /nothing reads SMEUSE_NOTHING/)
    await refused("sh", "printf x | sha256sum --nothing", /sha256sum/)
    await refused("toml", 'modules = ["x"]\nnothing = 1', /unknown key/)
    await refused("sh", "nothing at all", /nobody knows the command nothing/)
    await refused("sh", "curl http://localhost:15673/nothing", /404/)
    await refused("sh", "make help && docker compose up nothing", /there is no service nothing/)
    await refused("console", "$ smeuse new-token --nothing", /has no --nothing/)
    await refused("console", "$ curl http://localhost:15673/healthz\nHTTP/1.1 404", /does not say "HTTP\/1.1 404"/)
    await refused("json", "{,}", /JSON/)
    await refused("yaml", "a: b: c", /mappings/)
    await refused("js", "nothing()", /Cannot find name 'nothing'/)
    await refused("js", "new WebSocket()", /Expected 1-3 arguments/)
    await refused("html", '<script src="https://gateway.example/_smeuse/nothing.js"></script>', /nothing\.js/)
    await refused("rust", "fn main() {}", /no file of examples/)
    await refused("svelte", "<p></p>", /nobody runs svelte there/)
    await refused("nginx", "nothing on;", /unknown directive/)
    assert.equal(untold({ document: "README.md", heading: "x", text: "?" }), undefined)
  })

  test("allows no drawing that is gone", async () => {
    const blocks = await allBlocks()
    for (const [document, headings] of Object.entries(DRAWINGS)) {
      for (const heading of Object.keys(headings)) assert.ok(blocks.some((block) => block.document === document && block.heading === heading && !block.language), `${document}: ${heading}`)
    }
  })
})
