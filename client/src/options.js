// Options as the page and config.json give them, checked, and as they are used.
import { parseHost } from "./hosts.js"
import { isToken } from "./header.js"

/**
 * @param {import("../types/index.d.ts").SocketOptions} given
 * @returns {object} extensions as a list of { name, params, required, module, integrity }, hosts as values; what is undefined is
 *   left out
 * @throws {TypeError} if an option is not what it should be
 */
export function parseOptions({ extensions, fallback, handshakeTimeout, login, loginHosts }) {
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
  if (login !== undefined) {
    if (login !== null && typeof login !== "function") throw new TypeError("login is a function")
    options.login = login
  }
  if (loginHosts !== undefined) {
    if (!Array.isArray(loginHosts)) throw new TypeError("loginHosts is an array")
    options.loginHosts = loginHosts.map(parseHost)
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
