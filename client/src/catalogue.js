// Every extension this page knows: the three that the library brings, what the page registers, and what the gateway
// delivers by config.json. Of a delivered one there may be a newer version later; the other two stay what they are.
import { idleTimeout } from "./extensions/idle-timeout.js"
import { pingPong } from "./extensions/ping-pong.js"
import { sequence } from "./extensions/sequence.js"
import { isToken } from "./header.js"

/** @typedef {import("../types/index.d.ts").Extension} Extension */

const known = new Map([idleTimeout, pingPong, sequence].map((extension) => [extension.name, extension]))
/** By name, what the gateway has delivered, with the hash of its module. */
const delivered = new Map()

/** The extension of this name, or undefined. */
export const find = (name) => known.get(name) ?? delivered.get(name)?.extension

/** Whether an extension of this name is the library's or the page's own, so that the gateway delivers none. */
export const isOwn = (name) => known.has(name)

/** The hash of the module that the extension of this name was delivered by, or undefined. */
export const deliveredAs = (name) => delivered.get(name)?.integrity

/**
 * Takes what the gateway has delivered; it counts for sockets that are opened from now on.
 * @param {Extension} extension
 * @param {string} integrity
 * @throws {TypeError} if it is not one
 */
export function deliver(extension, integrity) {
  check(extension)
  delivered.set(extension.name, { extension, integrity })
}

/** @throws {TypeError} if it is not an extension */
function check(extension) {
  if (!isToken(extension?.name ?? "")) throw new TypeError("an extension has a name, which is a token")
  if (typeof extension.agree !== "function") throw new TypeError(`the extension ${extension.name} has no agree(params, context)`)
  for (const callback of ["offer", "fromServer", "toServer", "received", "ended"]) {
    if (!["function", "undefined"].includes(typeof extension[callback])) {
      throw new TypeError(`${callback} of the extension ${extension.name} is not a function`)
    }
  }
  if (!["boolean", "undefined"].includes(typeof extension.showsSignsOfLife)) {
    throw new TypeError(`showsSignsOfLife of the extension ${extension.name} is true or false`)
  }
}

/** `WebSocket.extensions`: what may be agreed on. Sockets that are open keep what they have. */
export const extensions = Object.freeze({
  /**
   * Makes an extension known. Its callbacks are described in types/index.d.ts and in README.md.
   * @param {Extension} extension
   * @throws {TypeError} if it is not one, or its name is taken
   */
  register(extension) {
    check(extension)
    if (find(extension.name) !== undefined) throw new TypeError(`an extension ${extension.name} is known already`)
    known.set(extension.name, extension)
  },

  /**
   * Forgets an extension, one of the library's own too.
   * @param {string} name
   * @returns {boolean} whether there was one
   */
  unregister: (name) => [known.delete(name), delivered.delete(name)].includes(true),

  /**
   * The names of all that are known.
   * @returns {string[]}
   */
  names: () => [...new Set([...known.keys(), ...delivered.keys()])],
})
