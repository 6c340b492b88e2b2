// The page: forms in, lists out.
import { currentNegotiation, proposed, useExtended, usePlain } from "./handshake.js"
import { askUser } from "./login.js"
import { Session } from "./session.js"
import { element, showNegotiation, showTraffic } from "./view.js"

const shown = 200
const byId = (id) => document.getElementById(id)
const connectionForm = byId("connection")
const publishForm = byId("publish")
const publishFields = publishForm.querySelector("fieldset")

const scheme = location.protocol === "https:" ? "wss" : "ws"
connectionForm.elements.url.value = `${scheme}://${location.host}/ws/amqp`

/** What may be offered, as the gateway proposes it. */
let offers = []
/** The choices are there; who is faster than they are waits for them. */
const ready = proposed(new URL(connectionForm.elements.url.value).pathname)
  .catch(() => null)
  .then(offerChoices)
let session
/** Counts what the user has asked for, so that what comes late is known to be late. */
let attempt = 0
let channel
let confirmed = 0
let delivered = 0

function timeNow() {
  const made = element("time", "", new Date().toLocaleTimeString([], { hour12: false }))
  made.dateTime = new Date().toISOString()
  return made
}

/** Newest first, and no more than can be looked at. */
function show(list, ...parts) {
  const item = document.createElement("li")
  item.append(timeNow(), ...parts)
  list.prepend(item)
  while (list.children.length > shown) list.lastChild.remove()
}

function status(state, text) {
  byId("status").dataset.state = state
  byId("status").textContent = text
}

function happened(text, { code, calm = false, why = "" } = {}) {
  const line = element("span", "", "")
  if (code !== undefined) line.append(element("span", calm ? "code calm" : "code", code), " ")
  line.append(text)
  const parts = [line]
  if (why) parts.push(element("span", "why", why))
  show(byId("history"), ...parts)
}

function showSocket() {
  const negotiation = currentNegotiation()
  if (negotiation === undefined) return
  showNegotiation(byId("negotiation"), negotiation)
  showTraffic(byId("traffic"), negotiation)
}

function offerChoices(proposal) {
  if (proposal === null) return
  offers = proposal.extensions
  const { handshake } = connectionForm.elements
  for (const radio of handshake) radio.disabled = false
  handshake.value = "extended"
  for (const { name, params } of offers) {
    const box = element("input", "")
    Object.assign(box, { type: "checkbox", name: "offer", value: name, checked: proposal.chosen.includes(name) })
    byId("offers").append(element("label", "check", box, params ? `${name}; ${params}` : name))
  }
  allowOffers()
}

/** Only the library can offer any. */
function allowOffers() {
  byId("offers").disabled = connectionForm.elements.handshake.value !== "extended" || byId("handshake").disabled
}

function chosenOffers() {
  const chosen = [...byId("offers").querySelectorAll(":checked")].map(({ value }) => value)
  return offers.filter(({ name }) => chosen.includes(name))
}

/** Buttons and fields as they fit: `busy` while a session is there or being tried for. */
function enable({ busy, open }) {
  byId("handshake").disabled = busy
  allowOffers()
  byId("connect").disabled = busy
  byId("disconnect").disabled = !busy
  publishFields.disabled = !open
}

async function opened(connection) {
  const pattern = connectionForm.elements.pattern.value
  channel = await connection.channel()
  await channel.confirmSelect()
  const { name } = await channel.queueDeclare("", { exclusive: true, durable: false, autoDelete: true })
  await channel.queueBind(name, "amq.topic", pattern)
  await channel.basicConsume(name, { noAck: false }, deliver)
  status("open", "connected")
  happened("Connected", { why: `queue ${name}, bound to amq.topic with ${pattern}` })
  enable({ busy: true, open: true })
  showSocket()
}

function deliver(message) {
  delivered += 1
  byId("delivered").textContent = delivered.toLocaleString()
  const key = `${message.exchange || "(default)"} / ${message.routingKey}${message.redelivered ? " (again)" : ""}`
  show(byId("deliveries"), element("span", "key", key), element("span", "body", message.bodyString() ?? ""))
  message.ack().catch(() => {})
}

function ended({ code, reason, meaning, error, again, asked }) {
  channel = undefined
  enable({ busy: again, open: false })
  showSocket()
  const calm = asked || code === 1000 || code === 1005
  const words = [reason && `reason: ${reason}`, error && `broker: ${error}`].filter(Boolean).join(" · ")
  happened(`Closed: ${meaning}`, { code, calm, why: words })
  if (!again) status(calm ? "closed" : "failed", calm ? "not connected" : `closed (${code})`)
}

function waiting({ attempt, milliseconds }) {
  const seconds = (milliseconds / 1000).toFixed(1)
  status("waiting", `reconnecting in ${seconds} s`)
  happened(`Reconnecting in ${seconds} s`, { why: `attempt ${attempt}` })
}

connectionForm.addEventListener("submit", async (event) => {
  event.preventDefault()
  const { url, username, password, vhost, reconnect, handshake } = connectionForm.elements
  status("waiting", "connecting")
  enable({ busy: true, open: false })
  attempt += 1
  const own = attempt
  try {
    await ready
    if (handshake.value === "extended") await useExtended(chosenOffers(), askUser)
    else usePlain()
  } catch (error) {
    couldNotConnect(error)
    return
  }
  // Disconnected before there was anything to disconnect.
  if (own !== attempt) return
  session = new Session({
    url: url.value,
    username: username.value,
    password: password.value,
    vhost: vhost.value,
    name: "smeuse demo page",
    reconnect: () => reconnect.checked,
  })
  session.addEventListener("opened", ({ detail }) =>
    opened(detail).catch((error) => happened("The broker refused", { why: error.message })),
  )
  session.addEventListener("ended", ({ detail }) => ended(detail))
  session.addEventListener("waiting", ({ detail }) => waiting(detail))
  // An URL that is none: no WebSocket was opened, so nothing else will be heard of it.
  session.connect().catch(couldNotConnect)
})

function couldNotConnect(error) {
  status("failed", "not connected")
  happened("Could not connect", { why: error.message })
  enable({ busy: false, open: false })
}

byId("disconnect").addEventListener("click", async () => {
  attempt += 1
  await session?.close().catch(() => {})
  status("closed", "not connected")
  enable({ busy: false, open: false })
})

publishForm.addEventListener("submit", async (event) => {
  event.preventDefault()
  const { exchange, key, body, times } = publishForm.elements
  const count = Number(times.value)
  try {
    const confirms = Array.from({ length: count }, (_, i) =>
      channel
        .basicPublish(exchange.value, key.value, count > 1 ? `${body.value} #${i + 1}` : body.value, {
          contentType: "text/plain",
        })
        .then(() => {
          confirmed += 1
        }),
    )
    await Promise.all(confirms)
  } catch (error) {
    happened("Not published", { why: error.message })
    // A channel that the broker closed is of no use any more; a new session has a new one.
    if (channel?.closed) {
      publishFields.disabled = true
      await session.close().catch(() => {})
    }
  }
  byId("published").textContent = `${confirmed.toLocaleString()} confirmed`
})

byId("clear").addEventListener("click", () => {
  byId("deliveries").replaceChildren()
  delivered = 0
  byId("delivered").textContent = "0"
})

byId("handshake").addEventListener("change", allowOffers)
// Figures change with each message; twice a second is as often as anybody can read.
setInterval(showSocket, 500)
