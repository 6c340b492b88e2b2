//! No second has more turns than the bound, however sessions come and go.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// The most turns within any second that begins with one of them.
fn most_in_a_second(turns: &mut [Instant]) -> usize {
    turns.sort_unstable();
    let within = |begin: &Instant| {
        let inside = |turn: &&Instant| **turn >= *begin && **turn < *begin + SECOND;
        turns.iter().filter(inside).count()
    };
    turns.iter().map(within).max().unwrap_or_default()
}

#[test]
fn a_crowd_is_spread_over_the_seconds_it_takes() {
    let mut pace = Pace::new(200);
    let now = Instant::now();
    let mut turns: Vec<_> = (0..1000)
        .map(|_| pace.take(now, now + 60 * SECOND).unwrap())
        .collect();
    assert_eq!(turns.iter().filter(|turn| **turn == now).count(), 20);
    assert!(turns.is_sorted());
    assert!(most_in_a_second(&mut turns) <= 200);
    assert!(turns.last().unwrap().duration_since(now) < 6 * SECOND);
}

#[test]
fn whose_turn_comes_too_late_takes_none() {
    let mut pace = Pace::new(1);
    let now = Instant::now();
    let step = pace.interval;
    assert_eq!(pace.take(now, now), Ok(now));
    assert_eq!(pace.take(now, now + SECOND / 2), Err(now + step));
    assert_eq!(pace.take(now, now + step), Ok(now + step));
    pace.give_back(now + step, now);
    assert_eq!(pace.take(now, now + SECOND / 2), Err(now + step));
    assert_eq!(pace.take(now, now + step), Ok(now + step));
    assert_eq!(pace.take(now, now + 3 * SECOND), Ok(now + 2 * step));
}

proptest! {
    /// However they come, go, and give up: no second has more than the bound.
    #[test]
    fn no_second_has_more_than_the_bound(
        per_second in 1_u32..60,
        steps in prop::collection::vec((0_u64..300, 1_usize..40, 0_usize..10), 1..20),
    ) {
        let mut pace = Pace::new(per_second);
        let mut now = Instant::now();
        let mut turns = Vec::new();
        for (pause, come, leave) in steps {
            now += Duration::from_millis(pause);
            for _ in 0..come {
                turns.extend(pace.take(now, now + 2 * SECOND));
            }
            for index in (0..turns.len()).rev().step_by(3).take(leave).collect::<Vec<_>>() {
                if turns[index] > now {
                    pace.give_back(turns.remove(index), now);
                }
            }
        }
        prop_assert!(most_in_a_second(&mut turns) <= per_second as usize);
    }
}
