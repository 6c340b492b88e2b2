// The entry of the module.
export { WebSocket } from "./websocket.js"
