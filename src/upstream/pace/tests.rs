//! No second has more turns than the bound, however sessions come and go, and who returns need not wait for a crowd.

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

/// When the turn of this ticket comes, which is then taken.
fn wait(pace: &mut Pace, ticket: Ticket, now: Instant) -> Instant {
    match pace.ask(ticket, now) {
        Turn::Now => now,
        Turn::At(at) => {
            assert_eq!(pace.ask(ticket, at), Turn::Now);
            at
        }
    }
}

#[test]
fn a_crowd_is_spread_over_the_seconds_it_takes() {
    let mut pace = Pace::new(200);
    let now = Instant::now();
    let tickets: Vec<_> = (0..1000)
        .map(|_| pace.join(false, now, now + 60 * SECOND).unwrap())
        .collect();
    let mut turns = Vec::new();
    for ticket in tickets {
        let before = turns.last().copied().unwrap_or(now);
        turns.push(wait(&mut pace, ticket, before));
    }
    assert_eq!(turns.iter().filter(|turn| **turn == now).count(), 20);
    assert!(turns.is_sorted());
    assert!(most_in_a_second(&mut turns) <= 200);
    assert!(turns.last().unwrap().duration_since(now) < 6 * SECOND);
}

#[test]
fn whose_turn_comes_too_late_waits_for_none() {
    let mut pace = Pace::new(1);
    let now = Instant::now();
    let step = pace.interval;
    let first = pace.join(false, now, now).unwrap();
    assert_eq!(pace.ask(first, now), Turn::Now);
    assert_eq!(pace.join(false, now, now + SECOND / 2), Err(now + step));
    let second = pace.join(false, now, now + step).unwrap();
    assert_eq!(pace.join(false, now, now + step), Err(now + 2 * step));
    pace.leave(second);
    let third = pace.join(false, now, now + step).unwrap();
    assert_eq!(pace.ask(third, now), Turn::At(now + step));
    assert_eq!(pace.ask(third, now + step), Turn::Now);
}

/// Whose turn led to nothing is not sent behind the crowd: it would be told that it is too late for it.
#[test]
fn who_returns_goes_before_the_crowd() {
    let mut pace = Pace::new(1);
    let now = Instant::now();
    let step = pace.interval;
    let by = now + 60 * SECOND;
    let first = pace.join(false, now, by).unwrap();
    assert_eq!(pace.ask(first, now), Turn::Now);
    let crowd: Vec<_> = (0..10)
        .map(|_| pace.join(false, now, by).unwrap())
        .collect();
    let again = pace.join(true, now, now + step).unwrap();
    let other = pace.join(true, now, now + 2 * step).unwrap();
    assert_eq!(pace.ask(again, now), Turn::At(now + step));
    assert_eq!(pace.ask(other, now), Turn::At(now + 2 * step));
    assert_eq!(pace.ask(crowd[0], now), Turn::At(now + 3 * step));
    assert_eq!(pace.ask(again, now + step), Turn::Now);
    assert_eq!(pace.ask(crowd[0], now + step), Turn::At(now + 3 * step));
    assert_eq!(pace.ask(other, now + 2 * step), Turn::Now);
    assert_eq!(pace.ask(crowd[0], now + 3 * step), Turn::Now);
}

proptest! {
    /// However they come, go, return, give up and are late: no second has more than the bound, and all get a turn.
    #[test]
    fn no_second_has_more_than_the_bound(
        per_second in 1_u32..60,
        steps in prop::collection::vec((0_u64..300, 1_usize..40, 0_usize..10, 0_usize..100), 1..20),
    ) {
        let mut pace = Pace::new(per_second);
        let mut now = Instant::now();
        let mut turns = Vec::new();
        let mut waiting = Vec::new();
        for (pause, come, leave, seed) in steps {
            now += Duration::from_millis(pause);
            for number in 0..come {
                waiting.extend(pace.join((number + seed) % 5 == 0, now, now + 2 * SECOND));
            }
            for _ in 0..leave.min(waiting.len()) {
                pace.leave(waiting.swap_remove(seed % waiting.len()));
            }
            // Whoever wakes up first asks first.
            let middle = seed % waiting.len().max(1);
            waiting.rotate_left(middle);
            waiting.retain(|ticket| {
                let has_come = pace.ask(*ticket, now) == Turn::Now;
                turns.extend(has_come.then_some(now));
                !has_come
            });
        }
        // All that are left get their turn within the time that their number takes.
        let end = now + pace.interval * u32::try_from(waiting.len() + 1).unwrap();
        waiting.sort_unstable();
        for ticket in waiting {
            now = wait(&mut pace, ticket, now);
            turns.push(now);
        }
        prop_assert!(now <= end);
        prop_assert!(most_in_a_second(&mut turns) <= per_second as usize);
    }
}
