// The fenced blocks of the documents.
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { root } from "../kit/process.js"

/** The documents for readers, by their paths in the repository. */
export async function documents() {
  const pages = (await readdir(join(root, "docs"))).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`)
  return ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "client/README.md", ...pages.sort()]
}

export const read = (path) => readFile(join(root, path), "utf8")

/**
 * All fenced blocks of a document: `{ document, heading, line, language, text }`. Those in lists lose their indentation.
 * A fence that is never closed is an error, since what follows it would be nobody's.
 */
export function blocksOf(document, source) {
  const blocks = []
  let heading = ""
  let open
  for (const [index, line] of source.split("\n").entries()) {
    const [, indent, fence, language] = /^(\s*)(`{3,}|~{3,})\s*([\w+-]*)/.exec(line) ?? []
    if (open) {
      if (fence?.startsWith(open.fence) && !language) {
        blocks.push({ document, heading, line: open.line, language: open.language, text: open.lines.join("\n") })
        open = undefined
      } else {
        open.lines.push(line.startsWith(open.indent) ? line.slice(open.indent.length) : line)
      }
    } else if (fence) {
      open = { fence, indent, language, line: index + 1, lines: [] }
    } else {
      heading = /^#+ (.+)$/.exec(line)?.[1] ?? heading
    }
  }
  if (open) throw new Error(`${document}:${open.line}: a fence that is not closed`)
  return blocks
}

export async function allBlocks() {
  const found = await Promise.all((await documents()).map(async (document) => blocksOf(document, await read(document))))
  return found.flat()
}

/** The only block of a language below a heading. */
export async function block(document, heading, language) {
  const found = blocksOf(document, await read(document)).filter((each) => each.heading === heading && each.language === language)
  if (found.length !== 1) throw new Error(`${document}: ${found.length} ${language} blocks below "${heading}"`)
  return found[0].text
}

/** The blocks of a document that begin with their own name, `// live.ts: ...`, which others import. */
export async function namedBlocks(document) {
  const named = blocksOf(document, await read(document)).map(({ text }) => [/^\/\/ ([\w-]+\.[jt]sx?): /.exec(text)?.[1], text])
  return Object.fromEntries(named.filter(([name]) => name))
}
