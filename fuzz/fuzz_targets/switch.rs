//! Target `switch`: sessions' frames interleaved on one connection.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| smeuse::upstream::shared::fuzzing::switch(data));
