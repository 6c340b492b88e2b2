// Smeuse's WebSocket for browsers, made of client/src by client/scripts/build.js. Apache-2.0.

// src/platform.js
var PLATFORM = /* @__PURE__ */ Symbol.for("smeuse.platform");
var found = globalThis.WebSocket;
function platformWebSocket() {
  const native = found ?? globalThis.WebSocket;
  if (native === void 0) throw new Error("there is no WebSocket here: give globalThis.WebSocket one before smeuse is used");
  return native[PLATFORM] ?? native;
}
var baseURL = () => globalThis.document?.baseURI ?? globalThis.location?.href;
var CloseEvent = globalThis.CloseEvent ?? class CloseEvent2 extends Event {
  #init;
  constructor(type, init = {}) {
    super(type, init);
    this.#init = { wasClean: Boolean(init.wasClean), code: init.code ?? 0, reason: init.reason ?? "" };
  }
  get wasClean() {
    return this.#init.wasClean;
  }
  get code() {
    return this.#init.code;
  }
  get reason() {
    return this.#init.reason;
  }
};
var anew = (event) => new event.constructor(event.type, event);
var report = (error) => (globalThis.reportError ?? console.error)(error);
var encoder = new TextEncoder();
var utf8Length = (text) => encoder.encode(text).length;
var utf8Prefix = (text, bytes) => text.slice(0, encoder.encodeInto(text, new Uint8Array(bytes)).read);

// src/gateway.js
var CONFIG_PATH = "/_smeuse/config.json";
var MODULE_PATH = "/_smeuse/smeuse.mjs";
var isHTTP = (protocol) => /^https?:$/.test(protocol ?? "");
function url(path, base) {
  try {
    const found2 = new URL(path, base);
    return isHTTP(found2.protocol) ? found2 : null;
  } catch {
    return null;
  }
}
function configOfModule(address) {
  const found2 = url(address ?? "");
  return found2?.pathname.endsWith(MODULE_PATH) ? url("config.json", found2) : void 0;
}
function configOfGateway(gateway) {
  const found2 = new URL(gateway, baseURL());
  found2.protocol = found2.protocol.replace(/^ws/, "http");
  if (!isHTTP(found2.protocol)) throw new TypeError("gateway is an http: or https: URL");
  return found2.pathname === "/" && found2.search === "" ? new URL(CONFIG_PATH, found2) : found2;
}

// src/header.js
var MAX_LIST_BYTES = 4096;
var MAX_ELEMENTS = 64;
var MAX_PARAMS = 64;
var HeaderError = class extends Error {
  name = "HeaderError";
  constructor(kind, sentence) {
    super(sentence);
    this.kind = kind;
  }
};
var isToken = (text) => TOKEN.test(text);
function parseTokens(lines) {
  const tokens = parseList(lines, (cursor) => cursor.token());
  const twice = tokens.find((token, index) => tokens.indexOf(token) !== index);
  if (twice !== void 0) throw new HeaderError("duplicate", `${twice} is listed twice`);
  return tokens;
}
function parseOffers(lines) {
  let left = MAX_PARAMS;
  return parseList(lines, (cursor) => {
    const offer = { name: cursor.token(), params: [] };
    while (cursor.skipWhitespace().eat(";")) {
      if (left-- === 0) throw new HeaderError("too_many_params", `the list has more than ${MAX_PARAMS} parameters`);
      const param = cursor.skipWhitespace().token();
      const hasValue = cursor.skipWhitespace().eat("=");
      offer.params.push([param, hasValue ? cursor.skipWhitespace().value() : null]);
    }
    return offer;
  });
}
var formatOffer = ({ name, params }) => [name, ...params.map(formatParam)].join("; ");
var formatParam = ([name, value]) => value === null ? name : `${name}=${value}`;
function parseList(lines, element) {
  const elements = [];
  let bytesLeft = MAX_LIST_BYTES;
  let isPresent = false;
  for (const line of lines) {
    isPresent = true;
    bytesLeft -= new TextEncoder().encode(line).length;
    if (bytesLeft < 0) throw new HeaderError("too_long", `the list has more than ${MAX_LIST_BYTES} bytes`);
    const cursor = new Cursor(line);
    while (!cursor.skipEmptyElements().isAtEnd) {
      if (elements.length === MAX_ELEMENTS) {
        throw new HeaderError("too_many_elements", `the list has more than ${MAX_ELEMENTS} elements`);
      }
      elements.push(element(cursor));
      cursor.skipWhitespace().expectElementEnd();
    }
  }
  if (isPresent && elements.length === 0) throw new HeaderError("empty", "the list is empty");
  return elements;
}
var Cursor = class {
  #text;
  #at = 0;
  constructor(text) {
    this.#text = text;
  }
  get isAtEnd() {
    return this.#at === this.#text.length;
  }
  get rest() {
    return this.#text.slice(this.#at);
  }
  eat(wanted) {
    if (this.#text[this.#at] !== wanted) return false;
    this.#at += 1;
    return true;
  }
  skipWhitespace() {
    while (this.eat(" ") || this.eat("	")) ;
    return this;
  }
  /** RFC 7230 section 7: a recipient parses and ignores empty list elements. */
  skipEmptyElements() {
    while (this.eat(" ") || this.eat("	") || this.eat(",")) ;
    return this;
  }
  expectElementEnd() {
    if (!this.isAtEnd && this.#text[this.#at] !== ",") throw this.#unexpected();
  }
  token() {
    const [token] = TOKEN_PREFIX.exec(this.rest);
    if (token === "") throw this.#unexpected();
    this.#at += token.length;
    return token;
  }
  /** A token, or a quoted string whose content is one (RFC 6455 section 9.1). */
  value() {
    if (this.#text[this.#at] !== '"') return this.token();
    const value = this.quoted();
    if (!isToken(value)) throw new HeaderError("value_not_token", "a quoted value is not a token");
    return value;
  }
  /** The content of a quoted string (RFC 7230 section 3.2.6). */
  quoted() {
    let value = "";
    this.#at += 1;
    while (!this.eat('"')) {
      this.eat("\\");
      if (this.isAtEnd) throw new HeaderError("quote_open", "a quoted string does not end");
      value += this.#text[this.#at];
      this.#at += 1;
    }
    return value;
  }
  #unexpected() {
    if (this.isAtEnd) return new HeaderError("unexpected_end", "it ends where a name or a value was due");
    return new HeaderError("unexpected", `unexpected character ${JSON.stringify(this.#text[this.#at])}`);
  }
};
var TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
var TOKEN_PREFIX = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]*/;

// src/arguments.js
var syntaxError = (sentence) => new DOMException(sentence, "SyntaxError");
function parseURL(text) {
  let url2;
  try {
    url2 = new URL(text, baseURL());
  } catch {
    throw syntaxError(`The URL '${text}' is invalid.`);
  }
  url2.protocol = url2.protocol.replace(/^http/, "ws");
  if (!/^wss?:$/.test(url2.protocol)) throw syntaxError(`The URL's scheme must be 'http', 'https', 'ws' or 'wss', not '${url2.protocol}'.`);
  if (url2.href.includes("#")) throw syntaxError(`The URL contains a fragment identifier ('${url2.hash}').`);
  return url2;
}
function toProtocols(value) {
  if (value === void 0) return [];
  const isSequence = (typeof value === "object" || typeof value === "function") && value !== null && value[Symbol.iterator] != null;
  return isSequence ? Array.from(value, (protocol) => `${protocol}`) : [`${value}`];
}
function checkProtocols(protocols) {
  for (const [index, protocol] of protocols.entries()) {
    if (!isToken(protocol)) throw syntaxError(`The subprotocol '${protocol}' is invalid.`);
    if (protocols.indexOf(protocol) !== index) throw syntaxError(`The subprotocol '${protocol}' is duplicated.`);
  }
}
function toCloseCode(value) {
  if (value === void 0) return void 0;
  const clamped = Math.min(Math.max(+value, 0), 65535) || 0;
  const floor = Math.floor(clamped);
  const isTie = clamped - floor === 0.5;
  return isTie ? floor + floor % 2 : Math.round(clamped);
}
function checkClose(code, reason) {
  if (code !== void 0 && code !== 1e3 && !(code >= 3e3 && code <= 4999)) {
    throw new DOMException(`The close code must be 1000 or between 3000 and 4999, not ${code}.`, "InvalidAccessError");
  }
  if (utf8Length(reason) > 123) throw syntaxError("The close reason must not have more than 123 bytes of UTF-8.");
}
function toMessage(data) {
  if (data instanceof Blob) return data;
  if (ArrayBuffer.isView(data)) {
    if (tagOf(data.buffer) === "[object SharedArrayBuffer]") {
      throw new TypeError("The view must not be of shared memory.");
    }
    return bytesOf(data.buffer, data.byteOffset, data.byteLength);
  }
  if (tagOf(data) === "[object ArrayBuffer]") return bytesOf(data, 0, data.byteLength);
  return `${data}`;
}
var tagOf = (value) => Object.prototype.toString.call(value);
var bytesOf = (buffer, offset, length) => length === 0 ? new Uint8Array(0) : new Uint8Array(buffer, offset, length);

// src/extensions/idle-timeout.js
var MAX_DELAY = 2 ** 31 - 1;
var GRACE = 100;
var idleTimeoutOver = (clock) => ({
  name: "x-kaazing-idle-timeout",
  offer: () => "",
  agree(params, { seesSignsOfLife, fail }) {
    const [name, value] = params[0] ?? [];
    if (params.length !== 1 || name !== "timeout" || !/^[1-9]\d{0,14}$/.test(value ?? "")) {
      throw new Error("the timeout is not a number of milliseconds");
    }
    const timeout = Math.min(Number(value), MAX_DELAY);
    const state = { last: clock.now(), timer: void 0 };
    const look = (delay, isSecond = false) => {
      state.timer = clock.setTimeout(() => {
        const left = state.last + timeout - clock.now();
        if (left > 0) look(left);
        else if (!isSecond) look(GRACE, true);
        else fail(`nothing came from the gateway for ${timeout} ms`);
      }, delay);
    };
    if (seesSignsOfLife) look(timeout);
    return state;
  },
  received({ state }) {
    state.last = clock.now();
  },
  ended({ state }) {
    clock.clearTimeout(state.timer);
  }
});
var idleTimeout = idleTimeoutOver({
  now: () => performance.now(),
  setTimeout: (run, delay) => setTimeout(run, delay),
  clearTimeout: (id) => clearTimeout(id)
});

// src/extensions/ping-pong.js
var PING = "	\0";
var PONG = "\n\0";
var pingPong = {
  name: "x-kaazing-ping-pong",
  showsSignsOfLife: true,
  offer: () => "",
  agree(params) {
    const [name, value] = params[0] ?? [];
    if (params.length !== 1 || value !== null || !/^[0-9a-f]{8}$/i.test(name)) {
      throw new Error("the control bytes are not 8 hexadecimal digits");
    }
    const bytes = name.match(/../g).map((pair) => Number.parseInt(pair, 16));
    if (bytes.some((byte) => byte > 127)) throw new Error("the control bytes are not ASCII");
    return { control: String.fromCharCode(...bytes), isEscaped: false };
  },
  fromServer(message, { state, send }) {
    if (typeof message !== "string") {
      state.isEscaped = false;
      return message;
    }
    const isControl = message.startsWith(state.control);
    if (state.isEscaped) {
      if (!isControl) throw new Error("an escape before what needs none");
      state.isEscaped = false;
      return message;
    }
    if (!isControl) return message;
    const rest = message.slice(state.control.length);
    if (rest === "") state.isEscaped = true;
    else if (rest === PING) send(state.control + PONG);
    else if (rest !== PONG) throw new Error("an unknown control message");
    return void 0;
  },
  toServer(message, { state }) {
    const isLikeControl = typeof message === "string" && message.startsWith(state.control);
    return isLikeControl ? [state.control, message] : message;
  }
};

// src/extensions/sequence.js
var SEQUENCE_VIOLATED = 4108;
var DIGITS = 8;
var sequence = {
  name: "smeuse-sequence",
  offer: () => "",
  agree(params) {
    if (params.length > 0) throw new Error("parameters where none are known");
    return { next: 0, expected: 0 };
  },
  fromServer(message, { state, close }) {
    const fault = classify(digitsOf(message), state.expected);
    if (fault !== null) {
      close(SEQUENCE_VIOLATED, `smeuse-sequence: ${fault}, ${format(state.expected)} was expected`);
      return void 0;
    }
    state.expected = state.expected + 1 >>> 0;
    return typeof message === "string" ? message.slice(DIGITS) : message.subarray(DIGITS);
  },
  toServer(message, { state }) {
    const digits = format(state.next);
    state.next = state.next + 1 >>> 0;
    if (typeof message === "string") return digits + message;
    const numbered = new Uint8Array(DIGITS + message.length);
    for (let index = 0; index < DIGITS; index += 1) numbered[index] = digits.charCodeAt(index);
    numbered.set(message, DIGITS);
    return numbered;
  }
};
var format = (number) => number.toString(16).padStart(DIGITS, "0");
var digitsOf = (message) => typeof message === "string" ? message.slice(0, DIGITS) : String.fromCharCode(...message.subarray(0, DIGITS));
function classify(digits, expected) {
  if (!/^[0-9a-f]{8}$/.test(digits)) return "malformed";
  const difference = Number.parseInt(digits, 16) - expected | 0;
  if (difference === 0) return null;
  if (difference === -1) return "duplicate";
  return difference < 0 ? "reordered" : "gap";
}

// src/catalogue.js
var known = new Map([idleTimeout, pingPong, sequence].map((extension) => [extension.name, extension]));
var delivered = /* @__PURE__ */ new Map();
var find = (name) => known.get(name) ?? delivered.get(name)?.extension;
var isOwn = (name) => known.has(name);
var deliveredAs = (name) => delivered.get(name)?.integrity;
function deliver(extension, integrity) {
  check(extension);
  delivered.set(extension.name, { extension, integrity });
}
function check(extension) {
  if (!isToken(extension?.name ?? "")) throw new TypeError("an extension has a name, which is a token");
  if (typeof extension.agree !== "function") throw new TypeError(`the extension ${extension.name} has no agree(params, context)`);
  for (const callback of ["offer", "fromServer", "toServer", "received", "ended"]) {
    if (!["function", "undefined"].includes(typeof extension[callback])) {
      throw new TypeError(`${callback} of the extension ${extension.name} is not a function`);
    }
  }
  if (!["boolean", "undefined"].includes(typeof extension.showsSignsOfLife)) {
    throw new TypeError(`showsSignsOfLife of the extension ${extension.name} is true or false`);
  }
}
var extensions = Object.freeze({
  /**
   * Makes an extension known. Its callbacks are described in types/index.d.ts and in README.md.
   * @param {Extension} extension
   * @throws {TypeError} if it is not one, or its name is taken
   */
  register(extension) {
    check(extension);
    if (find(extension.name) !== void 0) throw new TypeError(`an extension ${extension.name} is known already`);
    known.set(extension.name, extension);
  },
  /**
   * Forgets an extension, one of the library's own too.
   * @param {string} name
   * @returns {boolean} whether there was one
   */
  unregister: (name) => [known.delete(name), delivered.delete(name)].includes(true),
  /**
   * The names of all that are known.
   * @returns {string[]}
   */
  names: () => [.../* @__PURE__ */ new Set([...known.keys(), ...delivered.keys()])]
});

// src/hosts.js
var defaultPort = ({ protocol }) => /^(?:https|wss):$/.test(protocol) ? "443" : "80";
var portOf = (url2) => url2.port || defaultPort(url2);
var hostOf = (url2) => ({ hostname: url2.hostname, port: portOf(url2) });
var isAt = (url2, { hostname, port }) => hostname !== "" && url2.hostname === hostname && portOf(url2) === (port ?? defaultPort(url2));
function ownHosts() {
  const { location } = globalThis;
  return /^https?:$/.test(location?.protocol ?? "") ? [hostOf(location)] : [];
}
function parseHost(text) {
  if (typeof text === "string" && /^[^\s/\\?#@]+$/.test(text)) {
    try {
      return { hostname: new URL(`ws://${text}`).hostname, port: /:(\d+)$/.exec(text)?.[1] ?? null };
    } catch {
    }
  }
  throw new TypeError("a login host is host or host:port");
}

// src/policy.js
function watchPolicy() {
  const forbidden = /* @__PURE__ */ new Set();
  const note = ({ disposition, effectiveDirective, blockedURI }) => {
    if (disposition !== "report" && /^script-src/.test(effectiveDirective)) forbidden.add(blockedURI);
  };
  globalThis.addEventListener?.("securitypolicyviolation", note);
  return {
    async forbids(address) {
      await new Promise((resolve) => setTimeout(resolve));
      return forbidden.has(address);
    },
    stop: () => globalThis.removeEventListener?.("securitypolicyviolation", note)
  };
}

// src/reading.js
async function readText(response, most) {
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  let text = "";
  let length = 0;
  for (; ; ) {
    const { done, value } = await reader?.read() ?? { done: true };
    if (done) return text + decoder.decode();
    length += value.length;
    if (length > most) {
      reader.cancel().catch(() => {
      });
      throw new Error(`it has more than ${most} bytes`);
    }
    text += decoder.decode(value, { stream: true });
  }
}

// src/modules.js
var MAX_MODULE_BYTES = 1024 * 1024;
var INTEGRITY = /^sha(?:256|384|512)-[A-Za-z0-9+/]+={0,2}$/;
var imports = /* @__PURE__ */ new Map();
var unfinished = /* @__PURE__ */ new Set();
function importExtension(source, base, timeout) {
  const key = `${source.name} ${source.integrity}`;
  if (!imports.has(key)) imports.set(key, bring(source, base, timeout, key).finally(() => imports.delete(key)));
  return imports.get(key);
}
async function bring({ name, module, integrity }, base, timeout, key) {
  if (integrity !== void 0 && deliveredAs(name) === integrity) return;
  const deadline = AbortSignal.timeout(timeout);
  const take = ({ default: extension }) => {
    if (extension?.name !== name) throw new TypeError(`its module is that of ${extension?.name}`);
    if (!deadline.aborted || deliveredAs(name) === void 0) deliver(extension, integrity);
  };
  const run = (address) => {
    unfinished.add(key);
    return before(deadline, import(address).then(take).finally(() => unfinished.delete(key)));
  };
  try {
    if (!INTEGRITY.test(integrity ?? "")) throw new TypeError("config.json gives no integrity for it");
    if (unfinished.has(key)) throw new Error("it was begun for an earlier WebSocket and is not there yet");
    const url2 = new URL(module, base);
    await runText(await fetchChecked(url2, integrity, deadline), url2, run);
  } catch (error) {
    const reason = deadline.aborted ? `it was not there within ${timeout} ms` : error?.message ?? error;
    throw new Error(`the extension ${name} cannot be loaded: ${reason}`);
  }
}
async function fetchChecked(url2, integrity, signal) {
  let response;
  try {
    response = await fetch(url2, { integrity, signal });
  } catch (error) {
    const found2 = await fetch(url2, { method: "HEAD", signal }).catch(() => void 0);
    if (found2 === void 0) throw error;
    throw new Error(found2.ok ? "what is there is not what config.json names (integrity)" : `status ${found2.status}`);
  }
  if (!response.ok) throw new Error(`status ${response.status}`);
  return readText(response, MAX_MODULE_BYTES);
}
async function runText(text, url2, run) {
  if (globalThis.process?.versions?.node) return run(`data:text/javascript,${encodeURIComponent(text)}`);
  const policy = watchPolicy();
  let blob;
  try {
    blob = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    return await run(blob);
  } catch (error) {
    if (!await policy.forbids("blob")) throw error;
  } finally {
    if (blob !== void 0) URL.revokeObjectURL(blob);
    policy.stop();
  }
  return runPath(url2, run);
}
async function runPath({ href }, run) {
  const policy = watchPolicy();
  try {
    return await run(href);
  } catch (error) {
    if (!await policy.forbids(href)) throw error;
    throw new Error(
      "the page's content security policy forbids it: script-src needs a nonce at the library's script, the gateway, or blob:"
    );
  } finally {
    policy.stop();
  }
}
function before(signal, promise) {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    promise.then(resolve, reject);
  });
}

// src/options.js
function parseOptions({ extensions: extensions2, fallback, handshakeTimeout, login, loginHosts }) {
  const options = {};
  if (extensions2 !== void 0) options.extensions = parseRequested(extensions2);
  if (fallback !== void 0) {
    if (fallback !== "plain" && fallback !== "error") throw new TypeError("fallback is plain or error");
    options.fallback = fallback;
  }
  if (handshakeTimeout !== void 0) {
    if (!(handshakeTimeout > 0 && handshakeTimeout < 2 ** 31)) throw new TypeError("handshakeTimeout is a number of milliseconds");
    options.handshakeTimeout = handshakeTimeout;
  }
  if (login !== void 0) {
    if (login !== null && typeof login !== "function") throw new TypeError("login is a function");
    options.login = login;
  }
  if (loginHosts !== void 0) {
    if (!Array.isArray(loginHosts)) throw new TypeError("loginHosts is an array");
    options.loginHosts = loginHosts.map(parseHost);
  }
  return options;
}
function parseRequested(extensions2) {
  if (!Array.isArray(extensions2)) throw new TypeError("extensions is an array");
  const requested = extensions2.map((entry) => typeof entry === "string" ? fromText(entry) : { ...entry });
  for (const [index, { name }] of requested.entries()) {
    if (!isToken(name ?? "")) throw new TypeError("an extension to ask for has a name, which is a token");
    if (requested.findIndex((other) => other.name === name) !== index) throw new TypeError(`${name} is asked for twice`);
  }
  return requested;
}
function fromText(text) {
  const [name, ...params] = text.split(";");
  return params.length === 0 ? { name: name.trim() } : { name: name.trim(), params: params.join(";").trim() };
}

// src/configuration.js
var HANDSHAKE_TIMEOUT = 5e3;
var LOADING_TIMEOUT = 5e3;
var CHECK_INTERVAL = 2e3;
var CHECK_TIMEOUT = 1e3;
var MAX_CONFIG_BYTES = 1024 * 1024;
var DEFAULT_EXTENSIONS = [{ name: "x-kaazing-idle-timeout" }, { name: "x-kaazing-ping-pong" }];
var PLAIN = Object.freeze({ isExtended: false });
var Configuration = class {
  /** The page's own options, for all sockets. */
  #options = {};
  #login = null;
  /** Where config.json lies; null if there is none and so no endpoint, undefined if every URL is an endpoint. */
  #configURL = void 0;
  /** What config.json said last: its text and the endpoints by path; null if there is none yet. */
  #latest = null;
  /** The promise of endpoints while config.json is being asked for, or null. */
  #loading = null;
  /** When it was asked for. */
  #askedAt = -Infinity;
  /** Modules that could not be loaded, by name and hash, and that config.json was asked for again because of. */
  #broken = /* @__PURE__ */ new Set();
  /**
   * By origin and path, whether the extended handshake is spoken there, as far as sockets without a gateway have found
   * out. Once true, always true: a gateway that is overloaded is one, too. One origin may have servers of both kinds.
   */
  #isSpoken = /* @__PURE__ */ new Map();
  get login() {
    return this.#login;
  }
  set login(login) {
    this.#login = typeof login === "function" ? login : null;
  }
  /**
   * @param {import("../types/index.d.ts").Configuration} options what is not named stays as it is
   * @throws {TypeError} if an option is not what it should be
   */
  configure(options) {
    const { gateway } = options;
    const { login, ...parsed } = parseOptions(options);
    const configURL = gateway === void 0 || gateway === null ? gateway : configOfGateway(gateway);
    if (login !== void 0) this.login = login;
    this.#options = { ...this.#options, ...parsed };
    if (gateway === void 0) return;
    this.#configURL = configURL;
    this.#latest = null;
    this.#loading = null;
    if (configURL !== null) this.#load();
  }
  /**
   * @param {URL} url
   * @param {object} options of this one socket; not looked at if the socket is none of this gateway's
   * @returns {Route | Promise<Route> | null} null if the socket is none of this gateway's
   * @throws {TypeError} if an option is not what it should be
   */
  route(url2, options) {
    const base = this.#configURL;
    if (base === null || base !== void 0 && !isAt(url2, hostOf(base))) return null;
    const own = parseOptions(options);
    const asked = { ...this.#options, ...own, login: own.login === void 0 ? this.#login : own.login };
    const ownLoginHosts = own.login !== void 0 ? [hostOf(url2)] : base === void 0 ? ownHosts() : [hostOf(base)];
    asked.loginHosts = [...ownLoginHosts, ...asked.loginHosts ?? []];
    return base === void 0 ? this.#routeWithoutGateway(url2, own, asked) : this.#routeThroughGateway(url2, own, asked);
  }
  #routeWithoutGateway({ origin, pathname }, own, asked) {
    const place = origin + pathname;
    const isIndifferent = own.extensions === void 0 && own.login === void 0 && asked.fallback !== "error";
    if (this.#isSpoken.get(place) === false && isIndifferent) return PLAIN;
    const learn = (isSpoken) => this.#isSpoken.get(place) || this.#isSpoken.set(place, isSpoken);
    return { ...extendedRoute(asked, {}), learn };
  }
  async #routeThroughGateway(url2, own, asked) {
    const base = this.#configURL;
    let endpoints;
    try {
      endpoints = await this.#load();
    } catch (error) {
      const isWanted = own.extensions?.length > 0 && asked.fallback === void 0;
      if (asked.fallback === "error" || isWanted) throw new Error(`${base} cannot be used: ${error.message}`);
      console.warn(`smeuse: ${base} cannot be used, so WebSockets are plain ones: ${error.message}`);
      return PLAIN;
    }
    const endpoint = endpoints.get(url2.pathname);
    if (endpoint === void 0) return PLAIN;
    const missing = await this.#importMissing(asked.extensions ?? endpoint.extensions ?? [], endpoint.extensions ?? [], base);
    return extendedRoute(asked, endpoint, missing);
  }
  /**
   * Imports those extensions that are asked for and that config.json has a module for, in the version that it names.
   * @returns {Promise<{ extension: string, reason: string }[]>} those that cannot be had and are not required
   * @throws {Error} if one that is required cannot be had
   */
  async #importMissing(requested, configured, base) {
    const missing = [];
    const imports2 = requested.map(async ({ name, required }) => {
      const source = configured.find((entry) => entry.name === name);
      if (source?.module === void 0 || isOwn(name)) return;
      try {
        await importExtension(source, base, LOADING_TIMEOUT);
      } catch (error) {
        this.#distrust(source);
        if (required !== false) throw error;
        console.warn(`smeuse: the connection goes on without an extension: ${error.message}`);
        missing.push({ extension: name, reason: error.message });
      }
    });
    await Promise.all(imports2);
    return missing;
  }
  /** The gateway may have a newer module than config.json was told of, so the next socket asks; once for each module. */
  #distrust({ name, integrity }) {
    const module = `${name} ${integrity}`;
    if (this.#broken.has(module)) return;
    this.#broken.add(module);
    this.#askedAt = -Infinity;
  }
  /** The endpoints: what config.json said last, unless it is time to ask again, or was not there the last time. */
  #load() {
    if (this.#loading !== null) return this.#loading;
    const [base, latest] = [this.#configURL, this.#latest];
    if (latest !== null && performance.now() - this.#askedAt < CHECK_INTERVAL) return latest.endpoints;
    this.#askedAt = performance.now();
    const isCurrent = () => this.#configURL === base && this.#loading === loading;
    const answer = loadConfig(base, latest).then(
      (newer) => {
        if (isCurrent()) [this.#latest, this.#loading] = [newer, null];
        return newer.endpoints;
      },
      (error) => {
        if (isCurrent()) this.#loading = null;
        if (latest !== null) return latest.endpoints;
        throw error;
      }
    );
    const loading = latest === null ? answer : within(CHECK_TIMEOUT, answer, latest.endpoints);
    loading.catch(() => {
    });
    this.#loading = loading;
    return loading;
  }
};
function within(milliseconds, promise, otherwise) {
  let timer;
  const late = new Promise((resolve) => timer = setTimeout(resolve, milliseconds, otherwise));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
async function loadConfig(url2, latest) {
  const response = await fetch(url2, { cache: "no-cache", signal: AbortSignal.timeout(LOADING_TIMEOUT) });
  if (!response.ok) throw new Error(`status ${response.status}`);
  const text = await readText(response, MAX_CONFIG_BYTES);
  return text === latest?.text ? latest : { text, endpoints: parseConfig(JSON.parse(text)) };
}
function parseConfig(config) {
  if (config?.version !== 1) throw new TypeError("it is not of version 1");
  if (!Array.isArray(config.endpoints)) throw new TypeError("it has no endpoints");
  const endpoints = /* @__PURE__ */ new Map();
  for (const { paths, kind, extensions: extensions2, fallback, messageBytes } of config.endpoints) {
    const endpoint = { kind, ...parseOptions({ extensions: extensions2, fallback }) };
    if (messageBytes > 0) endpoint.messageBytes = messageBytes;
    for (const path of paths) endpoints.set(path, endpoint);
  }
  return endpoints;
}
function extendedRoute(own, endpoint, missing = []) {
  return {
    isExtended: true,
    kind: endpoint.kind,
    messageBytes: endpoint.messageBytes,
    offers: makeOffers(own.extensions, endpoint.extensions ?? DEFAULT_EXTENSIONS, missing),
    missing,
    fallback: own.fallback ?? endpoint.fallback ?? "plain",
    handshakeTimeout: own.handshakeTimeout ?? HANDSHAKE_TIMEOUT,
    login: own.login,
    loginHosts: own.loginHosts
  };
}
function makeOffers(requestedByPage, requestedByOthers, missing) {
  return (requestedByPage ?? requestedByOthers).flatMap(({ name, params, required }) => {
    if (missing.some(({ extension: extension2 }) => extension2 === name)) return [];
    const extension = find(name);
    const isDispensable = requestedByPage === void 0 || required === false;
    if (extension === void 0 && isDispensable) return [];
    if (extension === void 0) throw new TypeError(`the extension ${name} is not registered`);
    const text = extension.offer === void 0 ? params ?? "" : extension.offer(params);
    if (text === null || text === void 0) return [];
    const [offer, ...more] = parseOffers([text === "" ? name : `${name}; ${text}`]);
    if (more.length > 0) throw new TypeError(`the extension ${name} offers more than itself: ${formatOffer(more[0])}`);
    return [{ extension, offer }];
  });
}

// src/event-handlers.js
var EventHandlers = class {
  #target;
  #handlers = /* @__PURE__ */ new Map();
  /** @param {EventTarget} target */
  constructor(target) {
    this.#target = target;
  }
  /** The handler for this type of event, or null. */
  of(type) {
    return this.#handlers.get(type)?.value ?? null;
  }
  /** Sets a handler; what is neither a function nor an object is none. */
  set(type, value) {
    const isHandler = typeof value === "function" || typeof value === "object" && value !== null;
    const known2 = this.#handlers.get(type);
    if (isHandler && known2 !== void 0) known2.value = value;
    else if (isHandler) {
      const handler = { value };
      handler.listener = (event) => {
        if (typeof handler.value !== "function") return;
        if (handler.value.call(event.currentTarget, event) === false) event.preventDefault();
      };
      this.#handlers.set(type, handler);
      this.#target.addEventListener(type, handler.listener);
    } else if (known2 !== void 0) {
      this.#handlers.delete(type);
      this.#target.removeEventListener(type, known2.listener);
    }
  }
};

// src/challenge.js
function parseChallenge(line) {
  const cursor = new Cursor(line.replace(/^\s*application[ \t]+(?=\S)/i, ""));
  const scheme = cursor.skipWhitespace().token();
  const parameters = /* @__PURE__ */ Object.create(null);
  while (!cursor.skipEmptyElements().isAtEnd) {
    const name = cursor.token().toLowerCase();
    if (!cursor.skipWhitespace().eat("=")) throw new HeaderError("unexpected", `${name} has no value`);
    parameters[name] = cursor.skipWhitespace().rest.startsWith('"') ? cursor.quoted() : cursor.token();
    cursor.skipWhitespace().expectElementEnd();
  }
  return { scheme, realm: parameters.realm, parameters };
}
function authorization(challenges, credentials) {
  if (credentials === null || credentials === void 0) return null;
  if (typeof credentials === "string") return checked(credentials);
  if (typeof credentials !== "object") throw new TypeError("credentials are an object or a string");
  const offered = challenges.map(({ scheme }) => scheme);
  const named = credentials.scheme === void 0 ? offered : offered.filter((scheme) => isSame(scheme, credentials.scheme));
  if (named.length === 0) throw new TypeError("the scheme of the credentials is not one that was asked for");
  if (credentials.token !== void 0) {
    const scheme = named.find((each) => /^(?:token|bearer)$/i.test(each)) ?? named.find((each) => !isSame(each, "Basic"));
    if (scheme === void 0) throw new TypeError("a token was given where a username and a password are asked for");
    return checked(`${scheme} ${credentials.token}`);
  }
  const { username, password } = credentials;
  if (username === void 0 || password === void 0) {
    throw new TypeError("credentials are { username, password }, { token } or a string");
  }
  if (!named.some((scheme) => isSame(scheme, "Basic"))) {
    throw new TypeError("a username was given where a token is asked for");
  }
  if (`${username}`.includes(":")) throw new TypeError("a username has no colon in Basic");
  const bytes = new TextEncoder().encode(`${username}:${password}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}
var isSame = (scheme, other) => scheme.toLowerCase() === `${other}`.toLowerCase();
function checked(value) {
  if (!/^[!-~][ -~\t]*$/.test(value)) throw new TypeError("an Authorization value has only visible ASCII characters and spaces");
  return value;
}

// src/handshake.js
var SUBPROTOCOL = "x-kaazing-handshake";
var BAD_ANSWER = 4109;
var NO_CREDENTIALS = 4110;
var MAX_ANSWER_BYTES = 16 * 1024;
function begin(request) {
  return { next: new ExpectResponse(request, 0), action: { do: "send", text: formatRequest(request) } };
}
var ExpectResponse = class {
  #request;
  #attempts;
  constructor(request, attempts) {
    this.#request = request;
    this.#attempts = attempts;
  }
  /**
   * @param {string | ArrayBuffer} payload the gateway's message
   * @returns {Step}
   */
  receive(payload) {
    try {
      return this.#judge(parseResponse(payload));
    } catch (error) {
      return failed(error.message);
    }
  }
  #judge({ status, headers, body }) {
    const all = (name) => headers.filter((header) => header.name === name).map((header) => header.value);
    if (status === 101) return { next: null, action: { do: "open", ...this.#agreement(all) } };
    if (status === 401 && all("www-authenticate").length > 0) {
      const challenges = all("www-authenticate").map(parseChallenge);
      const attempt = this.#attempts + 1;
      return { next: new ExpectCredentials(this.#request, attempt), action: { do: "ask", challenges, attempt } };
    }
    if (status === 302) {
      const [location] = all("location");
      if (location === void 0) throw new Error("a redirect without a Location");
      return { next: null, action: { do: "redirect", location } };
    }
    if (status >= 400) return { next: null, action: { do: "await_close", status, sentence: body.trim() } };
    throw new Error(`unexpected status ${status}`);
  }
  #agreement(all) {
    const { protocols, offers } = this.#request;
    const [protocol = "", ...more] = parseTokens(all("sec-websocket-protocol").filter(Boolean));
    if (more.length > 0) throw new Error("several subprotocols were chosen");
    if (protocol !== "" && !protocols.includes(protocol)) throw new Error(`the subprotocol ${protocol} was not offered`);
    if (protocol === "" && protocols.length > 0) throw new Error("no subprotocol was chosen");
    const extensions2 = parseOffers(all("sec-websocket-extensions"));
    for (const [index, { name }] of extensions2.entries()) {
      if (!offers.some((offer) => offer.name === name)) throw new Error(`the extension ${name} was not offered`);
      if (extensions2.findIndex((extension) => extension.name === name) !== index) {
        throw new Error(`the extension ${name} was agreed on twice`);
      }
    }
    return { protocol, extensions: extensions2 };
  }
};
var ExpectCredentials = class {
  #request;
  #attempt;
  constructor(request, attempt) {
    this.#request = request;
    this.#attempt = attempt;
  }
  /**
   * @param {string | null} authorization the value of the Authorization header; it is not kept
   * @returns {Step}
   */
  answer(authorization2) {
    if (authorization2 === null) {
      return { next: null, action: { do: "fail", code: NO_CREDENTIALS, reason: "the page gave no credentials" } };
    }
    const text = formatRequest(this.#request, authorization2);
    return { next: new ExpectResponse(this.#request, this.#attempt), action: { do: "send", text } };
  }
  /** Nothing was asked of the gateway, so nothing can be answered. */
  receive() {
    return failed("a message while credentials are awaited");
  }
};
var failed = (reason) => ({ next: null, action: { do: "fail", code: BAD_ANSWER, reason: `extended handshake: ${reason}` } });
function formatRequest({ target, protocols, offers }, authorization2) {
  const lines = [`GET ${target} HTTP/1.1`];
  if (protocols.length > 0) lines.push(`Sec-WebSocket-Protocol: ${protocols.join(", ")}`);
  if (offers.length > 0) lines.push(`Sec-WebSocket-Extensions: ${offers.map(formatOffer).join(", ")}`);
  if (authorization2 !== void 0) lines.push(`Authorization: ${authorization2}`);
  return `${lines.join("\r\n")}\r
\r
`;
}
function parseResponse(payload) {
  const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : new Uint8Array(payload);
  if (bytes.length > MAX_ANSWER_BYTES) throw new Error(`the answer has more than ${MAX_ANSWER_BYTES} bytes`);
  const text = new TextDecoder().decode(bytes);
  const end = text.indexOf("\r\n\r\n");
  if (end === -1) throw new Error("the answer's head does not end");
  const [statusLine, ...lines] = text.slice(0, end).split("\r\n");
  const status = /^HTTP\/1\.1 ([1-5]\d\d)(?: |$)/.exec(statusLine)?.[1];
  if (status === void 0) throw new Error("the answer has no status");
  const headers = lines.map((line) => {
    const [, name, value] = /^([^\s:]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
    if (name === void 0 || !isToken(name)) throw new Error("a line of the answer is not a header");
    return { name: name.toLowerCase(), value };
  });
  return { status: Number(status), headers, body: text.slice(end + 4) };
}

// src/backlog.js
var Backlog = class {
  #entries = [];
  #first = 0;
  #own = 0;
  #wire = 0;
  /** A message was given to the platform: `own` bytes of the page became `wire` bytes. */
  add(own, wire, buffered) {
    this.#entries.push({ own, wire });
    this.#own += own;
    this.#wire += wire;
    this.#forget(buffered);
  }
  /** The page's own bytes, when the platform buffers `buffered`. */
  remaining(buffered) {
    this.#forget(buffered);
    if (buffered >= this.#wire) return this.#own + buffered - this.#wire;
    const front = this.#entries[this.#first];
    return this.#own - front.own + Math.min(front.own, buffered - (this.#wire - front.wire));
  }
  /** The platform sends in order, so what is gone is in front. */
  #forget(buffered) {
    while (this.#first < this.#entries.length && this.#wire - this.#entries[this.#first].wire >= buffered) {
      const { own, wire } = this.#entries[this.#first];
      this.#own -= own;
      this.#wire -= wire;
      this.#first += 1;
    }
    if (this.#first * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#first);
      this.#first = 0;
    }
  }
};

// src/outbox.js
var MAX_JOINED_BYTES = 64 * 1024;
var EXTENSIONS_ROOM = 256;
var sizeOf = (data) => typeof data === "string" ? utf8Length(data) : data.size ?? data.byteLength;
var Outbox = class {
  #native;
  #pipeline;
  #joinedMost;
  #onError;
  #backlog = new Backlog();
  #joined = new Uint8Array(1024);
  #joinedLength = 0;
  #isFlushDue = false;
  /** What waits behind a Blob that is being read; the Blob itself is the first. */
  #waiting = [];
  #waitingBytes = 0;
  #afterwards = null;
  #isBroken = false;
  /**
   * @param {WebSocket} native
   * @param {import("./pipeline.js").Pipeline} pipeline
   * @param {{ joins: boolean, messageBytes?: number, onError: (error: Error) => void }} options whether small binary
   *   messages are joined, how large a message the gateway takes, and who is told that an extension or the reading of a
   *   Blob failed; nothing is sent after that
   */
  constructor(native, pipeline, { joins, messageBytes = MAX_JOINED_BYTES, onError }) {
    this.#native = native;
    this.#pipeline = pipeline;
    const room = pipeline.isTransparent ? 0 : EXTENSIONS_ROOM;
    this.#joinedMost = joins ? Math.min(MAX_JOINED_BYTES, messageBytes - room) : 0;
    this.#onError = (error) => {
      this.#isBroken = true;
      onError(error);
    };
  }
  /** Bytes that the page has sent and the platform has not; in UTF-8, without what extensions add. */
  get bufferedAmount() {
    return this.#joinedLength + this.#waitingBytes + this.#backlog.remaining(this.#native.bufferedAmount);
  }
  /**
   * @param {string | Uint8Array | Blob} data bytes may change once this has returned
   */
  send(data) {
    if (this.#waiting.length > 0) this.#wait(data);
    else if (data instanceof Uint8Array && this.#canJoin(data)) this.#join(data);
    else {
      this.flush();
      if (!(data instanceof Blob)) this.#pass(data);
      else if (this.#pipeline.isTransparent) this.#give(data, data.size);
      else {
        this.#wait(data);
        this.#readFirst();
      }
    }
  }
  /** Sends what was joined so far. */
  flush() {
    if (this.#joinedLength === 0) return;
    const length = this.#joinedLength;
    this.#joinedLength = 0;
    this.#pass(this.#pipeline.isTransparent ? this.#joined.subarray(0, length) : this.#joined.slice(0, length));
  }
  /** Sends all that was accepted and then calls `afterwards`, at once if nothing waits. */
  finish(afterwards) {
    this.flush();
    if (this.#waiting.length === 0) afterwards();
    else this.#afterwards = afterwards;
  }
  /** Gives one message to the platform that has passed all extensions; `own` of its bytes are the page's. */
  transmit(message, own = 0) {
    this.#give(message, own);
  }
  // An empty message says something that a joined one would not.
  #canJoin = (bytes) => bytes.length > 0 && bytes.length <= this.#joinedMost;
  #join(bytes) {
    if (this.#joinedLength + bytes.length > this.#joinedMost) this.flush();
    const length = this.#joinedLength + bytes.length;
    if (length > this.#joined.length) {
      const larger = new Uint8Array(Math.min(this.#joinedMost, Math.max(length, this.#joined.length * 2)));
      larger.set(this.#joined.subarray(0, this.#joinedLength));
      this.#joined = larger;
    }
    this.#joined.set(bytes, this.#joinedLength);
    this.#joinedLength = length;
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    queueMicrotask(() => {
      this.#isFlushDue = false;
      this.flush();
    });
  }
  #pass(message) {
    if (this.#isBroken) return;
    let messages;
    try {
      messages = this.#pipeline.toServer(message);
    } catch (error) {
      this.#onError(error);
      return;
    }
    const own = sizeOf(message);
    messages.forEach((each, index) => this.#give(each, index === messages.length - 1 ? own : 0));
  }
  #give(data, own) {
    this.#native.send(data);
    if (!this.#pipeline.isEmpty) this.#backlog.add(own, sizeOf(data), this.#native.bufferedAmount);
  }
  #wait(data) {
    this.#waiting.push(data instanceof Uint8Array ? data.slice() : data);
    this.#waitingBytes += sizeOf(data);
  }
  #readFirst() {
    this.#waiting[0].arrayBuffer().then((buffer) => {
      const [, ...rest] = this.#waiting;
      this.#waiting = [];
      this.#waitingBytes = 0;
      this.#pass(new Uint8Array(buffer));
      for (const data of rest) this.send(data);
      if (this.#waiting.length > 0 || this.#afterwards === null) return;
      this.flush();
      this.#afterwards();
    }, this.#onError);
  }
};

// src/phase.js
var CLOSE_WAIT = 3e3;
var Phase = class {
  extensions = "";
  protocol = "";
  constructor(session) {
    this.session = session;
  }
  get readyState() {
    return 0;
  }
  get bufferedAmount() {
    return 0;
  }
  /** Whether the socket has failed or ended already, and can do neither again. */
  get isFailure() {
    return false;
  }
  enter() {
  }
  opened() {
  }
  message() {
  }
  error() {
  }
  closed() {
  }
  close() {
  }
  /** The session ends or fails: whatever runs by itself stops. */
  leave() {
  }
};
var ExpectClose = class extends Phase {
  #ending;
  #error = null;
  #sentInVain = 0;
  constructor(session, before2, ending = null) {
    super(session);
    this.before = before2;
    this.protocol = before2.protocol;
    this.extensions = before2.extensions;
    this.#ending = ending;
  }
  get readyState() {
    return 2;
  }
  get isFailure() {
    return this.#ending !== null;
  }
  get bufferedAmount() {
    return this.before.bufferedAmount + this.#sentInVain;
  }
  enter() {
    if (this.#ending === null) return;
    this.session.startTimer(CLOSE_WAIT, () => this.session.end({ ...this.#ending, wasClean: false, error: true }));
  }
  error(event) {
    this.#error = event;
  }
  closed(event) {
    if (this.#ending === null) this.session.end({ ...outcome(event), error: this.#error });
    else this.session.end({ ...this.#ending, wasClean: event.wasClean, error: true });
  }
  send(data) {
    this.#sentInVain += sendInVain(this.session.native, data);
  }
  leave() {
    this.before.leave();
  }
};
var Leaving = class extends ExpectClose {
  enter() {
    this.session.startTimer(0, () => this.session.end({ code: 1006, reason: "", wasClean: false, error: true }));
  }
  closed() {
  }
};
var Closed = class extends Phase {
  constructor(session, before2) {
    super(session);
    this.before = before2;
    this.protocol = before2.protocol;
    this.extensions = before2.extensions;
  }
  #sentInVain = 0;
  get readyState() {
    return 3;
  }
  get isFailure() {
    return true;
  }
  get bufferedAmount() {
    return this.before.bufferedAmount + this.#sentInVain;
  }
  send(data) {
    this.#sentInVain += sendInVain(this.session.native, data);
  }
};
function sendInVain(native, data) {
  if (native === null || native.readyState < 2) return sizeOf(data);
  native.send(data);
  return 0;
}
function closeNative(native, code, reason) {
  if (code !== void 0) native.close(code, reason);
  else if (reason) native.close(1e3, reason);
  else native.close();
}
var outcome = ({ code, reason, wasClean }) => ({ code, reason, wasClean });

// src/pipeline.js
var ExtensionError = class extends Error {
  name = "ExtensionError";
};
var Pipeline = class {
  #links = [];
  #ends;
  #hasEnded = false;
  /**
   * @param {{ extension: import("../types/index.d.ts").Extension, params: [string, string | null][] }[]} agreed
   * @param {Ends} ends
   * @throws {ExtensionError} if an extension does not accept its parameters
   */
  constructor(agreed, ends) {
    this.#ends = ends;
    try {
      const seesSignsOfLife = agreed.some(({ extension }) => extension.showsSignsOfLife === true);
      for (const { extension, params } of agreed) this.#add(extension, params, seesSignsOfLife);
    } catch (error) {
      this.end();
      throw error;
    }
  }
  #add(extension, params, seesSignsOfLife) {
    const index = this.#links.length;
    let isAgreed = false;
    const acting = (word, act) => (...values) => {
      if (this.#hasEnded) return;
      if (!isAgreed) throw new ExtensionError(`${extension.name}: ${word} within agree, before the socket is open`);
      act(...values);
    };
    const context = {
      state: void 0,
      seesSignsOfLife,
      send: acting("send", (message) => {
        for (const passed of this.#pass(checked2(extension, message), index + 1)) this.#ends.transmit(passed);
      }),
      close: acting("close", (code, reason) => this.#close(extension, code, reason)),
      fail: acting("fail", (reason) => this.#ends.fail(`${extension.name}: ${reason}`))
    };
    context.state = guarded(extension, () => extension.agree(params, context));
    isAgreed = true;
    this.#links.push({ extension, context });
  }
  #close(extension, code, reason) {
    try {
      guarded(extension, () => checkClose(code ?? 0, `${reason}`));
    } catch (error) {
      this.#ends.close(BAD_ANSWER, error.message);
      throw error;
    }
    this.#ends.close(code, `${reason}`);
  }
  /** Whether no extension was agreed on. */
  get isEmpty() {
    return this.#links.length === 0;
  }
  /** Whether what the page sends is passed on as it is; then even a Blob need not be read. */
  get isTransparent() {
    return this.#links.every(({ extension }) => extension.toServer === void 0);
  }
  /**
   * From the page.
   * @param {string | Uint8Array} message
   * @returns {(string | Uint8Array)[]} what is to be sent
   * @throws {ExtensionError}
   */
  toServer(message) {
    return this.#pass(message, 0);
  }
  /**
   * From the gateway.
   * @param {string | Uint8Array} message
   * @returns {(string | Uint8Array)[]} what the page gets
   * @throws {ExtensionError}
   */
  fromServer(message) {
    for (const { extension, context } of this.#links) guarded(extension, () => extension.received?.(context));
    return this.#links.reduceRight((messages, link) => messages.flatMap((each) => handle(link, "fromServer", each)), [message]);
  }
  /** The socket has ended, or is being closed; timers stop, and what extensions still say is not heard. */
  end() {
    this.#hasEnded = true;
    for (const { extension, context } of this.#links.splice(0)) {
      try {
        guarded(extension, () => extension.ended?.(context));
      } catch (error) {
        report(error);
      }
    }
  }
  #pass(message, from) {
    const links = this.#links.slice(from);
    return links.reduce((messages, link) => messages.flatMap((each) => handle(link, "toServer", each)), [message]);
  }
};
function handle({ extension, context }, direction, message) {
  if (extension[direction] === void 0) return [message];
  const result = guarded(extension, () => extension[direction](message, context));
  if (result === void 0 || result === null) return [];
  return (Array.isArray(result) ? result : [result]).map((each) => checked2(extension, each));
}
function guarded(extension, call) {
  try {
    return call();
  } catch (error) {
    if (error instanceof ExtensionError) throw error;
    throw new ExtensionError(`${extension.name}: ${error?.message ?? error}`, { cause: error });
  }
}
function checked2(extension, message) {
  if (typeof message === "string" || message instanceof Uint8Array) return message;
  if (message instanceof ArrayBuffer) return new Uint8Array(message);
  throw new ExtensionError(`${extension.name}: a message is a string or a Uint8Array`);
}

// src/open.js
var Open = class extends Phase {
  #pipeline;
  #outbox;
  #error = null;
  /** @param {{ protocol: string, agreed?: object[] }} agreement without `agreed` if there was no extended handshake */
  constructor(session, { protocol, agreed }) {
    super(session);
    this.protocol = protocol;
    this.extensions = [session.native.extensions, ...(agreed ?? []).map(formatOffer)].filter(Boolean).join(", ");
    this.#pipeline = new Pipeline(agreed ?? [], {
      transmit: (message) => this.#outbox.transmit(message),
      close: (code, reason) => session.fail(code, reason),
      fail: (reason) => session.giveUp(reason, false)
    });
    this.#outbox = new Outbox(session.native, this.#pipeline, {
      // Of others nobody knows whether they mind, whatever their subprotocol is called.
      joins: session.route.kind === "amqp" || agreed !== void 0 && /^amqp/i.test(protocol),
      messageBytes: session.route.messageBytes,
      onError: (error) => session.fail(BAD_ANSWER, error.message)
    });
  }
  get readyState() {
    return this.session.native.readyState;
  }
  get bufferedAmount() {
    return this.#outbox.bufferedAmount;
  }
  enter() {
    this.session.tellOpen();
  }
  message(payload) {
    const message = typeof payload === "string" ? payload : new Uint8Array(payload);
    let messages;
    try {
      messages = this.#pipeline.fromServer(message);
    } catch (error) {
      this.session.fail(BAD_ANSWER, error.message);
      return;
    }
    for (const each of messages) if (this.session.phase === this) this.session.tellMessage(each);
  }
  send(data) {
    this.#outbox.send(data);
  }
  close(code, reason) {
    const { session } = this;
    session.enter(new ExpectClose(session, this));
    this.#outbox.finish(() => {
      closeNative(session.native, code, reason);
      this.leave();
    });
  }
  error(event) {
    this.#error = event;
  }
  closed(event) {
    this.session.end({ ...outcome(event), error: this.#error });
  }
  leave() {
    this.#pipeline.end();
  }
};

// src/opening.js
var ExpectRoute = class extends Phase {
  close() {
    this.session.leave();
  }
};
var ExpectOpening = class extends Phase {
  #error = null;
  constructor(session, { isExtended, mayFallBack }) {
    super(session);
    this.isExtended = isExtended;
    this.mayFallBack = mayFallBack;
  }
  opened() {
    const { session } = this;
    const isSpoken = this.isExtended && session.native.protocol === SUBPROTOCOL;
    session.route.learn?.(isSpoken);
    if (isSpoken) session.enter(new Extending(session));
    else session.enter(new Open(session, { protocol: session.native.protocol }));
  }
  error(event) {
    this.#error = event;
    this.session.startTimer(0, () => this.closed({ code: 1006, reason: "", wasClean: false }));
  }
  closed(event) {
    this.session.stopTimer();
    if (this.mayFallBack) this.session.connectPlainly();
    else this.session.end({ ...outcome(event), error: this.#error ?? true });
  }
  close(code, reason) {
    this.session.enter(new ExpectClose(this.session, this));
    this.session.startTimer(CLOSE_WAIT, () => this.session.end({ code: 1006, reason: "", wasClean: false, error: true }));
    closeNative(this.session.native, code, reason);
  }
};
var Extending = class extends Phase {
  #handshake;
  enter() {
    const { url: url2, protocols, route } = this.session;
    const offers = route.offers.map(({ offer }) => offer);
    this.#step(begin({ target: url2.pathname + url2.search, protocols, offers }));
  }
  message(payload) {
    this.#step(this.#handshake.receive(payload));
  }
  closed(event) {
    this.session.end({ ...outcome(event), error: true });
  }
  close() {
    this.session.leave();
  }
  #step({ next, action }) {
    const { session } = this;
    this.#handshake = next;
    session.stopTimer();
    if (action.do === "send") {
      session.native.send(action.text);
      const wait = session.route.handshakeTimeout;
      session.startTimer(wait, () => session.giveUp(`no answer to the extended handshake within ${wait} ms`, true));
    } else if (action.do === "ask") this.#ask(action);
    else if (action.do === "open") this.#open(action);
    else if (action.do === "redirect") session.redirect(action.location);
    else if (action.do === "await_close") session.enter(new ExpectRefusal(session, action));
    else session.fail(action.code, action.reason);
  }
  async #ask({ challenges, attempt }) {
    const { session } = this;
    const asked = this.#handshake;
    if (session.route.login && !session.mayLogIn) {
      session.fail(NO_CREDENTIALS, `the page was not asked: ${session.url.host} is not among loginHosts`);
      return;
    }
    const shown = challenges.map((challenge) => ({ ...challenge }));
    const answer = await session.askPage({ ...shown[0], challenges: shown, url: session.url.href, attempt }).then(
      (credentials) => accepted(challenges, credentials),
      () => ({ value: null, problem: "the page's login failed" })
    );
    if (session.phase !== this || this.#handshake !== asked) return;
    if (answer.problem === void 0) this.#step(asked.answer(answer.value));
    else session.fail(NO_CREDENTIALS, answer.problem);
  }
  #open({ protocol, extensions: extensions2 }) {
    const { session } = this;
    const agreed = extensions2.map((offer) => ({
      extension: session.route.offers.find(({ extension }) => extension.name === offer.name).extension,
      ...offer
    }));
    try {
      session.enter(new Open(session, { protocol, agreed }));
    } catch (error) {
      session.fail(BAD_ANSWER, error.message);
    }
  }
};
function accepted(challenges, credentials) {
  try {
    return { value: authorization(challenges, credentials) };
  } catch (error) {
    return { value: null, problem: error.message };
  }
}
var ExpectRefusal = class extends Phase {
  constructor(session, { status, sentence }) {
    super(session);
    this.refusal = `${status} ${sentence}`;
  }
  enter() {
    this.session.startTimer(CLOSE_WAIT, () => this.session.giveUp(this.refusal, true));
  }
  closed(event) {
    this.session.end({ ...outcome(event), error: true });
  }
  close() {
    this.session.leave();
  }
};

// src/session.js
var MAX_REDIRECTS = 5;
var MAX_REASON_BYTES = 123;
var Session = class {
  #page;
  #timer;
  #redirects = 0;
  /**
   * @param {Page} page
   * @param {URL} url
   * @param {string[]} protocols the application's own subprotocols
   * @param {import("./configuration.js").Route | Promise<import("./configuration.js").Route>} route
   * @throws what the platform's constructor throws
   */
  constructor(page, url2, protocols, route) {
    this.#page = page;
    this.url = url2;
    this.protocols = protocols;
    this.route = null;
    this.native = null;
    this.phase = new ExpectRoute(this);
    if (!(route instanceof Promise)) this.#take(route);
    else {
      const waiting = this.phase;
      const ifWaiting = (act) => (value) => this.phase === waiting && act(value);
      route.then(
        ifWaiting((found2) => this.#attempt(() => this.#take(found2))),
        ifWaiting((error) => this.giveUp(error.message, true))
      );
    }
  }
  enter(phase) {
    this.stopTimer();
    this.phase = phase;
    phase.enter();
  }
  connectPlainly() {
    this.#attempt(() => this.#connect(this.protocols, { isExtended: false, mayFallBack: false }));
  }
  redirect(location) {
    let url2;
    try {
      url2 = new URL(location, this.url);
    } catch {
      return this.fail(BAD_ANSWER, "extended handshake: the Location of a redirect is no URL");
    }
    url2.protocol = url2.protocol.replace(/^http/, "ws");
    if (!/^wss?:$/.test(url2.protocol)) return this.fail(BAD_ANSWER, "extended handshake: a redirect to what is no WebSocket");
    if (this.url.protocol === "wss:" && url2.protocol === "ws:") {
      return this.fail(BAD_ANSWER, "extended handshake: a redirect from wss: to ws:");
    }
    this.#redirects += 1;
    if (this.#redirects > MAX_REDIRECTS) return this.fail(BAD_ANSWER, `extended handshake: more than ${MAX_REDIRECTS} redirects`);
    url2.hash = "";
    this.url = url2;
    this.native.close(1e3);
    this.#attempt(() => this.#connectExtended(false));
  }
  /** Closes towards the gateway with this code; the page sees an error and the same code. */
  fail(code, reason) {
    if (this.phase.isFailure) return;
    const short = utf8Prefix(reason, MAX_REASON_BYTES);
    const before2 = this.phase;
    this.enter(new ExpectClose(this, before2, { code, reason: short }));
    before2.leave();
    this.native.close(code, short);
  }
  /** The way to the gateway is taken for lost; the page sees 1006 at once. */
  giveUp(reason, isError) {
    if (this.phase instanceof Closed) return;
    this.native?.close();
    this.end({ code: 1006, reason: utf8Prefix(reason, MAX_REASON_BYTES), wasClean: false, error: isError || null });
  }
  /** The page closes before it was opened: as on the platform, that is a failure, told in a task of its own. */
  leave() {
    this.enter(new Leaving(this, this.phase));
    this.native?.close();
  }
  /** Once only: an extension, or a Blob that was being read, may come too late. */
  end(ending) {
    if (this.phase instanceof Closed) return;
    this.stopTimer();
    const before2 = this.phase;
    this.phase = new Closed(this, before2);
    before2.leave();
    this.#page.ended(ending);
  }
  tellOpen() {
    this.#page.opened();
  }
  tellMessage(message) {
    this.#page.received(message);
  }
  /** Whether the server that is being spoken to, after redirects too, may have the page's credentials. */
  get mayLogIn() {
    return this.route.loginHosts.some((host) => isAt(this.url, host));
  }
  /** Asks the page for credentials; nothing, if it has no login. */
  async askPage(challenge) {
    return this.route.login?.(challenge);
  }
  startTimer(milliseconds, run) {
    this.stopTimer();
    this.#timer = setTimeout(run, milliseconds);
  }
  stopTimer() {
    clearTimeout(this.#timer);
  }
  #take(route) {
    this.route = route;
    for (const missing of route.missing ?? []) this.#page.missed?.(missing);
    if (!(this.phase instanceof ExpectRoute)) return;
    if (route.isExtended) this.#connectExtended(route.fallback === "plain");
    else this.#connect(this.protocols, { isExtended: false, mayFallBack: false });
  }
  #connectExtended(mayFallBack) {
    this.#connect([SUBPROTOCOL, ...this.protocols], { isExtended: true, mayFallBack });
  }
  #connect(protocols, attempt) {
    const native = new (platformWebSocket())(this.url.href, protocols);
    native.binaryType = "arraybuffer";
    const heard = (handle2) => (event) => this.native === native && handle2(event);
    native.onopen = heard(() => this.phase.opened());
    native.onmessage = heard((event) => this.phase.message(event.data));
    native.onerror = heard((event) => this.phase.error(event));
    native.onclose = heard((event) => this.phase.closed(event));
    this.native = native;
    this.enter(new ExpectOpening(this, attempt));
  }
  /** Where there is no caller any more, what the platform's constructor throws is a failure like others. */
  #attempt(act) {
    try {
      act();
    } catch (error) {
      this.giveUp(error.message, true);
    }
  }
};

// src/websocket.js
var configuration = new Configuration();
var WebSocket = class _WebSocket extends EventTarget {
  #url;
  #session;
  #binaryType = "blob";
  #handlers = new EventHandlers(this);
  /**
   * @param {string | URL} url
   * @param {string | string[]} [protocols] the application's own subprotocols
   * @param {import("../types/index.d.ts").SocketOptions} [options] what applies to this socket only
   * @throws {DOMException} SyntaxError for a URL or a subprotocol that cannot be
   * @throws {TypeError} for an option that cannot be
   */
  constructor(url2, protocols = [], options = void 0) {
    if (arguments.length === 0) throw new TypeError("Failed to construct 'WebSocket': 1 argument required, but only 0 present.");
    const address = `${url2}`;
    const own = toProtocols(protocols);
    const parsed = parseURL(address);
    checkProtocols(own);
    const route = own.includes(SUBPROTOCOL) ? null : configuration.route(parsed, Object(options));
    if (route === null && new.target === _WebSocket) return new (platformWebSocket())(parsed.href, own);
    super();
    this.#url = parsed;
    const page = {
      missed: (missing) => this.dispatchEvent(Object.assign(new Event("extensionfailure"), missing)),
      opened: () => this.dispatchEvent(new Event("open")),
      received: (message) => this.#receive(message),
      ended: (ending) => this.#end(ending)
    };
    this.#session = new Session(page, parsed, own, route ?? { isExtended: false });
  }
  /** The URL as it was parsed; a redirect does not change it. */
  get url() {
    return this.#url.href;
  }
  /** CONNECTING, OPEN, CLOSING or CLOSED. */
  get readyState() {
    return this.#session.phase.readyState;
  }
  /** Bytes of the page that are not on their way yet. */
  get bufferedAmount() {
    return this.#session.phase.bufferedAmount;
  }
  /** What was agreed on: the browser's own extensions, then ours from the application towards the network. */
  get extensions() {
    return this.#session.phase.extensions;
  }
  /** The subprotocol that was chosen of the application's own, or an empty string. */
  get protocol() {
    return this.#session.phase.protocol;
  }
  /** As what binary messages are received: "blob" or "arraybuffer". */
  get binaryType() {
    return this.#binaryType;
  }
  set binaryType(value) {
    const type = `${value}`;
    if (type === "blob" || type === "arraybuffer") this.#binaryType = type;
  }
  get onopen() {
    return this.#handlers.of("open");
  }
  set onopen(value) {
    this.#handlers.set("open", value);
  }
  get onerror() {
    return this.#handlers.of("error");
  }
  set onerror(value) {
    this.#handlers.set("error", value);
  }
  get onclose() {
    return this.#handlers.of("close");
  }
  set onclose(value) {
    this.#handlers.set("close", value);
  }
  get onmessage() {
    return this.#handlers.of("message");
  }
  set onmessage(value) {
    this.#handlers.set("message", value);
  }
  /**
   * Closes the connection; what was sent before is sent first.
   * @param {number} [code] 1000 or 3000 to 4999
   * @param {string} [reason] at most 123 bytes of UTF-8
   * @throws {DOMException} InvalidAccessError or SyntaxError
   */
  close(code = void 0, reason = void 0) {
    const session = this.#session;
    const closeCode = toCloseCode(code);
    const closeReason = reason === void 0 ? void 0 : `${reason}`;
    checkClose(closeCode, closeReason ?? "");
    session.phase.close(closeCode, closeReason);
  }
  /**
   * @param {string | ArrayBufferLike | ArrayBufferView | Blob} data
   * @throws {DOMException} InvalidStateError before the open event
   */
  send(data) {
    const session = this.#session;
    if (arguments.length === 0) throw new TypeError("Failed to execute 'send' on 'WebSocket': 1 argument required, but only 0 present.");
    const message = toMessage(data);
    if (session.phase.readyState === _WebSocket.CONNECTING) {
      throw new DOMException("Failed to execute 'send' on 'WebSocket': Still in CONNECTING state.", "InvalidStateError");
    }
    session.phase.send(message);
  }
  #receive(message) {
    const data = typeof message === "string" ? message : this.#binaryType === "blob" ? new Blob([message]) : bufferOf(message);
    this.dispatchEvent(new MessageEvent("message", { data, origin: this.#url.origin }));
  }
  #end({ code, reason, wasClean, error }) {
    if (error !== null) this.dispatchEvent(error === true ? new Event("error") : anew(error));
    this.dispatchEvent(new CloseEvent("close", { code, reason, wasClean }));
  }
  /** Answers the challenges of all sockets without one of their own: `async (challenge) => credentials`. */
  static get login() {
    return configuration.login;
  }
  static set login(login) {
    configuration.login = login;
  }
  /** What may be agreed on: `register(extension)`, `unregister(name)`, `names()`. */
  static get extensions() {
    return extensions;
  }
  /**
   * Sets what applies to all sockets; what is not named stays as it is.
   * @param {import("../types/index.d.ts").Configuration} options
   */
  static configure(options) {
    configuration.configure(options);
  }
  /** The platform's own class, for another copy of this library. */
  static get [PLATFORM]() {
    return platformWebSocket();
  }
  /** Sockets that were handed to the platform are WebSockets too. */
  static [Symbol.hasInstance](value) {
    return super[Symbol.hasInstance](value) || this === _WebSocket && value instanceof platformWebSocket();
  }
};
var bufferOf = ({ buffer, byteOffset, byteLength }) => byteLength === buffer.byteLength ? buffer : buffer.slice(byteOffset, byteOffset + byteLength);
for (const [value, name] of ["CONNECTING", "OPEN", "CLOSING", "CLOSED"].entries()) {
  for (const object of [WebSocket, WebSocket.prototype]) Object.defineProperty(object, name, { value, enumerable: true });
}
for (const name of Object.getOwnPropertyNames(WebSocket.prototype)) {
  if (name !== "constructor") Object.defineProperty(WebSocket.prototype, name, { enumerable: true });
}
Object.defineProperty(WebSocket, "name", { value: "WebSocket", configurable: true });
Object.defineProperty(WebSocket.prototype, Symbol.toStringTag, { value: "WebSocket", configurable: true });

// src/index.js
WebSocket.configure({ gateway: configOfModule(import.meta.url) });
export {
  WebSocket
};
