// The types are those of the standard and of what the library adds, and the sources keep to them.
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { test } from "node:test"
import { fileURLToPath } from "node:url"
import ts from "typescript"
import "./kit/platform.js"

const { WebSocket } = await import("../src/index.js")
const types = fileURLToPath(new URL("../types/index.d.ts", import.meta.url))

const usage = `
import { WebSocket, type Extension, type Login } from "./index.js"
const login: Login = async ({ scheme, attempt }) => (attempt > 3 ? null : scheme === "Basic" ? { username: "a", password: "b" } : { token: "t" })
WebSocket.login = login
WebSocket.configure({ gateway: "https://gateway.example", extensions: ["a; b=1", { name: "c" }, { name: "d", required: false }], fallback: "error", handshakeTimeout: 1 })
const counting: Extension<{ count: number }> = {
  name: "counting",
  agree: () => ({ count: 0 }),
  toServer: (message, { state, send }) => { state.count += 1; send("x"); return [message, new Uint8Array(1)] },
}
WebSocket.extensions.register(counting)
const names: string[] = WebSocket.extensions.names()
const socket = new WebSocket("/ws", ["amqp"], { login: null, extensions: [] })
const standard: globalThis.WebSocket = socket
socket.binaryType = "arraybuffer"
socket.onmessage = ({ data }: MessageEvent) => socket.send(data)
socket.addEventListener("extensionfailure", ({ extension, reason }) => console.warn(extension.toUpperCase(), reason.length))
socket.addEventListener("close", ({ code }) => console.log(code.toFixed()))
const open: boolean = socket.readyState === WebSocket.OPEN
`
const wrong = [
  `new WebSocket("x", [], { fallback: "never" })`,
  `new WebSocket("x", [], { login: "joe" })`,
  `socket.addEventListener("extensionfailure", ({ code }) => code)`,
  `WebSocket.configure({ handshakeTimeout: "1" })`,
  `WebSocket.extensions.register({ name: "x" })`,
  `WebSocket.login = async () => ({ user: "x" })`,
]

/** The errors of a file beside the types. */
function errorsOf(text) {
  const file = types.replace("index.d.ts", "usage.ts")
  const options = { strict: true, noEmit: true, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler, lib: ["lib.es2022.d.ts", "lib.dom.d.ts"], types: [] }
  const host = ts.createCompilerHost(options)
  const { getSourceFile, fileExists, readFile } = host
  host.fileExists = (name) => name === file || fileExists(name)
  host.readFile = (name) => (name === file ? text : readFile(name))
  host.getSourceFile = (name, ...rest) => (name === file ? ts.createSourceFile(name, text, options.target) : getSourceFile(name, ...rest))
  const program = ts.createProgram([file], options, host)
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, " "))
}

test("what is right compiles, and what is wrong does not, each for itself", () => {
  assert.deepEqual(errorsOf(usage + wrong.map((line) => `// @ts-expect-error\n${line}`).join("\n")), [])
})

test("statics of the types are statics of the class", () => {
  const declared = readFileSync(types, "utf8").matchAll(/^  static (?:readonly )?(\w+)/gm)
  for (const [, name] of declared) assert.ok(Object.getOwnPropertyDescriptor(WebSocket, name), name)
})
