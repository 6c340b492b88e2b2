// JavaScript and TypeScript of the documents before the judge of types, with the types of the library and of the client.
import { join } from "node:path"
import ts from "typescript"
import { root } from "../kit/process.js"

const options = {
  strict: true,
  // Pages in plain JavaScript say no types; what they use must be there all the same.
  noImplicitAny: false,
  allowJs: true,
  checkJs: true,
  noEmit: true,
  skipLibCheck: true,
  experimentalDecorators: true,
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  jsx: ts.JsxEmit.ReactJSX,
  lib: ["lib.es2022.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
  types: [],
  baseUrl: join(root, "tests/js/documents"),
  paths: {
    "@cloudamqp/amqp-client": [join(root, "tests/js/node_modules/@cloudamqp/amqp-client")],
    smeuse: [join(root, "client/types/index.d.ts")],
  },
}

/** What the gateway serves, by the names that documents give it, and what is told in words beside a block. */
const AROUND = `
declare module "https://gateway.example/_smeuse/smeuse.mjs" { export * from "smeuse" }
declare module "http://localhost:15670/_smeuse/smeuse.mjs" { export * from "smeuse" }
declare module "https://gateway.example/_smeuse/install.mjs" {}
`
/** Names that a block uses and its text introduces, such as an element of the page. */
const TOLD = {
  ask: "(realm: string | undefined) => Promise<string>",
  report: "(...what: any[]) => void",
  socket: "import('smeuse').WebSocket",
}

/** Files that do not change: what TypeScript and the packages bring. */
const lasting = new Map()

/** Sources of a document that another one imports: `{ "./live.ts": text }`. */
export function problemsOf(block, beside = {}) {
  const folder = join(root, "tests/js/documents")
  const name = join(folder, `block.${{ javascript: "js" }[block.language] ?? block.language}`)
  const around = join(folder, "around.d.ts")
  const usesWebSocket = /(?<!globalThis\.)\bWebSocket(?:\.|\(| = )/.test(block.text) && !/import \{[^}]*\bWebSocket\b[^}]*\}/.test(block.text)
  const told = Object.keys(TOLD).filter((word) => new RegExp(`^\\s*${word}\\.|\\b${word}\\(`, "m").test(block.text) && !new RegExp(`\\b(?:const|let|function) ${word}\\b`).test(block.text))
  // After the script tag the global WebSocket is the library's.
  const text = `${usesWebSocket ? 'import { WebSocket } from "smeuse"; ' : ""}${told.length ? `import { ${told} } from "told"; ` : ""}${block.text}\nexport {}\n`
  const declared = `${AROUND}declare module "told" { ${told.map((word) => `export const ${word}: ${TOLD[word]}`).join("; ")} }\n`
  const files = new Map([[name, text], [around, declared]])
  for (const [path, source] of Object.entries(beside)) files.set(join(folder, path), source)
  const host = ts.createCompilerHost(options)
  const { getSourceFile, fileExists, readFile } = host
  host.fileExists = (path) => files.has(path) || fileExists(path)
  host.readFile = (path) => files.get(path) ?? readFile(path)
  host.getSourceFile = (path, ...rest) => {
    if (files.has(path)) return ts.createSourceFile(path, files.get(path), options.target)
    if (!lasting.has(path)) lasting.set(path, getSourceFile(path, ...rest))
    return lasting.get(path)
  }
  const created = ts.createProgram([name, around], options, host)
  return ts.getPreEmitDiagnostics(created).map(({ messageText, file, start }) => {
    const line = file && start !== undefined ? file.getLineAndCharacterOfPosition(start).line + 1 : 0
    return `${line}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`
  })
}
