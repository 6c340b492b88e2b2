// One of two brokers is killed under 500 sessions of the demo's own reconnecting client: all are told within 2 s, all work
// again on the other broker within 10 s, and that broker never sees more connects per second than the gateway is allowed.
import assert from "node:assert/strict"
import { after, before, test } from "node:test"
import { startBroker } from "./kit/broker.js"
import "./kit/client.js"
import { mostWithin, startCounter } from "./kit/counter.js"
import { startGateway } from "./kit/gateway.js"
import { until, within } from "./kit/wait.js"
// As the demo page has it, and nothing of it altered.
import { Session } from "../../demo/session.js"

const count = 500
const perSecond = 200
/** By how many milliseconds a thread may be late behind its own clock on a busy machine, and its connect behind that. */
const preempted = 50
const lateness = 100

let brokers

before(async () => {
  brokers = await Promise.all(["js-failover-one", "js-failover-two"].map(startBroker))
})

after(async () => {
  await Promise.all((brokers ?? []).map((broker) => broker.stop()))
})

const port = (broker) => Number(new URL(broker.url).port)

const config = (ports, connections) => `
[log]
level = "info,smeuse::upstream=debug"
[listen]
workers = 2
[limits]
sessions_per_address = 2000
[[services]]
name = "amqp"
kind = "amqp"
paths = ["/ws/amqp"]
[services.upstream]
uris = [${ports.map((port) => `"amqp://guest:guest@127.0.0.1:${port}"`)}]
vhost = "/"
login = "service"
connections = "${connections}"
connects_per_second = ${perSecond}
${connections === "shared" ? "[services.upstream.shared]\nsessions_per_connection = 20" : ""}
`

/** One page: what it does when it is connected is what the demo does, and then it sees a message of its own come back. */
class Page {
  works = 0
  ends = []
  waits = []

  constructor(url) {
    this.session = new Session({ url, username: "guest", password: "guest", vhost: "/", name: "failover" })
    this.session.addEventListener("opened", ({ detail }) => this.#opened(detail).catch(() => {}))
    this.session.addEventListener("ended", ({ detail }) => this.ends.push({ ...detail, at: Date.now() }))
    this.session.addEventListener("waiting", ({ detail }) => this.waits.push(detail.milliseconds))
    this.session.connect()
  }

  async #opened(connection) {
    const channel = await connection.channel()
    await channel.confirmSelect()
    const { name } = await channel.queueDeclare("", { exclusive: true, durable: false, autoDelete: true })
    await channel.basicConsume(name, { noAck: false }, (message) => {
      this.works += 1
      this.worksSince = Date.now()
      message.ack().catch(() => {})
    })
    await channel.basicPublish("", name, "there and back")
  }
}

for (const connections of ["dedicated", "shared"]) {
  test(`500 demo clients change brokers, ${connections} connections`, { timeout: 300_000 }, async (t) => {
    const [one, two] = brokers
    const counter = await startCounter(port(two))
    const gateway = await startGateway({ config: config([port(one), counter.port], connections) })
    let pages = []
    try {
      // One after the other: a broker that has just been started may need its time.
      while (pages.length < count) {
        pages.push(...Array.from({ length: 25 }, () => new Page(gateway.url)))
        await until(60_000, "them to work", () => pages.every((page) => page.works === 1))
      }
      assert.equal((await counter.times()).times.length, 0, "the second broker was needed before the first was gone")
      const before = pages.map((page) => page.ends.length)
      assert.ok(before.every((ends) => ends === 0), "a session ended by itself")

      const killed = Date.now()
      await one.kill()
      await until(10_000, "all to be told", () => pages.every((page) => page.ends.length > 0))
      await until(60_000, "all to work again", () => pages.every((page) => page.works === 2))
      const slowest = (times) => Math.max(...times) - killed
      const told = slowest(pages.map((page) => page.ends[0].at))
      const back = slowest(pages.map((page) => page.worksSince))
      const { times, late } = await counter.times()
      // What the gateway says of its own connects, those at the dead broker among them.
      const began = gateway.lines
        .filter((line) => line.message === "connect begins")
        .map((line) => Date.parse(line.timestamp))
        .filter((time) => time >= killed)
      const tries = pages.map((page) => page.waits.length)
      t.diagnostic(
        `told within ${told} ms, back within ${back} ms, with ${Math.max(...tries)} tries at most; ` +
          `${began.length} connects, at most ${mostWithin(began, 1_000)} in a second (${perSecond} allowed); ` +
          `${times.length} of them seen by the broker, ${mostWithin(times, 1_000)} in a second, with up to ${late.toFixed()} ms of delay`,
      )
      for (const page of pages) {
        const [{ code, again, error }] = page.ends
        assert.deepEqual([code, again], [1014, true])
        assert.match(error, /broker/)
      }
      assert.ok(told <= 2_000, `the last page was told after ${told} ms`)
      assert.ok(back <= 10_000, `the last page was back after ${back} ms`)
      const least = connections === "shared" ? count / 20 : count
      assert.ok(times.length >= least && began.length >= times.length, `${began.length} connects, ${times.length} seen`)
      const begun = mostWithin(began, 1_000 - preempted)
      assert.ok(begun <= perSecond, `${begun} connects began within a second`)
      // What comes within this span left the gateway within a second, however late each was seen.
      const span = 1_000 - lateness - late
      const most = mostWithin(times, span)
      assert.ok(most <= perSecond, `${most} connects within ${span} ms`)
    } finally {
      await within(60_000, "the pages", Promise.all(pages.map((page) => page.session.close().catch(() => {})))).catch(() => {})
      await gateway.kill()
      await counter.close()
    }
    await one.revive()
  })
}
