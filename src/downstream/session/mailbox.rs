//! What others say to a session: the relay its data and its end, the process its orders.

use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::task::ready;
use std::task::Context;
use std::task::Poll;
use std::time::Instant;

use actix::fut::ActorFuture;
use actix::Actor;
use actix::ActorContext;
use actix::AsyncContext;
use actix::Handler;
use tracing::info;

use crate::downstream::close;
use crate::downstream::registry::Control;
use crate::downstream::registry::Entry;
use crate::downstream::session::Relay;
use crate::downstream::session::Session;
use crate::downstream::session::Socket;
use crate::ending::Ending;
use crate::ending::OneLine;
use crate::relay::FromClient;
use crate::relay::ToClient;
use crate::wire::websocket::Limits;

impl<S: Socket> Actor for Session<S> {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let service = &self.gate.names[self.service];
        let entry = Entry {
            control: ctx.address().recipient(),
            client: self.client.ip(),
            service: Arc::clone(service),
            opened: self.timer.opened(),
            traffic: Arc::clone(&self.traffic),
            is_ended: AtomicBool::new(false),
        };
        self.gate.metrics.opened(service);
        self.gate.sessions.enter(self.id, entry);
        info!(
            session = %self.id,
            client = %self.client,
            service = %service,
            subprotocol = self.stage.subprotocol(),
            "session opened"
        );
        // The drain may have begun between the handshake and this moment.
        if let Some(after) = self.gate.drain.close_after() {
            self.timer.drain_at(Instant::now() + after);
        }
        self.begin(ctx);
        ctx.spawn(Pump);
    }
}

/// The books are closed here, so that they are closed whatever ends the actor, a panic included.
impl<S> Drop for Session<S> {
    fn drop(&mut self) {
        if let Relay::Live(relay) = &self.relay {
            // Only where the session has panicked: otherwise its relay was told, and is gone.
            #[expect(clippy::disallowed_methods, reason = "the last message, once")]
            relay.do_send(FromClient::Finish);
        }
        self.count_exhausted();
        self.gate.sessions.leave(self.id);
        let bug = Ending::Bug("the session stopped without an ending");
        let ending = self.phase.ending().unwrap_or(&bug);
        let service = &self.gate.names[self.service];
        if let Some(pipeline) = self.pipeline() {
            pipeline.end(ending);
        }
        self.gate.metrics.closed(service, ending);
        for trial in &self.trials {
            trial.ended(ending, self.timer.opened().elapsed(), &self.traffic);
        }
        self.tell_ended(ending);
        let traffic = &self.traffic;
        info!(
            session = %self.id,
            client = %self.client,
            service = %service,
            by = ending.by().label(),
            reason = ending.reason(),
            close_code = close::close(ending).code.map(|code| code.0),
            detail = %OneLine(ending),
            bytes_from_client = traffic.bytes_from_client.load(Ordering::Relaxed),
            bytes_to_client = traffic.bytes_to_client.load(Ordering::Relaxed),
            messages_from_client = traffic.messages_from_client.load(Ordering::Relaxed),
            messages_to_client = traffic.messages_to_client.load(Ordering::Relaxed),
            duration_seconds = self.timer.opened().elapsed().as_secs_f64(),
            "session ended"
        );
    }
}

/// Drives the session's turns for as long as the actor lives.
struct Pump;

impl<S: Socket> ActorFuture<Session<S>> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        session: &mut Session<S>,
        ctx: &mut actix::Context<Session<S>>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        ready!(session.poll(ctx, cx));
        ctx.stop();
        Poll::Ready(())
    }
}

impl<S: Socket> Handler<ToClient> for Session<S> {
    type Result = ();

    fn handle(&mut self, message: ToClient, _: &mut Self::Context) {
        match message {
            ToClient::Data(batch) => self.data_to_client(batch),
            ToClient::LoggedIn(user) => {
                self.decoder.set_limits(Limits {
                    message_bytes: self.gate.websocket.message_bytes,
                    fragments: self.gate.websocket.fragments.get(),
                });
                if let Some(user) = user {
                    let _ = self.traffic.amqp_user.set(user.into());
                }
                self.tell_opened();
            }
            ToClient::Farewell(come_to) => {
                if let Some(ending) = come_to {
                    self.phase.explain(ending);
                }
                self.close();
            }
            ToClient::Ended(ending) => {
                if let Relay::Live(_) = self.relay {
                    self.relay = Relay::Finishing;
                }
                self.phase.explain(ending.clone());
                self.leave(ending);
                self.close();
            }
            ToClient::Finished => self.relay = Relay::Gone,
        }
    }
}

impl<S: Socket> Handler<Control> for Session<S> {
    type Result = ();

    fn handle(&mut self, control: Control, _: &mut Self::Context) {
        match control {
            Control::Drain(after) => self.timer.drain_at(Instant::now() + after),
            Control::End => self.leave(Ending::OperatorEnded),
        }
    }
}

impl<S> Session<S> {
    /// Adds the time in which one side waited for the other.
    pub(super) fn count_exhausted(&self) {
        let metrics = &self.gate.metrics;
        for (window, direction) in [
            (&self.from_client, &metrics.from_client),
            (&self.to_client, &metrics.to_client),
        ] {
            let time = window.take_exhausted();
            if !time.is_zero() {
                direction.exhausted.inc_by(time.as_secs_f64());
            }
        }
    }
}
