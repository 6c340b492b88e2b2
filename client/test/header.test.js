// RFC 6455 section 9.1 and RFC 7230 section 7: the grammar of lists, by the samples shared with Rust.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { formatOffer, HeaderError, isToken, MAX_ELEMENTS, MAX_LIST_BYTES, MAX_PARAMS, parseOffers, parseTokens } from "../src/header.js"
import { vectors } from "./kit/vectors.js"

const samples = vectors("header")

/** Parses, and gives the kind of error instead of throwing. */
function outcome(parse, lines) {
  try {
    return parse(lines)
  } catch (error) {
    assert.ok(error instanceof HeaderError, error)
    return error.kind
  }
}

describe("offers", () => {
  for (const { lines, offers, error } of samples.offers) {
    test(JSON.stringify(lines), () => assert.deepEqual(outcome(parseOffers, lines), offers ?? error))
  }

  test("are formatted as they are parsed", () => {
    for (const { offers = [] } of samples.offers) {
      for (const offer of offers) assert.deepEqual(parseOffers([formatOffer(offer)]), [offer])
    }
    assert.equal(formatOffer({ name: "a", params: [["b", "1"], ["c", null]] }), "a; b=1; c")
  })
})

describe("tokens", () => {
  for (const { lines, tokens, error } of samples.tokens) {
    test(JSON.stringify(lines), () => assert.deepEqual(outcome(parseTokens, lines), tokens ?? error))
  }

  test("RFC 7230 section 3.2.6: what is one", () => {
    assert.ok(isToken("!#$%&'*+-.^_`|~09azAZ"))
    for (const text of ["", "a b", "a\n", "é", "a,b", "a;b", '"a"']) assert.ok(!isToken(text), JSON.stringify(text))
  })
})

describe("limits", () => {
  test("of elements, over all lines", () => {
    const list = (count) => Array.from({ length: count }, (_, index) => `t${index}`).join(",")
    assert.equal(parseTokens([list(MAX_ELEMENTS)]).length, MAX_ELEMENTS)
    assert.equal(outcome(parseTokens, [list(MAX_ELEMENTS + 1)]), "too_many_elements")
    assert.equal(outcome(parseOffers, [list(MAX_ELEMENTS), "a"]), "too_many_elements")
  })

  test("of parameters, over all offers", () => {
    const offer = (count) => `x${";p".repeat(count)}`
    assert.equal(parseOffers([offer(MAX_PARAMS / 2), offer(MAX_PARAMS / 2)]).length, 2)
    assert.equal(outcome(parseOffers, [offer(MAX_PARAMS / 2), offer(MAX_PARAMS / 2 + 1)]), "too_many_params")
  })

  test("of bytes, over all lines", () => {
    assert.equal(parseTokens(["a".repeat(MAX_LIST_BYTES)]).length, 1)
    assert.equal(outcome(parseTokens, ["a".repeat(MAX_LIST_BYTES), "b"]), "too_long")
  })
})
