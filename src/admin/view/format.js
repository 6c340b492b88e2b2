// Figures as people read them.

const whole = new Intl.NumberFormat("en")
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 })

/** A count: all digits up to 9,999, then 12.3K. */
export const count = (value) => (Math.abs(value) < 10_000 ? whole.format(Math.round(value)) : short.format(value))

/** A count with all its digits. */
export const exact = (value) => whole.format(Math.round(value))

/** Something per second; below ten one digit behind the point, so that slow things do not read as none. */
export function rate(value) {
  if (value === 0) return "0"
  if (value < 0.05) return "<0.1"
  return value < 9.95 ? String(Math.round(value * 10) / 10) : count(value)
}

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"]

/** Bytes, in thousands. */
export function bytes(value) {
  let unit = 0
  let amount = value
  while (amount >= 999.5 && unit < UNITS.length - 1) {
    amount /= 1000
    unit += 1
  }
  const digits = unit === 0 || amount >= 99.95 ? 0 : amount >= 9.995 ? 1 : 2
  return `${amount.toFixed(digits)} ${UNITS[unit]}`
}

/** A time, by its two largest parts. */
export function time(seconds) {
  const s = Math.max(0, Math.floor(seconds))
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
  return `${whole.format(Math.floor(s / 86_400))} d ${Math.floor((s % 86_400) / 3600)} h`
}

/** A short time that may have parts of a second. */
export function span(seconds) {
  if (seconds === 0) return "–"
  if (seconds < 1e-3) return `${(seconds * 1e6).toPrecision(2)} µs`
  return seconds < 1 ? `${(seconds * 1e3).toPrecision(2)} ms` : `${seconds.toPrecision(2)} s`
}
