// Where config.json lies: beside the library, where a gateway has served it, or at a gateway that the page names.
import { baseURL } from "./platform.js"

/** Where a gateway has its configuration. */
const CONFIG_PATH = "/_smeuse/config.json"
const MODULE_PATH = "/_smeuse/smeuse.mjs"

const isHTTP = (protocol) => /^https?:$/.test(protocol ?? "")

/** A URL that fetch() can get from a gateway, or null: a page may lie in a file or in an application. */
function url(path, base) {
  try {
    const found = new URL(path, base)
    return isHTTP(found.protocol) ? found : null
  } catch {
    return null
  }
}

/** Of a classic script: beside it, or where its `data-config` says; null if there is none. */
export function configOfScript() {
  const script = globalThis.document?.currentScript
  const path = script?.dataset?.config
  if (path !== undefined) return url(path, globalThis.document.baseURI)
  if (script?.src) return url("config.json", script.src)
  // A worker does not tell where its scripts come from; one made from a Blob has no host either.
  const { origin, protocol } = globalThis.location ?? {}
  return isHTTP(protocol) ? url(CONFIG_PATH, origin) : null
}

/**
 * Of the module: beside it if a gateway has served it, undefined if it comes from elsewhere, such as from npm.
 * @param {string | undefined} address that of the module
 */
export function configOfModule(address) {
  const found = url(address ?? "")
  return found?.pathname.endsWith(MODULE_PATH) ? url("config.json", found) : undefined
}

/**
 * As a page names it: a bare origin is a gateway, anything else the address of the configuration itself.
 * @throws {TypeError}
 */
export function configOfGateway(gateway) {
  const found = new URL(gateway, baseURL())
  found.protocol = found.protocol.replace(/^ws/, "http")
  if (!isHTTP(found.protocol)) throw new TypeError("gateway is an http: or https: URL")
  return found.pathname === "/" && found.search === "" ? new URL(CONFIG_PATH, found) : found
}
