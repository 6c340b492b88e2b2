// What applies to a socket before it is opened: the page's options and the gateway's config.json, joined into a route.
import { find } from "./catalogue.js"
import { configOfGateway } from "./gateway.js"
import { formatOffer, parseOffers } from "./header.js"
import { hostOf, isAt, ownHosts } from "./hosts.js"
import { importExtension } from "./modules.js"
import { parseOptions } from "./options.js"
import { readText } from "./reading.js"

/** Milliseconds until the extended handshake must be answered. A gateway answers within a round trip. */
export const HANDSHAKE_TIMEOUT = 5000
/** Milliseconds that config.json, or the module of an extension, may take; sockets wait for it. */
export const LOADING_TIMEOUT = 5000
/** Bytes of config.json; one with a hundred services has about 40 KiB. */
const MAX_CONFIG_BYTES = 1024 * 1024

/** Asked for where neither the page nor config.json says what: the gateway sees dead pages, the page a dead gateway. */
const DEFAULT_EXTENSIONS = [{ name: "x-kaazing-idle-timeout" }, { name: "x-kaazing-ping-pong" }]

/**
 * The way a socket takes.
 * @typedef {object} Route
 * @property {boolean} isExtended whether the extended handshake is asked for
 * @property {string} [kind] of the service, as config.json has it: amqp or echo
 * @property {number} [messageBytes] that the gateway takes in one message, at any time
 * @property {{ extension: import("../types/index.d.ts").Extension, offer: import("./header.js").Offer }[]} [offers]
 * @property {"plain" | "error"} [fallback]
 * @property {number} [handshakeTimeout] milliseconds
 * @property {Function | null} [login]
 * @property {import("./hosts.js").Host[]} [loginHosts] who may have the answer of `login`
 * @property {(isSpoken: boolean) => void} [learn] to be told whether the extended handshake is spoken there
 */

/** @type {Route} */
const PLAIN = Object.freeze({ isExtended: false })

export class Configuration {
  /** The page's own options, for all sockets. */
  #options = {}
  #login = null
   /** Where config.json lies; null if there is none and so no endpoint, undefined if every URL is an endpoint. */
  #configURL = undefined
  /** The endpoints by path, or the promise of them; null if there are none yet. */
  #endpoints = null
  /**
   * By origin and path, whether the extended handshake is spoken there, as far as sockets without a gateway have found
   * out. Once true, always true: a gateway that is overloaded is one, too. One origin may have servers of both kinds.
   */
  #isSpoken = new Map()

  get login() {
    return this.#login
  }
  set login(login) {
    this.#login = typeof login === "function" ? login : null
  }

  /**
   * @param {import("../types/index.d.ts").Configuration} options what is not named stays as it is
   * @throws {TypeError} if an option is not what it should be
   */
  configure(options) {
    const { gateway } = options
    const { login, ...parsed } = parseOptions(options)
    const configURL = gateway === undefined || gateway === null ? gateway : configOfGateway(gateway)
    if (login !== undefined) this.login = login
    this.#options = { ...this.#options, ...parsed }
    if (gateway === undefined) return
    this.#configURL = configURL
    this.#endpoints = null
    // Not awaited: the first socket will be, and tells of a failure.
    if (configURL !== null) this.#load()
  }

  /**
   * @param {URL} url
   * @param {object} options of this one socket; not looked at if the socket is none of this gateway's
   * @returns {Route | Promise<Route> | null} null if the socket is none of this gateway's
   * @throws {TypeError} if an option is not what it should be
   */
  route(url, options) {
    const base = this.#configURL
    if (base === null || (base !== undefined && !isAt(url, hostOf(base)))) return null
    const own = parseOptions(options)
    const asked = { ...this.#options, ...own, login: own.login === undefined ? this.#login : own.login }
    // The page-wide login may have been meant for another server than the one that asks now.
    const ownLoginHosts = own.login !== undefined ? [hostOf(url)] : base === undefined ? ownHosts() : [hostOf(base)]
    asked.loginHosts = [...ownLoginHosts, ...(asked.loginHosts ?? [])]
    return base === undefined ? this.#routeWithoutGateway(url, own, asked) : this.#routeThroughGateway(url, own, asked)
  }

  #routeWithoutGateway({ origin, pathname }, own, asked) {
    const place = origin + pathname
    const isIndifferent = own.extensions === undefined && own.login === undefined && asked.fallback !== "error"
    if (this.#isSpoken.get(place) === false && isIndifferent) return PLAIN
    const learn = (isSpoken) => this.#isSpoken.get(place) || this.#isSpoken.set(place, isSpoken)
    return { ...extendedRoute(asked, {}), learn }
  }

  async #routeThroughGateway(url, own, asked) {
    const base = this.#configURL
    const loading = this.#load()
    let endpoints
    try {
      endpoints = await loading
    } catch (error) {
      const isWanted = own.extensions?.length > 0 && asked.fallback === undefined
      if (asked.fallback === "error" || isWanted) throw new Error(`${base} cannot be used: ${error.message}`)
      console.warn(`smeuse: ${base} cannot be used, so WebSockets are plain ones: ${error.message}`)
      return PLAIN
    }
    const endpoint = endpoints.get(url.pathname)
    if (endpoint === undefined) return PLAIN
    try {
      await importMissing(asked.extensions ?? endpoint.extensions ?? [], endpoint.extensions ?? [], base)
    } catch (error) {
      // The gateway may have a newer module than config.json was told of.
      if (this.#endpoints === loading) this.#endpoints = null
      throw error
    }
    return extendedRoute(asked, endpoint)
  }

  /** The endpoints; loaded once, and again by the next socket after a failure. */
  #load() {
    const base = this.#configURL
    this.#endpoints ??= loadEndpoints(base).catch((error) => {
      if (this.#configURL === base) this.#endpoints = null
      throw error
    })
    this.#endpoints.catch(() => {})
    return this.#endpoints
  }
}

/** Gets config.json and gives its endpoints by path. */
async function loadEndpoints(url) {
  const response = await fetch(url, { signal: AbortSignal.timeout(LOADING_TIMEOUT) })
  if (!response.ok) throw new Error(`status ${response.status}`)
  return parseConfig(JSON.parse(await readText(response, MAX_CONFIG_BYTES)))
}

/**
 * The endpoints of a config.json by their paths. What this version does not know is passed over.
 * @param {any} config
 * @returns {Map<string, { kind?: string, extensions?: object[], fallback?: string, messageBytes?: number }>}
 * @throws {TypeError}
 */
export function parseConfig(config) {
  if (config?.version !== 1) throw new TypeError("it is not of version 1")
  if (!Array.isArray(config.endpoints)) throw new TypeError("it has no endpoints")
  const endpoints = new Map()
  for (const { paths, kind, extensions, fallback, messageBytes } of config.endpoints) {
    const endpoint = { kind, ...parseOptions({ extensions, fallback }) }
    if (messageBytes > 0) endpoint.messageBytes = messageBytes
    for (const path of paths) endpoints.set(path, endpoint)
  }
  return endpoints
}

/** Imports those extensions that are asked for, are not known yet, and have a module in config.json. */
async function importMissing(requested, configured, base) {
  for (const { name } of requested) {
    const source = configured.find((entry) => entry.name === name)
    if (find(name) === undefined && source?.module !== undefined) await importExtension(source, base, LOADING_TIMEOUT)
  }
}

function extendedRoute(own, endpoint) {
  return {
    isExtended: true,
    kind: endpoint.kind,
    messageBytes: endpoint.messageBytes,
    offers: makeOffers(own.extensions, endpoint.extensions ?? DEFAULT_EXTENSIONS),
    fallback: own.fallback ?? endpoint.fallback ?? "plain",
    handshakeTimeout: own.handshakeTimeout ?? HANDSHAKE_TIMEOUT,
    login: own.login,
    loginHosts: own.loginHosts,
  }
}

/** @throws {TypeError} if the page asks for what nobody knows; what others ask for is passed over */
function makeOffers(requestedByPage, requestedByOthers) {
  return (requestedByPage ?? requestedByOthers).flatMap(({ name, params }) => {
    const extension = find(name)
    if (extension === undefined && requestedByPage === undefined) return []
    if (extension === undefined) throw new TypeError(`the extension ${name} is not registered`)
    const text = extension.offer === undefined ? (params ?? "") : extension.offer(params)
    if (text === null || text === undefined) return []
    const [offer, ...more] = parseOffers([text === "" ? name : `${name}; ${text}`])
    if (more.length > 0) throw new TypeError(`the extension ${name} offers more than itself: ${formatOffer(more[0])}`)
    return [{ extension, offer }]
  })
}
