// A platform's socket that a test holds in its hands: it notes what is sent, and sends it when the test says so.

export class ScriptedNative {
  static all = []
  sent = []
  bufferedAmount = 0
  readyState = 1
  protocol = ""
  extensions = ""
  closed = null

  constructor(url, protocols) {
    Object.assign(this, { url, protocols })
    ScriptedNative.all.push(this)
  }

  send(data) {
    const copy = data instanceof Uint8Array ? data.slice() : data
    const size = typeof data === "string" ? Buffer.byteLength(data) : (data.size ?? data.length)
    if (this.readyState === 1) this.sent.push(copy)
    this.bufferedAmount += size
  }

  close(...ending) {
    this.closed ??= ending
    this.readyState = 2
  }

  /** The network has taken everything. */
  drain() {
    this.bufferedAmount = 0
  }
}
