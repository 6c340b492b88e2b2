// Extension modules that config.json names: fetched with their integrity checked by the platform, then imported from
// what was fetched, so that what runs is what was checked.
import { extensions, find } from "./catalogue.js"
import { readText } from "./reading.js"

/** Bytes of one module; the gateway serves none that is larger. */
const MAX_MODULE_BYTES = 1024 * 1024

/** Subresource Integrity: what does not look like this would be taken for no integrity at all. */
const INTEGRITY = /^sha(?:256|384|512)-[A-Za-z0-9+/]+={0,2}$/

/**
 * Imports and registers one extension.
 * @param {{ name: string, module: string, integrity: string }} source
 * @param {URL} base what the module's path is relative to
 * @param {number} timeout milliseconds
 * @throws {Error} if it cannot be had unchanged, or is another one. A socket that needs it fails: going on without an
 *   extension that somebody tampered with would be what they want.
 */
export async function importExtension({ name, module, integrity }, base, timeout) {
  try {
    if (!INTEGRITY.test(integrity ?? "")) throw new TypeError("config.json gives no integrity for it")
    const response = await fetch(new URL(module, base), { integrity, signal: AbortSignal.timeout(timeout) })
    if (!response.ok) throw new Error(`status ${response.status}`)
    const { default: extension } = await importText(await readText(response, MAX_MODULE_BYTES))
    if (extension?.name !== name) throw new TypeError(`its module is that of ${extension?.name}`)
    // Another socket may have been faster.
    if (find(name) === undefined) extensions.register(extension)
  } catch (error) {
    throw new Error(`the extension ${name} cannot be loaded: ${error.message}`)
  }
}

async function importText(text) {
  // Node imports from data: only. Content security policies are more often open to blob:.
  if (globalThis.process?.versions?.node) return import(`data:text/javascript,${encodeURIComponent(text)}`)
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }))
  try {
    return await import(url)
  } finally {
    URL.revokeObjectURL(url)
  }
}
