// The entry of the classic script: it replaces globalThis.WebSocket for those endpoints that config.json names. The
// configuration lies beside the script; `data-config` on its element, or WebSocket.configure, says otherwise.
import { configOfScript } from "./gateway.js"
import { PLATFORM } from "./platform.js"
import { WebSocket } from "./websocket.js"

// A second copy on the same page would add nothing.
if (globalThis.WebSocket?.[PLATFORM] === undefined) {
  WebSocket.configure({ gateway: configOfScript() })
  Object.defineProperty(globalThis, "WebSocket", { value: WebSocket, writable: true, enumerable: false, configurable: true })
}
