// The entry of the module. Where a gateway has served it, the gateway's config.json applies, as with the classic script.
import { configOfModule } from "./gateway.js"
import { WebSocket } from "./websocket.js"

WebSocket.configure({ gateway: configOfModule(import.meta.url) })

export { WebSocket }
