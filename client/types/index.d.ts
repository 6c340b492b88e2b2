// The types of the package. `WebSocket` is the standard's in every respect; what follows is what it adds.

/** One way to answer a gateway that wants to know who a page is (RFC 7235). */
export interface OneChallenge {
  /** Such as `Basic` or `Bearer`; without the prefix `Application`. */
  scheme: string
  realm: string | undefined
  /** All parameters of the challenge, names in lower case. */
  parameters: Record<string, string>
}

/** What a gateway asks: the first of its challenges, and all of them. */
export interface Challenge extends OneChallenge {
  /** All that the gateway would accept an answer to, in its order; one answer is enough. */
  challenges: OneChallenge[]
  /** Where the socket is being opened. */
  url: string
  /** 1 for the first time that this socket asks, 2 after an answer that the gateway did not accept, and so on. */
  attempt: number
}

/** Answers `Basic`. */
export interface PasswordCredentials {
  username: string
  /** Sent in UTF-8. */
  password: string
  /** `Basic`, if at all. */
  scheme?: string
}

/** Answers `Bearer`, `Token` and the like. */
export interface TokenCredentials {
  token: string
  /** One of those that were asked for. Default: the first of `Token` and `Bearer`, else the first that is not `Basic`. */
  scheme?: string
}

/** A string is the whole value of the Authorization header; null or undefined ends the socket with close code 4110. */
export type Credentials = PasswordCredentials | TokenCredentials | string | null | undefined

export type Login = (challenge: Challenge) => Credentials | Promise<Credentials>

/** One message: text, or bytes. */
export type Message = string | Uint8Array

/** What an extension has of its socket. */
export interface Context<State = unknown> {
  /** What `agree` returned; undefined until then. */
  readonly state: State
  /** Whether the gateway's signs of life arrive as messages, so that its silence means something. */
  readonly seesSignsOfLife: boolean
  /**
   * Sends a message of the extension's own towards the gateway; it passes the extensions nearer to the network only.
   * This and the next two throw within `agree`, and do nothing once the socket is being closed.
   */
  send(message: Message): void
  /**
   * Closes towards the gateway; the page sees `error`, then `close` with the same code. A code that is neither 1000 nor
   * 3000 to 4999, or a reason of more than 123 bytes, throws and ends the socket with 4109.
   */
  close(code: number, reason: string): void
  /** Takes the way to the gateway for lost: the page sees `close` with 1006 at once. */
  fail(reason: string): void
}

/**
 * An extension of the application layer. All callbacks answer at once; one that throws ends the socket with close code
 * 4109, and nothing of the message it had reaches anybody.
 */
export interface Extension<State = any> {
  /** A token. */
  name: string
  /** Whether it makes the gateway's signs of life messages, as x-kaazing-ping-pong does; others then see them. */
  showsSignsOfLife?: boolean
  /** The parameters to offer, such as `level=2; mode=x`; "" for none, null not to offer. `params` are those asked for. */
  offer?(params: string | undefined): string | null
  /** The gateway has agreed with these parameters. Returns what this socket's callbacks find in `context.state`. */
  agree(params: [name: string, value: string | null][], context: Context<State>): State
  /** A message on its way to the page. Returns the message or messages to pass on; nothing swallows it. */
  fromServer?(message: Message, context: Context<State>): Message | ArrayBuffer | (Message | ArrayBuffer)[] | null | undefined | void
  /** A message on its way to the gateway, likewise. */
  toServer?(message: Message, context: Context<State>): Message | ArrayBuffer | (Message | ArrayBuffer)[] | null | undefined | void
  /** Something came from the gateway, whether or not it will reach this extension. */
  received?(context: Context<State>): void
  /** The socket has ended, or is being closed: timers are to stop. What it throws is reported and changes nothing. */
  ended?(context: Context<State>): void
}

/** What is known; sockets that are open keep what they have. */
export interface Extensions {
  register(extension: Extension): void
  unregister(name: string): boolean
  names(): string[]
}

/**
 * An extension to ask for: its name, `name; parameters`, or both apart. Where the gateway delivers it and it cannot be
 * loaded, the socket fails; with `required: false` it goes on without.
 */
export type RequestedExtension = string | { name: string; params?: string; required?: boolean }

/**
 * `extensionfailure`, before `open`: an extension could not be loaded, and the socket goes on without it. One without which
 * a socket does not go on is told by `error` and by `close`, with code 1006 and the reason.
 */
export interface ExtensionFailureEvent extends Event {
  readonly extension: string
  /** A sentence for the page's developer. */
  readonly reason: string
}

/** What applies to one socket. */
export interface SocketOptions {
  /** Instead of `WebSocket.login`; null for none. */
  login?: Login | null
  /**
   * Hosts that may have credentials, each `host` or `host:port`, besides the one that `login` is for: for `WebSocket.login`
   * that is the gateway's, or the page's own where no gateway is configured; for a socket's own login the socket's. Others,
   * such as the target of a redirect, end the socket with 4110.
   */
  loginHosts?: string[]
  /** Instead of those of config.json; from the application towards the network. */
  extensions?: RequestedExtension[]
  /**
   * When the socket fails before it opens, or config.json cannot be had: try a plain WebSocket once, or tell the error.
   * Default: what config.json says, else plain; for a socket that itself asks for extensions, error while there is no
   * config.json.
   */
  fallback?: "plain" | "error"
  /** Milliseconds until the gateway must have answered in the extended handshake. Default: 5000. */
  handshakeTimeout?: number
}

/** What applies to all sockets. */
export interface Configuration extends SocketOptions {
  /**
   * The gateway, or the URL of its config.json: only the endpoints named there get the second negotiation. null: no
   * endpoint at all. Left out from the beginning: the gateway that has served the library; for a module that comes from
   * elsewhere, every URL is tried as an endpoint. A bare origin is a gateway, any other URL that of a configuration.
   */
  gateway?: string | URL | null
}

declare const PlatformWebSocket: typeof globalThis.WebSocket

/** The platform's WebSocket, and to Smeuse's endpoints one with the second negotiation. */
export class WebSocket extends PlatformWebSocket {
  constructor(url: string | URL, protocols?: string | string[], options?: SocketOptions)
  addEventListener(type: "extensionfailure", listener: (event: ExtensionFailureEvent) => void, options?: boolean | AddEventListenerOptions): void
  addEventListener<K extends keyof WebSocketEventMap>(
    type: K,
    listener: (this: globalThis.WebSocket, event: WebSocketEventMap[K]) => any,
    options?: boolean | AddEventListenerOptions,
  ): void
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void
  /** Answers the challenges of all sockets that have no login of their own. */
  static login: Login | null
  static readonly extensions: Extensions
  static configure(options: Configuration): void
}
