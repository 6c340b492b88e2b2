//! Time counts from the first connection that is held back to the last that is let go.

use super::*;

fn second(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn time_counts_once_however_many_are_held_back() {
    let mut held = Held::default();
    let now = Instant::now();
    held.one_less(now);
    assert_eq!(held.connections(), 0);
    held.one_more(now + second(1));
    held.one_more(now + second(2));
    assert_eq!(held.take_time(now + second(3)), second(2));
    held.one_less(now + second(4));
    assert_eq!(held.connections(), 1);
    held.one_less(now + second(6));
    assert_eq!(held.take_time(now + second(9)), second(3));
    assert_eq!(held.take_time(now + second(10)), second(0));
    held.one_more(now + second(20));
    assert_eq!(held.take_time(now + second(21)), second(1));
}
