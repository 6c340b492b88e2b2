// One socket of the page from its construction to its close event. It owns the platform's socket and the timer, keeps
// the phase, and does what the phase decides; the page hears of it through three calls.
import { BAD_ANSWER, SUBPROTOCOL } from "./handshake.js"
import { isAt } from "./hosts.js"
import { ExpectOpening, ExpectRoute } from "./opening.js"
import { Closed, ExpectClose, Leaving } from "./phase.js"
import { platformWebSocket, utf8Prefix } from "./platform.js"

/** Redirects that are followed one after another. Each costs two round trips; a chain of more is a loop. */
export const MAX_REDIRECTS = 5

/** RFC 6455 section 5.5: a Close frame has at most 125 bytes, two of which are the code. */
const MAX_REASON_BYTES = 123

/**
 * How the page is told.
 * @typedef {object} Page
 * @property {(missing: { extension: string, reason: string }) => void} [missed] before it is opened: an extension that the
 *   socket goes on without
 * @property {() => void} opened
 * @property {(message: string | Uint8Array) => void} received
 * @property {(ending: { code: number, reason: string, wasClean: boolean, error: Event | true | null }) => void} ended
 *   last; `error` is the platform's error event, true for one of ours, null if there is none
 */

export class Session {
  #page
  #timer
  #redirects = 0

  /**
   * @param {Page} page
   * @param {URL} url
   * @param {string[]} protocols the application's own subprotocols
   * @param {import("./configuration.js").Route | Promise<import("./configuration.js").Route>} route
   * @throws what the platform's constructor throws
   */
  constructor(page, url, protocols, route) {
    this.#page = page
    this.url = url
    this.protocols = protocols
    this.route = null
    this.native = null
    this.phase = new ExpectRoute(this)
    if (!(route instanceof Promise)) this.#take(route)
    else {
      const waiting = this.phase
      const ifWaiting = (act) => (value) => this.phase === waiting && act(value)
      route.then(
        ifWaiting((found) => this.#attempt(() => this.#take(found))),
        ifWaiting((error) => this.giveUp(error.message, true)),
      )
    }
  }

  enter(phase) {
    this.stopTimer()
    this.phase = phase
    phase.enter()
  }

  connectPlainly() {
    this.#attempt(() => this.#connect(this.protocols, { isExtended: false, mayFallBack: false }))
  }

  redirect(location) {
    let url
    try {
      url = new URL(location, this.url)
    } catch {
      return this.fail(BAD_ANSWER, "extended handshake: the Location of a redirect is no URL")
    }
    url.protocol = url.protocol.replace(/^http/, "ws")
    if (!/^wss?:$/.test(url.protocol)) return this.fail(BAD_ANSWER, "extended handshake: a redirect to what is no WebSocket")
    if (this.url.protocol === "wss:" && url.protocol === "ws:") {
      return this.fail(BAD_ANSWER, "extended handshake: a redirect from wss: to ws:")
    }
    this.#redirects += 1
    if (this.#redirects > MAX_REDIRECTS) return this.fail(BAD_ANSWER, `extended handshake: more than ${MAX_REDIRECTS} redirects`)
    url.hash = ""
    this.url = url
    this.native.close(1000)
    this.#attempt(() => this.#connectExtended(false))
  }

  /** Closes towards the gateway with this code; the page sees an error and the same code. */
  fail(code, reason) {
    // The first failure is the one that the gateway hears of.
    if (this.phase.isFailure) return
    const short = utf8Prefix(reason, MAX_REASON_BYTES)
    const before = this.phase
    this.enter(new ExpectClose(this, before, { code, reason: short }))
    before.leave()
    this.native.close(code, short)
  }

  /** The way to the gateway is taken for lost; the page sees 1006 at once. */
  giveUp(reason, isError) {
    if (this.phase instanceof Closed) return
    this.native?.close()
    this.end({ code: 1006, reason: utf8Prefix(reason, MAX_REASON_BYTES), wasClean: false, error: isError || null })
  }

  /** The page closes before it was opened: as on the platform, that is a failure, told in a task of its own. */
  leave() {
    this.enter(new Leaving(this, this.phase))
    this.native?.close()
  }

  /** Once only: an extension, or a Blob that was being read, may come too late. */
  end(ending) {
    if (this.phase instanceof Closed) return
    this.stopTimer()
    const before = this.phase
    this.phase = new Closed(this, before)
    before.leave()
    this.#page.ended(ending)
  }

  tellOpen() {
    this.#page.opened()
  }

  tellMessage(message) {
    this.#page.received(message)
  }

  /** Whether the server that is being spoken to, after redirects too, may have the page's credentials. */
  get mayLogIn() {
    return this.route.loginHosts.some((host) => isAt(this.url, host))
  }

  /** Asks the page for credentials; nothing, if it has no login. */
  async askPage(challenge) {
    return this.route.login?.(challenge)
  }

  startTimer(milliseconds, run) {
    this.stopTimer()
    this.#timer = setTimeout(run, milliseconds)
  }

  stopTimer() {
    clearTimeout(this.#timer)
  }

  #take(route) {
    this.route = route
    for (const missing of route.missing ?? []) this.#page.missed?.(missing)
    // Who hears of it may have closed.
    if (!(this.phase instanceof ExpectRoute)) return
    if (route.isExtended) this.#connectExtended(route.fallback === "plain")
    else this.#connect(this.protocols, { isExtended: false, mayFallBack: false })
  }

  #connectExtended(mayFallBack) {
    this.#connect([SUBPROTOCOL, ...this.protocols], { isExtended: true, mayFallBack })
  }

  #connect(protocols, attempt) {
    const native = new (platformWebSocket())(this.url.href, protocols)
    native.binaryType = "arraybuffer"
    // A socket that was left behind, by a redirect or a fallback, is not heard any more.
    const heard = (handle) => (event) => this.native === native && handle(event)
    native.onopen = heard(() => this.phase.opened())
    native.onmessage = heard((event) => this.phase.message(event.data))
    native.onerror = heard((event) => this.phase.error(event))
    native.onclose = heard((event) => this.phase.closed(event))
    this.native = native
    this.enter(new ExpectOpening(this, attempt))
  }

  /** Where there is no caller any more, what the platform's constructor throws is a failure like others. */
  #attempt(act) {
    try {
      act()
    } catch (error) {
      this.giveUp(error.message, true)
    }
  }
}
