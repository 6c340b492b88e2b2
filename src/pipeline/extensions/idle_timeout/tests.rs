//! What is due when, on a clock that stands still between the calls.

use super::*;
use crate::pipeline::extensions::harness::assert_bare_offers_only;
use crate::pipeline::extensions::harness::decide;
use crate::pipeline::extensions::harness::Driver;

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A session with a timeout of one second.
fn session() -> Driver {
    Driver::new(Box::new(Watch::new(millis(1000))))
}

impl Driver {
    /// Lets time pass, calls the link, and returns what it wants and in how many milliseconds it wants to be called.
    fn after(&mut self, wait: u64) -> (Option<SignOfLife>, Option<u64>) {
        self.now += millis(wait);
        let next = self.tick();
        let wait = next.map(|next| {
            assert!(next > self.now, "in the past");
            u64::try_from(next.duration_since(self.now).as_millis()).expect("small")
        });
        (self.wanted, wait)
    }

    fn hears(&self) {
        self.activity.hears(self.now);
    }

    fn says(&self) {
        self.activity.says(self.now);
    }
}

fn answer(idle_timeout: Duration) -> Option<String> {
    match decide(&IdleTimeout, &[], idle_timeout) {
        Decision::Agreed { params, .. } => {
            let [(name, Some(value))] = &params[..] else {
                panic!("{params:?}");
            };
            Some(format!("{name}={value}"))
        }
        Decision::Declined => None,
        Decision::Malformed(why) => panic!("{why}"),
    }
}

#[test]
fn it_is_agreed_with_the_timeout_in_milliseconds_and_declined_without_one() {
    assert_eq!(answer(millis(30_000)).as_deref(), Some("timeout=30000"));
    assert_eq!(answer(millis(1)).as_deref(), Some("timeout=1"));
    assert_eq!(
        answer(Duration::from_micros(1999)).as_deref(),
        Some("timeout=1")
    );
    assert_eq!(answer(Duration::ZERO), None);
    assert_eq!(answer(Duration::from_micros(999)), None);
    assert_eq!(answer(Duration::MAX).as_deref(), Some("timeout=2147483647"));
    assert_bare_offers_only(&IdleTimeout);
    assert_eq!(IdleTimeout.name(), "x-kaazing-idle-timeout");
    assert_eq!(session().claims(), Claims::NOTHING);
}

#[test]
fn an_idle_session_is_pinged_at_half_and_given_up_at_the_whole_timeout() {
    let mut session = session();
    assert_eq!(session.after(0), (None, Some(500)));
    assert_eq!(session.after(499), (None, Some(1)));
    assert_eq!(session.after(1), (Some(SignOfLife::Ping), Some(500)));
    assert_eq!(session.after(499), (None, Some(1)));
    assert_eq!(session.after(1), (None, None));
    let failure = session.failure.expect("given up");
    assert_eq!(failure.reason, "silent");
    assert_eq!(failure.close_code, CloseCode(4101));
    assert_eq!(failure.text, "no answer to a ping within 500 ms");
}

#[test]
fn an_answer_begins_the_watch_anew() {
    let mut session = session();
    assert_eq!(session.after(500), (Some(SignOfLife::Ping), Some(500)));
    session.says();
    session.now += millis(100);
    session.hears();
    assert_eq!(session.after(300), (None, Some(200)));
    assert_eq!(session.after(200), (Some(SignOfLife::Ping), Some(500)));
    assert_eq!(session.after(500), (None, None));
    assert!(session.failure.is_some());
}

#[test]
fn a_page_that_talks_but_hears_nothing_gets_a_pong_at_three_quarters() {
    let mut session = session();
    for _ in 0..7 {
        session.now += millis(100);
        session.hears();
        session.after(0);
        assert_eq!(session.wanted, None);
    }
    assert_eq!(session.after(49), (None, Some(1)));
    assert_eq!(session.after(1), (Some(SignOfLife::Pong), Some(450)));
    // The pong was queued as a message, which counts from then on.
    session.says();
    session.now += millis(400);
    session.hears();
    assert_eq!(session.after(0), (None, Some(350)));
    assert_eq!(session.after(350), (Some(SignOfLife::Pong), Some(150)));
}

#[test]
fn a_pong_that_no_page_can_see_is_not_wanted_all_the_time() {
    let mut session = session();
    session.now += millis(700);
    session.hears();
    assert_eq!(session.after(50), (Some(SignOfLife::Pong), Some(450)));
    assert_eq!(session.after(0), (None, Some(450)));
    assert_eq!(session.after(449), (None, Some(1)));
}

#[test]
fn data_for_the_page_puts_the_pong_off_and_the_ping_not() {
    let mut session = session();
    session.now += millis(400);
    session.says();
    assert_eq!(session.after(0), (None, Some(100)));
    assert_eq!(session.after(100), (Some(SignOfLife::Ping), Some(500)));
    session.hears();
    assert_eq!(session.after(499), (None, Some(1)));
    assert_eq!(session.after(1), (Some(SignOfLife::Ping), Some(500)));
}

#[test]
fn a_ping_reassures_the_page_too() {
    let mut session = session();
    // Both are due; one frame does for both.
    assert_eq!(session.after(900), (Some(SignOfLife::Ping), Some(500)));
    session.hears();
    assert_eq!(session.after(0), (None, Some(500)));
}

#[test]
fn a_late_call_gives_the_client_its_time_to_answer_all_the_same() {
    let mut session = session();
    assert_eq!(session.after(10_000), (Some(SignOfLife::Ping), Some(500)));
    assert_eq!(session.after(499), (None, Some(1)));
    assert_eq!(session.after(1), (None, None));
}

#[test]
fn a_client_that_is_not_read_is_neither_asked_nor_given_up() {
    let mut session = session();
    assert_eq!(session.after(500), (Some(SignOfLife::Ping), Some(500)));
    session.activity.pauses();
    assert_eq!(session.after(500), (None, Some(250)));
    session.says();
    assert_eq!(session.after(500), (None, Some(250)));
    assert_eq!(session.after(250), (Some(SignOfLife::Pong), Some(500)));
    session.now += millis(100);
    session.activity.resumes(session.now);
    assert_eq!(session.after(0), (None, Some(500)));
    assert_eq!(session.after(500), (Some(SignOfLife::Ping), Some(500)));
    assert_eq!(session.after(500), (None, None));
}

#[test]
fn a_pause_between_two_calls_counts_as_heard() {
    let mut session = session();
    assert_eq!(session.after(500), (Some(SignOfLife::Ping), Some(500)));
    session.activity.pauses();
    session.now += millis(400);
    session.activity.resumes(session.now);
    session.says();
    assert_eq!(session.after(100), (None, Some(400)));
}

#[test]
fn the_shortest_timeouts_are_not_busy() {
    for timeout in 1..=5 {
        let mut session = Driver::new(Box::new(Watch::new(millis(timeout))));
        let end = session.now + millis(1000);
        let mut calls = 0;
        while session.now < end {
            let next = session.tick().expect("answered in time");
            assert!(next > session.now);
            session.now = next;
            session.hears();
            calls += 1;
        }
        assert!(calls <= 2001, "{timeout} ms: {calls} calls");
    }
}

#[test]
fn the_page_sees_a_message_within_each_timeout_whatever_it_does() {
    for timeout in [4, 10, 1000, 1003, 30_000] {
        for answers in [true, false] {
            for talks_every in [timeout / 3 + 1, timeout * 10] {
                let mut session = Driver::new(Box::new(Watch::new(millis(timeout))));
                let mut said = session.now;
                let mut talks_at = session.now + millis(talks_every);
                for _ in 0..200 {
                    let Some(next) = session.tick() else {
                        assert!(!answers && talks_every > timeout);
                        break;
                    };
                    if session.wanted.is_some() {
                        said = session.now;
                        session.says();
                    }
                    if session.wanted == Some(SignOfLife::Ping) && answers {
                        session.hears();
                    }
                    session.now = next.min(talks_at);
                    if session.now == talks_at {
                        session.hears();
                        talks_at += millis(talks_every);
                    }
                    assert!(session.now.duration_since(said) < millis(timeout));
                }
            }
        }
    }
}
