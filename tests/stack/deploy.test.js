// deploy/: the unit and the Kubernetes example are valid by tools of their own, agree with one another and with the program.
import assert from "node:assert/strict"
import { readdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { describe, test } from "node:test"
import { program } from "../js/kit/gateway.js"
import { root, run } from "../js/kit/process.js"
import { parseAllDocuments } from "../js/kit/yaml.js"
import { composed, folderWith, read, readYaml, tool } from "./kit.js"

/** The drain of a gateway with this configuration, to its very end, in seconds. */
async function drainSeconds(file, env = {}) {
  const text = await run(program, ["--print-config", "--config", file], { env })
  const seconds = (key) => {
    const [, minutes = 0, rest = 0] = text.match(new RegExp(`^${key} = "(?:(\\d+)m ?)?(?:(\\d+)s)?"$`, "m"))
    return Number(minutes) * 60 + Number(rest)
  }
  return seconds("deadline") + 3 * seconds("close_deadline")
}

describe("the systemd unit", async () => {
  const unit = await read("deploy/systemd/smeuse.service")
  const all = (key) => [...unit.matchAll(new RegExp(`^${key}=(.*)$`, "gm"))].map(([, value]) => value)
  const one = (key) => all(key).at(-1)

  test("is valid and lets the program do little", async () => {
    // The tools look for the program where the unit says.
    const folder = await folderWith({ "smeuse.service": unit.replaceAll("/usr/local/bin/smeuse", program) })
    try {
      await run("systemd-analyze", ["verify", "--man=no", folder.path("smeuse.service")])
      // Tenths of systemd's own measure of exposure, from 0 to 100.
      await run("systemd-analyze", ["security", "--no-pager", "--offline=true", "--threshold=15", folder.path("smeuse.service")])
    } finally {
      await folder.remove()
    }
  })

  test("gives it the time and the files that it needs", async () => {
    assert.ok(parseInt(one("TimeoutStopSec"), 10) > (await drainSeconds(join(root, "config/smeuse.toml"))))
    const sessions = Number((await read("config/smeuse.toml")).match(/^sessions = (\d+)$/m)[1])
    assert.ok(Number(one("LimitNOFILE")) > 2 * sessions + 1000)
    const { services } = await composed()
    assert.equal(parseInt(one("MemoryMax"), 10) * 2 ** 20, Number(services.gateway.mem_limit))
    // As much memory, so as many sessions.
    assert.equal(one("Environment"), `SMEUSE__LIMITS__SESSIONS=${services.gateway.environment.SMEUSE__LIMITS__SESSIONS}`)
    // Its figures of itself come from /proc.
    assert.equal(one("ProcSubset"), undefined)
    // What the exit codes mean: docs/operations.md.
    assert.equal(one("RestartPreventExitStatus"), "64")
    await assert.rejects(run(program, ["--check"], { env: { SMEUSE__NOWHERE: "1" } }), /exit code 64/)
    const [, file] = one("ExecStart").match(/--config (\S+)$/)
    assert.match(unit, new RegExp(`config/smeuse\\.toml ${file}$`, "m"))
  })
})

describe("the Kubernetes example", async () => {
  const { resources, images } = await readYaml("deploy/kubernetes/kustomization.yaml")
  const documents = (await Promise.all(resources.map((name) => read(`deploy/kubernetes/${name}`)))).flatMap((text) => parseAllDocuments(text).map((each) => each.toJS()))
  const of = (kind, name = "smeuse") => documents.find((each) => each.kind === kind && each.metadata.name === name)
  const deployment = of("Deployment")
  const pod = deployment.spec.template
  const [container] = pod.spec.containers
  const config = of("ConfigMap").data["smeuse.toml"]

  test("is valid by Kubernetes' schemas, the oldest that it is for and the newest that are known", async () => {
    const files = resources.map((name) => join(root, "deploy/kubernetes", name))
    await run(tool("kubernetes-validate"), ["--strict", "--quiet", ...files])
    await run(tool("kubernetes-validate"), ["--strict", "--quiet", "-k", "1.30", ...files])
    // What is in the folder is in the list, or says who it is for.
    const others = (await readdir(join(root, "deploy/kubernetes"))).filter((name) => !resources.includes(name))
    assert.deepEqual(others.sort(), ["adapter-values.yaml", "kustomization.yaml", "monitor.yaml"])
  })

  test("names what is there: pods, ports, secrets, the image", async () => {
    const { labels } = pod.metadata
    const services = [of("Service"), of("Service", "smeuse-admin")]
    const selectors = [deployment.spec.selector.matchLabels, of("PodDisruptionBudget").spec.selector.matchLabels, of("NetworkPolicy").spec.podSelector.matchLabels, ...services.map(({ spec }) => spec.selector)]
    for (const selector of selectors) for (const [key, value] of Object.entries(selector)) assert.equal(labels[key], value)
    const ports = new Map(container.ports.map(({ name, containerPort }) => [name, containerPort]))
    assert.deepEqual([...ports], [["public", 15670], ["admin", 15673]])
    for (const port of services.flatMap(({ spec }) => spec.ports)) assert.ok(ports.has(port.targetPort))
    for (const { port } of of("NetworkPolicy").spec.ingress.flatMap(({ ports }) => ports)) assert.ok(ports.has(port))
    assert.equal(of("HorizontalPodAutoscaler").spec.scaleTargetRef.name, deployment.metadata.name)
    assert.equal(container.image, images[0].name)
    assert.equal(`"${images[0].newTag}"`, (await read("Cargo.toml")).match(/^version = (.*)$/m)[1])
    for (const { valueFrom } of container.env) assert.ok(of("Secret").stringData[valueFrom.secretKeyRef.key])
    const monitor = await readYaml("deploy/kubernetes/monitor.yaml")
    for (const [key, value] of Object.entries(monitor.spec.selector.matchLabels)) assert.equal(services[1].metadata.labels[key], value)
    assert.equal(monitor.spec.endpoints[0].port, services[1].spec.ports[0].name)
    assert.ok(of("Secret").stringData[monitor.spec.endpoints[0].authorization.credentials.key])
    // The metrics have a label of this name, which says more.
    assert.ok(monitor.spec.endpoints[0].relabelings.some(({ action, regex }) => action === "labeldrop" && regex === "service"))
    assert.equal(monitor.spec.endpoints[0].relabelings[0].replacement, (await readYaml("config/prometheus.yml")).scrape_configs[0].job_name)
  })

  test("configures the gateway as the gateway understands it, and drains within its patience", async () => {
    const [, tokenFile] = config.match(/^ *token_file = "(.*)"$/m)
    const { volumes } = pod.spec
    const mounts = new Map(container.volumeMounts.map(({ name, mountPath }) => [name, mountPath]))
    const [item] = volumes.find(({ secret }) => secret).secret.items
    assert.equal(tokenFile, `${mounts.get("secrets")}/${item.path}`)
    const folder = await folderWith({ [item.path]: of("Secret").stringData[item.key] })
    await writeFile(folder.path("smeuse.toml"), config.replace(tokenFile, folder.path(item.path)))
    try {
      const env = Object.fromEntries(container.env.map(({ name, valueFrom }) => [name, of("Secret").stringData[valueFrom.secretKeyRef.key]]))
      await run(program, ["--check", "--config", folder.path("smeuse.toml")], { env })
      const seconds = await drainSeconds(folder.path("smeuse.toml"), env)
      assert.ok(pod.spec.terminationGracePeriodSeconds > container.lifecycle.preStop.sleep.seconds + seconds)
      // Where it looks for it.
      assert.deepEqual(container.args, ["--config", `${mounts.get("config")}/smeuse.toml`])
    } finally {
      await folder.remove()
    }
  })

  test("asks the right questions, and is as closed as the compose file", async () => {
    assert.equal(container.livenessProbe.httpGet.path, "/healthz")
    assert.equal(container.readinessProbe.httpGet.path, "/readyz")
    // The gateway may look for a broker for twice its connect_deadline.
    const deadline = Number((await read("config/smeuse.toml")).match(/^connect_deadline = "(\d+)s"$/m)[1])
    assert.ok(container.readinessProbe.timeoutSeconds > 2 * deadline)
    const { gateway } = (await composed()).services
    assert.equal(`${pod.spec.securityContext.runAsUser}:${pod.spec.securityContext.runAsGroup}`, gateway.user)
    assert.equal(container.securityContext.readOnlyRootFilesystem, true)
    assert.deepEqual(container.securityContext.capabilities.drop, ["ALL"])
    assert.equal(parseInt(container.resources.limits.memory, 10) * 2 ** 20, Number(gateway.mem_limit))
    assert.match(config, new RegExp(`^ *sessions = ${gateway.environment.SMEUSE__LIMITS__SESSIONS}$`, "m"))
  })

  test("scales by a metric that Prometheus can answer for, before the limit is reached", async () => {
    const { metric, target } = of("HorizontalPodAutoscaler").spec.metrics[0].pods
    const { custom } = (await readYaml("deploy/kubernetes/adapter-values.yaml")).rules
    assert.equal(custom[0].name.as, metric.name)
    assert.match(await read("docs/metrics.md"), new RegExp(`^\\| \`${metric.name}\` \\| gauge`, "m"))
    assert.ok(Number(target.averageValue) * 2 <= Number(config.match(/^ *sessions = (\d+)$/m)[1]))
    // As the adapter fills it in.
    const asked = custom[0].metricsQuery.replace("<<.GroupBy>>", "pod").replace("<<.Series>>", metric.name).replace("<<.LabelMatchers>>", 'namespace="smeuse",pod=~"a|b"')
    const folder = await folderWith({ "rules.yml": JSON.stringify({ groups: [{ name: "adapter", rules: [asked, custom[0].seriesQuery].map((expr, index) => ({ record: `r${index}`, expr })) }] }) })
    try {
      await run("promtool", ["check", "rules", folder.path("rules.yml")])
    } finally {
      await folder.remove()
    }
  })
})
