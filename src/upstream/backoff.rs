//! The back-off of one broker, as a value: for how long it is passed over after a failure, who may try it first when
//! that time is over, and how long it has been passed over in all.

use std::time::Duration;
use std::time::Instant;

/// How long a broker is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// After its first failure.
    pub first: Duration,
    /// At most: each failure in a row doubles the time up to this.
    pub most: Duration,
}

/// Whether a broker may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is known against it.
    Up,
    /// It has failed, and its time is over: whoever comes first tries it.
    Due,
    /// It has failed, and is passed over until then.
    Until(Instant),
    /// It has failed, and somebody is finding out whether it is back; nobody else need try before then.
    OnTrial(Instant),
}

/// What is known against one broker.
#[derive(Debug, Default)]
pub struct Backoff {
    failure: Option<Failure>,
    waited: Duration,
    /// Trials that have begun, ever.
    trials: u64,
}

#[derive(Debug)]
struct Failure {
    in_a_row: u32,
    until: Instant,
    /// The number of the trial that is under way.
    trial: Option<u64>,
    /// Up to here the time is in `waited`.
    counted: Instant,
}

/// An attempt at a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// One of many, at a broker that nothing was known against.
    Ordinary,
    /// The one by which it is seen whether a broker that has failed is back. By its number one is told from another that
    /// began when it took too long: only the last of them decides.
    Trial(u64),
}

impl Backoff {
    /// Whether the broker may be tried now.
    pub fn standing(&self, now: Instant) -> Standing {
        match &self.failure {
            None => Standing::Up,
            Some(failure) if failure.until <= now => Standing::Due,
            Some(failure) if failure.trial.is_some() => Standing::OnTrial(failure.until),
            Some(failure) => Standing::Until(failure.until),
        }
    }

    /// Whether the last that was heard of the broker was no failure.
    pub fn is_up(&self) -> bool {
        self.failure.is_none()
    }

    /// Somebody tries the broker now. At one that has failed he is alone for as long as the last back-off was at most:
    /// the others learn from him.
    pub fn begin(&mut self, now: Instant, terms: Terms) -> Attempt {
        self.count(now);
        match &mut self.failure {
            None => Attempt::Ordinary,
            Some(failure) => {
                self.trials += 1;
                failure.until = failure.until.max(now + terms.step(failure.in_a_row));
                failure.trial = Some(self.trials);
                failure.counted = now;
                Attempt::Trial(self.trials)
            }
        }
    }

    /// The attempt has failed. `random`, from 0 up to 1, takes up to half of the time away, so that gateways do not all
    /// return at once. Says whether this is the news that the broker is down.
    ///
    /// Of many that fail together one counts: the back-off that the first of them began stays.
    pub fn failed(&mut self, attempt: Attempt, now: Instant, terms: Terms, random: f64) -> bool {
        self.count(now);
        let was_up = self.failure.is_none();
        let is_free = matches!(self.standing(now), Standing::Up | Standing::Due);
        let counts = is_free || self.is_current(attempt);
        if counts {
            let in_a_row = match &self.failure {
                None => 1,
                Some(failure) => failure.in_a_row.saturating_add(1),
            };
            let time = terms.step(in_a_row).mul_f64(1.0 - random / 2.0);
            self.failure = Some(Failure {
                in_a_row,
                until: now + time,
                trial: None,
                counted: now,
            });
        }
        was_up
    }

    /// The attempt was given up without a result: another may be the trial.
    pub fn given_up(&mut self, attempt: Attempt, now: Instant) {
        self.count(now);
        if !self.is_current(attempt) {
            return;
        }
        if let Some(failure) = &mut self.failure {
            failure.until = failure.until.min(now);
            failure.trial = None;
        }
    }

    /// The broker has done what was asked. Says whether this is the news that it is back.
    pub fn succeeded(&mut self, now: Instant) -> bool {
        self.count(now);
        self.failure.take().is_some()
    }

    /// For how long the broker has been passed over since this was last asked.
    pub fn take_waited(&mut self, now: Instant) -> Duration {
        self.count(now);
        std::mem::take(&mut self.waited)
    }

    /// Whether it is the trial that the others wait for.
    fn is_current(&self, attempt: Attempt) -> bool {
        let trial = self.failure.as_ref().and_then(|failure| failure.trial);
        trial.is_some_and(|number| attempt == Attempt::Trial(number))
    }

    fn count(&mut self, now: Instant) {
        if let Some(failure) = &mut self.failure {
            let end = failure.until.min(now);
            self.waited += end.saturating_duration_since(failure.counted);
            failure.counted = failure.counted.max(end);
        }
    }
}

impl Terms {
    /// The time after this many failures in a row.
    fn step(self, in_a_row: u32) -> Duration {
        let doubled = 1_u32
            .checked_shl(in_a_row.saturating_sub(1))
            .filter(|factor| *factor > 0);
        let time = doubled.and_then(|factor| self.first.checked_mul(factor));
        time.map_or(self.most, |time| time.min(self.most))
    }
}

#[cfg(test)]
mod tests;
