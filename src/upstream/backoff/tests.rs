//! How long a broker is passed over, who may try it, and how the time is counted.

use proptest::prelude::*;

use super::*;

const TERMS: Terms = Terms {
    first: Duration::from_millis(200),
    most: Duration::from_secs(1),
};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Fails at once whatever may be tried, and says how long the broker is passed over then.
fn fail(backoff: &mut Backoff, now: Instant, random: f64) -> Duration {
    let attempt = backoff.begin(now, TERMS);
    backoff.failed(attempt, now, TERMS, random);
    match backoff.standing(now) {
        Standing::Until(until) => until - now,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_failure_in_a_row_doubles_the_time_up_to_the_most() {
    let mut backoff = Backoff::default();
    let mut now = Instant::now();
    for expected in [200, 400, 800, 1000, 1000] {
        let time = fail(&mut backoff, now, 0.0);
        assert_eq!(time, ms(expected));
        now += time;
        assert_eq!(backoff.standing(now), Standing::Due);
    }
    assert!(backoff.succeeded(now));
    assert_eq!(backoff.standing(now), Standing::Up);
    assert_eq!(fail(&mut backoff, now, 0.0), ms(200));
}

#[test]
fn of_many_that_fail_together_one_counts() {
    let mut backoff = Backoff::default();
    let now = Instant::now();
    let attempts: Vec<_> = (0..50).map(|_| backoff.begin(now, TERMS)).collect();
    let news = attempts
        .into_iter()
        .filter(|attempt| backoff.failed(*attempt, now + ms(1), TERMS, 0.0))
        .count();
    assert_eq!(news, 1);
    assert_eq!(backoff.standing(now), Standing::Until(now + ms(201)));
}

#[test]
fn one_alone_tries_a_broker_that_has_failed() {
    let mut backoff = Backoff::default();
    let began = Instant::now();
    let due = began + fail(&mut backoff, began, 0.0);
    let trial = backoff.begin(due, TERMS);
    assert!(matches!(trial, Attempt::Trial(_)));
    assert!(matches!(backoff.standing(due), Standing::OnTrial(_)));
    // Whose trial was given up leaves it to the next.
    backoff.given_up(trial, due + ms(1));
    assert_eq!(backoff.standing(due + ms(1)), Standing::Due);
    let trial = backoff.begin(due + ms(1), TERMS);
    assert!(!backoff.failed(trial, due + ms(2), TERMS, 0.0));
    assert_eq!(backoff.standing(due), Standing::Until(due + ms(402)));
}

/// A trial that takes longer than its time is followed by another, which alone decides from then on.
#[test]
fn a_trial_that_is_overtaken_changes_nothing() {
    let mut backoff = Backoff::default();
    let began = Instant::now();
    let due = began + fail(&mut backoff, began, 0.0);
    let slow = backoff.begin(due, TERMS);
    let later = due + ms(200);
    assert_eq!(backoff.standing(later), Standing::Due);
    let next = backoff.begin(later, TERMS);
    // Given up, the slow one does not make way for a third beside the second.
    backoff.given_up(slow, later + ms(1));
    assert!(matches!(
        backoff.standing(later + ms(1)),
        Standing::OnTrial(_)
    ));
    backoff.failed(next, later + ms(2), TERMS, 0.0);
    let until = later + ms(402);
    assert_eq!(backoff.standing(later + ms(3)), Standing::Until(until));
    // Nor does it shorten or prolong what the second has brought about.
    backoff.given_up(slow, later + ms(4));
    assert_eq!(backoff.standing(later + ms(5)), Standing::Until(until));
    backoff.failed(slow, later + ms(6), TERMS, 0.0);
    assert_eq!(backoff.standing(later + ms(7)), Standing::Until(until));
    // Not even after the broker was back and failed anew.
    backoff.succeeded(later + ms(8));
    backoff.failed(Attempt::Ordinary, later + ms(9), TERMS, 0.0);
    backoff.given_up(slow, later + ms(10));
    assert_eq!(
        backoff.standing(later + ms(11)),
        Standing::Until(later + ms(209))
    );
}

#[test]
fn a_loss_during_the_back_off_does_not_prolong_it() {
    let mut backoff = Backoff::default();
    let now = Instant::now();
    assert!(backoff.failed(Attempt::Ordinary, now, TERMS, 0.0));
    assert!(!backoff.failed(Attempt::Ordinary, now + ms(100), TERMS, 0.0));
    assert_eq!(backoff.standing(now), Standing::Until(now + ms(200)));
}

proptest! {
    #[test]
    fn the_time_is_within_half_and_whole_of_the_step(failures in 1_u32..70, random in 0.0..1.0) {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        let mut time = Duration::ZERO;
        for _ in 0..failures {
            now += time;
            time = fail(&mut backoff, now, random);
        }
        let step = TERMS.step(failures);
        prop_assert!(time <= step && time >= step / 2 - ms(1), "{time:?} of {step:?}");
        prop_assert!(step <= TERMS.most);
    }

    /// What is counted is the time in which the broker was passed over, whenever it is asked for.
    #[test]
    fn the_time_waited_is_counted_once(steps in prop::collection::vec((0_u64..2000, 0_u8..4), 1..40)) {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        let (mut counted, mut expected) = (Duration::ZERO, Duration::ZERO);
        for (pause, what) in steps {
            let next = now + ms(pause);
            if let Standing::Until(until) | Standing::OnTrial(until) = backoff.standing(now) {
                expected += until.min(next) - now;
            }
            now = next;
            match what {
                0 => { backoff.failed(Attempt::Ordinary, now, TERMS, 0.5); }
                1 => { backoff.succeeded(now); }
                2 => { backoff.begin(now, TERMS); }
                _ => counted += backoff.take_waited(now),
            }
        }
        counted += backoff.take_waited(now);
        prop_assert_eq!(counted, expected);
    }
}
