// Lists in header values: tokens (subprotocols) and offers with parameters (extensions), parsed and formatted by the
// grammar of RFC 6455 section 9.1 and RFC 7230 section 7. The mirror of src/wire/websocket/header.rs.

/** Bytes in all lines of one list. */
export const MAX_LIST_BYTES = 4096
/** Elements in one list. */
export const MAX_ELEMENTS = 64
/** Parameters of all offers in one list together. */
export const MAX_PARAMS = 64

/**
 * Why a header's list cannot be used; always the peer's fault.
 * `kind` is one of empty, too_long, too_many_elements, too_many_params, unexpected, unexpected_end, quote_open,
 * value_not_token, duplicate.
 */
export class HeaderError extends Error {
  name = "HeaderError"
  constructor(kind, sentence) {
    super(sentence)
    this.kind = kind
  }
}

/**
 * An extension with its parameters, as proposed or as agreed (RFC 6455 section 9.1). A parameter without `=` has the
 * value null. Names and values keep their case.
 * @typedef {{ name: string, params: [string, string | null][] }} Offer
 */

/** Whether a text is a token (RFC 7230 section 3.2.6). */
export const isToken = (text) => TOKEN.test(text)

/**
 * Parses a list of unique tokens from all lines of one header, in their order; no lines, no tokens.
 * @param {Iterable<string>} lines
 * @returns {string[]}
 * @throws {HeaderError}
 */
export function parseTokens(lines) {
  const tokens = parseList(lines, (cursor) => cursor.token())
  const twice = tokens.find((token, index) => tokens.indexOf(token) !== index)
  if (twice !== undefined) throw new HeaderError("duplicate", `${twice} is listed twice`)
  return tokens
}

/**
 * Parses a list of extension offers from all lines of one header, in their order; no lines, no offers.
 * @param {Iterable<string>} lines
 * @returns {Offer[]}
 * @throws {HeaderError}
 */
export function parseOffers(lines) {
  let left = MAX_PARAMS
  return parseList(lines, (cursor) => {
    const offer = { name: cursor.token(), params: [] }
    while (cursor.skipWhitespace().eat(";")) {
      if (left-- === 0) throw new HeaderError("too_many_params", `the list has more than ${MAX_PARAMS} parameters`)
      const param = cursor.skipWhitespace().token()
      const hasValue = cursor.skipWhitespace().eat("=")
      offer.params.push([param, hasValue ? cursor.skipWhitespace().value() : null])
    }
    return offer
  })
}

/** One offer as text, such as `a; b=1; c`; the inverse of parseOffers. A value is a token, so it never needs quotes. */
export const formatOffer = ({ name, params }) => [name, ...params.map(formatParam)].join("; ")

const formatParam = ([name, value]) => (value === null ? name : `${name}=${value}`)

function parseList(lines, element) {
  const elements = []
  let bytesLeft = MAX_LIST_BYTES
  let isPresent = false
  for (const line of lines) {
    isPresent = true
    bytesLeft -= new TextEncoder().encode(line).length
    if (bytesLeft < 0) throw new HeaderError("too_long", `the list has more than ${MAX_LIST_BYTES} bytes`)
    const cursor = new Cursor(line)
    while (!cursor.skipEmptyElements().isAtEnd) {
      if (elements.length === MAX_ELEMENTS) {
        throw new HeaderError("too_many_elements", `the list has more than ${MAX_ELEMENTS} elements`)
      }
      elements.push(element(cursor))
      cursor.skipWhitespace().expectElementEnd()
    }
  }
  if (isPresent && elements.length === 0) throw new HeaderError("empty", "the list is empty")
  return elements
}

/** What is left of one header line; challenge.js reads with it too. */
export class Cursor {
  #text
  #at = 0

  constructor(text) {
    this.#text = text
  }

  get isAtEnd() {
    return this.#at === this.#text.length
  }

  get rest() {
    return this.#text.slice(this.#at)
  }

  eat(wanted) {
    if (this.#text[this.#at] !== wanted) return false
    this.#at += 1
    return true
  }

  skipWhitespace() {
    while (this.eat(" ") || this.eat("\t"));
    return this
  }

  /** RFC 7230 section 7: a recipient parses and ignores empty list elements. */
  skipEmptyElements() {
    while (this.eat(" ") || this.eat("\t") || this.eat(","));
    return this
  }

  expectElementEnd() {
    if (!this.isAtEnd && this.#text[this.#at] !== ",") throw this.#unexpected()
  }

  token() {
    const [token] = TOKEN_PREFIX.exec(this.rest)
    if (token === "") throw this.#unexpected()
    this.#at += token.length
    return token
  }

  /** A token, or a quoted string whose content is one (RFC 6455 section 9.1). */
  value() {
    if (this.#text[this.#at] !== '"') return this.token()
    const value = this.quoted()
    if (!isToken(value)) throw new HeaderError("value_not_token", "a quoted value is not a token")
    return value
  }

  /** The content of a quoted string (RFC 7230 section 3.2.6). */
  quoted() {
    let value = ""
    this.#at += 1
    while (!this.eat('"')) {
      this.eat("\\")
      if (this.isAtEnd) throw new HeaderError("quote_open", "a quoted string does not end")
      value += this.#text[this.#at]
      this.#at += 1
    }
    return value
  }

  #unexpected() {
    if (this.isAtEnd) return new HeaderError("unexpected_end", "it ends where a name or a value was due")
    return new HeaderError("unexpected", `unexpected character ${JSON.stringify(this.#text[this.#at])}`)
  }
}

/** RFC 7230 section 3.2.6, `tchar`. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const TOKEN_PREFIX = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]*/
