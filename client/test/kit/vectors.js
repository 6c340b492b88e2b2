// The samples that the Rust side tests against too.
import { readFileSync } from "node:fs"

export const vectors = (name) => JSON.parse(readFileSync(new URL(`../../../tests/vectors/${name}.json`, import.meta.url), "utf8"))

/** A message of a sample as extensions get it. */
export const message = (kind, hex) => (kind === "text" ? Buffer.from(hex, "hex").toString() : new Uint8Array(Buffer.from(hex, "hex")))

/** The inverse, as the samples write it. */
export const written = (message) =>
  typeof message === "string" ? ["text", Buffer.from(message).toString("hex")] : ["binary", Buffer.from(message).toString("hex")]
