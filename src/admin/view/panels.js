// Everything but the sessions: the figures of the whole gateway, brokers, services, extensions, and what has happened.
import { chart, Recent } from "./chart.js"
import { byId, keepList, make, setAttribute, setText } from "./dom.js"
import { bytes, count, exact, rate, span } from "./format.js"

const perSecond = (value) => `${rate(value)}/s`
const bytesPerSecond = (value) => `${bytes(value)}/s`
const BOTH_WAYS = ["from client", "to client"]

/** The big figures: a title, the series in its chart, and how each is written. */
const TILES = [
  { title: "Sessions", series: ["sessions"], write: count, notes: { "opened/s": "opened", "ended/s": "ended" } },
  { title: "Messages", series: ["messages_from_client", "messages_to_client"], names: BOTH_WAYS, write: perSecond },
  { title: "Payload", series: ["bytes_from_client", "bytes_to_client"], names: BOTH_WAYS, write: bytesPerSecond },
  { title: "AMQP", series: ["publishes", "deliveries"], names: ["publishes", "deliveries"], write: perSecond },
  { title: "Refused", series: ["refused"], write: perSecond, notes: { "in progress": "handshakes" } },
]

export class Panels {
  #meanings
  #names
  #history
  #seconds
  #kinds
  #before
  #extensions = new Map()

  constructor(meanings) {
    this.#meanings = meanings
  }

  /** A connection begins: the gateway says what the figures are called, and what they were. */
  start(start) {
    this.#seconds = start.history_seconds
    this.#names = start.series
    this.#kinds = new Map(start.services)
    // The last point comes with the push itself.
    this.#history = start.series.map((_, index) => new Recent(this.#seconds, start.history[index]?.slice(0, -1)))
    this.#before = undefined
    this.#extensions.clear()
  }

  /** Keeps what the charts show, whether or not anybody looks. */
  add(now) {
    now.rates.forEach((point, index) => this.#history[index].add(point))
    const seconds = this.#before ? (now.at - this.#before.at) / 1000 : 0
    for (const [name, figures] of Object.entries(now.extensions)) {
      const before = this.#before?.extensions[name]
      const change = (kind, direction) =>
        before && seconds > 0 ? ((figures[kind][direction] ?? 0) - (before[kind][direction] ?? 0)) / seconds : 0
      const flow = {
        messages: [change("messages", "from_client"), change("messages", "to_client")],
        bytes: [change("bytes", "from_client"), change("bytes", "to_client")],
      }
      const kept = this.#extensions.get(name) ?? { recent: [new Recent(this.#seconds), new Recent(this.#seconds)] }
      kept.recent.forEach((recent, index) => recent.add(flow.messages[index]))
      this.#extensions.set(name, Object.assign(kept, flow))
    }
    this.#before = now
  }

  show(now) {
    const total = (name) => now.totals[this.#names.indexOf(name)]
    keepList(byId("tiles"), TILES, (tile) => tile.title, (tile) => this.#tile(tile))
    this.#showBrokers(now, total)
    keepList(document.querySelector("#services tbody"), Object.entries(now.services), ([name]) => name, () => this.#service())
    showEmpty(byId("services"), false, "", now.left_out.services)
    this.#showExtensions(now)
    const groups = { endings: [], refusals: [], limits: [] }
    for (const entry of now.happened) {
      if (entry.total === 0) continue
      const kind = entry.name.startsWith("refused/") ? "refusals" : entry.name.startsWith("limit/") ? "limits" : "endings"
      groups[kind].push(entry)
    }
    for (const [kind, entries] of Object.entries(groups)) this.#showCounts(kind, entries)
  }

  #tile({ title, series, names, write, notes = {} }) {
    const indexes = series.map((name) => this.#names.indexOf(name))
    const lines = chart(series.length > 1 ? ["from", "to"] : ["one"], this.#seconds)
    const figures = series.map((_, index) => make("strong", { class: series.length > 1 ? ["from", "to"][index] : "one" }))
    const labels = (names ?? [""]).map((name, index) =>
      make("span", { class: "figure" }, figures[index], make("span", { class: "muted", text: name })),
    )
    const most = make("span", { class: "most muted" })
    const note = make("p", { class: "note muted" })
    const element = make(
      "li",
      { class: `tile${series.length > 1 ? " two" : ""}` },
      make("h3", { text: title }),
      make("p", { class: "figures" }, ...labels),
      make("div", { class: "plot" }, lines.element, most),
      note,
    )
    const update = () => {
      const points = indexes.map((index) => this.#history[index].points)
      points.forEach((values, index) => setText(figures[index], write(values.at(-1))))
      const now = points.map((values, index) => `${names?.[index] ?? ""} ${write(values.at(-1))}`.trim()).join(", ")
      const largest = lines.draw(points, "")
      setAttribute(lines.element, "aria-label", `${title} over the last five minutes: now ${now}, at most ${write(largest)}`)
      setText(most, largest > 0 ? `max ${write(largest)}` : "")
      const parts = Object.entries(notes).map(([label, name]) => {
        const value = this.#history[this.#names.indexOf(name)].points.at(-1)
        return `${rate(value)} ${label}`
      })
      setText(note, parts.join(" · "))
    }
    return { element, update }
  }

  #showBrokers(now, total) {
    const sockets = total("broker_sockets")
    const shared = total("shared_open")
    const parts = [`${exact(sockets)} ${sockets === 1 ? "socket" : "sockets"}`]
    if (shared > 0) {
      const used = total("shared_used")
      parts.push(`${exact(shared)} shared, ${exact(used)} of ${exact(used + total("shared_free"))} channels used`)
    }
    setText(byId("broker-sockets"), parts.join(" · "))
    const inTrouble = now.brokers.filter((broker) => broker.failure !== null || broker.blocked > 0)
    byId("alarm").hidden = inTrouble.length === 0
    const troubles = inTrouble.map((broker) => `${broker.name} ${broker.failure === null ? "holds publishers back" : "is down"}`)
    if (troubles.length > 0) setText(byId("alarm").firstChild, `Broker ${troubles.join(", ")}`)
    const list = byId("brokers")
    keepList(list, now.brokers, (broker) => broker.name, () => {
      const name = make("span", { class: "name" })
      const state = make("span", { class: "pill" })
      const detail = make("p", { class: "muted" })
      const update = (broker) => {
        setText(name, broker.name)
        const isDown = broker.failure !== null
        const kind = isDown ? "down" : broker.blocked > 0 ? "blocked" : "up"
        setAttribute(state, "data-state", { up: "live", blocked: "waiting", down: "lost" }[kind])
        setText(state, kind)
        setText(detail, isDown ? downDetail(broker) : broker.blocked > 0 ? blockedDetail(broker) : "")
      }
      return { element: make("li", {}, make("p", {}, name, state), detail), update }
    })
    showEmpty(list, now.brokers.length === 0, "No service needs a broker.", now.left_out.brokers)
  }

  #service() {
    const name = make("th", { scope: "row" })
    const cells = ["", "number", "number", "number"].map((kind) => make("td", { class: kind || false }))
    const update = ([service, figures]) => {
      setText(name, service)
      const kind = this.#kinds.get(service)
      const texts = [kind === "echo" ? "none (echo)" : (kind ?? ""), count(figures.sessions), count(figures.opened), count(figures.ended)]
      texts.forEach((text, index) => setText(cells[index], text))
    }
    return { element: make("tr", {}, name, ...cells), update }
  }

  #showExtensions(now) {
    const list = byId("extensions")
    const entries = Object.entries(now.extensions).filter(([name]) => name !== "other")
    keepList(list, entries, ([name]) => name, ([name]) => {
      const lines = chart(["from", "to"], this.#seconds)
      const sessions = make("strong", { class: "one" })
      const table = make("dl", { class: "facts" })
      const facts = ["Messages", "Bytes", "Control frames", "Offers", "Round trip", "Ended by it", "Trial"].map((label) => {
        const value = make("dd")
        table.append(make("div", {}, make("dt", { text: label }), value))
        return value
      })
      const element = make(
        "li",
        {},
        make("div", { class: "extension-head" }, make("h3", { text: name }), make("p", { class: "figure" }, sessions, make("span", { class: "muted", text: "sessions" }))),
        make("div", { class: "plot" }, lines.element),
        table,
      )
      const update = ([, figures]) => {
        const { recent, messages, bytes: flow } = this.#extensions.get(name)
        setText(sessions, count(figures.sessions))
        const label = `Messages through ${name}: ${messages.map(perSecond).join(" from the client, ")} to it`
        lines.draw(recent.map(({ points }) => points), label)
        const sum = (values) => Object.values(values).reduce((one, other) => one + other, 0)
        const controls = Object.entries(figures.controls).map(([kind, ways]) => `${count(sum(ways))} ${kind}`)
        const offers = Object.entries(figures.offers).filter(([, times]) => times > 0)
        const texts = [
          messages.map(perSecond),
          flow.map(bytesPerSecond),
          controls.join(", ") || "–",
          offers.map(([outcome, times]) => `${count(times)} ${outcome}`).join(", ") || "–",
          figures.round_trips > 0 ? `${span(figures.round_trip_seconds / figures.round_trips)} mean` : "–",
          figures.failures > 0 ? `${count(figures.failures)} sessions` : "–",
          Object.entries(figures.trials).map(([group, sessions]) => `${count(sessions)} ${group}`).join(", "),
        ]
        facts.at(-1).parentElement.hidden = texts.at(-1) === ""
        texts.forEach((text, index) => (Array.isArray(text) ? setWays(facts[index], text) : setText(facts[index], text)))
      }
      return { element, update }
    })
    showEmpty(list, entries.length === 0, "No extension has been offered.", now.left_out.extensions)
  }

  #showCounts(kind, entries) {
    const list = byId(kind)
    entries.sort((one, other) => other.recent - one.recent || other.total - one.total || one.name.localeCompare(other.name))
    const most = Math.max(1, ...entries.map((entry) => entry.recent))
    keepList(list, entries, (entry) => entry.name, (entry) => this.#count(kind, entry))
    for (const entry of entries) list.views.get(entry.name).bar(entry.recent / most)
    showEmpty(list, entries.length === 0, "None so far.")
  }

  #count(kind, { name }) {
    const [who, what] = name.split("/")
    const recent = make("span", { class: "number strong" })
    const total = make("span", { class: "number muted" })
    const filling = make("span")
    const bar = make("span", { class: "bar", "aria-hidden": "true" }, filling)
    const summary = make("summary", {}, make("span", { class: "what", text: kind === "endings" ? `${who} ${what}` : what }), bar, recent, total)
    const element = make("li", {}, make("details", {}, summary, ...this.#meaning(kind, name, what)))
    const update = (entry) => {
      setText(recent, count(entry.recent))
      setText(total, count(entry.total))
      setAttribute(summary, "aria-label", `${summary.firstChild.textContent}: ${entry.recent} in the last five minutes, ${entry.total} in all`)
    }
    return { element, update, bar: (share) => (filling.style.width = `${Math.round(share * 100)}%`) }
  }

  /** What it means, in the words of the documentation. */
  #meaning(kind, name, what) {
    const { endings, refusals } = this.#meanings
    if (kind === "limits") return [meaningOf(`A limit of the configuration was reached: \`${what}\`.`)]
    const meaning = kind === "endings" ? endings[name] : refusals[what]
    if (!meaning) return [meaningOf("Not in this version's documentation.")]
    const facts =
      kind === "endings"
        ? `Close code ${meaning.code}; the client should reconnect: ${meaning.reconnect}.`
        : `Answered with status ${meaning.status}.`
    return [meaningOf(`${meaning.when[0].toUpperCase()}${meaning.when.slice(1)}.`), meaningOf(facts)]
  }
}

/** A paragraph in which what stands between backticks is code. */
function meaningOf(text) {
  const parts = text.split("`").map((part, index) => (index % 2 === 1 ? make("code", { text: part }) : part))
  return make("p", { class: "meaning" }, ...parts)
}

function downDetail({ failure, passed_over_seconds: seconds }) {
  const next = seconds === null ? "tried with the next session" : `tried again in ${Math.ceil(seconds)} s`
  return `${failure}; ${next}`
}

const blockedDetail = ({ blocked }) =>
  `holds back what ${exact(blocked)} ${blocked === 1 ? "connection publishes" : "connections publish"} (memory or disk alarm)`

/** Two figures in the colours of their directions. */
function setWays(element, texts) {
  if (element.children.length === 0) element.append(make("span", { class: "from" }), " ", make("span", { class: "to" }))
  texts.forEach((text, index) => setText(element.children[index], text))
}

/** Says below a list that it is empty, or how many it has no room for. */
function showEmpty(list, isEmpty, text, leftOut = 0) {
  const there = list.nextElementSibling?.classList.contains("empty") ? list.nextElementSibling : undefined
  const says = leftOut > 0 ? `${exact(leftOut)} more ${leftOut === 1 ? "is" : "are"} in the metrics.` : isEmpty ? text : ""
  if (says === "") return there?.remove()
  if (there) setText(there, says)
  else list.after(make("p", { class: "empty", text: says }))
}
