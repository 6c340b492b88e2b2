// What applies to a socket before it is opened: the page's options and the gateway's config.json, joined into a route.
import { find, isOwn } from "./catalogue.js"
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
/** Milliseconds for which config.json counts as new; a socket that is opened later asks whether there is another. */
export const CHECK_INTERVAL = 2000
/** Milliseconds that a socket waits for that answer; then what is there counts. */
export const CHECK_TIMEOUT = 1000
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
 * @property {{ extension: string, reason: string }[]} [missing] extensions that could not be loaded, and that the socket
 *   goes on without
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
  /** What config.json said last: its text and the endpoints by path; null if there is none yet. */
  #latest = null
  /** The promise of endpoints while config.json is being asked for, or null. */
  #loading = null
  /** When it was asked for. */
  #askedAt = -Infinity
  /** Modules that could not be loaded, by name and hash, and that config.json was asked for again because of. */
  #broken = new Set()
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
    this.#latest = null
    this.#loading = null
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
    let endpoints
    try {
      endpoints = await this.#load()
    } catch (error) {
      const isWanted = own.extensions?.length > 0 && asked.fallback === undefined
      if (asked.fallback === "error" || isWanted) throw new Error(`${base} cannot be used: ${error.message}`)
      console.warn(`smeuse: ${base} cannot be used, so WebSockets are plain ones: ${error.message}`)
      return PLAIN
    }
    const endpoint = endpoints.get(url.pathname)
    if (endpoint === undefined) return PLAIN
    const missing = await this.#importMissing(asked.extensions ?? endpoint.extensions ?? [], endpoint.extensions ?? [], base)
    return extendedRoute(asked, endpoint, missing)
  }

  /**
   * Imports those extensions that are asked for and that config.json has a module for, in the version that it names.
   * @returns {Promise<{ extension: string, reason: string }[]>} those that cannot be had and are not required
   * @throws {Error} if one that is required cannot be had
   */
  async #importMissing(requested, configured, base) {
    const missing = []
    const imports = requested.map(async ({ name, required }) => {
      const source = configured.find((entry) => entry.name === name)
      if (source?.module === undefined || isOwn(name)) return
      try {
        await importExtension(source, base, LOADING_TIMEOUT)
      } catch (error) {
        this.#distrust(source)
        if (required !== false) throw error
        console.warn(`smeuse: the connection goes on without an extension: ${error.message}`)
        missing.push({ extension: name, reason: error.message })
      }
    })
    await Promise.all(imports)
    return missing
  }

  /** The gateway may have a newer module than config.json was told of, so the next socket asks; once for each module. */
  #distrust({ name, integrity }) {
    const module = `${name} ${integrity}`
    if (this.#broken.has(module)) return
    this.#broken.add(module)
    this.#askedAt = -Infinity
  }

  /** The endpoints: what config.json said last, unless it is time to ask again, or was not there the last time. */
  #load() {
    if (this.#loading !== null) return this.#loading
    const [base, latest] = [this.#configURL, this.#latest]
    if (latest !== null && performance.now() - this.#askedAt < CHECK_INTERVAL) return latest.endpoints
    this.#askedAt = performance.now()
    const isCurrent = () => this.#configURL === base && this.#loading === loading
    const answer = loadConfig(base, latest).then(
      (newer) => {
        if (isCurrent()) [this.#latest, this.#loading] = [newer, null]
        return newer.endpoints
      },
      (error) => {
        if (isCurrent()) this.#loading = null
        // A gateway that is away, or says what nobody understands, has said something before.
        if (latest !== null) return latest.endpoints
        throw error
      },
    )
    const loading = latest === null ? answer : within(CHECK_TIMEOUT, answer, latest.endpoints)
    loading.catch(() => {})
    this.#loading = loading
    return loading
  }
}

/** What comes of a promise, or `otherwise` if that takes too long. */
function within(milliseconds, promise, otherwise) {
  let timer
  const late = new Promise((resolve) => (timer = setTimeout(resolve, milliseconds, otherwise)))
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** Gets config.json, or learns that it is still the one there was: browsers ask by its ETag. */
async function loadConfig(url, latest) {
  const response = await fetch(url, { cache: "no-cache", signal: AbortSignal.timeout(LOADING_TIMEOUT) })
  if (!response.ok) throw new Error(`status ${response.status}`)
  const text = await readText(response, MAX_CONFIG_BYTES)
  return text === latest?.text ? latest : { text, endpoints: parseConfig(JSON.parse(text)) }
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

function extendedRoute(own, endpoint, missing = []) {
  return {
    isExtended: true,
    kind: endpoint.kind,
    messageBytes: endpoint.messageBytes,
    offers: makeOffers(own.extensions, endpoint.extensions ?? DEFAULT_EXTENSIONS, missing),
    missing,
    fallback: own.fallback ?? endpoint.fallback ?? "plain",
    handshakeTimeout: own.handshakeTimeout ?? HANDSHAKE_TIMEOUT,
    login: own.login,
    loginHosts: own.loginHosts,
  }
}

/** @throws {TypeError} if the page asks for what nobody knows; what others ask for is passed over */
function makeOffers(requestedByPage, requestedByOthers, missing) {
  return (requestedByPage ?? requestedByOthers).flatMap(({ name, params, required }) => {
    // Of what cannot be loaded there may be an older version, which is not what config.json names.
    if (missing.some(({ extension }) => extension === name)) return []
    const extension = find(name)
    const isDispensable = requestedByPage === undefined || required === false
    if (extension === undefined && isDispensable) return []
    if (extension === undefined) throw new TypeError(`the extension ${name} is not registered`)
    const text = extension.offer === undefined ? (params ?? "") : extension.offer(params)
    if (text === null || text === undefined) return []
    const [offer, ...more] = parseOffers([text === "" ? name : `${name}; ${text}`])
    if (more.length > 0) throw new TypeError(`the extension ${name} offers more than itself: ${formatOffer(more[0])}`)
    return [{ extension, offer }]
  })
}
