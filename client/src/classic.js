// The entry of the classic script: it replaces globalThis.WebSocket for those endpoints that config.json names. The
// configuration lies beside the script; `data-config` on its element, or WebSocket.configure, says otherwise.
import { CONFIG_PATH } from "./configuration.js"
import { PLATFORM } from "./platform.js"
import { WebSocket } from "./websocket.js"

const script = globalThis.document?.currentScript

function gateway() {
  const path = script?.dataset?.config
  if (path !== undefined) return new URL(path, globalThis.document.baseURI)
  if (script?.src) return new URL("config.json", script.src)
  // A worker does not tell where its scripts come from; one made from a Blob has no host either.
  const { origin, protocol } = globalThis.location ?? {}
  return /^https?:$/.test(protocol ?? "") ? new URL(CONFIG_PATH, origin) : null
}

// A second copy on the same page would add nothing.
if (globalThis.WebSocket?.[PLATFORM] === undefined) {
  WebSocket.configure({ gateway: gateway() })
  Object.defineProperty(globalThis, "WebSocket", { value: WebSocket, writable: true, enumerable: false, configurable: true })
}
