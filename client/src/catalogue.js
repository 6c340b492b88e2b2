// Every extension this page knows: the three that the library brings, and what the page or config.json adds.
import { idleTimeout } from "./extensions/idle-timeout.js"
import { pingPong } from "./extensions/ping-pong.js"
import { sequence } from "./extensions/sequence.js"
import { isToken } from "./header.js"

/** @typedef {import("../types/index.d.ts").Extension} Extension */

const known = new Map([idleTimeout, pingPong, sequence].map((extension) => [extension.name, extension]))

/** The extension of this name, or undefined. */
export const find = (name) => known.get(name)

/** `WebSocket.extensions`: what may be agreed on. Sockets that are open keep what they have. */
export const extensions = Object.freeze({
  /**
   * Makes an extension known. Its callbacks are described in types/index.d.ts and in README.md.
   * @param {Extension} extension
   * @throws {TypeError} if it is not one, or its name is taken
   */
  register(extension) {
    if (!isToken(extension?.name ?? "")) throw new TypeError("an extension has a name, which is a token")
    if (known.has(extension.name)) throw new TypeError(`an extension ${extension.name} is known already`)
    if (typeof extension.agree !== "function") throw new TypeError(`the extension ${extension.name} has no agree(params, context)`)
    for (const callback of ["offer", "fromServer", "toServer", "received", "ended"]) {
      if (!["function", "undefined"].includes(typeof extension[callback])) {
        throw new TypeError(`${callback} of the extension ${extension.name} is not a function`)
      }
    }
    if (!["boolean", "undefined"].includes(typeof extension.showsSignsOfLife)) {
      throw new TypeError(`showsSignsOfLife of the extension ${extension.name} is true or false`)
    }
    known.set(extension.name, extension)
  },

  /**
   * Forgets an extension, one of the library's own too.
   * @param {string} name
   * @returns {boolean} whether there was one
   */
  unregister: (name) => known.delete(name),

  /**
   * The names of all that are known.
   * @returns {string[]}
   */
  names: () => [...known.keys()],
})
