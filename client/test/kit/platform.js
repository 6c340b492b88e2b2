// Node with a WebSocket of the platform's kind, whatever its version: undici's, which newer Nodes have built in. To be
// imported before the library.
import * as undici from "undici"

globalThis.WebSocket = undici.WebSocket
globalThis.MessageEvent = undici.MessageEvent
globalThis.CloseEvent = undici.CloseEvent

export const PlatformWebSocket = undici.WebSocket
