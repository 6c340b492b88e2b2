// Small charts: lines over the last minutes, the newest at the right edge.
import { makeSvg, setAttribute } from "./dom.js"

const HEIGHT = 100

/**
 * A chart with a line for each of `classes`, over `length` seconds.
 * @returns {{ element: SVGElement, draw(series: number[][], label: string): number }} `draw` gives the largest value
 */
export function chart(classes, length) {
  const area = makeSvg("path", { class: `area ${classes[0]}` })
  const lines = classes.map((name) => makeSvg("path", { class: `line ${name}`, "vector-effect": "non-scaling-stroke" }))
  const element = makeSvg(
    "svg",
    { class: "chart", viewBox: `0 0 ${length - 1} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
    area,
    ...lines,
  )

  function draw(series, label) {
    const most = Math.max(0, ...series.map((points) => points.reduce((one, other) => Math.max(one, other), 0)))
    // A quiet line lies on the ground, and the highest point keeps clear of the edge.
    const top = Math.max(most, 1e-9) * 1.08
    const paths = series.map((points) => path(points, length, top))
    lines.forEach((line, index) => setAttribute(line, "d", paths[index] ?? ""))
    const [first] = series
    const start = length - first.length
    setAttribute(area, "d", first.length > 1 ? `${paths[0]}L${length - 1} ${HEIGHT}L${start} ${HEIGHT}Z` : "")
    setAttribute(element, "aria-label", label)
    return most
  }

  return { element, draw }
}

function path(points, length, top) {
  const start = length - points.length
  let text = ""
  for (let index = 0; index < points.length; index += 1) {
    const y = HEIGHT - (points[index] / top) * HEIGHT
    text += `${index === 0 ? "M" : "L"}${start + index} ${y.toFixed(1)}`
  }
  return text
}

/** The last `length` points of something. */
export class Recent {
  constructor(length, points = []) {
    this.length = length
    this.points = points.slice(-length)
  }

  add(point) {
    this.points.push(point)
    if (this.points.length > this.length) this.points.shift()
  }
}
