// The one table of cases. Each runs against the platform's WebSocket and against ours and must come out the same; none is
// allowed to differ. Runs anywhere: in Node, in a page, in workers.
import { construction } from "./construction.js"
import { data } from "./data.js"
import { endings } from "./endings.js"
import { events } from "./events.js"

export const table = { ...construction, ...data, ...endings, ...events }

/** Runs one case; what goes wrong is an outcome too, and one that no case may have. */
export async function runCase(name, env) {
  try {
    const result = await table[name](env)
    // As JSON would have it, but telling undefined and NaN from nothing.
    const written = JSON.stringify(await deep(result), (_, value) => (value === undefined ? "undefined" : Number.isNaN(value) ? "NaN" : value))
    return { outcome: JSON.parse(written) }
  } catch (error) {
    return { problem: `${error.name}: ${error.message}` }
  }
}

/** Runs all cases, one after another. */
export async function runTable(env) {
  const outcomes = {}
  for (const name of Object.keys(table)) outcomes[name] = await runCase(name, env)
  return outcomes
}

async function deep(value) {
  const settled = await value
  return Array.isArray(settled) ? Promise.all(settled.map(deep)) : settled
}
