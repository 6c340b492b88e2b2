// Extension modules that config.json names: fetched with their integrity checked by the platform, then imported from
// what was fetched, so that what runs is what was checked. Where the page's content security policy forbids that, they
// are imported from the path that names their content.
import { deliver, deliveredAs } from "./catalogue.js"
import { watchPolicy } from "./policy.js"
import { readText } from "./reading.js"

/** Bytes of one module; the gateway serves none that is larger. */
const MAX_MODULE_BYTES = 1024 * 1024

/** Subresource Integrity: what does not look like this would be taken for no integrity at all. */
const INTEGRITY = /^sha(?:256|384|512)-[A-Za-z0-9+/]+={0,2}$/

/** What is being imported, so that two sockets do not run one module twice. */
const imports = new Map()

/** What was not there in time and still runs, so that no later socket runs it again. */
const unfinished = new Set()

/**
 * Sees to it that an extension is known in the version that config.json names.
 * @param {{ name: string, module: string, integrity: string }} source
 * @param {URL} base what the module's path is relative to
 * @param {number} timeout milliseconds
 * @returns {Promise<void>}
 * @throws {Error} if it cannot be had unchanged, does not run, or is another one
 */
export function importExtension(source, base, timeout) {
  const key = `${source.name} ${source.integrity}`
  if (!imports.has(key)) imports.set(key, bring(source, base, timeout, key).finally(() => imports.delete(key)))
  return imports.get(key)
}

async function bring({ name, module, integrity }, base, timeout, key) {
  if (integrity !== undefined && deliveredAs(name) === integrity) return
  const deadline = AbortSignal.timeout(timeout)
  const take = ({ default: extension }) => {
    if (extension?.name !== name) throw new TypeError(`its module is that of ${extension?.name}`)
    // One that comes late takes nothing from another version.
    if (!deadline.aborted || deliveredAs(name) === undefined) deliver(extension, integrity)
  }
  // A module may wait for ever before it is there. If it comes late, the next socket has it.
  const run = (address) => {
    unfinished.add(key)
    return before(deadline, import(address).then(take).finally(() => unfinished.delete(key)))
  }
  try {
    if (!INTEGRITY.test(integrity ?? "")) throw new TypeError("config.json gives no integrity for it")
    if (unfinished.has(key)) throw new Error("it was begun for an earlier WebSocket and is not there yet")
    const url = new URL(module, base)
    await runText(await fetchChecked(url, integrity, deadline), url, run)
  } catch (error) {
    const reason = deadline.aborted ? `it was not there within ${timeout} ms` : (error?.message ?? error)
    throw new Error(`the extension ${name} cannot be loaded: ${reason}`)
  }
}

async function fetchChecked(url, integrity, signal) {
  let response
  try {
    response = await fetch(url, { integrity, signal })
  } catch (error) {
    // The platform does not say why.
    const found = await fetch(url, { method: "HEAD", signal }).catch(() => undefined)
    if (found === undefined) throw error
    throw new Error(found.ok ? "what is there is not what config.json names (integrity)" : `status ${found.status}`)
  }
  if (!response.ok) throw new Error(`status ${response.status}`)
  return readText(response, MAX_MODULE_BYTES)
}

async function runText(text, url, run) {
  // Node imports from data: only. Content security policies are more often open to blob:.
  if (globalThis.process?.versions?.node) return run(`data:text/javascript,${encodeURIComponent(text)}`)
  const policy = watchPolicy()
  let blob
  try {
    // Service workers have no such function.
    blob = URL.createObjectURL(new Blob([text], { type: "text/javascript" }))
    return await run(blob)
  } catch (error) {
    if (!(await policy.forbids("blob"))) throw error
  } finally {
    if (blob !== undefined) URL.revokeObjectURL(blob)
    policy.stop()
  }
  return runPath(url, run)
}

async function runPath({ href }, run) {
  const policy = watchPolicy()
  try {
    return await run(href)
  } catch (error) {
    if (!(await policy.forbids(href))) throw error
    throw new Error(
      "the page's content security policy forbids it: script-src needs a nonce at the library's script, the gateway, or blob:",
    )
  } finally {
    policy.stop()
  }
}

/** What comes of a promise, unless the signal comes before. */
function before(signal, promise) {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true })
    promise.then(resolve, reject)
  })
}
