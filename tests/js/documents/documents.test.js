// The documents say what is true: links lead somewhere, examples run, tables agree with the program.
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { readdir, readFile, stat } from "node:fs/promises"
import { dirname, join, relative } from "node:path"
import { after, before, describe, test } from "node:test"
import { explain } from "../../../demo/session.js"
import { sharedBroker } from "../kit/broker.js"
import { startGateway } from "../kit/gateway.js"
import { root, run } from "../kit/process.js"
import { deferred, within } from "../kit/wait.js"
import { table } from "./tables.js"

const read = (path) => readFile(join(root, path), "utf8")

async function documents() {
  const folders = ["", "docs"]
  const found = await Promise.all(
    folders.map(async (folder) =>
      (await readdir(join(root, folder))).filter((name) => name.endsWith(".md")).map((name) => join(folder, name)),
    ),
  )
  return found.flat()
}

/** The anchor that a Markdown heading gets. */
const anchor = (heading) =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, "")
    .replace(/ /g, "-")

describe("links", async () => {
  for (const document of await documents()) {
    test(`of ${document} lead somewhere`, async () => {
      const text = await read(document)
      for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target)) continue
        const [path, fragment] = target.split("#")
        const file = path === "" ? document : relative(root, join(root, dirname(document), path))
        assert.ok(await stat(join(root, file)).catch(() => false), `${target} is not there`)
        if (fragment === undefined) continue
        const anchors = [...(await read(file)).matchAll(/^#+ (.+)$/gm)].map(([, heading]) => anchor(heading))
        assert.ok(anchors.includes(fragment), `${target}: no such heading`)
      }
    })
  }
})

test("every page is in the index, which has a path for each reader", async () => {
  const index = await read("docs/README.md")
  for (const document of await documents()) {
    const [folder, name] = document.includes("/") ? document.split("/") : [undefined, document]
    if (folder === "docs" && name !== "README.md") assert.ok(index.includes(`](${name})`), `${document} is not in docs/README.md`)
  }
  assert.deepEqual([...index.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading), ["You write a page", "You operate the gateway", "You change the gateway"])
  for (const target of ["docs/README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"]) assert.ok((await read("README.md")).includes(`](${target})`), target)
})

test("files that the documents name are there", async () => {
  for (const document of await documents()) {
    for (const [, path] of (await read(document)).matchAll(/`((?:src|tests|scripts|config|docs|demo|client|examples)\/[\w./-]*)[^`]*`/g)) {
      assert.ok(await stat(join(root, path)).catch(() => false), `${document} names ${path}`)
    }
  }
})

describe("with a gateway", () => {
  let broker
  let gateway

  before(async () => {
    broker = await sharedBroker()
    gateway = await startGateway({ upstream: broker.url })
  })
  after(async () => {
    await gateway?.kill()
    await broker?.stop()
  })

  test("the README's example does what it says", { timeout: 30_000 }, async () => {
    const example = (await read("README.md")).match(/```js\n([^]*?)```/)[1]
    const address = "ws://localhost:15670/ws/amqp"
    assert.ok(example.includes(address))
    const program = `globalThis.WebSocket = (await import("ws")).WebSocket\n${example.replace(address, gateway.url)}`
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
      cwd: join(root, "tests/js"),
      stdio: ["ignore", "pipe", "inherit"],
    })
    const printed = deferred()
    let output = ""
    child.stdout.on("data", (data) => {
      output += data
      if (output.endsWith("\n")) printed.resolve(output)
    })
    try {
      assert.equal(await within(20_000, "the delivery", printed.promise), "Hello from a page\n")
    } finally {
      child.kill("SIGKILL")
    }
  })

  // A metric without a series is not printed; the suite `metrics` of tests/it compares all of them.
  test("what is printed is in the table of metrics", async () => {
    const rows = table(await read("docs/metrics.md"), "## Metrics")
    const told = new Map(rows.map(([name, kind, labels]) => [name.replaceAll("`", ""), { kind, labels }]))
    const text = await (await gateway.ask("/metrics")).text()
    const printed = [...text.matchAll(/^# TYPE (smeuse_\w+) (\w+)$/gm)]
    assert.ok(printed.length >= 20, `${printed.length} metrics`)
    for (const [, name, kind] of printed) {
      assert.ok(told.has(name), `${name} is not in the table`)
      assert.equal(told.get(name).kind, kind, name)
      const sample = text.match(new RegExp(`^${name}(?:_count)?(?:\\{(.*)\\})? `, "m"))
      const real = [...(sample?.[1] ?? "").matchAll(/(\w+)="/g)].map(([, label]) => label)
      assert.deepEqual([...told.get(name).labels.matchAll(/`(\w+)`/g)].map(([, label]) => label).sort(), real.sort(), name)
    }
  })
})

test("the table of limits names settings that exist", async () => {
  const config = await read("config/smeuse.toml")
  const section = (name) => {
    const start = config.search(new RegExp(`^\\[\\[?${name}\\]`, "m"))
    assert.ok(start >= 0, `there is no [${name}]`)
    const rest = config.slice(start + 2)
    const end = rest.search(/^\[/m)
    return end >= 0 ? rest.slice(0, end) : rest
  }
  for (const [settings] of table(await read("docs/operations.md"), "## Limits")) {
    for (const [, name] of settings.matchAll(/`([a-z_.]+)`/g)) {
      const path = name.split(".")
      const key = path.pop()
      if (path.join(".") === "services.login") {
        // A table on one line of its service.
        assert.match(section("services"), new RegExp(`^(# )?login = \\{.*\\b${key} = `, "m"), name)
      } else {
        assert.match(section(path.join(".")), new RegExp(`^(# )?${key} = `, "m"), name)
      }
    }
  }
})

test("the demo page reconnects as the table of endings says", async () => {
  let rows = 0
  const assertExplained = (code) => assert.notEqual(explain(code).meaning, explain(4999).meaning, `${code}`)
  for (const [by, reason, code, reconnect, when] of table(await read("docs/protocol.md"), "## Endings")) {
    const name = `${by} ${reason}`
    if (/^\d+$/.test(code)) assert.equal(explain(Number(code)).again, reconnect === "yes", name)
    else if (code === "none") assert.equal(explain(1006).again, reconnect === "yes", name)
    for (const [each] of `${code} ${when}`.matchAll(/\b(?:1\d{3}|41\d{2})\b/g)) assertExplained(Number(each))
    rows += 1
  }
  assert.ok(rows >= 20, `${rows} rows`)
  for (const [code, , reconnect] of table(await read("docs/browser.md"), "## Errors and close codes")) {
    assertExplained(Number(code))
    assert.equal(explain(Number(code)).again, reconnect === "yes", code)
  }
  assert.equal(explain(4320).again, true)
  assert.equal(explain(4403).again, false)
})

test("make help lists what the README tells of", async () => {
  const help = await run("make", ["-C", root, "--no-print-directory", "help"])
  const readme = await read("README.md")
  const named = [...readme.matchAll(/`?make ([a-z]+)/g)].map(([, name]) => name)
  for (const name of ["run", "test", "check", "bench", ...named]) assert.match(help, new RegExp(`make ${name} `))
})
