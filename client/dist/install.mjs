// Smeuse's WebSocket for browsers, made of client/src by client/scripts/build.js. Apache-2.0.

// src/install.js
import { WebSocket } from "./smeuse.mjs";
if (globalThis.WebSocket?.[/* @__PURE__ */ Symbol.for("smeuse.platform")] === void 0) {
  Object.defineProperty(globalThis, "WebSocket", { value: WebSocket, writable: true, enumerable: false, configurable: true });
}
