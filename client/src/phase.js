// What a socket may do now. Each phase is named by what it awaits and is over when that has come; none has a flag that
// another would do better. A phase decides, the session acts.
import { authorization } from "./challenge.js"
import { BAD_ANSWER, begin, NO_CREDENTIALS, SUBPROTOCOL } from "./handshake.js"
import { formatOffer } from "./header.js"
import { Outbox, sizeOf } from "./outbox.js"
import { Pipeline } from "./pipeline.js"

/** Milliseconds that a Close frame is waited for after a refusal or a failure; the gateway sends its own at once. */
export const CLOSE_WAIT = 3000

/** What every phase answers; those that await nothing of the kind inherit silence. */
class Phase {
  extensions = ""
  protocol = ""
  constructor(session) {
    this.session = session
  }
  get readyState() {
    return 0
  }
  get bufferedAmount() {
    return 0
  }
  enter() {}
  opened() {}
  message() {}
  error() {}
  closed() {}
  close() {}
  /** The session ends or fails: whatever runs by itself stops. */
  leave() {}
}

/** Which way to go is being found out: config.json or an extension is on its way. There is no native socket yet. */
export class ExpectRoute extends Phase {
  close() {
    this.session.leave()
  }
}

/** The opening handshake, which is the platform's. */
export class ExpectOpening extends Phase {
  #error = null

  constructor(session, { isExtended, mayFallBack }) {
    super(session)
    this.isExtended = isExtended
    this.mayFallBack = mayFallBack
  }

  opened() {
    const { session } = this
    if (this.isExtended && session.native.protocol === SUBPROTOCOL) session.enter(new Extending(session))
    else session.enter(new Open(session, { protocol: session.native.protocol, agreed: [] }))
  }

  error(event) {
    this.#error = event
    // Some Nodes tell no close after the error of an opening.
    this.session.startTimer(0, () => this.closed({ code: 1006, reason: "", wasClean: false }))
  }

  closed(event) {
    this.session.stopTimer()
    if (this.mayFallBack) this.session.connectPlainly()
    else this.session.end({ ...outcome(event), error: this.#error ?? true })
  }

  close(code, reason) {
    this.session.enter(new ExpectClose(this.session, this))
    closeNative(this.session.native, code, reason)
  }
}

/** The extended handshake; the value in handshake.js says what is to be done. */
export class Extending extends Phase {
  #handshake

  enter() {
    const { url, protocols, route } = this.session
    const offers = route.offers.map(({ offer }) => offer)
    this.#step(begin({ target: url.pathname + url.search, protocols, offers }))
  }

  message(payload) {
    this.#step(this.#handshake.receive(payload))
  }

  closed(event) {
    this.session.end({ ...outcome(event), error: true })
  }

  close() {
    this.session.leave()
  }

  #step({ next, action }) {
    const { session } = this
    this.#handshake = next
    session.stopTimer()
    if (action.do === "send") {
      session.native.send(action.text)
      const wait = session.route.handshakeTimeout
      session.startTimer(wait, () => session.giveUp(`no answer to the extended handshake within ${wait} ms`, true))
    } else if (action.do === "ask") this.#ask(action)
    else if (action.do === "open") this.#open(action)
    else if (action.do === "redirect") session.redirect(action.location)
    else if (action.do === "await_close") session.enter(new ExpectRefusal(session, action))
    else session.fail(action.code, action.reason)
  }

  async #ask({ challenges, attempt }) {
    const { session } = this
    const asked = this.#handshake
    const answer = await session.askPage({ ...challenges[0], url: session.url.href, attempt }).then(
      (credentials) => accepted(challenges, credentials),
      () => ({ value: null, problem: "the page's login failed" }),
    )
    // Meanwhile the page or the gateway may have closed.
    if (session.phase !== this || this.#handshake !== asked) return
    if (answer.problem === undefined) this.#step(asked.answer(answer.value))
    else session.fail(NO_CREDENTIALS, answer.problem)
  }

  #open({ protocol, extensions }) {
    const { session } = this
    const agreed = extensions.map((offer) => ({
      extension: session.route.offers.find(({ extension }) => extension.name === offer.name).extension,
      ...offer,
    }))
    try {
      session.enter(new Open(session, { protocol, agreed }))
    } catch (error) {
      session.fail(BAD_ANSWER, error.message)
    }
  }
}

function accepted(challenges, credentials) {
  try {
    return { value: authorization(challenges, credentials) }
  } catch (error) {
    return { value: null, problem: error.message }
  }
}

/** The gateway refused in the extended handshake; its Close frame will say how the page is told. */
class ExpectRefusal extends Phase {
  constructor(session, { status, sentence }) {
    super(session)
    this.refusal = `${status} ${sentence}`
  }
  enter() {
    this.session.startTimer(CLOSE_WAIT, () => this.session.giveUp(this.refusal, true))
  }
  closed(event) {
    this.session.end({ ...outcome(event), error: true })
  }
  close() {
    this.session.leave()
  }
}

/** Data flows. A plain WebSocket is one with an empty pipeline. */
class Open extends Phase {
  #pipeline
  #outbox
  #error = null

  constructor(session, { protocol, agreed }) {
    super(session)
    this.protocol = protocol
    this.extensions = [session.native.extensions, ...agreed.map(formatOffer)].filter(Boolean).join(", ")
    this.#pipeline = new Pipeline(agreed, {
      transmit: (message) => this.#outbox.transmit(message),
      close: (code, reason) => this.#isCurrent && session.fail(code, reason),
      fail: (reason) => this.#isCurrent && session.giveUp(reason, false),
    })
    this.#outbox = new Outbox(session.native, this.#pipeline, {
      joins: session.route.kind === "amqp" || /^amqp/i.test(protocol),
      onError: (error) => this.#isCurrent && session.fail(BAD_ANSWER, error.message),
    })
  }

  // A socket that its page closes is still this phase's until what was accepted is sent.
  get #isCurrent() {
    return this.session.phase === this || this.session.phase.before === this
  }

  get readyState() {
    return this.session.native.readyState
  }

  get bufferedAmount() {
    return this.#outbox.bufferedAmount
  }

  enter() {
    this.session.tellOpen()
  }

  message(payload) {
    const message = typeof payload === "string" ? payload : new Uint8Array(payload)
    let messages
    try {
      messages = this.#pipeline.fromServer(message)
    } catch (error) {
      this.session.fail(BAD_ANSWER, error.message)
      return
    }
    for (const each of messages) if (this.session.phase === this) this.session.tellMessage(each)
  }

  send(data) {
    this.#outbox.send(data)
  }

  close(code, reason) {
    const { session } = this
    session.enter(new ExpectClose(session, this))
    this.#outbox.finish(() => closeNative(session.native, code, reason))
  }

  error(event) {
    // The platform tells an error and then a close, in one go.
    this.#error = event
  }

  closed(event) {
    this.session.end({ ...outcome(event), error: this.#error })
  }

  leave() {
    this.#pipeline.end()
  }
}

/** Closing. The platform awaits the peer's Close frame, or we do with an ending of our own. */
export class ExpectClose extends Phase {
  #ending
  #error = null
  #sentInVain = 0

  constructor(session, before, ending = null) {
    super(session)
    this.before = before
    this.protocol = before.protocol
    this.extensions = before.extensions
    this.#ending = ending
  }
  get readyState() {
    return 2
  }
  get bufferedAmount() {
    return this.before.bufferedAmount + this.#sentInVain
  }
  enter() {
    if (this.#ending === null) return
    this.session.startTimer(CLOSE_WAIT, () => this.session.end({ ...this.#ending, wasClean: false, error: true }))
  }
  error(event) {
    this.#error = event
  }
  closed(event) {
    if (this.#ending === null) this.session.end({ ...outcome(event), error: this.#error })
    else this.session.end({ ...this.#ending, wasClean: event.wasClean, error: true })
  }
  send(data) {
    this.#sentInVain += sendInVain(this.session.native, data)
  }
  leave() {
    this.before.leave()
  }
}

/** The page closed before it was opened. What the native socket still says is not heard. */
export class Leaving extends ExpectClose {
  enter() {
    this.session.startTimer(0, () => this.session.end({ code: 1006, reason: "", wasClean: false, error: true }))
  }
  closed() {}
}

/** Nothing more comes. */
export class Closed extends Phase {
  constructor(session, before) {
    super(session)
    this.before = before
    this.protocol = before.protocol
    this.extensions = before.extensions
  }
  #sentInVain = 0
  get readyState() {
    return 3
  }
  get bufferedAmount() {
    return this.before.bufferedAmount + this.#sentInVain
  }
  send(data) {
    this.#sentInVain += sendInVain(this.session.native, data)
  }
}

/**
 * What a page sends once its socket closes is never sent, but counts in bufferedAmount. The platform counts by its own
 * rules where it can; the rest is returned in bytes.
 */
function sendInVain(native, data) {
  if (native === null || native.readyState < 2) return sizeOf(data)
  native.send(data)
  return 0
}

/** Chromium takes a code that is undefined for 0 where a reason follows. */
function closeNative(native, code, reason) {
  if (code !== undefined) native.close(code, reason)
  else if (reason) native.close(1000, reason)
  else native.close()
}

const outcome = ({ code, reason, wasClean }) => ({ code, reason, wasClean })
