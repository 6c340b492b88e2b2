// A WebSocket class that tells what passes through it. The page puts one around whichever class it uses, and one around
// the platform's, below the library: the difference between the two is what the library did.

/**
 * @param {typeof WebSocket} Base
 * @param {(url: string, protocols: string[]) => { constructed?(socket: WebSocket): void, opened?(): void,
 *   sent?(data: any): void, received?(data: any): void, closed?(event: CloseEvent): void }} watch called for each socket
 *   before it exists, so that what is opened inside it comes later
 */
export const tapped = (Base, watch) =>
  class WebSocket extends Base {
    #watcher

    constructor(url, protocols = [], ...options) {
      const watcher = watch(String(url), [protocols].flat())
      super(url, protocols, ...options)
      this.#watcher = watcher
      watcher.constructed?.(this)
      this.addEventListener("open", () => watcher.opened?.())
      this.addEventListener("message", ({ data }) => watcher.received?.(data))
      this.addEventListener("close", (event) => watcher.closed?.(event))
    }

    send(data) {
      super.send(data)
      this.#watcher.sent?.(data)
    }
  }

/** Bytes of a message. */
export const sizeOf = (data) =>
  typeof data === "string" ? new TextEncoder().encode(data).length : (data.byteLength ?? data.size)
