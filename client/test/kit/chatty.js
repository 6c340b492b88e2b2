// A gateway in a thread of its own, so that it goes on sending while the page is busy.
import { parentPort } from "node:worker_threads"
import { startServer } from "./server.js"

/** Milliseconds between two messages. */
const PACE = 50

const run = async (peer) => {
  await peer.extendedRequest()
  peer.agree({ extensions: ["x-kaazing-idle-timeout; timeout=200", "x-kaazing-ping-pong; 01010102"] })
  const timer = setInterval(() => peer.send("m"), PACE)
  peer.ws.on("close", () => clearInterval(timer))
}
const { url } = await startServer({ "/ws": { run } })
parentPort.postMessage(url)
