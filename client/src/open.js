// The phase in which data flows.
import { BAD_ANSWER } from "./handshake.js"
import { formatOffer } from "./header.js"
import { Outbox } from "./outbox.js"
import { closeNative, ExpectClose, outcome, Phase } from "./phase.js"
import { Pipeline } from "./pipeline.js"

/** Data flows. A plain WebSocket is one with an empty pipeline. */
export class Open extends Phase {
  #pipeline
  #outbox
  #error = null

  /** @param {{ protocol: string, agreed?: object[] }} agreement without `agreed` if there was no extended handshake */
  constructor(session, { protocol, agreed }) {
    super(session)
    this.protocol = protocol
    this.extensions = [session.native.extensions, ...(agreed ?? []).map(formatOffer)].filter(Boolean).join(", ")
    this.#pipeline = new Pipeline(agreed ?? [], {
      transmit: (message) => this.#outbox.transmit(message),
      close: (code, reason) => session.fail(code, reason),
      fail: (reason) => session.giveUp(reason, false),
    })
    this.#outbox = new Outbox(session.native, this.#pipeline, {
      // Of others nobody knows whether they mind, whatever their subprotocol is called.
      joins: session.route.kind === "amqp" || (agreed !== undefined && /^amqp/i.test(protocol)),
      messageBytes: session.route.messageBytes,
      onError: (error) => session.fail(BAD_ANSWER, error.message),
    })
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
    this.#outbox.finish(() => {
      closeNative(session.native, code, reason)
      // What still comes is not handed on, so nobody may miss it either.
      this.leave()
    })
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
