//! Back-pressure by credit: whoever stalls pauses the other side, memory stays,
//! timers run, the session can be ended, and nothing accepted is lost.

mod broker;
mod reader;

use crate::harness::gateway::Gateway;

const FRAME_MAX: usize = 131_072;
const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// A stalled peer does not answer a Close frame, so this bounds how long its session's end takes; and pauses that go on
/// are counted when the session's timers run.
const SOON: &str = "[websocket]\nclose_deadline = \"400ms\"\nping_interval = \"250ms\"\n";

/// What a stalled peer may cost.
const ALLOWED_KIB: u64 = 4096;

/// The metric that counts pauses, by direction.
const PAUSED: &str = "smeuse_credit_exhausted_seconds_total";

#[track_caller]
fn expect_flat(gateway: &Gateway, before: u64) {
    let after = gateway.rss_kib();
    assert!(
        after < before + ALLOWED_KIB,
        "memory grew from {before} to {after} KiB"
    );
}
