// What a socket may do now. Each phase is named by what it awaits and is over when that has come; none has a flag that
// another would do better. A phase decides, the session acts. Here are those at the end; the others are in opening.js and
// open.js.
import { sizeOf } from "./outbox.js"

/** Milliseconds that a Close frame is waited for after a refusal or a failure; the gateway sends its own at once. */
export const CLOSE_WAIT = 3000

/** What every phase answers; those that await nothing of the kind inherit silence. */
export class Phase {
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
  /** Whether the socket has failed or ended already, and can do neither again. */
  get isFailure() {
    return false
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
  get isFailure() {
    return this.#ending !== null
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
  get isFailure() {
    return true
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
export function closeNative(native, code, reason) {
  if (code !== undefined) native.close(code, reason)
  else if (reason) native.close(1000, reason)
  else native.close()
}

/** What a close event says. */
export const outcome = ({ code, reason, wasClean }) => ({ code, reason, wasClean })
