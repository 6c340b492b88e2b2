// Starting programs and ending them by their own id.
import { spawn } from "node:child_process"
import { dirname, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { within } from "./wait.js"

/** The top folder of the repository. */
export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../../..")

/** Runs a program to its end; resolves with its standard output, rejects with its standard error. */
export function run(program, args, { milliseconds = 120_000, ...options } = {}) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], ...options })
  let output = ""
  let errors = ""
  child.stdout.on("data", (data) => (output += data))
  child.stderr.on("data", (data) => (errors += data))
  const ended = new Promise((resolve, reject) => {
    child.on("error", reject)
    child.on("close", (code) =>
      code === 0 ? resolve(output) : reject(new Error(`${program} ${args.join(" ")}: exit code ${code}\n${errors}`)),
    )
  })
  return within(milliseconds, `the end of ${program}`, ended).finally(() => child.kill("SIGKILL"))
}
