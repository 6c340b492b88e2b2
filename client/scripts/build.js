// Makes the single files: dist/smeuse.js (classic script), dist/smeuse.mjs (module) and dist/install.mjs, which installs
// the module beside it. They are committed, and a test builds them again to compare.
import { writeFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const root = fileURLToPath(new URL("..", import.meta.url))

/** The one module of the library is shared, not copied. */
const besideModule = {
  name: "beside-module",
  setup: ({ onResolve }) => onResolve({ filter: /^\.\/index\.js$/ }, () => ({ path: "./smeuse.mjs", external: true })),
}

/** The single files by their names. */
export async function bundles() {
  const shared = {
    absWorkingDir: root,
    bundle: true,
    write: false,
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
    banner: { js: "// Smeuse's WebSocket for browsers, made of client/src by client/scripts/build.js. Apache-2.0." },
  }
  const made = {
    "smeuse.js": { ...shared, entryPoints: ["src/classic.js"], format: "iife" },
    "smeuse.mjs": { ...shared, entryPoints: ["src/index.js"], format: "esm" },
    "install.mjs": { ...shared, entryPoints: ["src/install.js"], format: "esm", plugins: [besideModule] },
  }
  const results = await Promise.all(
    Object.entries(made).map(async ([name, options]) => [name, (await build(options)).outputFiles[0].text]),
  )
  return Object.fromEntries(results)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, text] of Object.entries(await bundles())) await writeFile(new URL(`../dist/${name}`, import.meta.url), text)
}
