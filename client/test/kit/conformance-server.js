// The servers that the conformance table speaks to. Every path is there several times: /plain knows nothing of the
// extended handshake, /gateway speaks it with whoever offers it and agrees on every extension that is asked for.
import { idleTimeout } from "../../src/extensions/idle-timeout.js"
import { pingPong } from "../../src/extensions/ping-pong.js"
import { sequence } from "../../src/extensions/sequence.js"
import { parseOffers } from "../../src/header.js"
import { Pipeline } from "../../src/pipeline.js"
import { deferred } from "../../../tests/js/kit/wait.js"
import { HANDSHAKE, startServer } from "./server.js"

/** What this gateway answers to an offer. */
const AGREED = {
  [idleTimeout.name]: "x-kaazing-idle-timeout; timeout=30000",
  [pingPong.name]: "x-kaazing-ping-pong; 01010102",
  [sequence.name]: "smeuse-sequence",
}

const none = () => undefined
const echo = (app) => app.onMessage((message) => app.send(message))
const told = new Map()
const teller = (peer) => {
  const id = new URL(peer.request.url, "http://x").search
  if (!told.has(id)) told.set(id, deferred())
  return told.get(id)
}

/** What each path does, and which subprotocol of the application's it chooses. */
const behaviours = {
  "/silent": { run() {} },
  "/echo": { run: echo },
  "/greet": {
    run(app) {
      app.send("one")
      app.send(Buffer.from([1, 2, 3]))
      app.send("three")
      echo(app)
    },
  },
  "/close": {
    run(app, peer) {
      const { searchParams } = new URL(peer.request.url, "http://x")
      if (searchParams.has("code")) peer.ws.close(Number(searchParams.get("code")), searchParams.get("reason") ?? "")
      else peer.ws.close()
    },
  },
  "/last-words": {
    run: (app, peer) =>
      app.onMessage(() => {
        app.send("last")
        app.send("words")
        peer.ws.close(3333, "that was all")
      }),
  },
  "/cut": { run: (app, peer) => app.onMessage(() => peer.ws.terminate()) },
  "/malformed": { run: (app, peer) => app.onMessage(() => peer.ws._socket.write(Buffer.from([0x83, 0x00]))) },
  "/first": { run: echo, choose: (protocols) => protocols[0] },
  "/last": { run: echo, choose: (protocols) => protocols.at(-1) },
  "/tell": {
    run(app, peer) {
      const all = []
      app.onMessage((message) => all.push(String(message)))
      // Who falls back to a plain WebSocket comes twice, and says something once.
      peer.ws.on("close", () => all.length > 0 && teller(peer).resolve(all.join(" ")))
    },
  },
  "/told": { run: (app, peer) => teller(peer).promise.then((text) => app.send(text)) },
}

/** The application's side of a peer, through the extensions that were agreed on. */
function application(peer, agreed) {
  const pipeline = new Pipeline(agreed, { transmit: (message) => peer.send(message), close() {}, fail() {} })
  return {
    send: (message) => pipeline.toServer(message).forEach((each) => peer.send(each)),
    onMessage: (handle) => peer.forEach((message) => pipeline.fromServer(message).forEach(handle)),
  }
}

async function extended(peer, { run, choose = none }) {
  const { headers } = await peer.extendedRequest()
  const protocols = headers["sec-websocket-protocol"]?.split(", ") ?? []
  const offers = parseOffers([headers["sec-websocket-extensions"]].filter(Boolean))
  const agreed = offers.map(({ name }) => parseOffers([AGREED[name]])[0])
  peer.agree({ protocol: choose(protocols), extensions: agreed.map(({ name }) => AGREED[name]) })
  // This side is no page, so nothing of idle-timeout's is to be done.
  const extensions = agreed.filter(({ name }) => name !== idleTimeout.name)
  run(application(peer, extensions.map(({ name, params }) => ({ extension: name === sequence.name ? sequence : pingPong, params }))), peer)
}

const plain = ({ run, choose = none }) => ({ choose: (protocols) => choose(protocols.filter((protocol) => protocol !== HANDSHAKE)), run: (peer) => run(application(peer, []), peer) })

const gateway = (behaviour) => ({
  choose: (protocols) => (protocols.includes(HANDSHAKE) ? HANDSHAKE : (behaviour.choose ?? none)(protocols)),
  run: (peer) => (peer.ws.protocol === HANDSHAKE ? extended(peer, behaviour) : behaviour.run(application(peer, []), peer)),
})

/** Starts them; `files` as for startServer. */
export async function startConformanceServer(files = {}) {
  const paths = {}
  for (const [path, behaviour] of Object.entries(behaviours)) {
    paths[`/plain${path}`] = plain(behaviour)
    paths[`/gateway${path}`] = gateway(behaviour)
  }
  for (const flavour of ["/plain", "/gateway"]) {
    paths[`${flavour}/none`] = { choose: none, run() {} }
    paths[`${flavour}/foreign`] = { choose: () => "foreign", run() {} }
    for (const status of [400, 403, 503]) paths[`${flavour}/refuse${status}`] = { refuse: status }
  }
  return startServer(paths, files)
}
