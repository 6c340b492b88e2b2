//! The end of a session on a shared connection: what is still said, and what must still reach the broker.

use std::time::Duration;

use tokio::time::Instant;

use crate::batch::Batch;
use crate::ending::Ending;
use crate::relay::farewell;
use crate::relay::server::Output;
use crate::relay::tenant::State;
use crate::relay::tenant::Tenant;
use crate::relay::tenant::Work;
use crate::relay::ToClient;

impl Tenant {
    /// Says why the session ends, and delivers what was accepted before.
    pub(super) fn end(&mut self, ending: Ending) {
        if !self.silent {
            self.say_farewell(&ending);
            self.wiring.tell(ToClient::Ended(ending));
        }
        self.finish();
    }

    /// What still waits for the client is given up: nothing but a close comes behind what it has.
    pub(super) fn say_farewell(&mut self, ending: &Ending) {
        if self.silent {
            return;
        }
        self.silent = true;
        let given_up = self.deliveries.give_up();
        let State::Serving(serving) = &mut self.state else {
            return;
        };
        if let Some(seat) = &serving.seat {
            seat.taken(given_up);
        }
        let Some((reply_code, text, class_method)) = farewell::reply(ending) else {
            return;
        };
        let close = serving
            .server
            .close_towards_client(reply_code, &text, class_method);
        if let Some(frame) = close {
            self.wiring.pass(Batch::copied(&frame));
        }
    }

    /// No more data will come: what is queued has until the deadline to reach the broker.
    pub(super) fn finish(&mut self) {
        if self.finishing {
            return;
        }
        self.finishing = true;
        self.silent = true;
        self.heartbeat = None;
        match &self.state {
            State::Serving(serving) if serving.seat.is_some() => {
                self.set_deadline(self.service.close_deadline);
                self.clear();
            }
            State::ExpectHeader(_) | State::Meeting(_) | State::Serving(_) | State::Over => {
                self.forget_waiting();
                self.state = State::Over;
            }
        }
    }

    /// Leaves the shared connection once all that was accepted is on its way.
    pub(super) fn clear(&mut self) {
        let State::Serving(serving) = &mut self.state else {
            return;
        };
        let is_heard_out = match serving.work {
            Work::None => self.waiting.is_empty(),
            Work::Over => true,
            Work::Login(_) | Work::Seat(_) | Work::Line | Work::Leave => false,
        };
        if !is_heard_out {
            return;
        }
        match &serving.seat {
            Some(seat) if !serving.is_cut_off => {
                seat.leave();
                serving.work = Work::Leave;
            }
            Some(_) | None => self.state = State::Over,
        }
    }

    /// The place on the shared connection is cleared, or gone with it.
    pub(super) fn left(&mut self) {
        if self.finishing {
            self.forget_waiting();
            self.state = State::Over;
            return;
        }
        let State::Serving(serving) = &mut self.state else {
            return;
        };
        serving.work = Work::Over;
        // Leaving it once more would be waiting for an answer that has come.
        serving.seat = None;
        let mut out = Output::default();
        serving.server.left(&mut out);
        self.comes_to = Some(Ending::AmqpClosed);
        self.put_out(out, 0);
    }

    pub(super) fn set_deadline(&mut self, after: Duration) {
        let at = Instant::now() + after;
        match &mut self.deadline {
            Some(deadline) => deadline.as_mut().reset(at),
            None => self.deadline = Some(Box::pin(tokio::time::sleep_until(at))),
        }
    }

    pub(super) fn deadline_passed(&mut self) {
        self.deadline = None;
        if self.finishing {
            return self.finish_is_due();
        }
        let awaits_broker = match &self.state {
            State::Meeting(_) => true,
            State::Serving(serving) => matches!(serving.work, Work::Seat(_)),
            State::ExpectHeader(_) | State::Over => false,
        };
        self.end(if awaits_broker {
            Ending::BrokerLoginTimeout
        } else {
            Ending::LoginTimeout
        });
    }

    /// The end has taken long: it may go on only while the broker still takes what was accepted.
    pub(super) fn finish_is_due(&mut self) {
        let close_deadline = self.service.close_deadline;
        let left = match &self.state {
            State::Serving(serving) => serving
                .seat
                .as_ref()
                .filter(|seat| !serving.is_cut_off && !seat.is_empty())
                .map(|seat| close_deadline.saturating_sub(seat.blocked_for())),
            State::ExpectHeader(_) | State::Meeting(_) | State::Over => None,
        };
        match left {
            Some(left) if !left.is_zero() => self.set_deadline(left),
            Some(_) | None => {
                self.forget_waiting();
                self.state = State::Over;
            }
        }
    }
}
