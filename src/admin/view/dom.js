// Elements made of text alone, and lists that change without losing their place: no markup is ever made of a string.

const SVG = "http://www.w3.org/2000/svg"

/** The element with this id. */
export const byId = (id) => document.getElementById(id)

/**
 * An element with these attributes and children. `class` and `text` are what they are called; a function is a listener
 * for the event of its name; `false` and `undefined` leave an attribute out.
 */
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children)
}

/** The same for SVG. */
export function makeSvg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children)
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value
    else if (typeof value === "function") element.addEventListener(name, value)
    else if (value !== false && value !== undefined) element.setAttribute(name, value === true ? "" : value)
  }
  element.append(...children)
  return element
}

/** Sets a text if it is another one, so that nothing is laid out anew, or read out again, for the same. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text
}

/** Sets an attribute if it is another one. */
export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value)
}

/**
 * Makes the children of `parent` those of `items`, in their order. An item that was there keeps its element, and with it
 * focus, selection, and whatever is unfolded.
 * @param {(item) => string} key
 * @param {(item) => { element: Element, update(item): void }} create
 */
export function keepList(parent, items, key, create) {
  const views = (parent.views ??= new Map())
  const wanted = new Set(items.map(key))
  for (const [name, view] of views) {
    if (wanted.has(name)) continue
    view.element.remove()
    views.delete(name)
  }
  let place = parent.firstElementChild
  for (const item of items) {
    const name = key(item)
    let view = views.get(name)
    if (!view) views.set(name, (view = create(item)))
    view.update(item)
    if (view.element === place) place = place.nextElementSibling
    else parent.insertBefore(view.element, place)
  }
}
