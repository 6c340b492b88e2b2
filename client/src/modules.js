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
  if (!imports.has(key)) imports.set(key, bring(source, base, timeout).finally(() => imports.delete(key)))
  return imports.get(key)
}

async function bring({ name, module, integrity }, base, timeout) {
  if (integrity !== undefined && deliveredAs(name) === integrity) return
  const deadline = AbortSignal.timeout(timeout)
  try {
    if (!INTEGRITY.test(integrity ?? "")) throw new TypeError("config.json gives no integrity for it")
    const url = new URL(module, base)
    const text = await fetchChecked(url, integrity, deadline)
    // A module may wait for ever before it is there.
    const { default: extension } = await before(deadline, importText(text, url))
    if (extension?.name !== name) throw new TypeError(`its module is that of ${extension?.name}`)
    deliver(extension, integrity)
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

async function importText(text, url) {
  // Node imports from data: only. Content security policies are more often open to blob:.
  if (globalThis.process?.versions?.node) return import(`data:text/javascript,${encodeURIComponent(text)}`)
  const policy = watchPolicy()
  const blob = URL.createObjectURL(new Blob([text], { type: "text/javascript" }))
  try {
    return await import(blob)
  } catch (error) {
    if (!(await policy.forbids("blob"))) throw error
  } finally {
    URL.revokeObjectURL(blob)
    policy.stop()
  }
  return importPath(url)
}

async function importPath({ href }) {
  const policy = watchPolicy()
  try {
    return await import(href)
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
