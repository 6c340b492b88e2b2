//! ACTOR: one agreed extension in one session.
//!
//! The shell around a [`Link`]: it takes what travels through the pipeline from its neighbours, hands it to the link
//! with the time, counts, and sends on what the link makes of it. It lives on the session's thread.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::Actor;
use actix::ActorContext;
use actix::AsyncContext;
use actix::Handler;
use actix::Message;
use actix::Recipient;
use actix::SpawnHandle;

use crate::batch::Batch;
use crate::ending::Ending;
use crate::pipeline::link::Activity;
use crate::pipeline::link::Claims;
use crate::pipeline::link::Content;
use crate::pipeline::link::Data;
use crate::pipeline::link::Link;
use crate::pipeline::link::Output;
use crate::pipeline::link::SignOfLife;
use crate::pipeline::metrics::Direction;
use crate::pipeline::metrics::Figures;
use crate::pipeline::metrics::PANIC;

/// One step through the pipeline: to the next link, or out of the last one to the session.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Passage {
    /// Which way.
    pub direction: Direction,
    /// In this order.
    pub contents: Vec<Content>,
    /// For what the session has put in: the credit it spent. None for what a link has made itself.
    pub credit: Option<usize>,
}

/// What a link asks of its session.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum Request {
    /// Show the client that the gateway is there, or ask whether the client is.
    Sign(SignOfLife),
    /// End.
    End(Ending),
    /// End: the link is gone, and with it what was inside.
    Broken,
}

/// The session is over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Ended(pub Ending);

/// The shell of one link.
#[derive(Debug)]
pub struct LinkActor {
    link: Box<dyn Link>,
    state: State,
    figures: Arc<Figures>,
    claims: Rc<Cell<Claims>>,
    activity: Rc<Activity>,
    /// The neighbour that what comes from the client goes to next.
    towards_broker: Recipient<Passage>,
    /// The neighbour that what goes to the client goes to next.
    towards_client: Recipient<Passage>,
    session: Recipient<Request>,
    timer: Option<SpawnHandle>,
}

/// How far a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Working,
    /// It has ended the session. What the client still says is dropped; what the client is still told, AMQP's
    /// farewell above all, goes its ordinary way.
    Failed,
    /// The session is over.
    Over,
}

/// Where a link stands.
#[derive(Debug)]
pub struct Place {
    /// What it claims, for the session to see.
    pub claims: Rc<Cell<Claims>>,
    /// What the session has heard and said.
    pub activity: Rc<Activity>,
    /// The next on the way from the client.
    pub towards_broker: Recipient<Passage>,
    /// The next on the way to the client.
    pub towards_client: Recipient<Passage>,
    /// The session.
    pub session: Recipient<Request>,
}

impl LinkActor {
    /// The actor of `link` at its place.
    pub fn new(link: Box<dyn Link>, figures: Arc<Figures>, place: Place) -> Self {
        figures.session_began();
        Self {
            link,
            state: State::Working,
            figures,
            claims: place.claims,
            activity: place.activity,
            towards_broker: place.towards_broker,
            towards_client: place.towards_client,
            session: place.session,
            timer: None,
        }
    }

    /// Hands what came to the link; what is left of it goes on, even if that is nothing, for the session counts.
    fn pass(&mut self, passage: Passage) {
        let Passage {
            direction,
            contents,
            credit,
        } = passage;
        let mut output = Output::at(Instant::now());
        for content in contents {
            if direction == Direction::FromClient
                && (self.state != State::Working || output.failure.is_some())
            {
                break;
            }
            match content {
                Content::Sign(sign) => self.link.sign_of_life(sign, &mut output),
                Content::Data(batch) => self.hand(batch, direction, &mut output),
            }
        }
        let passed = std::mem::take(&mut output.passed);
        self.settle(output);
        self.send(Passage {
            direction,
            contents: passed,
            credit,
        });
    }

    fn hand(&mut self, batch: Batch, direction: Direction, output: &mut Output) {
        let began = Instant::now();
        let messages = batch.pieces.iter().filter(|piece| piece.last).count();
        let bytes = batch.len();
        match direction {
            Direction::FromClient => self.link.from_client(batch, output),
            Direction::ToClient => self.link.to_client(batch, output),
        }
        let took = began.elapsed();
        self.figures.handled(direction, messages, bytes, took);
    }

    /// Does everything that an output asks for but passing on.
    fn settle(&mut self, output: Output) {
        for (direction, kind) in output.controls {
            self.figures.control_frame(direction, kind);
        }
        if let Some(took) = output.round_trip {
            self.figures.round_trip(took);
        }
        if !output.to_client.is_empty() {
            let contents = output.to_client.into_iter().map(Content::Data).collect();
            self.send(Passage {
                direction: Direction::ToClient,
                contents,
                credit: None,
            });
        }
        if let Some(sign) = output.wanted {
            self.ask(Request::Sign(sign));
        }
        if let (Some(failure), State::Working) = (output.failure, self.state) {
            self.state = State::Failed;
            self.figures.failed(failure.reason);
            self.ask(Request::End(Ending::ExtensionFailed {
                extension: self.figures.extension().to_owned(),
                text: failure.text,
                close_code: failure.close_code,
            }));
        }
        let claims = self.link.claims();
        self.claims.set(match self.state {
            State::Working => claims,
            // So that nothing of the client's goes past it.
            State::Failed | State::Over => Claims {
                data: Data::Everything,
                ..claims
            },
        });
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "credit was spent for what the session put in; what a link makes answers that, or is due by the clock"
    )]
    fn send(&self, passage: Passage) {
        match passage.direction {
            Direction::FromClient => self.towards_broker.do_send(passage),
            Direction::ToClient => self.towards_client.do_send(passage),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "signs of life are due by the clock, and a link ends its session once"
    )]
    fn ask(&self, request: Request) {
        self.session.do_send(request);
    }

    fn time_passed(&mut self, ctx: &mut actix::Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        if self.state != State::Working {
            return;
        }
        let now = Instant::now();
        let mut output = Output::at(now);
        let next = self.link.time_passed(now, &self.activity, &mut output);
        // There is nothing at hand that could be passed on.
        output.passed.clear();
        self.settle(output);
        if let (Some(next), State::Working) = (next, self.state) {
            let wait = next.saturating_duration_since(now).max(SHORTEST_WAIT);
            self.timer = Some(ctx.run_later(wait, |actor, ctx| actor.time_passed(ctx)));
        }
    }
}

impl Actor for LinkActor {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.time_passed(ctx);
    }
}

/// Also where a panic of the link ends the actor: the session must not wait for what was inside.
impl Drop for LinkActor {
    fn drop(&mut self) {
        self.figures.session_ended();
        if self.state != State::Over {
            self.figures.failed(PANIC);
            self.ask(Request::Broken);
        }
    }
}

impl Handler<Passage> for LinkActor {
    type Result = ();

    fn handle(&mut self, passage: Passage, _: &mut Self::Context) {
        self.pass(passage);
    }
}

impl Handler<Ended> for LinkActor {
    type Result = ();

    fn handle(&mut self, Ended(ending): Ended, ctx: &mut Self::Context) {
        if self.state == State::Working {
            self.link.ended(&ending);
        }
        self.state = State::Over;
        ctx.stop();
    }
}

/// Keeps a link that asks for a moment in the past from spinning.
const SHORTEST_WAIT: std::time::Duration = std::time::Duration::from_millis(1);
