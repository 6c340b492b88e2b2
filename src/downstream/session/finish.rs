//! The end of a session: what is still to be said and delivered, and in which order.

use std::time::Duration;
use std::time::Instant;

use crate::downstream::close;
use crate::downstream::phase::Client;
use crate::downstream::phase::Phase;
use crate::downstream::registry;
use crate::downstream::session::Relay;
use crate::downstream::session::Session;
use crate::downstream::session::Socket;
use crate::ending::Ending;
use crate::pipeline::metrics::Direction;
use crate::relay::FromClient;
use crate::wire::websocket::encoder;

/// What is put off while data is inside the extensions, so that it does not overtake that.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// The relay is to say its farewell.
    pub(super) farewell: bool,
    /// The relay is to finish.
    pub(super) finish: bool,
    /// The Close frame is due.
    pub(super) close: bool,
    /// A message is being sent to the client, in fragments.
    pub(super) message: bool,
    /// Frames of the extensions' own messages, which may not be sent within another one (RFC 6455 section 5.4).
    pub(super) behind_message: Vec<u8>,
}

impl<S: Socket> Session<S> {
    /// A reason to end has come up; the first one counts.
    pub(super) fn leave(&mut self, ending: Ending) {
        if !self.phase.leave(ending) {
            return;
        }
        self.traffic.reach(registry::Stage::Ending);
        self.end_within(self.gate.websocket.close_deadline);
        self.waits.farewell = true;
        self.go_on_waiting();
    }

    /// Does what was put off and need not wait any longer.
    pub(super) fn go_on_waiting(&mut self) {
        if !self.is_passing(Direction::FromClient) {
            if std::mem::take(&mut self.waits.farewell) {
                self.farewell();
            }
            if std::mem::take(&mut self.waits.finish) {
                self.finish_relay();
            }
        }
        if !self.is_passing(Direction::ToClient) && std::mem::take(&mut self.waits.close) {
            self.send_close();
        }
    }

    fn farewell(&mut self) {
        let Some(ending) = self.phase.ending().cloned() else {
            return;
        };
        match self.relay {
            Relay::Live(_) => self.tell_relay(FromClient::Farewell(ending)),
            Relay::Absent | Relay::Finishing | Relay::Gone => self.close(),
        }
    }

    /// The relay has nothing more to say to the client: the Close frame is due.
    pub(super) fn close(&mut self) {
        self.waits.close = true;
        self.go_on_waiting();
    }

    fn send_close(&mut self) {
        if let Some(ending) = self.phase.farewell_said() {
            let frame = encoder::close(close::close(ending).code, &close::reason(ending));
            self.outbox.push_slice(&frame);
        }
    }

    /// The client sends nothing more that counts: the relay may finish.
    pub(super) fn heard_out(&mut self, client: Client) {
        self.phase.heard_out(client);
        self.waits.finish = true;
        self.go_on_waiting();
    }

    fn finish_relay(&mut self) {
        match self.relay {
            Relay::Live(_) => {
                self.tell_relay(FromClient::Finish);
                self.relay = Relay::Finishing;
            }
            Relay::Absent => self.relay = Relay::Gone,
            Relay::Finishing | Relay::Gone => {}
        }
    }

    /// The client's socket is of no more use; true when the session is over.
    pub(super) fn lost(&mut self, how: String) -> bool {
        self.outbox.clear(&self.to_client);
        if self.phase.leave(Ending::ClientLost(how)) {
            self.end_within(self.gate.websocket.close_deadline);
        }
        self.heard_out(Client::Silent);
        // Nobody is left to hear a Close frame.
        self.phase.farewell_said();
        if matches!(self.relay, Relay::Gone) {
            self.phase.delivered();
        }
        matches!(self.phase, Phase::Over { .. })
    }

    /// The client has not answered our Close, or not closed its end; true when the session is over.
    pub(super) fn end_is_due(&mut self) -> bool {
        let has_relay = matches!(self.relay, Relay::Live(_));
        // The client had its time; what it had sent is still to reach the broker, and for that the
        // relay has a deadline of its own. An extension has none: what is inside it is given up.
        self.outbox.clear(&self.to_client);
        self.waits = Waits::default();
        self.phase.farewell_said();
        self.phase.heard_out(Client::Silent);
        self.finish_relay();
        self.end_within(2 * self.gate.websocket.close_deadline);
        !has_relay
    }

    pub(super) fn end_within(&mut self, time: Duration) {
        self.timer.end_by(Instant::now() + time);
    }
}
