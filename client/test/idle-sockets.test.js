// x-kaazing-idle-timeout must not end sockets that are well: real ones, of a page that is busy or closes.
import "./kit/platform.js"
import assert from "node:assert/strict"
import { once } from "node:events"
import { test } from "node:test"
import { Worker } from "node:worker_threads"
import { watch } from "./kit/events.js"
import { startServer } from "./kit/server.js"

const { WebSocket } = await import("../src/index.js")

test("messages that came in time but wait behind a busy page are no silence", async () => {
  const worker = new Worker(new URL("kit/chatty.js", import.meta.url))
  try {
    const [url] = await once(worker, "message")
    const socket = new WebSocket(`${url}/ws`)
    const { message, events, closed } = watch(socket)
    await message()
    // The page computes for longer than the timeout of 200 ms.
    for (const end = performance.now() + 500; performance.now() < end; );
    for (let count = 0; count < 12; count += 1) await message()
    assert.deepEqual(new Set(events.map(([type]) => type)), new Set(["open", "message"]))
    socket.close()
    await closed()
  } finally {
    await worker.terminate()
  }
})

test("a close that takes longer than the timeout is a clean one", async () => {
  const TIMEOUT = 100
  let isReading
  const resumed = new Promise((resolve) => (isReading = resolve))
  const server = await startServer({
    "/ws": {
      run: async (peer) => {
        await peer.extendedRequest()
        peer.agree({ extensions: [`x-kaazing-idle-timeout; timeout=${TIMEOUT}`, "x-kaazing-ping-pong; 01010102"] })
        // The Close frame of the page is answered when the time is long over.
        peer.ws._socket.pause()
        await resumed
        peer.ws._socket.resume()
      },
    },
  })
  try {
    const socket = new WebSocket(`${server.url}/ws`)
    const { opened, closed } = watch(socket)
    await opened()
    socket.close(1000, "bye")
    setTimeout(isReading, 6 * TIMEOUT)
    assert.deepEqual(await closed(), [["open", 1], ["close", 1000, "bye", true]])
  } finally {
    await server.stop()
  }
})
