// docker-compose.yml and the Dockerfile: valid by their own tools, as closed as they say, and about files that are there.
import assert from "node:assert/strict"
import { access, constants, readdir, readFile, stat } from "node:fs/promises"
import { basename, join, relative } from "node:path"
import { describe, test } from "node:test"
import { program } from "../js/kit/gateway.js"
import { root, run } from "../js/kit/process.js"
import { composed, folderWith, read, readYaml, tool } from "./kit.js"

const seconds = (text) => {
  const [, minutes = 0, rest = 0] = text.match(/^(?:(\d+)m)?(?:(\d+)s)?$/)
  return Number(minutes) * 60 + Number(rest)
}
const mebibytes = (bytes) => Number(bytes) / 2 ** 20

describe("docker-compose.yml", async () => {
  const { services, secrets } = await composed()
  const names = Object.keys(services).sort()

  test("has a small set and a large one", async () => {
    const { services: all } = await readYaml("docker-compose.yml")
    const small = Object.keys(all).filter((name) => !all[name].profiles)
    assert.deepEqual(small.sort(), names.filter((name) => !["grafana", "prometheus"].includes(name)))
    assert.deepEqual(small.sort(), ["demo", "gateway", "rabbitmq"])
    for (const name of ["grafana", "prometheus"]) assert.deepEqual(all[name].profiles, ["monitoring"], name)
  })

  for (const name of names) {
    const service = services[name]
    test(`${name}: no root, no writable system, no privileges, bounded`, () => {
      assert.match(service.user, /^[1-9]\d*:\d+$/)
      assert.equal(service.read_only, true)
      assert.deepEqual(service.cap_drop, ["ALL"])
      assert.equal(service.cap_add, undefined)
      assert.equal(service.privileged, undefined)
      assert.deepEqual(service.security_opt, ["no-new-privileges:true"])
      assert.ok(mebibytes(service.mem_limit) >= 32 && mebibytes(service.mem_limit) <= 1024, `${service.mem_limit}`)
      assert.ok(service.cpus > 0 && service.cpus <= 2, `${service.cpus}`)
      assert.ok(service.pids_limit > 0 && service.pids_limit <= 512, `${service.pids_limit}`)
      assert.equal(service.restart, "unless-stopped")
      assert.equal(service.logging.driver, "json-file")
      assert.match(service.logging.options["max-size"], /^\d+m$/)
      assert.ok(Number(service.logging.options["max-file"]) >= 2)
    })
    test(`${name}: a health check of its own, time to end, a fixed version`, () => {
      assert.equal(service.healthcheck.test[0], "CMD")
      for (const key of ["interval", "timeout", "start_period"]) assert.ok(seconds(service.healthcheck[key]) > 0, key)
      assert.ok(seconds(service.stop_grace_period) >= 10, service.stop_grace_period)
      if (service.build) assert.match(service.image, /:\d+\.\d+\.\d+$/)
      else assert.match(service.image, /:v?\d+\.\d+\.\d+(-[a-z]+)?$/)
    })
    test(`${name}: published on this machine alone`, () => {
      for (const { host_ip } of service.ports ?? []) assert.equal(host_ip, "127.0.0.1")
    })
    test(`${name}: mounts what is there, and nothing of it writable`, async () => {
      for (const mount of service.volumes ?? []) {
        if (mount.type === "volume") continue
        assert.equal(mount.read_only, true, mount.source)
        assert.ok(await stat(mount.source).catch(() => false), mount.source)
      }
      // No secret in the environment, where every process and "docker inspect" sees it.
      for (const [key, value] of Object.entries(service.environment ?? {})) {
        if (/PASS|SECRET|TOKEN/.test(key)) assert.match(value, /^\/run\/secrets\//, key)
      }
    })
  }

  test("the gateway opens to others by one variable", async () => {
    const { services } = await composed({ SMEUSE_PUBLISH: "0.0.0.0" })
    assert.deepEqual(
      services.gateway.ports.map(({ host_ip, published }) => `${host_ip}:${published}`),
      ["0.0.0.0:15670", "127.0.0.1:15673"],
    )
  })

  test("secrets are files that another file can take the place of, and readable for who needs them", async () => {
    for (const [name, { file }] of Object.entries(secrets)) {
      assert.equal(relative(root, file).split("/")[1], "secrets", name)
      // A mounted file keeps its mode, and the container's user is not its owner.
      assert.ok((await stat(file)).mode & constants.S_IROTH, `${file} can be read by others`)
    }
    const own = await folderWith({ login: "", token: "", password: "" })
    const changed = await composed({ RABBITMQ_LOGIN_FILE: own.path("login"), ADMIN_TOKEN_FILE: own.path("token"), GRAFANA_PASSWORD_FILE: own.path("password") })
    await own.remove()
    assert.deepEqual(
      Object.values(changed.secrets).map(({ file }) => basename(file)).sort(),
      ["login", "password", "token"],
    )
    // Who shows the token has it from the same secret as who asks for it.
    const [{ authorization }] = (await readYaml("config/prometheus.yml")).scrape_configs
    assert.equal(authorization.credentials_file, services.gateway.environment.SMEUSE__ADMIN__TOKEN_FILE)
    for (const name of ["gateway", "prometheus"]) assert.equal(services[name].secrets[0].source, basename(authorization.credentials_file))
    // RabbitMQ takes the files of conf.d in the order of their names.
    const { secrets: used, volumes } = services.rabbitmq
    assert.equal(used[0].target, "/etc/rabbitmq/conf.d/30-login.conf")
    assert.ok(volumes.some(({ target }) => target === "/etc/rabbitmq/conf.d/20-smeuse.conf"))
    assert.equal(services.grafana.environment.GF_SECURITY_ADMIN_PASSWORD__FILE, `/run/secrets/${services.grafana.secrets[0].source}`)
  })

  test("starts on a machine with one processor, if it is told", async () => {
    const { services: small } = await composed({ SMEUSE_CPUS: "1" })
    for (const name of names) assert.ok(small[name].cpus > 0 && small[name].cpus <= 1, `${name}: ${small[name].cpus}`)
  })

  test("starts in order and ends in order", async () => {
    const { gateway } = services
    for (const { condition } of Object.values(gateway.depends_on)) assert.equal(condition, "service_healthy")
    assert.deepEqual(Object.keys(gateway.depends_on).sort(), ["demo", "rabbitmq"])
    assert.ok(services.prometheus.depends_on.gateway)
    assert.ok(services.grafana.depends_on.prometheus)
    const text = await run(program, ["--print-config"], { env: { PATH: process.env.PATH, ...gateway.environment } })
    const close = seconds(text.match(/^close_deadline = "(.*)"$/m)[1])
    assert.ok(seconds(gateway.stop_grace_period) > seconds(gateway.environment.SMEUSE__DRAIN__DEADLINE) + 3 * close)
  })

  test("the gateway's settings are settings, and fit its limits", async () => {
    const { gateway } = services
    for (const name of Object.keys(gateway.environment)) assert.match(name, /^(AMQP_URL|SMEUSE__[A-Z_]+__[A-Z_0-9]+)$/)
    const environment = { ...gateway.environment }
    assert.equal(environment.SMEUSE__ADMIN__TOKEN_FILE, "/run/secrets/admin-token")
    environment.SMEUSE__ADMIN__TOKEN_FILE = secrets["admin-token"].file
    await run(program, ["--check"], { env: { PATH: process.env.PATH, ...environment } })
    const sessions = Number(gateway.environment.SMEUSE__LIMITS__SESSIONS)
    // Two files a session, and what an idle one with extensions was measured to need (docs/benchmarks.md), twice.
    assert.ok(gateway.ulimits.nofile > 2 * sessions + 1000, `${gateway.ulimits.nofile}`)
    assert.ok(sessions * 16 <= Number(gateway.mem_limit) / 1024, `${gateway.mem_limit}`)
  })

  test("the memory alert is about the gateway's limit, RabbitMQ's alarm comes before its own", async () => {
    const { groups } = await readYaml("config/alerts.yml")
    const alert = groups.flatMap(({ rules }) => rules).find(({ alert }) => alert === "SmeuseMemory")
    const threshold = Number(alert.expr.match(/> (\d+)$/)[1])
    assert.ok(Math.abs(threshold / Number(services.gateway.mem_limit) - 0.8) < 0.001)
    assert.match(alert.annotations.summary, new RegExp(`of its ${mebibytes(services.gateway.mem_limit)} MiB`))
    const watermark = Number((await read("config/rabbitmq.conf")).match(/^vm_memory_high_watermark\.absolute = (\d+)MB$/m)[1])
    assert.ok(watermark * 1e6 <= 0.6 * Number(services.rabbitmq.mem_limit))
  })

  test("Prometheus scrapes the services under the names and ports that they have", async () => {
    const config = await readYaml("config/prometheus.yml")
    const targets = config.scrape_configs.map(({ job_name, static_configs }) => [job_name, static_configs[0].targets[0]])
    assert.deepEqual(targets, [
      ["smeuse", "gateway:15673"],
      ["rabbitmq", "rabbitmq:15692"],
      ["prometheus", "localhost:9090"],
    ])
    assert.match(services.gateway.environment.SMEUSE__ADMIN__ADDRESS, /^0\.0\.0\.0:15673$/)
    assert.match(await read("config/rabbitmq-plugins"), /^\[rabbitmq_management,rabbitmq_prometheus\]\.$/m)
    for (const name of ["gateway", "rabbitmq", "grafana"]) {
      const shared = Object.keys(services[name].networks).filter((network) => network in services.prometheus.networks)
      assert.ok(shared.length > 0, `Prometheus and ${name} see each other`)
    }
    const [source] = (await readYaml("config/grafana/provisioning/datasources/prometheus.yml")).datasources
    assert.equal(source.url, "http://prometheus:9090")
    assert.equal(source.jsonData.timeInterval, config.global.scrape_interval)
    const [provider] = (await readYaml("config/grafana/provisioning/dashboards/smeuse.yml")).providers
    assert.ok(services.grafana.volumes.some(({ target }) => target === provider.options.path))
  })
})

describe("the Dockerfile", async () => {
  const text = await read("Dockerfile")
  const final = text.slice(text.lastIndexOf("\nFROM ") + 1)

  test("has no fault that hadolint knows", async () => {
    await run(tool("hadolint"), [join(root, "Dockerfile")])
  })

  test("is of fixed versions, for both processors, cached, without a shell at the end", async () => {
    const images = [...text.matchAll(/^FROM (?:--platform=\S+ )?(\S+)/gm)].map(([, image]) => image)
    for (const image of images) assert.match(image, /:(\d+\.\d+\.\d+-|nonroot$)/, image)
    assert.match(text, /^FROM --platform=\$BUILDPLATFORM rust:/m)
    assert.ok(text.indexOf(" AS demo-server") < text.lastIndexOf("\nFROM "), "the gateway is what is built if nothing else is asked for")
    for (const arch of ["amd64", "arm64"]) assert.match(text, new RegExp(`^ +${arch}\\) triple=`, "m"))
    assert.match(text, /--mount=type=cache,sharing=locked,target=\/usr\/local\/cargo\/registry/)
    assert.ok(text.indexOf("COPY Cargo.toml Cargo.lock ./") < text.indexOf("COPY . .\n"))
    assert.match(final, /^FROM gcr\.io\/distroless\//)
    for (const line of final.split("\n")) assert.doesNotMatch(line, /^RUN |^(CMD|ENTRYPOINT) [^[]/)
    // The oldest compiler that the package promises.
    const oldest = (await read("Cargo.toml")).match(/^rust-version = "(.*)"$/m)[1]
    assert.ok(images[0].startsWith(`rust:${oldest}.`), images[0])
  })

  test("says what the image is, checks its health by the program, and agrees with the compose file", async () => {
    const { services } = await composed()
    for (const line of ["USER 10070:10070", "EXPOSE 15670 15673", "STOPSIGNAL SIGTERM"]) assert.match(final, new RegExp(`^${line}$`, "m"))
    const version = (await read("Cargo.toml")).match(/^version = "(.*)"$/m)[1]
    for (const label of [`version="${version}"`, 'title="Smeuse"', 'licenses="Apache-2.0"']) assert.ok(final.includes(`image.${label}`), label)
    assert.equal(services.gateway.image, `smeuse:${version}`)
    assert.equal(services.demo.image, `smeuse-demo:${version}`)
    const demo = text.slice(text.indexOf(" AS demo-server\n"), text.lastIndexOf("\nFROM "))
    assert.ok(demo.includes(`image.version="${version}"`))
    assert.equal(services.demo.user, demo.match(/^USER (.*)$/m)[1])
    assert.deepEqual(services.demo.healthcheck.test, ["CMD", ...JSON.parse(demo.match(/\\\n +CMD (\[.*\])/)[1])])
    // The gateway asks for it where it listens.
    const [, port] = (await read("config/demo-server.conf")).match(/listen (\d+);/)
    assert.equal(services.gateway.environment.SMEUSE__WEB__APPLICATIONS__0__ORIGIN, `http://demo:${port}`)
    assert.match(demo, new RegExp(`^EXPOSE ${port}$`, "m"))
    assert.equal(services.gateway.user, final.match(/^USER (.*)$/m)[1])
    const list = (name) => JSON.parse(final.match(new RegExp(`^(?:HEALTHCHECK .*\\\\\\n +)?${name} (\\[.*\\])$`, "m"))[1])
    const [entry, health, args] = [list("ENTRYPOINT"), JSON.parse(final.match(/\\\n +CMD (\[.*\])/)[1]), JSON.parse(final.match(/^CMD (\[.*\])$/m)[1])]
    // The check reads the configuration that the program runs with.
    assert.deepEqual(health, [...entry, ...args, "--health"])
    assert.deepEqual(services.gateway.healthcheck.test.slice(1, -1), health.slice(0, -1))
    assert.match(services.gateway.healthcheck.test.at(-1), /^--health(=ready)?$/)
  })

  test("gets everything that the program is made of, and no secrets", async () => {
    const ignored = (await read(".dockerignore")).split("\n").filter((line) => line && !line.startsWith("#"))
    const isIgnored = (path) => ignored.some((rule) => path === rule || path.startsWith(`${rule}/`) || (rule === "*.md" && /^[^/]+\.md$/.test(path)))
    for (const path of ["config/secrets/grafana-password", "target/debug/smeuse", ".git/HEAD"]) assert.ok(isIgnored(path), path)
    for (const [, path] of text.matchAll(/^COPY (?!--)([\w./-]+)/gm)) {
      assert.ok(path === "." || (await stat(join(root, path)).catch(() => false)), path)
      assert.ok(!isIgnored(path), path)
    }
    let found = 0
    for (const file of (await readdir(join(root, "src"), { recursive: true })).filter((name) => name.endsWith(".rs"))) {
      const source = await read(join("src", file))
      // What tests include need not be there.
      const [productive] = /(^|\/)tests(\/|\.rs)/.test(file) ? [""] : source.split("#[cfg(test)]")
      for (const [, path] of productive.matchAll(/include_(?:str|bytes)!\(\s*"([^"]+)"/g)) {
        const named = relative(root, join(root, "src", file, "..", path))
        await access(join(root, named))
        assert.ok(!isIgnored(named), `${file} includes ${named}`)
        found += 1
      }
    }
    assert.ok(found >= 3, `${found} files are included`)
  })

  test("compiles for either processor on either", async () => {
    const steps = text.match(/^RUN (case [^]*?)(?=^# )/m)[1].replaceAll("\\\n", "\n")
    for (const build of ["amd64", "arm64"]) {
      for (const target of ["amd64", "arm64"]) {
        const folder = await folderWith({})
        const script = steps.replaceAll("/build-env", folder.path("env")).replaceAll("/var/lib/apt/lists/*", folder.path("lists"))
        // What would be installed is written down instead.
        const instead = `note() { echo "$*" >>"${folder.path("done")}"; }; rustup() { note rustup "$@"; }; apt-get() { note "$@"; }\n`
        try {
          await run("bash", ["-euo", "pipefail", "-c", instead + script], { env: { PATH: process.env.PATH, BUILDARCH: build, TARGETARCH: target } })
          const triple = { amd64: "x86_64-unknown-linux-gnu", arm64: "aarch64-unknown-linux-gnu" }[target]
          const env = await run("bash", ["-euc", `. "${folder.path("env")}"; env`], { env: { PATH: process.env.PATH } })
          const said = await readFile(folder.path("done"), "utf8")
          assert.match(env, new RegExp(`^CARGO_BUILD_TARGET=${triple}$`, "m"))
          assert.match(said, new RegExp(`^rustup target add ${triple}$`, "m"))
          if (build === target) {
            assert.doesNotMatch(env + said, /LINKER|install/)
          } else {
            const tools = { amd64: "x86-64-linux-gnu", arm64: "aarch64-linux-gnu" }[target]
            const compiler = `${triple.split("-")[0]}-linux-gnu-gcc`
            assert.match(env, new RegExp(`^CARGO_TARGET_${triple.toUpperCase().replaceAll("-", "_")}_LINKER=${compiler}$`, "m"))
            assert.match(env, new RegExp(`^CC_${triple.replaceAll("-", "_")}=${compiler}$`, "m"))
            assert.ok(said.includes(`gcc-${tools} libc6-dev-${target}-cross`), said)
          }
        } finally {
          await folder.remove()
        }
      }
    }
  })

  test("the empty program around the dependencies is a package", async () => {
    const steps = text.match(/source \/build-env; \\\n( +mkdir -p src[^]*?) +cargo build/)[1].replaceAll("\\\n", "\n")
    const folder = await folderWith({ "Cargo.toml": await read("Cargo.toml"), "Cargo.lock": await read("Cargo.lock") })
    try {
      await run("bash", ["-euc", steps], { cwd: folder.path() })
      const metadata = JSON.parse(await run("cargo", ["metadata", "--no-deps", "--offline", "--locked", "--format-version", "1"], { cwd: folder.path() }))
      const kinds = metadata.packages[0].targets.flatMap(({ kind }) => kind).sort()
      assert.deepEqual(kinds, ["bench", "bin", "lib"])
    } finally {
      await folder.remove()
    }
  })
})
