//! Target `server`: what a client on a shared connection may send, and what of it the broker sees.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| smeuse::relay::server::fuzzing::server(data));
