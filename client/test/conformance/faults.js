// Where Node's WebSocket (undici) is not as the standard has it. Ours is, so it is held against Chromium's outcome, which
// is in standard.json. `shows` says that the fault shows through where nothing stands between the page and the platform.
export const faults = {
  "subprotocols that cannot be": { because: "undici takes null for no subprotocols" },
  "subprotocols of every iterable": { because: "undici takes an iterable for options" },
  "arguments are converted in order, before anything is checked": { because: "undici takes an object for options" },
  "binaryType takes what it knows": { because: "undici sets blob for what it does not know" },
  "a view of shared memory": { because: "undici sends it" },
  "a detached buffer": { because: "undici throws" },
  "codes that close takes": { because: "undici does not round" },
  "codes that close does not take": { because: "undici takes a BigInt" },
  "what was sent before close arrives, Blobs too": { because: "undici forgets what waits behind a Blob", shows: true },
  "handlers keep their place among listeners": { because: "undici moves a handler that is changed to the end" },
}
