// RFC 7235 and RFC 7617: what the page is asked, and what becomes of its answer.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { authorization, parseChallenge } from "../src/challenge.js"

const decoded = (value) => Buffer.from(value.replace(/^Basic /, ""), "base64").toString()
const basic = [{ scheme: "Basic" }]

describe("a challenge", () => {
  for (const [line, scheme, parameters] of [
    ['Application Basic realm="Smeuse"', "Basic", { realm: "Smeuse" }],
    ['application  Bearer realm="a, b", Error="invalid_token"', "Bearer", { realm: "a, b", error: "invalid_token" }],
    ['Basic realm="say \\"hi\\""', "Basic", { realm: 'say "hi"' }],
    ["Application Token", "Token", {}],
    ["Application Token realm=x", "Token", { realm: "x" }],
    ["Application", "Application", {}],
  ]) {
    test(line, () => {
      const challenge = parseChallenge(line)
      assert.equal(challenge.scheme, scheme)
      assert.deepEqual({ ...challenge.parameters }, parameters)
      assert.equal(challenge.realm, parameters.realm)
    })
  }

  for (const line of ["", '"Basic"', 'Basic realm="open', "Basic realm", 'Basic realm="a" b']) {
    test(`${JSON.stringify(line)} is none`, () => assert.throws(() => parseChallenge(line)))
  }

  test("with a parameter called __proto__ is nothing special", () => {
    assert.equal(parseChallenge("Basic __proto__=x").parameters.__proto__, "x")
  })
})

describe("an answer", () => {
  test("of username and password is Basic in UTF-8", () => {
    assert.equal(authorization(basic, { username: "joe", password: "welcome" }), "Basic am9lOndlbGNvbWU=")
    assert.equal(decoded(authorization(basic, { username: "jürgen", password: "pä:€😀" })), "jürgen:pä:€😀")
    assert.equal(decoded(authorization(basic, { username: "", password: "" })), ":")
  })

  test("of a token takes the scheme that was asked for", () => {
    assert.equal(authorization([{ scheme: "Bearer" }], { token: "abc" }), "Bearer abc")
    assert.equal(authorization([{ scheme: "Basic" }, { scheme: "Token" }], { token: "abc" }), "Token abc")
  })

  test("of a token prefers the schemes that are made for one", () => {
    assert.equal(authorization([{ scheme: "Digest" }, { scheme: "Bearer" }], { token: "abc" }), "Bearer abc")
    assert.equal(authorization([{ scheme: "Basic" }, { scheme: "Custom" }], { token: "abc" }), "Custom abc")
  })

  test("is for the scheme that it names, in any case", () => {
    const challenges = [{ scheme: "Token" }, { scheme: "Basic" }, { scheme: "Bearer" }]
    assert.equal(authorization(challenges, { token: "abc", scheme: "bearer" }), "Bearer abc")
    assert.equal(decoded(authorization(challenges, { username: "a", password: "b", scheme: "basic" })), "a:b")
  })

  test("of a string is the whole value", () => assert.equal(authorization(basic, "Custom x=1"), "Custom x=1"))

  test("of nothing is none", () => {
    assert.equal(authorization(basic, null), null)
    assert.equal(authorization(basic, undefined), null)
  })

  for (const [name, challenges, credentials] of [
    ["a token for Basic", basic, { token: "hunter2" }],
    ["a password for Bearer", [{ scheme: "Bearer" }], { username: "joe", password: "hunter2" }],
    ["a colon in the username", basic, { username: "hunter2:joe", password: "hunter2" }],
    ["a scheme that was not asked for", basic, { token: "hunter2", scheme: "hunter2" }],
    ["a token for Basic by name", [{ scheme: "Basic" }, { scheme: "Token" }], { token: "hunter2", scheme: "Basic" }],
    ["a password for Token by name", [{ scheme: "Basic" }, { scheme: "Token" }], { username: "joe", password: "hunter2", scheme: "Token" }],
    ["a line break", basic, "Basic hunter2\r\nX: y"],
    ["a line break in a token", [{ scheme: "Bearer" }], { token: "hunter2\n" }],
    ["letters that headers do not have", basic, "Basic hunter2é"],
    ["a number", basic, 1],
    ["no password", basic, { username: "hunter2" }],
  ]) {
    test(`${name} is refused, in words that do not tell it`, () => {
      assert.throws(
        () => authorization(challenges, credentials),
        (error) => error instanceof TypeError && !error.message.includes("hunter2"),
      )
    })
  }
})
