// Asks the user who they are, when the gateway wants to know. What a gateway has not refused is used again, so that
// a reconnect asks nobody; it is kept in this page's memory alone.
const dialog = document.getElementById("login")
const form = dialog.querySelector("form")
const why = document.getElementById("login-why")

let lastAnswer = null

/**
 * Answers a challenge of the library.
 * @param {{ realm?: string, attempt: number }} challenge
 * @returns {Promise<{ username: string, password: string } | null>} null if the user does not want to say
 */
export async function askUser({ realm, attempt }) {
  if (attempt === 1 && lastAnswer !== null) return lastAnswer
  lastAnswer = null
  why.textContent = `${attempt > 1 ? "That was not accepted. " : ""}The gateway asks for a login to ${realm ?? "this service"}.`
  form.elements.password.value = ""
  dialog.returnValue = "none"
  dialog.showModal()
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }))
  if (dialog.returnValue !== "answer") return null
  const { username, password } = form.elements
  lastAnswer = { username: username.value, password: password.value }
  return lastAnswer
}
