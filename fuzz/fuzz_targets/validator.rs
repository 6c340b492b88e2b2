//! Target `validator`: the validator of tables and properties beside a plain decoder.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| smeuse::wire::amqp::fuzzing::validator(data));
