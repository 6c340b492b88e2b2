// As much of an AMQP 0-9-1 broker as a client needs to connect, consume, and get back what it publishes.

const frame = (type, channel, payload) => {
  const head = Buffer.alloc(7)
  head.writeUInt8(type, 0)
  head.writeUInt16BE(channel, 1)
  head.writeUInt32BE(payload.length, 3)
  return Buffer.concat([head, payload, Buffer.from([0xce])])
}
const short = (number) => Buffer.from([number >> 8, number & 255])
const long = (number) => Buffer.concat([short(number >>> 16), short(number & 0xffff)])
const shortString = (text) => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)])
const longString = (text) => Buffer.concat([long(text.length), Buffer.from(text)])
const method = (channel, klass, id, ...parts) => frame(1, channel, Buffer.concat([short(klass), short(id), ...parts]))

/** The answer to each method, by class and id. */
const answers = {
  "10.11": () => method(0, 10, 30, short(16), long(8192), short(0)),
  "10.31": () => null,
  "10.40": () => method(0, 10, 41, shortString("")),
  "10.50": () => method(0, 10, 51),
  "20.10": (channel) => method(channel, 20, 11, long(0)),
  "20.40": (channel) => method(channel, 20, 41),
  "50.10": (channel) => method(channel, 50, 11, shortString("q"), long(0), long(0)),
  "60.20": (channel) => method(channel, 60, 21, shortString("tag")),
}

/**
 * Speaks AMQP through `app`, which is `{ send, onMessage }` of binary messages.
 * @returns {{ messages: Buffer[], frames: number }} what came: WebSocket messages, and AMQP frames in them
 */
export function speakAmqp(app) {
  const seen = { messages: [], frames: 0 }
  let buffered = Buffer.alloc(0)
  let deliveryTag = 0
  app.onMessage((message) => {
    seen.messages.push(Buffer.from(message))
    buffered = Buffer.concat([buffered, message])
    if (buffered.subarray(0, 4).toString() === "AMQP") {
      buffered = buffered.subarray(8)
      app.send(method(0, 10, 10, Buffer.from([0, 9]), long(0), longString("PLAIN"), longString("en_US")))
    }
    while (buffered.length >= 8 && buffered.length >= 8 + buffered.readUInt32BE(3)) {
      const [type, channel, size] = [buffered[0], buffered.readUInt16BE(1), buffered.readUInt32BE(3)]
      const payload = buffered.subarray(7, 7 + size)
      buffered = buffered.subarray(8 + size)
      seen.frames += 1
      if (type !== 1) {
        // Content goes back to the consumer as it came.
        app.send(frame(type, channel, payload))
        continue
      }
      const name = `${payload.readUInt16BE(0)}.${payload.readUInt16BE(2)}`
      if (name === "60.40") {
        deliveryTag += 1
        app.send(method(channel, 60, 60, shortString("tag"), long(0), long(deliveryTag), Buffer.from([0]), shortString(""), shortString("q")))
        continue
      }
      if (answers[name] === undefined) throw new Error(`the scripted broker does not know ${name}`)
      const answer = answers[name](channel)
      if (answer !== null) app.send(answer)
    }
  })
  return seen
}
