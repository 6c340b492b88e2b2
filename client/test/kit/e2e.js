// What end-to-end tests need: a page that has the library from a gateway, scripted or real, and the life of one socket.
import { openPage } from "./browser.js"

/**
 * Opens a page and gives it the library as `globalThis.SmeuseWebSocket`.
 * @param {import("playwright-core").Browser} browser
 * @param {string} gateway where the gateway serves pages, such as http://127.0.0.1:8080
 * @param {{ by?: "classic" | "module", page?: string }} [options] how the library comes, and which page is opened
 */
export async function openLibraryPage(browser, gateway, { by = "classic", page: path = "/" } = {}) {
  const page = await openPage(browser, new URL(path, gateway).href)
  if (by === "classic") await page.addScriptTag({ url: `${gateway}/_smeuse/smeuse.js` })
  await page.evaluate(
    async ({ by, gateway }) => {
      globalThis.SmeuseWebSocket = by === "classic" ? WebSocket : (await import(`${gateway}/_smeuse/smeuse.mjs`)).WebSocket
    },
    { by, gateway },
  )
  return page
}

/**
 * Opens a socket in such a page, answers every challenge with the next of `credentials`, sends `send` once it is open,
 * closes after `messages` messages, and tells what the page saw.
 * @returns {Promise<{ events: unknown[][], challenges: object[], protocol: string, extensions: string }>}
 */
export const liveInPage = (page, { url, protocols = [], options = {}, credentials = [], send = [], messages = send.length }) =>
  page.evaluate(
    ({ url, protocols, options, credentials, send, messages }) =>
      new Promise((resolve) => {
        const events = []
        const challenges = []
        const login = (challenge) => {
          challenges.push(challenge)
          return credentials.shift()
        }
        const socket = new globalThis.SmeuseWebSocket(url, protocols, { login, ...options })
        let left = messages
        socket.onopen = () => {
          events.push(["open"])
          for (const data of send) socket.send(data)
          if (left === 0) socket.close()
        }
        socket.onmessage = ({ data }) => {
          events.push(["message", typeof data === "string" ? data : data.size])
          left -= 1
          if (left === 0) socket.close()
        }
        socket.onerror = () => events.push(["error"])
        socket.onclose = ({ code, reason, wasClean }) => {
          events.push(["close", code, reason, wasClean])
          resolve({ events, challenges, protocol: socket.protocol, extensions: socket.extensions })
        }
      }),
    { url, protocols, options, credentials, send, messages },
  )
