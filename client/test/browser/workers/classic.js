// A classic worker, dedicated or shared, in which the classic script has replaced the WebSocket.
const platform = self.WebSocket
importScripts("/_smeuse/smeuse.js")

async function answer({ data: { base, which, extensions } }, port) {
  if (self.WebSocket === platform) throw new Error("the script has replaced nothing")
  const { runTable } = await import("/conformance/table.js")
  self.WebSocket.configure({ extensions })
  port.postMessage(await runTable({ base, WebSocket: which === "ours" ? self.WebSocket : platform }))
}

self.onmessage = (event) => answer(event, self)
self.onconnect = ({ ports: [port] }) => (port.onmessage = (event) => answer(event, port))
