//! What the clock says to a session.

use std::time::Duration;
use std::time::Instant;

use crate::downstream::gate::Backend;
use crate::downstream::phase::Client;
use crate::downstream::session::Relay;
use crate::downstream::session::Session;
use crate::downstream::session::Socket;
use crate::downstream::timer::Due;
use crate::downstream::timer::View;
use crate::ending::Ending;
use crate::wire::websocket::encoder;

impl<S: Socket> Session<S> {
    fn view(&self) -> View {
        let speaks_amqp = matches!(self.gate.backends[self.service], Backend::Amqp(_));
        View {
            open: self.phase.ending().is_none(),
            paused: self.from_client.is_exhausted() || self.answers_wait(),
            blocked_since: self.outbox.blocked_since(),
            expects_login: speaks_amqp && matches!(self.relay, Relay::Absent),
        }
    }

    fn login_deadline(&self) -> Duration {
        match &self.gate.backends[self.service] {
            Backend::Amqp(service) => service.config.login_deadline,
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
            Due::Ping => self.outbox.push_slice(&encoder::ping(b"")),
            Due::Silence => self.leave(Ending::ClientSilent),
            Due::Stall => self.leave(Ending::ClientStalled),
            Due::Login => self.leave(Ending::LoginTimeout),
            Due::Drain => self.leave(Ending::Drained),
            Due::End => return self.end_is_due(),
        }
        false
    }

    /// The client has not answered our Close, or not closed its end; true when the session is over.
    fn end_is_due(&mut self) -> bool {
        let has_relay = matches!(self.relay, Relay::Live(_));
        // The client had its time; what it had sent is still to reach the broker, and for that the
        // relay has a deadline of its own.
        self.outbox.clear(&self.to_client);
        self.phase.farewell_said();
        self.heard_out(Client::Silent);
        self.end_within(2 * self.gate.websocket.close_deadline);
        !has_relay
    }
}
