// How the page shows what was negotiated and what is carried.

export function element(name, className, ...content) {
  const made = document.createElement(name)
  if (className) made.className = className
  made.append(...content)
  return made
}

let shown = ""

/** The steps of a negotiation. What is shown already stays as it is, so that it can be selected. */
export function showNegotiation(target, negotiation) {
  const { openings, steps, agreed, socket } = negotiation
  const now = JSON.stringify([openings, steps, agreed, socket?.readyState, socket?.extensions])
  if (now === shown) return
  shown = now
  const parts = openings.map((opening, index) =>
    part(
      index === 0 ? "Opening handshake" : "Opening handshake, once more",
      terms(
        ["Outcome", opening.outcome],
        ["Subprotocols offered", opening.offered.join(", ") || "none"],
        ["Subprotocol chosen", opening.chosen || "none"],
        ["Extensions of the browser's", opening.extensions || "none"],
      ),
    ),
  )
  if (steps.length > 0) parts.push(part("Extended handshake", ...steps.map(step)))
  // The result first: most who look want no more.
  if (socket?.readyState === WebSocket.OPEN) parts.unshift(result(agreed, socket))
  target.replaceChildren(...parts)
}

function result(agreed, socket) {
  const chips = agreed.map(({ name, params }) => element("li", "", params ? `${name}; ${params}` : name))
  return part(
    "Agreed",
    chips.length > 0 ? element("ul", "chips", ...chips) : element("p", "soft", "No extensions: a plain WebSocket."),
    terms(["socket.protocol", quoted(socket.protocol)], ["socket.extensions", quoted(socket.extensions)]),
  )
}

const part = (heading, ...content) => element("section", "step", element("h3", "", heading), ...content)
const terms = (...pairs) => element("dl", "", ...pairs.flatMap(([name, value]) => [element("dt", "", name), element("dd", "", value)]))
const quoted = (text) => element("code", "", `"${text}"`)

function step({ kind, text }) {
  if (kind === "challenge") return element("p", "challenge", element("span", "way", "the page is asked"), text)
  return element("figure", kind, element("figcaption", "way", kind === "request" ? "page → gateway" : "gateway → page"), element("pre", "", text.trimEnd()))
}

/** The figures, now. */
export function showTraffic(target, negotiation) {
  const { page, wire, pings, numbers } = negotiation
  const number = (value) => element("td", "", value.toLocaleString())
  const row = (name, direction, unit) => element("tr", "", element("th", "", name), number(page[direction][unit]), number(wire[direction][unit]))
  target.querySelector("tbody").replaceChildren(
    row("Messages sent", "sent", "messages"),
    row("Bytes sent", "sent", "bytes"),
    row("Messages received", "received", "messages"),
    row("Bytes received", "received", "bytes"),
  )
  const facts = []
  if (negotiation.has("x-kaazing-ping-pong")) facts.push(["Pings answered", `${pings.answered} of ${pings.asked}`], ["Pongs unasked", `${pings.unasked}`])
  if (negotiation.has("smeuse-sequence")) facts.push(["Last number sent", numbers.sent ?? "–"], ["Last number received", numbers.received ?? "–"])
  if (negotiation.idleLimit !== undefined) {
    const silence = negotiation.socket?.readyState === WebSocket.OPEN ? `${((performance.now() - negotiation.heardAt) / 1000).toFixed(1)} s` : "–"
    facts.push(["Silence of the gateway", `${silence}, at most ${negotiation.idleLimit / 1000} s`])
  }
  target.querySelector("dl").replaceWith(terms(...facts))
}
