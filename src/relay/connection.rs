//! ACTOR: one client's AMQP connection to RabbitMQ, on a broker socket of its own.
//!
//! It dials when the client's protocol header arrives, lets [`Relaying`] move bytes both ways under
//! the two windows, keeps the deadlines of the login and of the end, and turns whatever happens into
//! one [`Ending`].

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::ready;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::Actor;
use actix::ActorContext;
use actix::AsyncContext;
use actix::Handler;
use tokio::time::Instant;
use tokio::time::Sleep;

use crate::batch::Batch;
use crate::ending::Ending;
use crate::relay::config::Config;
use crate::relay::farewell;
use crate::relay::greeting::Greeting;
use crate::relay::greeting::ProtocolHeader;
use crate::relay::metrics::Metrics;
use crate::relay::relaying::Event;
use crate::relay::relaying::Relaying;
use crate::relay::splice::Login;
use crate::relay::splice::Params;
use crate::relay::splice::Phase;
use crate::relay::splice::Side;
use crate::relay::FromClient;
use crate::relay::ToClient;
use crate::relay::Wiring;
use crate::upstream::Blocked;
use crate::upstream::ConnectError;
use crate::upstream::Connected;
use crate::upstream::Upstream;

/// What all connections of one service share.
#[derive(Debug)]
pub struct Service {
    /// Where the brokers are.
    pub upstream: Upstream,
    /// Limits offered to clients.
    pub config: Config,
    /// What is counted.
    pub metrics: Metrics,
    /// Time for the last bytes to reach the broker after the session has ended.
    pub close_deadline: Duration,
}

/// Where the two ends of the client's socket are, for the PROXY protocol.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// The client.
    pub client: Option<SocketAddr>,
    /// The gateway's own end.
    pub gateway: Option<SocketAddr>,
}

/// One client's AMQP connection to a broker.
pub struct Connection {
    service: Arc<Service>,
    addresses: Addresses,
    wiring: Wiring,
    state: State,
    /// Runs out when the login (from the client's first byte on), or after the end the delivery,
    /// takes too long.
    deadline: Option<Pin<Box<Sleep>>>,
    /// The broker's name, once it has answered.
    broker: String,
    /// There while the broker holds back what the client publishes.
    blocked: Option<Blocked>,
    /// The client has been told all there was to say.
    silent: bool,
    /// The session sends no more data.
    finishing: bool,
}

enum State {
    /// The client has not sent all of its protocol header.
    ExpectHeader(ProtocolHeader),
    /// The broker has not sent its first bytes. What the client sends waits, bounded by its window.
    Dialing {
        connect: Pin<Box<dyn Future<Output = Result<Connected, ConnectError>>>>,
        waiting: VecDeque<Batch>,
    },
    /// Both sides are there.
    Relaying(Box<Relaying>),
    /// All is delivered, or cannot be.
    Over,
}

impl Connection {
    /// A connection that dials when the client's protocol header has come.
    pub fn new(service: Arc<Service>, addresses: Addresses, wiring: Wiring) -> Self {
        let login_deadline = service.config.login_deadline;
        Self {
            service,
            addresses,
            wiring,
            state: State::ExpectHeader(ProtocolHeader::default()),
            deadline: Some(Box::pin(tokio::time::sleep(login_deadline))),
            broker: String::new(),
            blocked: None,
            silent: false,
            finishing: false,
        }
    }

    fn data_from_client(&mut self, batch: Batch) {
        match &mut self.state {
            State::ExpectHeader(_) => self.header_from_client(batch),
            State::Dialing { waiting, .. } => {
                // Together, so that many small batches do not each keep a buffer.
                let joined = waiting
                    .back_mut()
                    .is_some_and(|last| last.append(batch.bytes()));
                if !joined {
                    waiting.push_back(batch);
                }
            }
            State::Relaying(relaying) => {
                let violation =
                    relaying.data_from_client(batch, &self.wiring, &self.service.metrics);
                let event = violation.map(Event::Ended).or_else(|| relaying.changed());
                if let Some(event) = event {
                    self.handle_event(event);
                }
            }
            State::Over => self.wiring.from_client.return_bytes(batch.len()),
        }
    }

    /// Collects the protocol header (AMQP 0-9-1, 4.2.2), whatever its version.
    fn header_from_client(&mut self, mut batch: Batch) {
        let State::ExpectHeader(header) = &mut self.state else {
            return;
        };
        let before = batch.len();
        let greeting = header.take(&mut batch);
        self.wiring.from_client.return_bytes(before - batch.len());
        match greeting {
            Greeting::Incomplete => {}
            Greeting::Complete(header) => self.dial(header, batch),
            Greeting::NotAmqp => {
                self.wiring.from_client.return_bytes(batch.len());
                self.end(Ending::NotAmqp);
            }
        }
    }

    fn dial(&mut self, header: [u8; 8], rest: Batch) {
        let upstream = self.service.upstream.clone();
        let Addresses { client, gateway } = self.addresses;
        let mut waiting = VecDeque::new();
        if !rest.is_empty() {
            waiting.push_back(rest);
        }
        self.state = State::Dialing {
            connect: Box::pin(async move { upstream.connect(header, client, gateway).await }),
            waiting,
        };
    }

    fn start_relaying(&mut self, connected: Connected) {
        let config = &self.service.config;
        self.broker = connected.broker;
        self.wiring.seen.at(&self.broker);
        let params = Params {
            login: connected.login.map(|(user, password)| Login {
                user,
                password: password.expose().to_owned(),
            }),
            vhost: connected.vhost,
            frame_max: config.frame_max.get(),
            channel_max: config.channel_max.get(),
        };
        let mut relaying = Box::new(Relaying::new(connected.socket, params));
        let first = relaying.first_from_broker(
            &connected.first,
            &self.wiring,
            &self.service.metrics,
            self.silent,
        );
        let dialing = std::mem::replace(&mut self.state, State::Relaying(relaying));
        if let Some(event) = first {
            self.handle_event(event);
        }
        if let State::Dialing { waiting, .. } = dialing {
            for batch in waiting {
                self.data_from_client(batch);
            }
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::LoggedIn(user) => {
                self.deadline = None;
                self.wiring.tell(ToClient::LoggedIn(user));
                self.handle_changes();
            }
            Event::Blocked(is_blocked) => {
                self.blocked = is_blocked.then(|| {
                    let upstream = self.service.upstream.clone();
                    Blocked::new(upstream, self.broker.clone())
                });
                self.handle_changes();
            }
            Event::AmqpOver => self.set_deadline(self.service.close_deadline),
            Event::Ended(ending) => self.end(ending),
        }
    }

    /// Deals with what has changed besides.
    fn handle_changes(&mut self) {
        if let State::Relaying(relaying) = &mut self.state {
            if let Some(next) = relaying.changed() {
                self.handle_event(next);
            }
        }
    }

    /// Says why the session ends, and delivers what was accepted before.
    fn end(&mut self, ending: Ending) {
        if !self.silent {
            self.say_farewell(&ending);
            self.wiring.tell(ToClient::Ended(ending));
        }
        self.finish();
    }

    fn say_farewell(&mut self, ending: &Ending) {
        if self.silent {
            return;
        }
        self.silent = true;
        let State::Relaying(relaying) = &mut self.state else {
            return;
        };
        let Some((reply_code, text, class_method)) = farewell::reply(ending) else {
            return;
        };
        if let Some(frame) = relaying.close_towards_client(reply_code, &text, class_method) {
            self.wiring.pass(Batch::copied(&frame));
        }
    }

    /// No more data will come: what is queued has until the deadline to reach the broker.
    fn finish(&mut self) {
        if self.finishing {
            return;
        }
        self.finishing = true;
        self.silent = true;
        match self.state {
            State::Relaying(ref relaying) => {
                // A broker that has taken nothing for that long will not begin now.
                let close_deadline = self.service.close_deadline;
                let left = close_deadline.saturating_sub(relaying.blocked_for());
                self.set_deadline(left);
            }
            State::ExpectHeader(_) | State::Dialing { .. } | State::Over => {
                self.state = State::Over;
            }
        }
    }

    fn set_deadline(&mut self, after: Duration) {
        let at = Instant::now() + after;
        match &mut self.deadline {
            Some(deadline) => deadline.as_mut().reset(at),
            None => self.deadline = Some(Box::pin(tokio::time::sleep_until(at))),
        }
    }

    fn deadline_passed(&mut self) {
        self.deadline = None;
        if self.finishing {
            return self.finish_is_due();
        }
        let ending = match &self.state {
            State::Relaying(relaying) => match relaying.phase() {
                Phase::Negotiating {
                    awaiting: Side::Client,
                } => Ending::LoginTimeout,
                Phase::Negotiating {
                    awaiting: Side::Broker,
                } => Ending::BrokerLoginTimeout,
                Phase::Open | Phase::Closing { .. } | Phase::Closed => {
                    relaying.ending("did not end")
                }
            },
            State::ExpectHeader(_) => Ending::LoginTimeout,
            State::Dialing { .. } | State::Over => Ending::BrokerLoginTimeout,
        };
        self.end(ending);
    }

    /// The end has taken long: it may go on only while the broker still takes what was accepted.
    fn finish_is_due(&mut self) {
        let close_deadline = self.service.close_deadline;
        let left = match &self.state {
            State::Relaying(relaying) if relaying.is_delivering() => {
                close_deadline.saturating_sub(relaying.blocked_for())
            }
            _ => Duration::ZERO,
        };
        if left.is_zero() {
            self.state = State::Over;
        } else {
            self.set_deadline(left);
        }
    }

    /// One turn: ready when the actor has nothing left to do.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.poll_state(cx).is_ready() {
                if matches!(self.state, State::Over) {
                    return Poll::Ready(());
                }
                continue;
            }
            let Some(deadline) = &mut self.deadline else {
                return Poll::Pending;
            };
            ready!(deadline.as_mut().poll(cx));
            self.deadline_passed();
        }
    }

    /// Ready when something has changed and wants another look.
    fn poll_state(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::ExpectHeader(_) => return Poll::Pending,
            State::Over => {}
            State::Dialing { connect, .. } => match ready!(connect.as_mut().poll(cx)) {
                Ok(connected) => self.start_relaying(connected),
                Err(error) => self.end(Ending::BrokerUnreachable(error.to_string())),
            },
            State::Relaying(relaying) => {
                relaying.poll_write(&self.wiring, cx);
                if self.finishing {
                    ready!(relaying.poll_finish(cx));
                    self.state = State::Over;
                    return Poll::Ready(());
                }
                let (wiring, metrics) = (&self.wiring, &self.service.metrics);
                let event = ready!(relaying.poll_read(wiring, metrics, self.silent, cx));
                self.handle_event(event);
            }
        }
        Poll::Ready(())
    }
}

impl Actor for Connection {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(Pump);
    }
}

/// Also where a panic ends the actor: the session always learns that its relay is gone.
impl Drop for Connection {
    fn drop(&mut self) {
        if !matches!(self.state, State::Over) {
            let bug = Ending::Bug("the relay stopped without an ending");
            self.wiring.tell(ToClient::Ended(bug));
        }
        self.wiring.tell(ToClient::Finished);
    }
}

/// Drives [`Connection::poll`] for as long as the actor lives.
struct Pump;

impl ActorFuture<Connection> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        connection: &mut Connection,
        ctx: &mut actix::Context<Connection>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if !ctx.connected() {
            connection.finish();
        }
        ready!(connection.poll(cx));
        ctx.stop();
        Poll::Ready(())
    }
}

impl Handler<FromClient> for Connection {
    type Result = ();

    fn handle(&mut self, message: FromClient, _: &mut Self::Context) {
        match message {
            FromClient::Data(batch) => {
                self.wiring.from_client.batch_taken();
                self.data_from_client(batch);
            }
            FromClient::Farewell(ending) => {
                let come_to = match &self.state {
                    State::Relaying(relaying) => relaying.amqp_ending(),
                    State::ExpectHeader(_) | State::Dialing { .. } | State::Over => None,
                };
                self.say_farewell(&ending);
                self.wiring.tell(ToClient::Farewell(come_to));
            }
            FromClient::Finish => self.finish(),
        }
    }
}
