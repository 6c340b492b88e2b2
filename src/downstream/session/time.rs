//! What the clock says to a session.

use std::time::Duration;
use std::time::Instant;

use crate::downstream::gate::Backend;
use crate::downstream::session::Relay;
use crate::downstream::session::Session;
use crate::downstream::session::Socket;
use crate::downstream::session::Stage;
use crate::downstream::timer::Due;
use crate::downstream::timer::View;
use crate::ending::Ending;
use crate::pipeline::link::SignOfLife;

impl<S: Socket> Session<S> {
    fn view(&self) -> View {
        let speaks_amqp = !matches!(self.gate.backends[self.service], Backend::Echo);
        View {
            open: self.phase.ending().is_none(),
            paused: self.from_client.is_exhausted() || self.answers_wait(),
            blocked_since: self.outbox.blocked_since(),
            handshake_by: match &self.stage {
                Stage::Extending(extending) => Some(extending.by()),
                Stage::New(_) | Stage::Open(_) => None,
            },
            expects_login: speaks_amqp
                && matches!(self.stage, Stage::Open(_))
                && matches!(self.relay, Relay::Absent),
        }
    }

    fn login_deadline(&self) -> Duration {
        match &self.gate.backends[self.service] {
            Backend::Amqp(service) => service.config.login_deadline,
            Backend::Shared(service) => service.config.login_deadline,
            Backend::Echo => Duration::MAX,
        }
    }

    pub(super) fn next_moment(&self) -> Instant {
        self.timer
            .next(self.view(), &self.gate.websocket, self.login_deadline())
    }

    /// Does what is due; true when the session is over.
    pub(super) fn time_passed(&mut self) -> bool {
        self.count_exhausted();
        let (view, login_deadline) = (self.view(), self.login_deadline());
        let now = Instant::now();
        match self
            .timer
            .due(now, view, &self.gate.websocket, login_deadline)
        {
            Due::Nothing => {}
            Due::Ping => self.sign_of_life(SignOfLife::Ping),
            Due::Handshake => {
                if let Stage::Extending(extending) = &self.stage {
                    let ending = extending.timeout();
                    self.leave(ending);
                }
            }
            Due::Silence => self.leave(Ending::ClientSilent),
            Due::Stall => self.leave(Ending::ClientStalled),
            Due::Login => self.leave(Ending::LoginTimeout),
            Due::Drain => self.leave(Ending::Drained),
            Due::End => return self.end_is_due(),
        }
        false
    }
}
