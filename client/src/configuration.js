// What applies to a socket before it is opened: the page's options and the gateway's config.json, joined into a route.
import { find } from "./catalogue.js"
import { formatOffer, isToken, parseOffers } from "./header.js"
import { importExtension } from "./modules.js"
import { baseURL } from "./platform.js"

/** Milliseconds until the extended handshake must be answered. A gateway answers within a round trip. */
export const HANDSHAKE_TIMEOUT = 5000
/** Milliseconds that config.json, or the module of an extension, may take; sockets wait for it. */
export const LOADING_TIMEOUT = 5000
/** Where a gateway has its configuration. */
export const CONFIG_PATH = "/_smeuse/config.json"
/** Bytes of config.json; one with a hundred services has about 40 KiB. */
const MAX_CONFIG_LENGTH = 1024 * 1024

/** Asked for where neither the page nor config.json says what: the gateway sees dead pages, the page a dead gateway. */
const DEFAULT_EXTENSIONS = [{ name: "x-kaazing-idle-timeout" }, { name: "x-kaazing-ping-pong" }]

/**
 * The way a socket takes.
 * @typedef {object} Route
 * @property {boolean} isExtended whether the extended handshake is asked for
 * @property {string} [kind] of the service, as config.json has it: amqp or echo
 * @property {{ extension: import("../types/index.d.ts").Extension, offer: import("./header.js").Offer }[]} [offers]
 * @property {"plain" | "error"} [fallback]
 * @property {number} [handshakeTimeout] milliseconds
 * @property {Function} [login]
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
    const { gateway, login, ...rest } = options
    const parsed = parseOptions(rest)
    const configURL = gateway === undefined || gateway === null ? gateway : parseGateway(gateway)
    if (login !== undefined) this.login = checkedLogin(login)
    this.#options = { ...this.#options, ...parsed }
    if (gateway === undefined) return
    this.#configURL = configURL
    this.#endpoints = null
    // Not awaited: the first socket will be, and tells of a failure.
    if (configURL !== null) this.#load()
  }

  /**
   * @param {URL} url
   * @param {object} options of this one socket
   * @returns {Route | Promise<Route> | null} null if the socket is none of this gateway's
   * @throws {TypeError} if an option is not what it should be
   */
  route(url, options) {
    const { login, ...rest } = options
    const own = { ...this.#options, ...parseOptions(rest), login: login === undefined ? this.#login : checkedLogin(login) }
    if (this.#configURL === undefined) return extendedRoute(own, {})
    if (this.#configURL === null || !isSameHost(url, this.#configURL)) return null
    return this.#routeThroughGateway(url, own)
  }

  async #routeThroughGateway(url, own) {
    const base = this.#configURL
    const endpoints = await this.#load().catch((error) => {
      console.warn(`smeuse: ${base} cannot be used, so WebSockets are plain ones: ${error.message}`)
      return null
    })
    const endpoint = endpoints?.get(url.pathname)
    if (endpoint === undefined) return PLAIN
    await importMissing(own.extensions ?? endpoint.extensions ?? [], endpoint.extensions ?? [], base)
    return extendedRoute(own, endpoint)
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
  const text = await response.text()
  if (text.length > MAX_CONFIG_LENGTH) throw new Error("it is too long")
  return parseConfig(JSON.parse(text))
}

/**
 * The endpoints of a config.json by their paths. What this version does not know is passed over.
 * @param {any} config
 * @returns {Map<string, { kind?: string, extensions?: object[], fallback?: string }>}
 * @throws {TypeError}
 */
export function parseConfig(config) {
  if (config?.version !== 1) throw new TypeError("it is not of version 1")
  if (!Array.isArray(config.endpoints)) throw new TypeError("it has no endpoints")
  const endpoints = new Map()
  for (const { paths, kind, extensions, fallback } of config.endpoints) {
    const endpoint = { kind, ...parseOptions({ extensions, fallback }) }
    for (const path of paths) endpoints.set(path, endpoint)
  }
  return endpoints
}

/** Options as they are used: extensions as a list of { name, params, module, integrity }. Undefined ones are left out. */
function parseOptions({ extensions, fallback, handshakeTimeout }) {
  const options = {}
  if (extensions !== undefined) options.extensions = parseRequested(extensions)
  if (fallback !== undefined) {
    if (fallback !== "plain" && fallback !== "error") throw new TypeError("fallback is plain or error")
    options.fallback = fallback
  }
  if (handshakeTimeout !== undefined) {
    if (!(handshakeTimeout > 0 && handshakeTimeout < 2 ** 31)) throw new TypeError("handshakeTimeout is a number of milliseconds")
    options.handshakeTimeout = handshakeTimeout
  }
  return options
}

function parseRequested(extensions) {
  if (!Array.isArray(extensions)) throw new TypeError("extensions is an array")
  const requested = extensions.map((entry) => (typeof entry === "string" ? fromText(entry) : { ...entry }))
  for (const [index, { name }] of requested.entries()) {
    if (!isToken(name ?? "")) throw new TypeError("an extension to ask for has a name, which is a token")
    if (requested.findIndex((other) => other.name === name) !== index) throw new TypeError(`${name} is asked for twice`)
  }
  return requested
}

function fromText(text) {
  const [name, ...params] = text.split(";")
  return params.length === 0 ? { name: name.trim() } : { name: name.trim(), params: params.join(";").trim() }
}

function checkedLogin(login) {
  if (login !== null && typeof login !== "function") throw new TypeError("login is a function")
  return login
}

function parseGateway(gateway) {
  const url = new URL(gateway, baseURL())
  url.protocol = url.protocol.replace(/^ws/, "http")
  if (!/^https?:$/.test(url.protocol)) throw new TypeError("gateway is an http: or https: URL")
  return url.pathname.endsWith(".json") ? url : new URL(CONFIG_PATH, url)
}

/** The same host and port, where ws: stands for http: and wss: for https:. */
function isSameHost(socketURL, configURL) {
  const port = ({ port, protocol }) => port || (/^(?:https|wss):$/.test(protocol) ? "443" : "80")
  return socketURL.hostname === configURL.hostname && port(socketURL) === port(configURL)
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
    offers: makeOffers(own.extensions, endpoint.extensions ?? DEFAULT_EXTENSIONS),
    fallback: own.fallback ?? endpoint.fallback ?? "plain",
    handshakeTimeout: own.handshakeTimeout ?? HANDSHAKE_TIMEOUT,
    login: own.login,
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
