// The sessions: searched and ordered by the gateway, shown here; one of them closely, with the button that ends it.
import { chart, Recent } from "./chart.js"
import { byId, keepList, make, setAttribute, setText } from "./dom.js"
import { bytes, exact, rate, time } from "./format.js"

/** The cells of a row as they are pushed. */
const [ID, USER, CLIENT, SERVICE, STAGE, AGE, IDLE, RATE_FROM, RATE_TO, BYTES_FROM, BYTES_TO] = Array(11).keys()

/** Columns: heading, what the gateway orders by, and how a row's cell is written. */
const COLUMNS = [
  { title: "User", order: "user", write: (row) => row[USER] || `${row[ID].slice(0, 8)}…` },
  { title: "Client", order: "client", write: (row) => row[CLIENT] },
  { title: "Service", order: "service", write: (row) => row[SERVICE] },
  { title: "State", write: (row) => row[STAGE] },
  { title: "Age", order: "age", isNumber: true, write: (row) => time(row[AGE]) },
  { title: "Idle", order: "idle", by: "idle time", isNumber: true, write: (row) => time(row[IDLE]) },
  { title: "Now", order: "rate", by: "bytes per second", isNumber: true, write: (row) => `${bytes(row[RATE_FROM] + row[RATE_TO])}/s` },
  { title: "In all", order: "bytes", by: "bytes in all", isNumber: true, write: (row) => bytes(row[BYTES_FROM] + row[BYTES_TO]) },
]
const LARGEST_FIRST = new Set(["age", "idle", "rate", "bytes"])
const DETAIL_SECONDS = 120
const TYPING_PAUSE = 200

export class Sessions {
  #want
  #view = { search: "", service: null, order: "bytes", descending: true, limit: 100, selected: null }
  #headings = new Map()
  #detail
  #toastTimer

  /** @param {(view: object) => void} want told what the operator wants to see */
  constructor(want) {
    this.#want = want
    this.#makeHead()
    let typing
    byId("query").addEventListener("input", ({ target }) => {
      clearTimeout(typing)
      typing = setTimeout(() => this.ask({ search: target.value }), TYPING_PAUSE)
    })
    byId("search").addEventListener("submit", (event) => {
      event.preventDefault()
      clearTimeout(typing)
      this.ask({ search: byId("query").value })
    })
    byId("service").addEventListener("change", ({ target }) => this.ask({ service: target.value || null }))
    byId("order").addEventListener("change", ({ target }) => this.#order(target.value))
  }

  /** Says what is wanted, with these changes. */
  ask(changes = {}) {
    Object.assign(this.#view, changes)
    this.#want(this.#view)
    setAttribute(byId("rows"), "aria-busy", "true")
    this.#showOrder()
  }

  start({ services }) {
    const known = services.map(([name]) => name)
    const select = byId("service")
    const there = [...select.options].slice(1).map((option) => option.value)
    for (const name of known.filter((name) => !there.includes(name))) select.append(make("option", { value: name, text: name }))
  }

  /** Keeps what the chart of the selected session shows. */
  add(now, own) {
    const { detail } = own
    if (!detail || this.#detail?.id !== detail.id) return
    detail.bytes_per_second.forEach((point, index) => this.#detail.recent[index].add(point))
  }

  show(now, own) {
    const { total, found, rows } = own.sessions
    setAttribute(byId("rows"), "aria-busy", "false")
    const isNarrowed = this.#view.search !== "" || this.#view.service !== null
    const parts = [`${exact(total)} open`]
    if (isNarrowed) parts.push(`${exact(found)} found`)
    if (rows.length < found) parts.push(`${exact(rows.length)} shown`)
    setText(byId("found"), parts.join(" · "))
    keepList(document.querySelector("#rows tbody"), rows, (row) => row[ID], () => this.#row())
    const nobody = byId("nobody")
    nobody.hidden = rows.length > 0
    const none = isNarrowed ? "No session matches." : "No session is open."
    setText(nobody, found > 0 ? "There is no room for the sessions that were found." : none)
    this.#showDetail(own)
  }

  #makeHead() {
    const select = byId("order")
    for (const { title, order, by = title.toLowerCase(), isNumber } of COLUMNS) {
      const inside = order ? make("button", { type: "button", text: title, click: () => this.#order(order) }) : title
      const heading = make("th", { scope: "col", class: isNumber ? "number" : false }, inside)
      document.querySelector("#rows thead tr").append(heading)
      if (!order) continue
      this.#headings.set(order, heading)
      select.append(make("option", { value: order, text: `By ${by}` }))
    }
    this.#showOrder()
  }

  #order(order) {
    const isSame = order === this.#view.order
    this.ask({ order, descending: isSame ? !this.#view.descending : LARGEST_FIRST.has(order) })
  }

  #showOrder() {
    for (const [order, heading] of this.#headings) {
      const isThis = order === this.#view.order
      setAttribute(heading, "aria-sort", !isThis ? "none" : this.#view.descending ? "descending" : "ascending")
    }
    byId("order").value = this.#view.order
  }

  #row() {
    let id
    const button = make("button", { type: "button", class: "link", click: () => this.#select(id) })
    const cells = COLUMNS.map(({ title, isNumber }, index) =>
      make("td", { class: isNumber ? "number" : false, "data-title": title }, ...(index === 0 ? [button] : [])),
    )
    const element = make("tr", {
      click: ({ target }) => {
        if (!target.closest("button") && getSelection().isCollapsed) this.#select(id)
      },
    }, ...cells)
    const update = (row) => {
      id = row[ID]
      COLUMNS.forEach(({ write }, index) => setText(index === 0 ? button : cells[index], write(row)))
      setAttribute(button, "aria-label", `Show the session of ${row[USER] || "nobody in particular"} from ${row[CLIENT]}`)
      setAttribute(element, "aria-selected", String(id === this.#view.selected))
      setAttribute(element, "data-stage", row[STAGE])
      setAttribute(button, "data-nobody", String(row[USER] === ""))
    }
    return { element, update }
  }

  #select(id) {
    this.#detail = { id, recent: [new Recent(DETAIL_SECONDS), new Recent(DETAIL_SECONDS)] }
    this.#makeDetail()
    for (const [name, view] of document.querySelector("#rows tbody").views) {
      setAttribute(view.element, "aria-selected", String(name === id))
    }
    this.ask({ selected: id })
    byId("detail").scrollIntoView({ block: "nearest" })
    this.#detail.title.focus({ preventScroll: true })
  }

  #close() {
    const id = this.#detail?.id
    this.#detail = undefined
    byId("detail").hidden = true
    this.ask({ selected: null })
    document.querySelector("#rows tbody").views?.get(id)?.element.querySelector("button").focus()
  }

  #makeDetail() {
    const aside = byId("detail")
    const title = make("h3", { id: "detail-title", tabindex: "-1", text: "Session" })
    const lines = chart(["from", "to"], DETAIL_SECONDS)
    const facts = make("dl", { class: "facts" })
    const end = make("button", { type: "button", class: "danger", text: "End session…", click: () => this.#confirm() })
    const gone = make("p", { class: "empty", hidden: true })
    aside.replaceChildren(
      make("div", { class: "card-head" }, title, make("button", { type: "button", text: "Close", click: () => this.#close() })),
      make("div", { class: "plot" }, lines.element),
      make("p", { class: "key", "aria-hidden": "true" }, make("span", { class: "from" }), "from client ", make("span", { class: "to" }), "to client"),
      facts,
      gone,
      make("p", { class: "actions" }, end),
    )
    aside.hidden = false
    Object.assign(this.#detail, { title, lines, facts, end, gone })
  }

  #showDetail({ selected, detail }) {
    const shown = this.#detail
    if (!shown || selected !== shown.id) return
    shown.gone.hidden = detail !== null
    shown.end.disabled = detail === null
    if (!detail) return setText(shown.gone, "This session has ended.")
    shown.last = detail
    setText(shown.title, detail.user || "Nobody in particular")
    const ways = (values, write) => `${write(values[0])} from, ${write(values[1])} to`
    const perSecond = (write) => (value) => `${write(value)}/s`
    const entries = [
      ["Id", detail.id],
      ["Client", detail.client],
      ["Service", detail.service],
      ["State", detail.stage],
      ["Broker", detail.broker ?? "–"],
      ["Channels", detail.channels === null ? "–" : exact(detail.channels)],
      ["Subprotocol", detail.subprotocol || "–"],
      ["Extensions", detail.extensions.join(", ") || "none"],
      ["Age", time(detail.age_seconds)],
      ["Idle", time(detail.idle_seconds)],
      ["Bytes now", ways(detail.bytes_per_second, perSecond(bytes))],
      ["Messages now", ways(detail.messages_per_second, perSecond(rate))],
      ["Bytes", ways(detail.bytes, bytes)],
      ["Messages", ways(detail.messages, exact)],
    ]
    keepList(shown.facts, entries, ([name]) => name, ([name]) => {
      const value = make("dd")
      return { element: make("div", {}, make("dt", { text: name }), value), update: ([, text]) => setText(value, text) }
    })
    const points = shown.recent.map((recent) => recent.points)
    shown.lines.draw(points, `Bytes of this session over the last two minutes: now ${ways(detail.bytes_per_second, perSecond(bytes))}`)
  }

  async #confirm() {
    const { id, last } = this.#detail
    const dialog = byId("confirm")
    setText(byId("confirm-text"), `${last.user || "Nobody in particular"}, from ${last.client}, on ${last.service}, open for ${time(last.age_seconds)}.`)
    dialog.returnValue = "keep"
    dialog.showModal()
    await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }))
    if (dialog.returnValue !== "end") return
    try {
      const answer = await fetch(`/sessions/${id}`, { method: "DELETE" })
      if (answer.status === 401) return location.reload()
      const texts = { 204: "The session is being ended.", 404: "The session had ended already." }
      this.#toast(texts[answer.status] ?? `Not ended: ${await answer.text()}`)
    } catch {
      this.#toast("Not ended: the gateway does not answer.")
    }
  }

  #toast(text) {
    const toast = byId("toast")
    toast.textContent = text
    clearTimeout(this.#toastTimer)
    this.#toastTimer = setTimeout(() => (toast.textContent = ""), 6000)
  }
}
