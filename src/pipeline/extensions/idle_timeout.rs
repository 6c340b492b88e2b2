//! `x-kaazing-idle-timeout`: the page closes when it sees no message for a while, so there is always one in time; and a
//! client that answers nothing is given up.

use std::time::Duration;
use std::time::Instant;

use crate::pipeline::link::Activity;
use crate::pipeline::link::Claims;
use crate::pipeline::link::Decision;
use crate::pipeline::link::Extension;
use crate::pipeline::link::Failure;
use crate::pipeline::link::Link;
use crate::pipeline::link::Output;
use crate::pipeline::link::SignOfLife;
use crate::pipeline::link::Terms;
use crate::wire::websocket::header::Offer;
use crate::wire::websocket::CloseCode;

/// The name in the handshake.
pub const NAME: &str = "x-kaazing-idle-timeout";

/// The extension.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdleTimeout;

impl Extension for IdleTimeout {
    fn name(&self) -> &str {
        NAME
    }

    /// Agreed with `timeout=` and the service's idle timeout in whole milliseconds; declined where that is zero.
    fn decide(&self, offer: &Offer, terms: &Terms<'_>) -> Decision {
        if !offer.params.is_empty() {
            return Decision::Malformed("takes no parameters in an offer".to_owned());
        }
        let timeout = Duration::from_millis(
            u64::try_from(terms.idle_timeout.as_millis())
                .unwrap_or(u64::MAX)
                .min(MAX_MILLIS),
        );
        if timeout.is_zero() {
            return Decision::Declined;
        }
        Decision::Agreed {
            params: vec![("timeout".to_owned(), Some(timeout.as_millis().to_string()))],
            link: Box::new(Watch::new(timeout)),
        }
    }

    fn failure_reasons(&self) -> &[&'static str] {
        &[SILENT]
    }
}

/// Both watches of one session: on what the page hears, and on what it says.
#[derive(Debug)]
struct Watch {
    /// The page is sent a message when it has seen none for this long.
    reassure_after: Duration,
    /// The client is asked when it has been silent for this long, and given up after as long again.
    patience: Duration,
    /// When a sign of life was last wanted. Where it travels as a native frame, [`Activity::said`] does not tell.
    signed: Option<Instant>,
    /// When the ping was wanted that has had no answer.
    pinged: Option<Instant>,
}

impl Watch {
    fn new(timeout: Duration) -> Self {
        let margin = (timeout / 4).max(SHORTEST);
        Self {
            reassure_after: timeout.saturating_sub(margin).max(SHORTEST),
            patience: timeout / 2,
            signed: None,
            pinged: None,
        }
    }

    /// When the client is to be asked or, if it has been, to be given up.
    fn silence_due(&self, heard: Instant) -> Instant {
        self.pinged.unwrap_or(heard) + self.patience
    }

    /// When the page has to see something.
    fn sign_due(&self, said: Instant) -> Instant {
        self.signed.map_or(said, |signed| signed.max(said)) + self.reassure_after
    }

    fn silent(&self) -> Failure {
        Failure {
            reason: SILENT,
            text: format!(
                "no answer to a ping within {} ms",
                self.patience.as_millis()
            ),
            close_code: CLIENT_SILENT,
        }
    }
}

impl Link for Watch {
    fn claims(&self) -> Claims {
        Claims::NOTHING
    }

    fn time_passed(
        &mut self,
        now: Instant,
        activity: &Activity,
        output: &mut Output,
    ) -> Option<Instant> {
        let said = activity.said();
        let heard = if activity.is_paused() {
            now
        } else {
            activity.heard()
        };
        self.pinged = self.pinged.filter(|&pinged| pinged > heard);
        if now >= self.silence_due(heard) {
            if self.pinged.is_some() {
                output.fail(self.silent());
                return None;
            }
            self.pinged = Some(now);
            // It reassures the page as well as a pong does.
            self.signed = Some(now);
            output.want(SignOfLife::Ping);
        } else if now >= self.sign_due(said) {
            self.signed = Some(now);
            output.want(SignOfLife::Pong);
        }
        Some(self.silence_due(heard).min(self.sign_due(said)))
    }
}

const SILENT: &str = "silent";

/// What the page's timer can hold: beyond 2^31 - 1 ms (24 days), browsers fire it at once.
const MAX_MILLIS: u64 = 0x7fff_ffff;

/// The shortest time to wait, for timeouts of a few milliseconds: with less, the link would be due all the time.
const SHORTEST: Duration = Duration::from_millis(1);

/// As for a client that answers none of the gateway's own pings.
const CLIENT_SILENT: CloseCode = CloseCode(4101);

#[cfg(test)]
mod tests;
