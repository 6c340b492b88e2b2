// A module worker, dedicated or shared: runs the table with the platform's WebSocket or with ours.
import { runTable } from "/conformance/table.js"
import { WebSocket } from "/_smeuse/smeuse.mjs"

async function answer({ data: { base, which, extensions } }, port) {
  WebSocket.configure({ extensions })
  port.postMessage(await runTable({ base, WebSocket: which === "ours" ? WebSocket : self.WebSocket }))
}

self.onmessage = (event) => answer(event, self)
self.onconnect = ({ ports: [port] }) => (port.onmessage = (event) => answer(event, port))
