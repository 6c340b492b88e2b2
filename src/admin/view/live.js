// The operator's live view: what the gateway pushes goes to the panels, what the operator wants to see goes back.
import { keepConnected } from "./connection.js"
import { byId, setAttribute, setText } from "./dom.js"
import { count, time } from "./format.js"
import { Panels } from "./panels.js"
import { Sessions } from "./sessions.js"

const meanings = await (await fetch("/live/meanings.json")).json()

let start
let latest
const panels = new Panels(meanings)
const sessions = new Sessions((view) => connection.want(view))
const connection = keepConnected({ onPush, onState })
sessions.ask()

function onPush({ now, own }) {
  if (own.start) {
    start = own.start
    panels.start(start)
    sessions.start(start)
    byId("logout").hidden = !start.has_login
  }
  panels.add(now)
  sessions.add(now, own)
  latest = { now, own }
  if (!document.hidden) show()
}

function show() {
  const { now, own } = latest
  panels.show(now)
  sessions.show(now, own)
  setText(byId("build"), `${start.version} · up ${time(now.at / 1000)}`)
  byId("draining").hidden = !now.draining
  document.title = `${count(own.sessions.total)} sessions · Smeuse`
  byId("main").dataset.state = "live"
}

function onState(state, text) {
  const status = byId("status")
  setAttribute(status, "data-state", state)
  setText(status, text)
  if (state !== "live") setAttribute(byId("main"), "data-state", "stale")
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && latest) show()
})
