// docs/configuration.md, made from the program: which keys there are, what they are by default, which values it takes are
// asked of it; order and words are those of config/smeuse.toml, which is a part of it, and of the sources' own comments.
import { execFile } from "node:child_process"
import { readFile, readdir, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parse } from "smol-toml"
import { program } from "../kit/gateway.js"
import { root } from "../kit/process.js"
import { Server } from "./settings.js"

/** Where the page lies. */
export const PAGE = "docs/configuration.md"

/** Tables of the contract with their keys: `{ name, list, about, keys: [{ name, example, given, about }] }`. */
export function tablesOf(contract) {
  const tables = []
  let comment = []
  const header = /^(?:# )?\[(\[)?([a-z_.]+)\]\]?$/
  const assignment = /^(# )?([a-z_]+) = (.+)$/
  for (const line of contract.split("\n")) {
    const [, list, name] = header.exec(line) ?? []
    const [, optional, key, value] = assignment.exec(line) ?? []
    if (name) {
      tables.push({ name, list: list !== undefined, about: comment.join(" "), keys: [] })
    } else if (key) {
      const example = parse(`value = ${value}`).value
      tables.at(-1).keys.push({ name: key, example, given: optional === undefined, about: comment.join(" ") })
    } else if (line.startsWith("#")) {
      comment.push(line.replace(/^# ?/, ""))
      continue
    }
    comment = []
  }
  return tables
}

/** The first paragraphs of the comments on the public fields of the structs of the sources, each struct as a map. */
async function structs() {
  const files = (await readdir(join(root, "src"), { recursive: true })).filter((name) => name.endsWith(".rs"))
  const found = []
  for (const file of files) {
    const source = await readFile(join(root, "src", file), "utf8")
    for (const [, body] of source.matchAll(/^pub(?:\(\w+\))? struct \w+ \{\n([^]*?)^\}/gm)) {
      const fields = new Map()
      for (const [, comment, name] of body.matchAll(/((?:^ {4}\/\/\/.*\n)+)(?:^ {4}#\[.*\n)*^ {4}pub(?:\(\w+\))? (\w+):/gm)) {
        const [first] = comment.replaceAll(/^ {4}\/\/\/ ?/gm, "").trim().split("\n\n")
        fields.set(name, first.replaceAll("\n", " "))
      }
      found.push(fields)
    }
  }
  return found
}

/** The program as somebody who can be asked about settings. */
class Oracle {
  #server
  #asked = 0
  #running = 0
  #waiting = []

  static async make() {
    const oracle = new Oracle()
    oracle.#server = await Server.make()
    return oracle
  }

  stop = () => this.#server.stop()

  /** `{ ok, output, reason }` of a run with this file and these variables; a few at a time. */
  async ask(flag, text, env = {}) {
    while (this.#running >= 4) await new Promise((resolve) => this.#waiting.push(resolve))
    this.#running += 1
    try {
      let args = [flag]
      if (text !== "") {
        const file = join(this.#server.folder, `asked-${(this.#asked += 1)}.toml`)
        await writeFile(file, await this.#server.files(text))
        args = [flag, "--config", file]
      }
      return await new Promise((resolve) =>
        // In a folder without a config/smeuse.toml: only what is asked counts.
        execFile(program, args, { cwd: tmpdir(), env: { PATH: process.env.PATH, ...env } }, (error, output, errors) => resolve({ ok: !error, output, reason: errors.trim() })),
      )
    } finally {
      this.#running -= 1
      this.#waiting.shift()?.()
    }
  }
}

/** A table's or key's name in an environment variable; of a list the first item. */
const variable = (path) => `SMEUSE__${path.join("__").toUpperCase()}`

const HIGHEST = 2n ** 63n - 1n

/** The last number that is taken on the way from one that is to one that is not. */
async function edge(taken, refused, take) {
  let [good, bad] = [taken, refused]
  while ((good > bad ? good - bad : bad - good) > 1n) {
    const middle = (good + bad) / 2n
    if (await take(middle)) good = middle
    else bad = middle
  }
  return good
}

const UNITS = [
  ["day", 86_400_000n],
  ["h", 3_600_000n],
  ["m", 60_000n],
  ["s", 1000n],
  ["ms", 1n],
]
const milliseconds = (text) => {
  const words = [...text.matchAll(/(\d+)\s*([a-z]+)/g)]
  const size = new Map([...UNITS, ["days", 86_400_000n], ["d", 86_400_000n]])
  return words.reduce((sum, [, count, unit]) => sum + BigInt(count) * size.get(unit), 0n)
}
/** A time as the configuration has it. */
function time(value) {
  if (value === 0n) return "0s"
  const parts = []
  let rest = value
  for (const [unit, size] of UNITS) {
    if (rest >= size) parts.push(`${rest / size}${unit === "day" ? " day" : unit}`)
    rest %= size
  }
  return parts.join(" ")
}

const OPPOSITE = { "shorter than": "longer than", "longer than": "shorter than", "not longer than": "at least", "not shorter than": "at most", "at least": "at most", "at most": "at least" }

/** What the program says of a neighbour that bounds a key, such as "shorter than `silence_limit`"; it may name either first. */
function neighbour(reason, own, keys) {
  const [, blamed, not, words, other] = /(\w+): must (not )?be ((?:shorter|longer) than|at least|at most) ([a-z_]+)/.exec(reason) ?? []
  if (!keys.includes(other)) return undefined
  const relation = `${not ?? ""}${words}`
  return other === own ? `${OPPOSITE[relation]} \`${blamed}\`` : `${relation} \`${other}\``
}

/** The words that the program lists where it knows all that there are. */
function variantsIn(reason) {
  const [, variants] = /unknown variant `\?`, expected (?:one of )?(.*?)(?: \(example|$)/.exec(reason) ?? []
  const [, said] = /must be ((?:"\w+"(?:, | or )?){2,})/.exec(reason) ?? []
  if (said) return said.trim().replaceAll(/"\w+"/g, "`$&`")
  return variants?.replaceAll(/`([\w-]+)`/g, '`"$1"`').replace(/, (?=[^,]*$)/, " or ")
}

/** What a key takes, in words. `take(text)` resolves with what the program says to it. */
async function rangeOf(name, example, take, keys) {
  const isTaken = async (value) => (await take(value)).ok
  if (typeof example === "boolean") return "`true` or `false`"
  if (Array.isArray(example)) {
    if (typeof example[0] === "object") return "list of tables"
    const variants = variantsIn((await take('["?"]')).reason)
    return variants ? `list of ${variants}` : "list of text"
  }
  if (typeof example === "object") return "table"
  if (typeof example === "number" && !Number.isInteger(example)) {
    const highest = (await isTaken("100")) && !(await isTaken("100.001")) ? "100" : undefined
    const lowest = (await isTaken("0")) ? "0" : undefined
    return `number${lowest ? ` from ${lowest}` : " over 0"}${highest ? ` to ${highest}` : ""}`
  }
  if (typeof example === "number") {
    const start = BigInt(example)
    const low = (await isTaken("0")) ? 0n : await edge(start, 0n, (value) => isTaken(String(value)))
    const high = (await isTaken(String(HIGHEST))) ? undefined : await edge(start, HIGHEST, (value) => isTaken(String(value)))
    const below = low > 0n ? neighbour((await take(String(low - 1n))).reason, name, keys) : undefined
    const above = high === undefined ? undefined : neighbour((await take(String(high + 1n))).reason, name, keys)
    return words("whole number", String(low), high === undefined ? undefined : String(high), below, above)
  }
  const strange = await take("?")
  const variants = variantsIn(strange.reason)
  if (variants) return variants
  if (/expected a duration/.test(strange.reason)) {
    const start = milliseconds(example)
    // Some times are whole seconds.
    const step = (await isTaken(time(start + 1n))) || (await isTaken(time(start - 1n))) ? 1n : 1000n
    const of = (value) => time(value * step)
    const first = start / step
    const highest = (100n * 86_400_000n) / step
    const low = (await isTaken("0s")) ? 0n : await edge(first, 0n, (value) => isTaken(of(value)))
    const high = await edge(first, highest, (value) => isTaken(of(value)))
    const below = low > 0n ? neighbour((await take(of(low - 1n))).reason, name, keys) : undefined
    const above = neighbour((await take(of(high + 1n))).reason, name, keys)
    return words(step === 1n ? "time" : "time in whole seconds", of(low), of(high), below, above)
  }
  if (/invalid socket address/.test(strange.reason)) return "address and port"
  if (/^\/\w|^demo$/.test(example)) return "path"
  return "text"
}

function words(kind, low, high, below, above) {
  const from = below ?? `from ${low}`
  const to = above ?? (high && `to ${high}`)
  if (below || above) return `${kind}, ${[from, to].filter(Boolean).join(", ")}`
  return [kind, from, to].filter(Boolean).join(" ")
}

/** A value as it stands in a TOML file. */
function written(value) {
  if (typeof value === "string") return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(written).join(", ")}]`
  if (typeof value === "object") return `{ ${Object.entries(value).map(([name, each]) => `${name} = ${written(each)}`).join(", ")} }`
  return String(value)
}

/** A file in which a key that needs others is taken: brokers with a login, and shared connections. */
const GROUND = {
  control: '[control]\nuris = ["amqps://smeuse:secret@rabbit.internal"]\n',
  "web.applications": '[[web.applications]]\nname = "shop"\norigin = "https://127.0.0.1:3000"\n',
  services: '[[services]]\npage_only = ["acme-stamp"]\n[services.upstream]\nuris = ["amqps://smeuse:secret@rabbit.internal/%2F"]\nlogin = "service"\n',
  "services.upstream": '[[services]]\n[services.upstream]\nuris = ["amqps://smeuse:secret@rabbit.internal/%2F"]\nlogin = "service"\n',
  "services.upstream.shared": '[[services]]\n[services.upstream]\nuris = ["amqp://smeuse:secret@rabbit.internal/%2F"]\nlogin = "service"\nconnections = "shared"\n[services.upstream.shared]\n',
}

const pathOf = ({ name, list }) => [...name.split(".").flatMap((part) => (part === "services" ? [part, "0"] : [part])), ...(list && name !== "services" ? ["0"] : [])]
const at = (tree, path) => path.reduce((node, part) => node?.[part], tree)

/** When a change takes effect, from what the comment says; `until` is the key up to which a comment speaks for all. */
function effect(comment, inherited) {
  if (/looked at every second|read within seconds/.test(comment)) return "at once"
  if (/SIGHUP/.test(comment)) return "SIGHUP"
  return inherited ?? "restart"
}

/** Every table with its rows: `{ name, list, about, rows: [{ key, env, kind, fallback, effect, about }] }`. */
export async function reference() {
  const contract = await readFile(join(root, "config/smeuse.toml"), "utf8")
  const known = await structs()
  const oracle = await Oracle.make()
  try {
    const printed = await oracle.ask("--print-config", "")
    const defaults = parse(printed.output)
    const tables = []
    for (const table of tablesOf(contract)) {
      await sameKeys(oracle, table, tablesOf(contract))
      const path = pathOf(table)
      const ground = GROUND[table.name] ?? ""
      const keys = table.keys.map(({ name }) => name)
      const rows = []
      let lasting
      for (const { name, example, about, given } of table.keys) {
        const env = variable([...path, name])
        const [, until] = /from here to `(\w+)`/.exec(about) ?? []
        if (until) lasting = { until, effect: effect(about) }
        const own = effect(about, lasting?.effect)
        if (lasting?.until === name) lasting = undefined
        const take = (text) => oracle.ask("--check", ground, { [env]: text })
        const fallback = given ? written(at(defaults, [...path, name])) : table.list && !at(defaults, path) ? fallbackIn(oracle, ground, path, name) : "none"
        rows.push({ key: name, env, kind: rangeOf(name, example, take, keys), fallback, effect: own, about: about || `See \`${keys[keys.indexOf(name) - 1] ?? name}\`.` })
        const child = Array.isArray(example) ? example[0] : example
        if (typeof child === "object") rows.push(...childrenOf({ oracle, table, path, ground, name, example, known, own, about }))
      }
      tables.push({ ...table, rows: await Promise.all(rows.map(async (row) => ({ ...row, kind: await row.kind, fallback: await row.fallback }))) })
    }
    return tables
  } finally {
    await oracle.stop()
  }
}

/** The default of a key in a list that is empty by default: what the program makes of an entry without it. */
async function fallbackIn(oracle, ground, path, name) {
  const { ok, output, reason } = await oracle.ask("--print-config", ground.replace(new RegExp(`^${name} = .*\\n`, "m"), ""))
  if (!ok) return reason.includes(`missing field \`${name}\``) || reason.includes(`.${name}: ""`) ? "required" : "none"
  const value = at(parse(output), [...path, name])
  return value === undefined ? "none" : written(value)
}

/** The keys that the program says it knows in a table are those of the contract. */
async function sameKeys(oracle, table, tables) {
  const opening = table.name.startsWith("services.") ? `[[services]]\n[${table.name}]` : table.list ? `[[${table.name}]]` : `[${table.name}]`
  const { reason } = await oracle.ask("--check", `${opening}\nnothing_is_called_like_this = 1\n`)
  const [, list] = /known here are (.*)$/.exec(reason) ?? []
  const expected = [...table.keys.map(({ name }) => name), ...tables.filter(({ name }) => name.startsWith(`${table.name}.`) && !name.slice(table.name.length + 1).includes(".")).map(({ name }) => name.slice(table.name.length + 1))]
  if (list !== expected.sort().join(", ")) throw new Error(`[${table.name}]: the program knows ${list}, config/smeuse.toml has ${expected.join(", ")}: build it anew`)
}

/** Rows for the keys of a table that is written on one line. */
function childrenOf({ oracle, table, path, ground, name, example, known, own, about }) {
  const list = Array.isArray(example)
  const table1 = list ? example[0] : example
  const names = Object.keys(table1)
  const comments = known.find((fields) => fields.size === names.length && names.every((each) => fields.has(each)))
  if (!comments) throw new Error(`no struct of the sources has the fields ${names.join(", ")} with comments`)
  const place = [...path, name, ...(list ? ["0"] : [])]
  const around = (value) => {
    const line = `${name} = ${list ? `[${written(value)}]` : written(value)}\n`
    const base = ground || (table.list ? `[[${table.name}]]\n` : `[${table.name}]\n`)
    // Keys of a table stand before the tables below it.
    const at = base.indexOf(table.list ? `[[${table.name}]]\n` : `[${table.name}]\n`) + `[${table.list ? "[" : ""}${table.name}]${table.list ? "]" : ""}\n`.length
    return base.slice(0, at) + line + base.slice(at)
  }
  const fallbackOf = async (key) => {
    const { [key]: _, ...rest } = table1
    const { ok, output, reason } = await oracle.ask("--print-config", around(rest))
    if (!ok) {
      if (reason.includes(`missing field \`${key}\``)) return "required"
      // It stands only beside another, which is here.
      if (reason.includes(key)) return "none"
      throw new Error(`${name}.${key}: ${reason}`)
    }
    const value = at(parse(output), [...place, key])
    return value === undefined ? "none" : written(value)
  }
  return names.map((key) => {
    const env = variable([...place, key])
    const take = (text) => oracle.ask("--check", around(table1), { [env]: text })
    const words = comments.get(key)
    return { key: `${name}.${key}`, env, kind: rangeOf(key, table1[key], take, names), fallback: fallbackOf(key), effect: effect(words, own), about: words }
  })
}

const cell = (text) => text.replaceAll("|", "\\|").replaceAll("\n", " ")
const sentence = (text) => (/[.:;]$/.test(text) ? text : `${text}.`)

/** The page. */
export function page(tables) {
  const parts = [HEAD]
  for (const { name, list, about, rows } of tables) {
    parts.push(`## \`${list ? `[[${name}]]` : `[${name}]`}\`\n`)
    if (about) parts.push(`${sentence(about)}\n`)
    parts.push("| key, variable | value | default | change | what |\n| --- | --- | --- | --- | --- |")
    for (const { key, env, kind, fallback, effect, about } of rows) {
      const shown = fallback === "none" || fallback === "required" ? fallback : `\`${fallback}\``
      parts.push(`| \`${key}\`<br>\`${env}\` | ${[kind, shown, effect, sentence(about)].map(cell).join(" | ")} |`)
    }
    parts.push("")
  }
  return parts.join("\n")
}

const HEAD = `# Every setting

This page is made from the program (\`make reference\`), and a test compares the two. The program is asked which keys it has,
what they are by default, and which values it takes; the words are those of [config/smeuse.toml](../config/smeuse.toml).

- **key, variable**: the name in a file, below the table's header, and the environment variable that sets the same. Items of
  lists are counted from 0: what stands here is for the first entry, the second service's is \`SMEUSE__SERVICES__1__...\`. A whole list
  or table is written in TOML: \`SMEUSE__PROXIES__TRUSTED='["10.0.0.0/8"]'\`.
- **value**: what is taken; anything else ends the start with exit code 64 and a message that names the key. Bounds hold while
  other keys have their defaults. A time is written \`"30s"\`, \`"500ms"\` or \`"1m 30s"\`, sizes are in bytes.
- **default**: what counts if nobody says otherwise. *none*: off, or as the description says. *required*: no table without it.
- **change**: when a running gateway takes it on. *at once*: it looks by itself within seconds. *SIGHUP*: on this signal; for a
  path this means the file that lies there. *restart*: at its next start.

The strongest wins: flags, environment, \`AMQP_URL\` and \`PORT\`, the file, defaults. \`smeuse --print-config\` prints what is in
force, \`smeuse --check\` says what is wrong with it. [operations.md](operations.md) has what settings are for, and
[login.md](login.md) the users file.
`

// node tests/js/documents/reference.js [--write]: prints the page, or puts it in its place.
if (process.argv[1] === new URL(import.meta.url).pathname) {
  const text = page(await reference())
  if (process.argv.includes("--write")) await writeFile(join(root, PAGE), text)
  else process.stdout.write(text)
}
