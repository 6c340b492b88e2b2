// Real RabbitMQ nodes, by scripts/broker.
import { join } from "node:path"
import { root, run } from "./process.js"

const script = join(root, "scripts/broker")

/**
 * A node that a test may kill: its own purpose, its own ports.
 * @param {{ plugins?: string[], conf?: string }} options plugins to enable, and a folder with more configuration files
 */
export async function startBroker(purpose, { plugins = [], conf = "" } = {}) {
  const env = { ...process.env, SMEUSE_BROKER_PLUGINS: plugins.join(","), SMEUSE_BROKER_CONF: conf }
  const broker = new Broker(purpose, env)
  broker.url = (await run(script, ["start", purpose], { milliseconds: 300_000, env })).trim()
  return broker
}

class Broker {
  #purpose
  #env
  url

  constructor(purpose, env) {
    this.#purpose = purpose
    this.#env = env
  }
  /** Ends it with SIGKILL. */
  kill() {
    return run(script, ["kill", this.#purpose])
  }
  /** Starts it again on the same port with what it had. */
  revive() {
    return run(script, ["revive", this.#purpose], { milliseconds: 300_000, env: this.#env })
  }
  stop() {
    return run(script, ["stop", this.#purpose])
  }
  ctl(...args) {
    return run(script, ["ctl", this.#purpose, ...args])
  }
}

/** The node that the whole run shares, and what to do when the suite is over. */
export async function sharedBroker() {
  const url = process.env.SMEUSE_TEST_AMQP_URL
  if (url) return { url, stop: async () => {} }
  return startBroker(`js-${process.pid}`)
}
