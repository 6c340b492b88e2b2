// Node with a WebSocket of the platform's kind, whatever its version: undici's, which newer Nodes have built in. To be
// imported before the library.
import * as buffer from "node:buffer"

// Node 18 has File, but not as a global.
globalThis.File ??= buffer.File
const [major, minor] = process.versions.node.split(".").map(Number)
/** Whether the platform's WebSocket is one that follows the standard; undici 6 forgets the close after a failed opening. */
export const isStandard = major > 20 || (major === 20 && minor >= 18)
const { CloseEvent, MessageEvent, WebSocket } = await import(isStandard ? "undici" : "undici6")
Object.assign(globalThis, { CloseEvent, MessageEvent, WebSocket })

export const PlatformWebSocket = WebSocket
