// The entry of the module that does what the classic script does: whoever imports it has globalThis.WebSocket replaced.
// For module scripts and module workers, whose first line it may be.
import { WebSocket } from "./index.js"

// A second copy on the same page would add nothing.
if (globalThis.WebSocket?.[Symbol.for("smeuse.platform")] === undefined) {
  Object.defineProperty(globalThis, "WebSocket", { value: WebSocket, writable: true, enumerable: false, configurable: true })
}
