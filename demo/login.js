// Asks the user who they are, when the gateway wants to know. What a gateway has not refused is used again at the same
// gateway, so that a reconnect asks nobody; it is kept in this page's memory alone.
const dialog = document.getElementById("login")
const form = dialog.querySelector("form")
const why = document.getElementById("login-why")

/** By host: what was typed for one gateway is nobody else's business. */
const lastAnswers = new Map()

/**
 * Answers a challenge of the library.
 * @param {{ realm?: string, url: string, attempt: number }} challenge
 * @returns {Promise<{ username: string, password: string } | null>} null if the user does not want to say
 */
export async function askUser({ realm, url, attempt }) {
  const { host } = new URL(url)
  if (attempt === 1 && lastAnswers.has(host)) return lastAnswers.get(host)
  lastAnswers.delete(host)
  why.textContent = `${attempt > 1 ? "That was not accepted. " : ""}${host} asks for a login to ${realm ?? "this service"}.`
  form.elements.password.value = ""
  dialog.returnValue = "none"
  dialog.showModal()
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }))
  if (dialog.returnValue !== "answer") return null
  const { username, password } = form.elements
  const answer = { username: username.value, password: password.value }
  lastAnswers.set(host, answer)
  return answer
}
