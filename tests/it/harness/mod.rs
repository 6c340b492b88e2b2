//! What the suites share: the real gateway as a child process, and scripted peers for both of its sides.

pub(crate) mod amqp;
pub(crate) mod broker;
pub(crate) mod checksum;
pub(crate) mod client;
pub(crate) mod configuration;
pub(crate) mod direct;
pub(crate) mod ending;
pub(crate) mod extended;
pub(crate) mod folder;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod metrics;
pub(crate) mod negotiation;
pub(crate) mod node;
pub(crate) mod opening;
pub(crate) mod operator;
pub(crate) mod page;
pub(crate) mod peer;
pub(crate) mod process;
pub(crate) mod rabbitmq;
pub(crate) mod receive_queue;
pub(crate) mod refusal;
pub(crate) mod tls;
pub(crate) mod users;
pub(crate) mod websocket;

use std::time::Duration;
use std::time::Instant;

/// How long a test waits for something that should come at once. Generous, because suites share a busy machine;
/// nothing passes later for it, a failure only shows later.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// How long the end of a refused or failed socket may take to arrive.
pub(crate) const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// The pause between two looks at a condition that nothing announces.
const POLL: Duration = Duration::from_millis(3);

/// How long a figure must stay the same to count as standing still.
const STILLNESS: Duration = Duration::from_millis(400);

/// Waits until a figure that is above zero has stood still for a while, and gives it.
#[track_caller]
pub(crate) fn wait_until_still(what: &str, figure: impl Fn() -> u64) -> u64 {
    let mut last = (figure(), Instant::now());
    wait_for(what, 3 * DEADLINE, || {
        let now = figure();
        if now != last.0 || now == 0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() >= STILLNESS).then_some(now)
    })
}

/// Looks at `condition` until it gives a value, and fails the test with `what` when the deadline passes.
#[track_caller]
pub(crate) fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(
            started.elapsed() < deadline,
            "waited {deadline:?} in vain for {what}"
        );
        std::thread::sleep(POLL);
    }
}

/// [`wait_for`] for a condition that is only true or false.
#[track_caller]
pub(crate) fn wait_until(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, deadline, || condition().then_some(()));
}
