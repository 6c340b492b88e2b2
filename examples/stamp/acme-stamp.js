// `acme-stamp`, the page's half: takes off the time that the gateway wrote before each TEXT message, and tells it in an
// event of the page's own. What the page sends is stamped on its way, so there is nothing to do for it here.

const STAMP = /^(\d+) ([^]*)$/

export default {
  name: "acme-stamp",

  agree(params) {
    if (params.length > 0) throw new Error("has no parameters")
  },

  fromServer(message) {
    if (typeof message !== "string") return message
    const [, milliseconds, text] = STAMP.exec(message) ?? []
    if (text === undefined) throw new Error("a TEXT message without a stamp")
    const detail = { passedAt: new Date(Number(milliseconds)), text }
    globalThis.dispatchEvent(new CustomEvent("acme-stamp", { detail }))
    return text
  },
}
