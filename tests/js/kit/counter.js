// Stands before a broker and notes when each connection comes: on a thread of its own, so that whatever else the test does
// does not make it late.
import { connect, createServer } from "node:net"
import { monitorEventLoopDelay, performance } from "node:perf_hooks"
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"

/** Starts one before this port; resolves with `{ port, times, close }`. */
export async function startCounter(target) {
  const worker = new Worker(new URL(import.meta.url), { workerData: { target } })
  const next = () =>
    new Promise((resolve, reject) => {
      worker.once("message", resolve)
      worker.once("error", reject)
    })
  const port = await next()
  return {
    port,
    /** Resolves with when each connection came, in milliseconds, and by how much these may be late: `{ times, late }`. */
    times() {
      const answer = next()
      worker.postMessage("times")
      return answer
    },
    close: () => worker.terminate(),
  }
}

/** The most of these times that lie within any span of so many milliseconds. */
export function mostWithin(times, span) {
  let first = 0
  let most = 0
  for (const [last, time] of times.entries()) {
    while (times[first] <= time - span) first += 1
    most = Math.max(most, last - first + 1)
  }
  return most
}

if (!isMainThread && workerData?.target) {
  const times = []
  const delay = monitorEventLoopDelay({ resolution: 5 })
  delay.enable()
  const server = createServer({ noDelay: true }, (socket) => {
    times.push(performance.timeOrigin + performance.now())
    const broker = connect({ port: workerData.target, host: "127.0.0.1", noDelay: true })
    socket.on("error", () => broker.destroy())
    broker.on("error", () => socket.destroy())
    socket.pipe(broker).pipe(socket)
  })
  server.listen({ port: 0, host: "127.0.0.1", backlog: 1024 }, () => parentPort.postMessage(server.address().port))
  parentPort.on("message", () => parentPort.postMessage({ times, late: delay.max / 1e6 }))
}
