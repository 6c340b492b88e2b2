// Which WebSocket the page uses: the platform's, or the one of the gateway's browser library, which is loaded when it is
// first chosen. The AMQP client knows nothing of it: it takes what `globalThis.WebSocket` is.
import { Negotiation } from "./negotiation.js"
import { tapped } from "./tap.js"

const CONFIG = "/_smeuse/config.json"
const LIBRARY = "/_smeuse/smeuse.mjs"
const SHIPPED = ["x-kaazing-idle-timeout", "x-kaazing-ping-pong", "smeuse-sequence"]

/** The negotiation of the socket that was opened last. */
let current

const watchPage = () => {
  current = new Negotiation()
  return current.watchPage()
}
const watchWire = (url, protocols) => current.watchWire(url, protocols)

// Where the gateway put its library into this page, the platform's own is beneath it.
const Platform = tapped(globalThis.WebSocket[Symbol.for("smeuse.platform")] ?? globalThis.WebSocket, watchWire)
const Plain = tapped(Platform, watchPage)
let library

export const currentNegotiation = () => current

/**
 * What the gateway that served this page says of the service at `path`: `{ extensions, chosen }`, all that may be
 * offered and those that it proposes; null if it has no library.
 */
export async function proposed(path) {
  const response = await fetch(CONFIG).catch(() => null)
  if (!response?.ok) return null
  const { endpoints } = await response.json()
  const endpoint = endpoints.find(({ paths }) => paths.includes(path)) ?? endpoints[0]
  const own = endpoint?.extensions ?? []
  const others = SHIPPED.filter((name) => own.every((extension) => extension.name !== name))
  return { extensions: [...own, ...others.map((name) => ({ name }))], chosen: own.map(({ name }) => name) }
}

export function usePlain() {
  globalThis.WebSocket = Plain
}

/**
 * @param {{ name: string, params?: string, module?: string }[]} extensions to offer, from the page towards the network
 * @param {(challenge: object) => Promise<object | null>} login
 */
export async function useExtended(extensions, login) {
  if (library === undefined) {
    // The library opens its sockets with the class that it finds.
    globalThis.WebSocket = Platform
    const { WebSocket } = await import(LIBRARY)
    library = { WebSocket, Tapped: tapped(WebSocket, watchPage) }
  }
  // Modules come from the page's own origin, so its content security policy lets it import them by itself.
  const known = library.WebSocket.extensions
  for (const { name, module } of extensions) {
    if (module !== undefined && !known.names().includes(name)) known.register((await import(module)).default)
  }
  library.WebSocket.configure({ extensions: extensions.map(({ name, params }) => ({ name, params })) })
  library.WebSocket.login = (challenge) => {
    current.challenged(challenge)
    return login(challenge)
  }
  globalThis.WebSocket = library.Tapped
}
