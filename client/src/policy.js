// Whether the page's content security policy is why a script was not run; import() itself does not say so.

/**
 * Watches what the policy forbids until `stop` is called.
 * @returns {{ forbids: (address: string) => Promise<boolean>, stop: () => void }} `forbids` says whether a script from
 *   this address was forbidden; `blob` stands for all object URLs
 */
export function watchPolicy() {
  const forbidden = new Set()
  const note = ({ disposition, effectiveDirective, blockedURI }) => {
    if (disposition !== "report" && /^script-src/.test(effectiveDirective)) forbidden.add(blockedURI)
  }
  globalThis.addEventListener?.("securitypolicyviolation", note)
  return {
    async forbids(address) {
      // The event comes in a task of its own.
      await new Promise((resolve) => setTimeout(resolve))
      return forbidden.has(address)
    },
    stop: () => globalThis.removeEventListener?.("securitypolicyviolation", note),
  }
}
