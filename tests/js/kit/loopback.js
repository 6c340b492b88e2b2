// A way in for clients that only speak TCP: each connection to a loopback port becomes a WebSocket to the gateway.
import { createServer } from "node:net"
import WebSocket, { createWebSocketStream } from "ws"

/** Resolves with `{ port, endings, close }`; `endings` has close code and reason of each WebSocket, in order of ending. */
export async function loopback(url) {
  const endings = []
  const sockets = new Set()
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    const webSocket = new WebSocket(url, { perMessageDeflate: false })
    webSocket.on("close", (code, reason) => {
      endings.push({ code, reason: String(reason) })
      socket.end()
    })
    const stream = createWebSocketStream(webSocket)
    // Not a pipeline: that would cut the WebSocket when a client closes its TCP end before the gateway has answered.
    stream.on("error", () => {})
    socket.on("error", () => {})
    socket.on("close", () => {
      sockets.delete(socket)
      stream.unpipe(socket)
      stream.resume()
      webSocket.close()
    })
    socket.pipe(stream).pipe(socket)
  })
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    port: server.address().port,
    endings,
    close() {
      sockets.forEach((socket) => socket.destroy())
      return new Promise((resolve) => server.close(resolve))
    },
  }
}
