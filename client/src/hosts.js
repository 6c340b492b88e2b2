// Hosts with their ports, as they are compared: ws: stands for http:, wss: for https:.

/**
 * @typedef {object} Host
 * @property {string} hostname as in a URL
 * @property {string | null} port null for the default port of whatever scheme it is compared with
 */

const defaultPort = ({ protocol }) => (/^(?:https|wss):$/.test(protocol) ? "443" : "80")
const portOf = (url) => url.port || defaultPort(url)

/**
 * @param {URL | Location} url
 * @returns {Host}
 */
export const hostOf = (url) => ({ hostname: url.hostname, port: portOf(url) })

/** Whether a URL is at this host; one without a host is nowhere. */
export const isAt = (url, { hostname, port }) =>
  hostname !== "" && url.hostname === hostname && portOf(url) === (port ?? defaultPort(url))

/** The page's own host: nothing outside pages and workers, and none in a file: or a Blob. */
export function ownHosts() {
  const { location } = globalThis
  return /^https?:$/.test(location?.protocol ?? "") ? [hostOf(location)] : []
}

/**
 * A host as a setting has it.
 * @param {unknown} text `host` or `host:port`
 * @returns {Host}
 * @throws {TypeError}
 */
export function parseHost(text) {
  if (typeof text === "string" && /^[^\s/\\?#@]+$/.test(text)) {
    try {
      return { hostname: new URL(`ws://${text}`).hostname, port: /:(\d+)$/.exec(text)?.[1] ?? null }
    } catch {
      // Said below.
    }
  }
  throw new TypeError("a login host is host or host:port")
}
