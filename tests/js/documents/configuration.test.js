// docs/configuration.md is what the program says of itself; `make reference` makes it anew.
import assert from "node:assert/strict"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { before, describe, test } from "node:test"
import { root } from "../kit/process.js"
import { PAGE, page, reference, tablesOf } from "./reference.js"

const read = (path) => readFile(join(root, path), "utf8")

describe("docs/configuration.md", () => {
  let tables
  let rows
  before(async () => {
    tables = await reference()
    rows = new Map(tables.flatMap((table) => table.rows.map((row) => [`${table.name}.${row.key}`, row])))
  })

  test("is what the program says; if not, run: make reference", { timeout: 300_000 }, async () => {
    assert.equal(await read(PAGE), page(tables))
  })

  test("has every key of the contract, each with words, and a variable of its own", () => {
    const names = [...rows.keys()]
    assert.ok(names.length >= 70, `${names.length} keys`)
    assert.equal(new Set(names).size, names.length)
    assert.equal(new Set([...rows.values()].map(({ env }) => env)).size, names.length)
    for (const [name, { about }] of rows) assert.ok(about.length > 10, `${name}: ${about}`)
  })

  // If the oracle were deaf, every key would be a text without bounds.
  test("has learnt from the program what is known otherwise", () => {
    const known = {
      "listen.workers": ["whole number from 0 to 1024", "0", "restart"],
      "log.level": ["text", '"info"', "SIGHUP"],
      "log.format": ['`"text"` or `"json"`', '"text"', "restart"],
      "listen.tls.key": ["path", "required", "SIGHUP"],
      "drain.deadline": ["time, at least `spread`, to 1 day", '"30s"', "restart"],
      "drain.spread": ["time, from 0s, not longer than `deadline`", '"10s"', "restart"],
      "websocket.ping_interval": ["time, from 1ms, shorter than `silence_limit`", '"20s"', "restart"],
      "websocket.window_bytes": ["whole number from 65536 to 1073741824", "262144", "restart"],
      "admin.token_file": ["path", "none", "SIGHUP"],
      "web.applications.name": ["text", "required", "restart"],
      "web.applications.path": ["text", '"/"', "restart"],
      "web.applications.head_bytes": ["whole number from 8192", "65536", "restart"],
      "web.applications.tls.ca": ["path", "none", "SIGHUP"],
      "control.tls.ca": ["path", "none", "SIGHUP"],
      "services.trials.percent": ["number from 0 to 100", "required", "at once"],
      "services.page_extensions": ["list of text", '["x-kaazing-idle-timeout", "x-kaazing-ping-pong"]', "at once"],
      "services.idle_timeout": ["time from 0s to 1 day", '"30s"', "restart"],
      "services.login.users": ["path", "required", "SIGHUP"],
      "services.login.attempts": ["whole number from 1 to 100", "3", "restart"],
      "services.upstream.connections": ['`"dedicated"` or `"shared"`', '"dedicated"', "restart"],
      "services.upstream.vhost": ["text", "none", "restart"],
    }
    for (const [name, expected] of Object.entries(known)) {
      const { kind, fallback, effect } = rows.get(name)
      assert.deepEqual([kind, fallback, effect], expected, name)
    }
  })
})

test("the contract is read with its comments, headers and keys without a default", () => {
  const contract = "# Of no table.\n\n# One.\n[one]\n# A key,\n# in two lines.\na = 1\nb = \"x\"\n# Off.\n# c = { d = 2 }\n[[two.three]]\n# e = []\n"
  assert.deepEqual(JSON.parse(JSON.stringify(tablesOf(contract))), [
    {
      name: "one",
      list: false,
      about: "One.",
      keys: [
        { name: "a", example: 1, given: true, about: "A key, in two lines." },
        { name: "b", example: "x", given: true, about: "" },
        { name: "c", example: { d: 2 }, given: false, about: "Off." },
      ],
    },
    { name: "two.three", list: true, about: "", keys: [{ name: "e", example: [], given: false, about: "" }] },
  ])
})
