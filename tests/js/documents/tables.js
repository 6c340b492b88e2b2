// Markdown tables of the documents.

/** Rows of the first Markdown table under this heading, or other line, as lists of cells. */
export function table(text, heading) {
  const section = text.slice(text.indexOf(`\n${heading}\n`))
  const rows = section
    .split("\n")
    .slice(2)
    .join("\n")
    .match(/(^\|.*\|\n?)+/m)[0]
  return rows
    .trim()
    .split("\n")
    .slice(2)
    .map((row) =>
      row
        .slice(1, -1)
        .split("|")
        .map((cell) => cell.trim()),
    )
}
