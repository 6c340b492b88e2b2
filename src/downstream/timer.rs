//! The moments a session waits for, as a value: what is due at a given time, and when to look again.

use std::time::Duration;
use std::time::Instant;

use crate::downstream::config::WebSocket;

/// What time says to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// The client was silent: ask whether it is there.
    Ping,
    /// The client did not answer.
    Silence,
    /// The client takes no bytes.
    Stall,
    /// The extended handshake, or a step of it, is not done.
    Handshake,
    /// The client has not begun its login.
    Login,
    /// The drain's moment for this session.
    Drain,
    /// The end has taken as long as it may.
    End,
}

/// What the session knows when it asks.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// No ending is known.
    pub open: bool,
    /// The client is not being read, so its silence means nothing.
    pub paused: bool,
    /// Since when bytes wait without any having been taken.
    pub blocked_since: Option<Instant>,
    /// When the extended handshake, or its next step, has to be done.
    pub handshake_by: Option<Instant>,
    /// The client has yet to send its first byte of AMQP.
    pub expects_login: bool,
}

/// The moments of one session.
#[derive(Debug, Clone)]
pub struct Timer {
    opened: Instant,
    login_from: Instant,
    /// When the client was last heard, or last could not be because it was not read.
    heard: Instant,
    pinged: bool,
    drain_at: Option<Instant>,
    end_by: Option<Instant>,
}

impl Timer {
    /// The timer of a session that opens `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            opened: now,
            login_from: now,
            heard: now,
            pinged: false,
            drain_at: None,
            end_by: None,
        }
    }

    /// When the session opened.
    pub fn opened(&self) -> Instant {
        self.opened
    }

    /// The time for the AMQP login begins `now`.
    pub fn expect_login_from(&mut self, now: Instant) {
        self.login_from = now;
    }

    /// The client has sent something.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = false;
    }

    /// The client has taken bytes that waited for it: no answer, but a sign of life.
    pub fn taken(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The session shall close at `at` at the latest.
    pub fn drain_at(&mut self, at: Instant) {
        self.drain_at = Some(self.drain_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// The end shall be over by `at`.
    pub fn end_by(&mut self, at: Instant) {
        self.end_by = Some(at);
    }

    /// What is due at `now`; a due ping counts as sent.
    pub fn due(
        &mut self,
        now: Instant,
        view: View,
        config: &WebSocket,
        login_deadline: Duration,
    ) -> Due {
        if !view.open {
            return match self.end_by {
                Some(end_by) if end_by <= now => Due::End,
                Some(_) | None => Due::Nothing,
            };
        }
        if self.drain_at.is_some_and(|at| at <= now) {
            return Due::Drain;
        }
        if view.handshake_by.is_some_and(|by| by <= now) {
            return Due::Handshake;
        }
        if view.expects_login && self.login_from + login_deadline <= now {
            return Due::Login;
        }
        if view
            .blocked_since
            .is_some_and(|since| since + config.write_stall_limit <= now)
        {
            return Due::Stall;
        }
        if view.paused {
            let due = self.heard + config.ping_interval <= now;
            if due {
                self.heard(now);
            }
            return if due { Due::Ping } else { Due::Nothing };
        }
        if self.heard + config.silence_limit <= now {
            return Due::Silence;
        }
        if !self.pinged && self.heard + config.ping_interval <= now {
            self.pinged = true;
            return Due::Ping;
        }
        Due::Nothing
    }

    /// When something may next be due.
    pub fn next(&self, view: View, config: &WebSocket, login_deadline: Duration) -> Instant {
        if !view.open {
            return self.end_by.unwrap_or(self.opened);
        }
        let liveness = if self.pinged && !view.paused {
            config.silence_limit
        } else {
            config.ping_interval
        };
        let login = view.expects_login.then(|| self.login_from + login_deadline);
        let stall = view
            .blocked_since
            .map(|since| since + config.write_stall_limit);
        [login, stall, view.handshake_by, self.drain_at]
            .into_iter()
            .flatten()
            .fold(self.heard + liveness, Instant::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: Duration = Duration::from_secs(10);

    const OPEN: View = View {
        open: true,
        paused: false,
        blocked_since: None,
        handshake_by: None,
        expects_login: false,
    };

    struct Clock {
        start: Instant,
        config: WebSocket,
    }

    impl Clock {
        fn new() -> (Self, Timer) {
            let start = Instant::now();
            let config = WebSocket {
                ping_interval: Duration::from_secs(20),
                silence_limit: Duration::from_secs(60),
                write_stall_limit: Duration::from_secs(30),
                ..WebSocket::default()
            };
            (Self { start, config }, Timer::new(start))
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn due(&self, timer: &mut Timer, seconds: u64, view: View) -> Due {
            timer.due(self.at(seconds), view, &self.config, LOGIN)
        }

        fn next(&self, timer: &Timer, view: View) -> u64 {
            (timer.next(view, &self.config, LOGIN) - self.start).as_secs()
        }
    }

    #[test]
    fn a_silent_client_is_pinged_once_and_then_ended() {
        let (clock, mut timer) = Clock::new();
        assert_eq!(clock.next(&timer, OPEN), 20);
        assert_eq!(clock.due(&mut timer, 19, OPEN), Due::Nothing);
        assert_eq!(clock.due(&mut timer, 20, OPEN), Due::Ping);
        assert_eq!(clock.due(&mut timer, 21, OPEN), Due::Nothing);
        assert_eq!(clock.next(&timer, OPEN), 60);
        assert_eq!(clock.due(&mut timer, 60, OPEN), Due::Silence);
    }

    #[test]
    fn a_sign_of_life_starts_the_silence_anew() {
        let (clock, mut timer) = Clock::new();
        assert_eq!(clock.due(&mut timer, 20, OPEN), Due::Ping);
        timer.heard(clock.at(50));
        assert_eq!(clock.due(&mut timer, 69, OPEN), Due::Nothing);
        assert_eq!(clock.due(&mut timer, 70, OPEN), Due::Ping);
        assert_eq!(clock.due(&mut timer, 109, OPEN), Due::Nothing);
    }

    #[test]
    fn a_client_that_takes_bytes_slowly_is_there() {
        let (clock, mut timer) = Clock::new();
        assert_eq!(clock.due(&mut timer, 20, OPEN), Due::Ping);
        timer.taken(clock.at(55));
        assert_eq!(clock.due(&mut timer, 114, OPEN), Due::Nothing);
        assert_eq!(clock.due(&mut timer, 115, OPEN), Due::Silence);
    }

    #[test]
    fn a_client_that_is_not_read_is_pinged_and_never_silent() {
        let (clock, mut timer) = Clock::new();
        let paused = View {
            paused: true,
            ..OPEN
        };
        for seconds in (20..400).step_by(20) {
            assert_eq!(clock.due(&mut timer, seconds, paused), Due::Ping);
        }
        assert_eq!(clock.due(&mut timer, 400, OPEN), Due::Ping);
        assert_eq!(clock.due(&mut timer, 439, OPEN), Due::Nothing);
    }

    #[test]
    fn a_client_that_takes_no_bytes_is_stalled() {
        let (clock, mut timer) = Clock::new();
        let blocked = View {
            blocked_since: Some(clock.at(5)),
            ..OPEN
        };
        timer.heard(clock.at(30));
        assert_eq!(clock.next(&timer, blocked), 35);
        assert_eq!(clock.due(&mut timer, 34, blocked), Due::Nothing);
        assert_eq!(clock.due(&mut timer, 35, blocked), Due::Stall);
    }

    #[test]
    fn a_login_that_never_begins_is_due() {
        let (clock, mut timer) = Clock::new();
        let mute = View {
            expects_login: true,
            ..OPEN
        };
        assert_eq!(clock.next(&timer, mute), 10);
        assert_eq!(clock.due(&mut timer, 10, mute), Due::Login);
    }

    #[test]
    fn a_handshake_has_its_own_moment_and_the_login_begins_behind_it() {
        let (clock, mut timer) = Clock::new();
        let extending = View {
            handshake_by: Some(clock.at(5)),
            ..OPEN
        };
        assert_eq!(clock.next(&timer, extending), 5);
        assert_eq!(clock.due(&mut timer, 4, extending), Due::Nothing);
        assert_eq!(clock.due(&mut timer, 5, extending), Due::Handshake);
        timer.expect_login_from(clock.at(4));
        let mute = View {
            expects_login: true,
            ..OPEN
        };
        assert_eq!(clock.due(&mut timer, 13, mute), Due::Nothing);
        assert_eq!(clock.due(&mut timer, 14, mute), Due::Login);
    }

    #[test]
    fn the_earlier_of_two_drains_counts() {
        let (clock, mut timer) = Clock::new();
        timer.drain_at(clock.at(7));
        timer.drain_at(clock.at(9));
        assert_eq!(clock.next(&timer, OPEN), 7);
        assert_eq!(clock.due(&mut timer, 7, OPEN), Due::Drain);
    }

    #[test]
    fn after_the_end_is_known_only_its_deadline_counts() {
        let (clock, mut timer) = Clock::new();
        timer.end_by(clock.at(100));
        let ending = View {
            open: false,
            ..OPEN
        };
        assert_eq!(clock.next(&timer, ending), 100);
        assert_eq!(clock.due(&mut timer, 99, ending), Due::Nothing);
        assert_eq!(clock.due(&mut timer, 100, ending), Due::End);
    }
}
