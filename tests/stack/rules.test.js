// Prometheus' configuration, the alert rules and the dashboard: valid by Prometheus' and Grafana's own tools, tested with
// series, documented.
import assert from "node:assert/strict"
import { join } from "node:path"
import { describe, test } from "node:test"
import { root, run } from "../js/kit/process.js"
import { stringify } from "../js/kit/yaml.js"
import { expressions, filled } from "./expressions.js"
import { folderWith, read, readYaml, tool } from "./kit.js"

const rules = (await readYaml("config/alerts.yml")).groups.flatMap(({ rules }) => rules)

test("promtool accepts the configuration with its rules", async () => {
  // The secret is where it will be in the container only; with it in its place here, promtool looks at all the files.
  const text = (await read("config/prometheus.yml")).replace("/run/secrets/", `${join(root, "config/secrets")}/`)
  const folder = await folderWith({ "prometheus.yml": text, "alerts.yml": await read("config/alerts.yml") })
  try {
    await run("promtool", ["check", "config", folder.path("prometheus.yml")])
    await run("promtool", ["check", "rules", folder.path("alerts.yml")])
  } finally {
    await folder.remove()
  }
})

describe("config/alerts.yml", () => {
  test("fires for the series it should, and for no others", { timeout: 120_000 }, async () => {
    await run("promtool", ["test", "rules", join(root, "tests/stack/alerts_test.yml")])
  })

  test("has series for and against each alert", async () => {
    const cases = (await readYaml("tests/stack/alerts_test.yml")).tests.flatMap(({ alert_rule_test }) => alert_rule_test)
    for (const { alert } of rules) {
      const own = cases.filter(({ alertname }) => alertname === alert)
      assert.ok(own.some(({ exp_alerts }) => exp_alerts.length > 0), `${alert} fires`)
      assert.ok(own.some(({ exp_alerts }) => exp_alerts.length === 0), `${alert} does not fire`)
    }
    assert.ok(cases.every(({ alertname }) => rules.some(({ alert }) => alert === alertname)))
  })

  test("says what each is about, and where there is more", async () => {
    const headings = [...(await read("docs/alerts.md")).matchAll(/^## (.*)$/gm)].map(([, heading]) => heading)
    assert.deepEqual(
      rules.map(({ alert }) => alert).sort(),
      [...headings].sort(),
    )
    for (const { alert, labels, annotations } of rules) {
      assert.match(labels.severity, /^(critical|warning)$/, alert)
      assert.equal(annotations.runbook, `docs/alerts.md#${alert.toLowerCase()}`)
      assert.ok(annotations.summary.length > 20 && annotations.summary.length < 140, alert)
      // What it means, and what to do: two sentences at least.
      assert.match(annotations.description, /^[A-Z"/].{15,}[.:;?] .{20,}\.$/, alert)
    }
  })
})

describe("the dashboard", () => {
  test("is one by Grafana's own types", async () => {
    await run(tool("python"), [join(root, "tests/stack/dashboard.py"), join(root, "config/grafana/dashboards/smeuse.json")])
  })

  test("asks Prometheus what Prometheus understands", async () => {
    const all = await expressions("config/grafana/dashboards/smeuse.json")
    assert.ok(all.length >= 70, `${all.length} expressions`)
    const group = { name: "dashboard", rules: all.map(({ expr }, index) => ({ record: `panel:${index}`, expr: filled(expr, { interval: "1m" }) })) }
    const folder = await folderWith({ "dashboard.yml": stringify({ groups: [group] }) })
    try {
      await run("promtool", ["check", "rules", folder.path("dashboard.yml")])
    } finally {
      await folder.remove()
    }
  })

  test("has a row for each part of the gateway, ids of their own, and panels beside one another", async () => {
    const { panels, templating } = JSON.parse(await read("config/grafana/dashboards/smeuse.json"))
    const rows = panels.filter(({ type }) => type === "row").map(({ title }) => title)
    for (const part of ["Overview", "Sessions", "Handshakes", "Extensions", "Extension $extension", "AMQP", "Shared", "Brokers", "Endings", "Process"]) {
      assert.ok(rows.some((title) => title.startsWith(part)), part)
    }
    assert.equal(panels.find(({ title }) => title === "Extension $extension").repeat, "extension")
    assert.deepEqual(
      templating.list.map(({ name, type }) => [name, type]),
      [
        ["datasource", "datasource"],
        ["instance", "query"],
        ["service", "query"],
        ["extension", "query"],
      ],
    )
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
    const cells = new Set()
    for (const { gridPos, title, description, type } of panels) {
      if (type !== "row") assert.ok(description.length > 4, title)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          assert.ok(x < 24 && !cells.has(`${x} ${y}`), `${title} lies on another panel`)
          cells.add(`${x} ${y}`)
        }
      }
    }
  })
})
