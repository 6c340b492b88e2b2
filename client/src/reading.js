// Reading what a server sends, no further than it may be long.

/**
 * @param {Response} response
 * @param {number} most bytes
 * @returns {Promise<string>}
 * @throws {Error} if it has more; the rest is not read then
 */
export async function readText(response, most) {
  const decoder = new TextDecoder()
  const reader = response.body?.getReader()
  let text = ""
  let length = 0
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true }
    if (done) return text + decoder.decode()
    length += value.length
    if (length > most) {
      reader.cancel().catch(() => {})
      throw new Error(`it has more than ${most} bytes`)
    }
    text += decoder.decode(value, { stream: true })
  }
}
