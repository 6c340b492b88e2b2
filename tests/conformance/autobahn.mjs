// The Autobahn cases (RFC 6455: sections 1 to 7, 9 and 10 of the suite) through PyPI's kosoku against the echo service.
// Exit code 0 only if every case was run and passed. Sections 12 and 13 test permessage-deflate, which is not offered.
import { spawn } from "node:child_process"
import { readFile, rm } from "node:fs/promises"
import { join } from "node:path"
import { startGateway } from "../js/kit/gateway.js"
import { root } from "../js/kit/process.js"

const sections = [1, 2, 3, 4, 5, 6, 7, 9, 10]
/** How many cases these sections have; fewer would mean that something was left out. */
const expected = 301
const kosoku = join(root, "target/kosoku/bin/kosoku")
const report = join(root, "target/autobahn")

// kosoku sends a whole message before it reads, as no browser does: what waits for it must fit into the window, or the
// gateway rightly ends it as a client that stopped reading.
const gateway = await startGateway({
  config: `
[websocket]
message_before_login_bytes = 33554432
message_bytes = 33554432
window_bytes = 33554432

[[services]]
name = "echo"
kind = "echo"
paths = ["/echo"]
`,
})

let code
try {
  await rm(report, { recursive: true, force: true })
  code = await new Promise((resolve, reject) => {
    const include = sections.flatMap((section) => ["--include", `${section}.*`])
    const args = ["--outdir", report, "--parallelism", "2", ...include, `ws://${gateway.public}/echo`]
    const child = spawn(kosoku, args, { stdio: "inherit", timeout: 600_000 })
    child.on("error", reject)
    child.on("close", (code, signal) => resolve(code ?? signal))
  })
} finally {
  await gateway.kill()
}

const index = JSON.parse(await readFile(join(report, "index.json"), "utf8"))
const cases = Object.values(index).flatMap((server) => Object.entries(server))
const good = ["OK", "INFORMATIONAL", "NON-STRICT"]
const failed = cases.filter(([, result]) => !good.includes(result.behavior) || !good.includes(result.behaviorClose))
for (const [name, result] of failed) console.log(`${name}: ${result.behavior}, close: ${result.behaviorClose}`)
for (const kind of good) {
  const of = cases.filter(([, result]) => result.behavior === kind)
  if (of.length > 0) console.log(`${kind}: ${of.length}`)
}
if (cases.length !== expected) console.log(`${cases.length} cases were run, ${expected} were expected`)
console.log(`autobahn: ${cases.length - failed.length} passed, ${failed.length} failed`)
process.exitCode = code === 0 && failed.length === 0 && cases.length === expected ? 0 : 1
