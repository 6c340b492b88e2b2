// A service worker: runs the table with the platform's WebSocket or with ours. It has no import() and no object URLs.
import { runTable } from "/conformance/table.js"
import { WebSocket } from "/_smeuse/smeuse.mjs"

self.onmessage = (event) => {
  const { base, which, extensions } = event.data
  WebSocket.configure({ extensions })
  const outcomes = runTable({ base, WebSocket: which === "ours" ? WebSocket : self.WebSocket })
  event.waitUntil(outcomes.then((all) => event.ports[0].postMessage(all)))
}
