// Challenges and their answers (RFC 7235, RFC 7617): from a WWW-Authenticate line to what the page is asked, and from
// what the page answers to an Authorization value. Nothing here keeps what it is given.
import { Cursor, HeaderError } from "./header.js"

/**
 * Parses one `WWW-Authenticate` line, which holds one challenge. The prefix `Application ` says only that the page and
 * not the browser answers, and is taken off.
 * @param {string} line
 * @returns {{ scheme: string, realm: string | undefined, parameters: Record<string, string> }} parameter names in lower case
 * @throws {HeaderError}
 */
export function parseChallenge(line) {
  const cursor = new Cursor(line.replace(/^\s*application[ \t]+(?=\S)/i, ""))
  const scheme = cursor.skipWhitespace().token()
  const parameters = Object.create(null)
  while (!cursor.skipEmptyElements().isAtEnd) {
    const name = cursor.token().toLowerCase()
    if (!cursor.skipWhitespace().eat("=")) throw new HeaderError("unexpected", `${name} has no value`)
    parameters[name] = cursor.skipWhitespace().rest.startsWith('"') ? cursor.quoted() : cursor.token()
    cursor.skipWhitespace().expectElementEnd()
  }
  return { scheme, realm: parameters.realm, parameters }
}

/**
 * The `Authorization` value for the page's answer, or null if it gave none.
 * @param {{ scheme: string }[]} challenges all that the gateway would accept
 * @param {unknown} credentials `{ username, password }` or `{ token }`, both perhaps with the `scheme` they are for; a
 *   whole value; or nothing
 * @returns {string | null}
 * @throws {TypeError} if the answer cannot be sent; its text never holds any of it
 */
export function authorization(challenges, credentials) {
  if (credentials === null || credentials === undefined) return null
  if (typeof credentials === "string") return checked(credentials)
  if (typeof credentials !== "object") throw new TypeError("credentials are an object or a string")
  const offered = challenges.map(({ scheme }) => scheme)
  const named = credentials.scheme === undefined ? offered : offered.filter((scheme) => isSame(scheme, credentials.scheme))
  if (named.length === 0) throw new TypeError("the scheme of the credentials is not one that was asked for")
  if (credentials.token !== undefined) {
    const scheme = named.find((each) => /^(?:token|bearer)$/i.test(each)) ?? named.find((each) => !isSame(each, "Basic"))
    if (scheme === undefined) throw new TypeError("a token was given where a username and a password are asked for")
    return checked(`${scheme} ${credentials.token}`)
  }
  const { username, password } = credentials
  if (username === undefined || password === undefined) {
    throw new TypeError("credentials are { username, password }, { token } or a string")
  }
  if (!named.some((scheme) => isSame(scheme, "Basic"))) {
    throw new TypeError("a username was given where a token is asked for")
  }
  // RFC 7617 section 2: the first colon ends the user-id.
  if (`${username}`.includes(":")) throw new TypeError("a username has no colon in Basic")
  const bytes = new TextEncoder().encode(`${username}:${password}`)
  return `Basic ${btoa(String.fromCharCode(...bytes))}`
}

/** RFC 7235 section 2.1: schemes are compared without regard to case. */
const isSame = (scheme, other) => scheme.toLowerCase() === `${other}`.toLowerCase()

/** RFC 7230 section 3.2: a value of visible characters and spaces; anything else could write further header lines. */
function checked(value) {
  if (!/^[!-~][ -~\t]*$/.test(value)) throw new TypeError("an Authorization value has only visible ASCII characters and spaces")
  return value
}
