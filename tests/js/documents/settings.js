// Settings that the documents show: fragments are made whole, the files that they name are there, and the program judges.
import assert from "node:assert/strict"
import { execFile, execFileSync } from "node:child_process"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { promisify } from "node:util"
import { parse } from "smol-toml"
import { program } from "../kit/gateway.js"
import { root } from "../kit/process.js"

const TOKEN = "of-no-use-0123456789abcdef"

/** A folder with every file that an example of a configuration may name, as it would lie on a server. */
export class Server {
  folder
  #hash

  static async make() {
    const server = new Server()
    server.folder = await mkdtemp(join(tmpdir(), "smeuse-documents-"))
    const at = (name) => join(server.folder, name)
    execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=gateway.example", "-keyout", at("key.pem"), "-out", at("certificate.pem")], { stdio: "ignore" })
    const entry = execFileSync(program, ["hash-password", "--user", "alice"], { input: "a password\n" }).toString()
    server.#hash = entry.match(/password = "(.*)"/)[1]
    await writeFile(at("users.toml"), entry, { mode: 0o600 })
    await writeFile(at("token"), `${TOKEN}\n`, { mode: 0o600 })
    return server
  }

  stop = () => rm(this.folder, { recursive: true, force: true })

  /** The path of a file here that can stand for one of an example; it is made by its kind, which its name shows. */
  async #stand(path) {
    const here = join(this.folder, path.replaceAll("/", "_"))
    const file = join(this.folder, /\.(?:crt|pem)$/.test(path) ? "certificate.pem" : /\.key$/.test(path) ? "key.pem" : /users/.test(path) ? "users.toml" : /(?:token|secret)/.test(path) ? "token" : "")
    if (file !== join(this.folder, "")) return file
    if (/\.toml$/.test(path)) await writeFile(here, "")
    else await mkdir(here, { recursive: true })
    return here
  }

  /** A text with files that are there in the place of those that it names. */
  async files(text) {
    let result = text
    for (const [path] of text.matchAll(/\/(?:etc|run|var|srv|usr)\/[\w./-]+/g)) result = result.replaceAll(path, await this.#stand(path))
    return result
  }

  /** Resolves if the program takes this fragment of a configuration, or of a users file. */
  async check(fragment) {
    const parsed = parse(fragment)
    const own = await mkdtemp(join(this.folder, "check-"))
    const config = join(own, "smeuse.toml")
    let texts
    if ("users" in parsed || "tokens" in parsed) {
      const users = join(own, "users.toml")
      await writeFile(users, fragment.replaceAll(/"\$argon2id[^"]*\.\.\."/g, `"${this.#hash}"`), { mode: 0o600 })
      texts = [`[[services]]\n[services.login]\nusers = "${users}"\n`]
    } else {
      texts = await Promise.all(whole(fragment).map((text) => this.files(text)))
    }
    const reasons = []
    for (const text of texts) {
      await writeFile(config, text)
      try {
        // A folder that the repository has, such as demo, is where it is.
        await promisify(execFile)(program, ["--check", "--config", config], { cwd: root, env: { PATH: process.env.PATH } })
        return
      } catch (error) {
        reasons.push(`${error.stderr}\n${text}`)
      }
    }
    assert.fail(reasons.join("\n"))
  }
}

const SERVICE = "[[services]]\n"
const APPLICATION = { name: "shop", origin: "http://127.0.0.1:3000" }

/**
 * What a fragment leaves out because its reader has it: the service that a table belongs to, the extension that is tried. Keys
 * without a table are a service's or an application's, whichever has them.
 */
export function whole(fragment) {
  if (!/^\[/m.test(fragment)) {
    const own = parse(fragment)
    const others = Object.entries(APPLICATION).filter(([key]) => !(key in own))
    return [SERVICE + fragment, `[[web.applications]]\n${others.map(([key, value]) => `${key} = "${value}"\n`).join("")}${fragment}`]
  }
  const at = fragment.search(/^\[services\./m)
  if (at >= 0 && !/^\[\[services\]\]/m.test(fragment)) return [fragment.slice(0, at) + SERVICE + fragment.slice(at)]
  const tried = (parse(fragment).services ?? []).flatMap(({ trials = [], page_only = [], extensions = [] }) => trials.map(({ extension }) => extension).filter((name) => ![...page_only, ...extensions].includes(name)))
  if (tried.length > 0) return [fragment.replace(SERVICE, `${SERVICE}page_only = ${JSON.stringify(tried)}\n`)]
  return [fragment]
}
