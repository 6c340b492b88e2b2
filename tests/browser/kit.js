// A real Chromium with a fresh profile, and the demo page in it.
import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { chromium } from "playwright-core"
import { root } from "../js/kit/process.js"

export async function startChromium() {
  const { stdout } = await promisify(execFile)(join(root, "scripts/setup"), ["chromium-path"])
  return chromium.launch({
    executablePath: stdout.trim(),
    // Playwright's own choice of old headless mode is not in every Chromium; the page must not call home either.
    ignoreDefaultArgs: ["--headless"],
    args: [
      "--headless=new",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-background-networking",
      "--disable-component-update",
      "--no-first-run",
      "--host-resolver-rules=MAP stranger.example 127.0.0.1",
    ],
    timeout: 60_000,
  })
}

/** Opens a page that fails the test on any error, and on anything the content security policy forbids. */
export async function openPage(browser, url, options = {}) {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  const problems = []
  page.on("pageerror", (error) => problems.push(String(error)))
  page.on("console", (message) => {
    // Chromium reports every WebSocket that fails as an error; those are what some tests are about.
    if (message.type() === "error" && !message.text().includes("WebSocket")) problems.push(message.text())
  })
  page.problems = problems
  await page.goto(url)
  return page
}
