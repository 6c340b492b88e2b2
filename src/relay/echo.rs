//! Returns every message as it came: for trying a deployment without a broker, and for conformance
//! runs of the WebSocket side.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use actix::fut::ActorFuture;
use actix::Actor;
use actix::ActorContext;
use actix::AsyncContext;
use actix::Handler;

use crate::batch::Batch;
use crate::relay::FromClient;
use crate::relay::ToClient;
use crate::relay::Wiring;

/// One session's echo.
#[derive(Debug)]
pub struct Echo {
    wiring: Wiring,
    /// Bounded by the credit of the direction from the client, which is returned as it empties.
    waiting: VecDeque<Batch>,
    ending: bool,
}

impl Echo {
    /// An echo for one session.
    pub fn new(wiring: Wiring) -> Self {
        Self {
            wiring,
            waiting: VecDeque::new(),
            ending: false,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.waiting.is_empty() {
            if self.wiring.to_client.poll_open(cx).is_pending() && !self.ending {
                return Poll::Pending;
            }
            if let Some(batch) = self.waiting.pop_front() {
                self.wiring.from_client.return_bytes(batch.cost());
                self.wiring.pass(batch);
            }
        }
        Poll::Pending
    }
}

impl Actor for Echo {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(Pump);
    }
}

/// Drives [`Echo::poll`] for as long as the actor lives.
struct Pump;

impl ActorFuture<Echo> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        echo: &mut Echo,
        ctx: &mut actix::Context<Echo>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if !ctx.connected() {
            ctx.stop();
        }
        echo.poll(cx)
    }
}

impl Handler<FromClient> for Echo {
    type Result = ();

    fn handle(&mut self, message: FromClient, ctx: &mut Self::Context) {
        match message {
            FromClient::Data(batch) => {
                self.wiring.from_client.batch_taken();
                self.waiting.push_back(batch);
            }
            FromClient::Farewell(_) => {
                // What came before the end is answered before it, whatever the window says: it is
                // at most one window full.
                self.ending = true;
                let _ = self.poll(&mut Context::from_waker(std::task::Waker::noop()));
                self.wiring.tell(ToClient::Farewell(None));
            }
            FromClient::Finish => {
                self.wiring.tell(ToClient::Finished);
                ctx.stop();
            }
        }
    }
}
