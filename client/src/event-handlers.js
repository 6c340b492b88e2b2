// The `on...` attributes: each keeps the place among the listeners that it took when it was first set (HTML, section
// 8.1.8.1, event handlers).

export class EventHandlers {
  #target
  #handlers = new Map()

  /** @param {EventTarget} target */
  constructor(target) {
    this.#target = target
  }

  /** The handler for this type of event, or null. */
  of(type) {
    return this.#handlers.get(type)?.value ?? null
  }

  /** Sets a handler; what is neither a function nor an object is none. */
  set(type, value) {
    const isHandler = typeof value === "function" || (typeof value === "object" && value !== null)
    const known = this.#handlers.get(type)
    if (isHandler && known !== undefined) known.value = value
    else if (isHandler) {
      const handler = { value }
      // An object that cannot be called is a handler that does nothing.
      handler.listener = (event) => {
        if (typeof handler.value !== "function") return
        if (handler.value.call(event.currentTarget, event) === false) event.preventDefault()
      }
      this.#handlers.set(type, handler)
      this.#target.addEventListener(type, handler.listener)
    } else if (known !== undefined) {
      this.#handlers.delete(type)
      this.#target.removeEventListener(type, known.listener)
    }
  }
}
