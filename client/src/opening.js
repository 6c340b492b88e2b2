// The phases before data flows: the way is found, the platform opens, both sides agree in the extended handshake.
import { authorization } from "./challenge.js"
import { BAD_ANSWER, begin, NO_CREDENTIALS, SUBPROTOCOL } from "./handshake.js"
import { Open } from "./open.js"
import { CLOSE_WAIT, closeNative, ExpectClose, outcome, Phase } from "./phase.js"

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
    const isSpoken = this.isExtended && session.native.protocol === SUBPROTOCOL
    session.route.learn?.(isSpoken)
    if (isSpoken) session.enter(new Extending(session))
    else session.enter(new Open(session, { protocol: session.native.protocol }))
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
    // Some Nodes tell nothing of an opening that was given up.
    this.session.startTimer(CLOSE_WAIT, () => this.session.end({ code: 1006, reason: "", wasClean: false, error: true }))
    closeNative(this.session.native, code, reason)
  }
}

/** The extended handshake; the value in handshake.js says what is to be done. */
class Extending extends Phase {
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
    if (session.route.login && !session.mayLogIn) {
      session.fail(NO_CREDENTIALS, `the page was not asked: ${session.url.host} is not among loginHosts`)
      return
    }
    // The page gets what is its own to change.
    const shown = challenges.map((challenge) => ({ ...challenge }))
    const answer = await session.askPage({ ...shown[0], challenges: shown, url: session.url.href, attempt }).then(
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
