//! The turns of a tenant, and what others say to it.

use std::future::Future;
use std::pin::Pin;
use std::task::ready;
use std::task::Context;
use std::task::Poll;

use actix::fut::ActorFuture;
use actix::Actor;
use actix::ActorContext;
use actix::AsyncContext;
use actix::Handler;
use tokio::time::Instant;

use crate::batch::Batch;
use crate::ending::Ending;
use crate::relay::server::Output;
use crate::relay::tenant::State;
use crate::relay::tenant::Tenant;
use crate::relay::tenant::Work;
use crate::relay::FromClient;
use crate::relay::ToClient;
use crate::upstream::shared::FromShared;
use crate::wire::amqp::frame::HEARTBEAT;

impl Tenant {
    /// One turn: ready when the actor has nothing left to do.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            while self.poll_work(cx).is_ready() {}
            if self.deliver(cx) {
                // What was waiting for that may now have said more, or wait for something else.
                continue;
            }
            if self.finishing {
                self.clear();
            }
            if matches!(self.state, State::Over) {
                return Poll::Ready(());
            }
            if self.poll_heartbeat(cx).is_ready() {
                continue;
            }
            let Some(deadline) = &mut self.deadline else {
                return Poll::Pending;
            };
            ready!(deadline.as_mut().poll(cx));
            self.deadline_passed();
        }
    }

    /// Ready when something that was waited for has come.
    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::Meeting(facts) => match ready!(facts.as_mut().poll(cx)) {
                Ok(facts) => self.begin(&facts),
                Err(error) => self.no_seat(error),
            },
            State::Serving(serving) => match &mut serving.work {
                Work::Login(verdict) => {
                    let verdict = ready!(verdict.as_mut().poll(cx));
                    self.login_decided(verdict);
                }
                Work::Seat(seat) => match ready!(seat.as_mut().poll(cx)) {
                    Ok(seat) => self.seated(seat),
                    Err(error) => self.no_seat(error),
                },
                Work::None | Work::Line | Work::Leave | Work::Over => return Poll::Pending,
            },
            State::ExpectHeader(_) | State::Over => return Poll::Pending,
        }
        Poll::Ready(())
    }

    /// Ready when the client has been silent too long.
    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(heartbeat) = &mut self.heartbeat else {
            return Poll::Pending;
        };
        while heartbeat.sleep.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if !self.waiting.is_empty() || self.wiring.from_client.is_exhausted() {
                // It is the gateway that does not listen.
                heartbeat.heard = now;
            }
            if now.saturating_duration_since(heartbeat.heard) >= 2 * heartbeat.interval {
                self.end(Ending::ClientSilent);
                return Poll::Ready(());
            }
            let is_due = now.saturating_duration_since(heartbeat.sent) >= heartbeat.interval / 2;
            if is_due && self.deliveries.is_empty() && !self.wiring.to_client.is_exhausted() {
                heartbeat.sent = now;
                if !self.silent {
                    self.wiring.pass(Batch::copied(&HEARTBEAT));
                }
            }
            heartbeat.sleep.as_mut().reset(now + heartbeat.interval / 2);
        }
        Poll::Pending
    }
}

impl Actor for Tenant {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.address = Some(ctx.address().recipient());
        ctx.spawn(Pump);
    }
}

/// Also where a panic ends the actor: the session always learns that its relay is gone.
impl Drop for Tenant {
    fn drop(&mut self) {
        if !matches!(self.state, State::Over) {
            let bug = Ending::Bug("the relay stopped without an ending");
            self.wiring.tell(ToClient::Ended(bug));
        }
        self.wiring.tell(ToClient::Finished);
    }
}

/// Drives [`Tenant::poll`] for as long as the actor lives.
struct Pump;

impl ActorFuture<Tenant> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        tenant: &mut Tenant,
        ctx: &mut actix::Context<Tenant>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        ready!(tenant.poll(cx));
        ctx.stop();
        Poll::Ready(())
    }
}

impl Handler<FromClient> for Tenant {
    type Result = ();

    fn handle(&mut self, message: FromClient, _: &mut Self::Context) {
        match message {
            FromClient::Data(batch) => {
                self.wiring.from_client.batch_taken();
                self.data_from_client(batch);
            }
            FromClient::Farewell(ending) => {
                let come_to = self.comes_to.take();
                self.say_farewell(&ending);
                self.wiring.tell(ToClient::Farewell(come_to));
            }
            FromClient::Finish => self.finish(),
        }
    }
}

impl Handler<FromShared> for Tenant {
    type Result = ();

    fn handle(&mut self, message: FromShared, _: &mut Self::Context) {
        let State::Serving(serving) = &mut self.state else {
            return;
        };
        let mut out = Output::default();
        match message {
            FromShared::Data(frames) => {
                let arrived = frames.len();
                if let Some(seat) = &serving.seat {
                    serving.server.to_client(frames, seat, &mut out);
                }
                let violation = out.violation.take();
                self.put_out(out, arrived);
                self.violated(violation);
            }
            FromShared::Again => {}
            FromShared::Blocked(reason) => {
                serving.server.blocked(&reason, &mut out);
                self.put_out(out, 0);
            }
            FromShared::Unblocked => {
                serving.server.unblocked(&mut out);
                self.put_out(out, 0);
            }
            FromShared::Overrun => self.cut_off(Ending::ClientSlow),
            FromShared::Lost(loss) => self.cut_off(Ending::BrokerLost(loss.to_string())),
            FromShared::Left => self.left(),
        }
        // Whatever it was, it may be what the client has waited for.
        if let State::Serving(serving) = &mut self.state {
            if matches!(serving.work, Work::Line) {
                serving.work = Work::None;
                self.serve();
            }
        }
    }
}
