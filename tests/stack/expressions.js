// PromQL in our files: which expressions there are, and which metrics and labels they name.
import { read, readYaml } from "./kit.js"

/** Every expression of a dashboard or a file of rules, with the name of what shows it. */
export async function expressions(path) {
  if (path.endsWith(".yml")) {
    const { groups } = await readYaml(path)
    return groups.flatMap(({ rules }) => rules.map(({ alert, record, expr }) => ({ name: alert ?? record, expr })))
  }
  const dashboard = JSON.parse(await read(path))
  const shown = dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ name: title, expr })))
  const marked = dashboard.annotations.list.map(({ name, expr }) => ({ name, expr }))
  const chosen = dashboard.templating.list.filter(({ type }) => type === "query").map(({ name, query }) => {
    const [, selector] = query.query.match(/^label_values\((.*), \w+\)$/)
    return { name: `variable ${name}`, expr: selector }
  })
  return [...shown, ...marked, ...chosen]
}

/** The expression with Grafana's variables as Grafana would write them: everything, or this. */
export const filled = (expr, { interval, instance = ".*", service = ".*", extension = ".*" }) =>
  expr
    .replaceAll("$__rate_interval", interval)
    .replaceAll("$instance", instance)
    .replaceAll("$service", service)
    .replaceAll("$extension", extension)

/** What an expression asks of each metric that it names: the labels it chooses by. */
export function selectors(expr) {
  const found = []
  for (const [, name, , matchers = ""] of expr.matchAll(/\b((?:smeuse|process|rabbitmq)_\w+|up)\b(\{([^}]*)\})?/g)) {
    found.push({ name, labels: [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label]) => label) })
  }
  return found
}

/** Labels that an expression groups by or joins on. */
export const grouping = (expr) =>
  [...expr.matchAll(/\b(?:by|without|on|group_left)\s*\(([^)]*)\)/g)].flatMap(([, list]) => list.split(",").map((label) => label.trim()).filter(Boolean))
