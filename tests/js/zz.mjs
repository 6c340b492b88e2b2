import WS from "ws"; globalThis.WebSocket = WS
import { AMQPWebSocketClient } from "@cloudamqp/amqp-client"
const open = () => new AMQPWebSocketClient("ws://127.0.0.1:17670/ws/amqp", "/", "x", "y").connect()
const a = await open(); console.log("a open")
const ch = await a.channel(); console.log("channel")
const q = await ch.queueDeclare("", {exclusive:true}); console.log(q)
const got = []
await ch.basicConsume(q.name, {noAck:true}, m => got.push(m.bodyString()))
await ch.confirmSelect()
for (let i=0;i<5;i++) await ch.basicPublish("", q.name, "hi"+i)
const b = await open(); const cb = await b.channel()
try { await cb.queueDeclare(q.name, {passive:true}) } catch(e) { console.log("b:", e.message) }
await new Promise(r=>setTimeout(r,200)); console.log(got)
await a.close(); console.log("closed")
const cb2 = await b.channel()
try { await cb2.queueDeclare(q.name, {passive:true}) } catch(e) { console.log("b:", e.message) }
await b.close(); process.exit(0)
