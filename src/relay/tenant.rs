//! ACTOR: one client's AMQP on a broker connection that it shares with other sessions.
//!
//! The shell around [`Server`], which is the AMQP server towards the client: it takes a place on a
//! shared connection when the client has logged in, lets frames through both ways under the windows,
//! keeps the deadlines and the heartbeats, and turns whatever happens into one [`Ending`].

mod deliveries;
mod finish;
mod login;
mod turns;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use actix::Recipient;
use tokio::time::Instant;
use tokio::time::Sleep;

use crate::batch::Batch;
use crate::ending::Ending;
use crate::relay::config::Config;
use crate::relay::greeting::Greeting;
use crate::relay::greeting::ProtocolHeader;
use crate::relay::metrics::Metrics;
use crate::relay::server::Denied;
use crate::relay::server::Output;
use crate::relay::server::Params;
use crate::relay::server::Pause;
use crate::relay::server::Server;
use crate::relay::tenant::deliveries::Deliveries;
use crate::relay::tenant::deliveries::Delivery;
use crate::relay::violation::Violation;
use crate::relay::ToClient;
use crate::relay::Wiring;
use crate::upstream::shared::Facts;
use crate::upstream::shared::FromShared;
use crate::upstream::shared::Seat;
use crate::upstream::shared::SeatError;
use crate::upstream::shared::Shared;
use crate::wire::amqp::frame::PROTOCOL_HEADER;

pub use login::Doorkeeper;
pub use login::Identity;
pub use login::Verdict;

/// What all tenants of one service share.
#[derive(Debug)]
pub struct Service {
    /// The broker connections.
    pub shared: Shared,
    /// Limits offered to clients.
    pub config: Config,
    /// What is counted.
    pub metrics: Metrics,
    /// Time for the last bytes to reach the broker after the session has ended.
    pub close_deadline: Duration,
}

/// One client's AMQP on a shared broker connection.
pub struct Tenant {
    service: Arc<Service>,
    identity: Identity,
    wiring: Wiring,
    state: State,
    /// What the client has sent and the server has not taken; bounded by the client's window.
    waiting: VecDeque<Batch>,
    deliveries: Deliveries,
    /// Runs out when the login (from the client's first byte on), or after the end the delivery,
    /// takes too long.
    deadline: Option<Pin<Box<Sleep>>>,
    heartbeat: Option<Heartbeat>,
    /// The client has been told all there was to say.
    silent: bool,
    /// The session sends no more data.
    finishing: bool,
    /// The ending that AMQP has come to by itself; told when all before it has gone to the client.
    comes_to: Option<Ending>,
    user: Option<String>,
    address: Option<Recipient<FromShared>>,
}

enum State {
    /// The client has not sent all of its protocol header.
    ExpectHeader(ProtocolHeader),
    /// What the broker says of itself is not known yet.
    Meeting(Pin<Box<dyn Future<Output = Result<Rc<Facts>, SeatError>>>>),
    /// The client is served.
    Serving(Box<Serving>),
    /// All is delivered, or cannot be.
    Over,
}

struct Serving {
    server: Server,
    seat: Option<Seat>,
    work: Work,
    /// The shared connection is gone, or this session is no longer on it.
    is_cut_off: bool,
}

/// What keeps the client from being heard further.
enum Work {
    /// Nothing.
    None,
    /// Its login is being checked.
    Login(Pin<Box<dyn Future<Output = Verdict>>>),
    /// It waits for a place on a connection.
    Seat(Pin<Box<dyn Future<Output = Result<Seat, SeatError>>>>),
    /// It waits for what another session, or the connection, has to give back.
    Line,
    /// Its place is being cleared.
    Leave,
    /// It has said all that counts.
    Over,
}

/// The heartbeats of AMQP (0-9-1, 4.2.7) towards the client.
struct Heartbeat {
    interval: Duration,
    heard: Instant,
    sent: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Tenant {
    /// A client that is served when its protocol header has come.
    pub fn new(service: Arc<Service>, identity: Identity, wiring: Wiring) -> Self {
        let login_deadline = service.config.login_deadline;
        Self {
            service,
            identity,
            wiring,
            state: State::ExpectHeader(ProtocolHeader::default()),
            waiting: VecDeque::new(),
            deliveries: Deliveries::default(),
            deadline: Some(Box::pin(tokio::time::sleep(login_deadline))),
            heartbeat: None,
            silent: false,
            finishing: false,
            comes_to: None,
            user: None,
            address: None,
        }
    }

    fn data_from_client(&mut self, batch: Batch) {
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.heard = Instant::now();
        }
        match &self.state {
            State::ExpectHeader(_) => self.header_from_client(batch),
            State::Meeting(_) | State::Serving(_) => {
                self.keep_waiting(batch);
                self.serve();
            }
            State::Over => self.wiring.from_client.return_bytes(batch.len()),
        }
    }

    /// Together, so that many small batches do not each keep a buffer.
    fn keep_waiting(&mut self, batch: Batch) {
        let joined = self
            .waiting
            .back_mut()
            .is_some_and(|last| last.append(batch.bytes()));
        if !joined && !batch.is_empty() {
            self.waiting.push_back(batch);
        }
    }

    /// Collects the protocol header (AMQP 0-9-1, 4.2.2).
    fn header_from_client(&mut self, mut batch: Batch) {
        let State::ExpectHeader(header) = &mut self.state else {
            return;
        };
        let before = batch.len();
        let greeting = header.take(&mut batch);
        self.wiring.from_client.return_bytes(before - batch.len());
        match greeting {
            Greeting::Incomplete => {}
            Greeting::Complete(PROTOCOL_HEADER) => {
                self.keep_waiting(batch);
                let shared = self.service.shared.clone();
                self.state = State::Meeting(Box::pin(async move { shared.facts().await }));
            }
            Greeting::Complete(_) => {
                // The broker's answer to another version is its own protocol header, and so is ours.
                self.wiring.from_client.return_bytes(batch.len());
                self.wiring.pass(Batch::copied(&PROTOCOL_HEADER));
                self.end(Ending::VersionRefused);
            }
            Greeting::NotAmqp => {
                self.wiring.from_client.return_bytes(batch.len());
                self.end(Ending::NotAmqp);
            }
        }
    }

    /// The broker is known: connection.start goes to the client.
    fn begin(&mut self, facts: &Facts) {
        let mut out = Output::default();
        let config = &self.service.config;
        let limits = (config.frame_max.get(), config.channel_max.get());
        let params = Params::new(facts, limits.0, limits.1, facts.heartbeat);
        let server = Server::new(facts, params, &mut out);
        self.state = State::Serving(Box::new(Serving {
            server,
            seat: None,
            work: Work::None,
            is_cut_off: false,
        }));
        self.put_out(out, 0);
        self.serve();
    }

    /// Gives the server what has come from the client, until that is all or something keeps it.
    fn serve(&mut self) {
        loop {
            // What is said to the client without the broker's doing has no other bound.
            let is_full =
                self.deliveries.own_bytes() > self.service.config.frame_max.get() as usize;
            let State::Serving(serving) = &mut self.state else {
                return;
            };
            if is_full || !matches!(serving.work, Work::None) {
                break;
            }
            let Some(mut batch) = self.waiting.pop_front() else {
                return;
            };
            let before = batch.len();
            let mut out = Output::default();
            let pause = serving
                .server
                .from_client(&mut batch, serving.seat.as_ref(), &mut out);
            let taken = before - batch.len();
            if !batch.is_empty() {
                self.waiting.push_front(batch);
            }
            let violation = out.violation.take();
            self.put_out(out, 0);
            // Behind what was spent for it anew, so that the session need not be woken in between.
            self.wiring.from_client.return_bytes(taken);
            self.pause(pause);
            self.violated(violation);
        }
        if matches!(&self.state, State::Serving(serving) if matches!(serving.work, Work::Over)) {
            self.forget_waiting();
        }
    }

    /// What the client did costs its connection.
    fn violated(&mut self, violation: Option<Violation>) {
        let Some(violation) = violation else {
            return;
        };
        if let State::Serving(serving) = &mut self.state {
            serving.work = Work::Over;
        }
        self.end(Ending::AmqpViolation {
            reply_code: violation.reply_code,
            text: violation.text,
            class_method: violation.class_method,
        });
    }

    fn pause(&mut self, pause: Pause) {
        let login = match &pause {
            Pause::Login(login) => Some(self.identity.check(login)),
            _ => None,
        };
        let State::Serving(serving) = &mut self.state else {
            return;
        };
        serving.work = match pause {
            Pause::No => Work::None,
            Pause::Login(_) => login.map_or(Work::None, Work::Login),
            Pause::Seat => {
                return self.take_seat();
            }
            Pause::Line => Work::Line,
            Pause::Leave => {
                if let Some(seat) = serving.seat.as_ref().filter(|_| !serving.is_cut_off) {
                    seat.leave();
                    Work::Leave
                } else {
                    // Nothing is left to be cleared.
                    serving.work = Work::Leave;
                    return self.left();
                }
            }
            Pause::Over => Work::Over,
        };
    }

    fn forget_waiting(&mut self) {
        for batch in self.waiting.drain(..) {
            self.wiring.from_client.return_bytes(batch.len());
        }
    }

    /// Sends what the server has said. `arrived` bytes of the connection's have led to it.
    fn put_out(&mut self, out: Output, arrived: usize) {
        self.service.metrics.add(&out.tally);
        for rule in &out.refusals {
            self.service.metrics.refused(*rule);
        }
        let is_own = arrived == 0;
        for frames in out.to_client {
            self.deliveries.push(frames, is_own);
        }
        let done = self.deliveries.arrived(arrived);
        let State::Serving(serving) = &self.state else {
            return;
        };
        let channels = u32::try_from(serving.server.channels()).unwrap_or(u32::MAX);
        self.wiring.seen.set_channels(channels);
        let Some(seat) = &serving.seat else {
            return;
        };
        if done > 0 {
            seat.taken(done);
        }
        for frames in out.to_broker {
            let credit = frames.len();
            self.wiring.from_client.spend(credit);
            self.wiring.from_client.batch_taken();
            seat.send(frames, credit);
        }
    }

    /// Passes on what waits for the client, while the session takes it; says whether that was anything.
    fn deliver(&mut self, cx: &mut Context<'_>) -> bool {
        let mut has_passed = false;
        while !self.deliveries.is_empty() {
            if !self.silent && self.wiring.to_client.poll_open(cx).is_pending() {
                if self.wiring.to_client.is_exhausted() && self.deliveries.pause() {
                    self.service.metrics.paused();
                }
                break;
            }
            let Some(Delivery { frames, arrived }) = self.deliveries.next() else {
                break;
            };
            if !self.silent {
                self.wiring.pass(frames);
            }
            has_passed = true;
            let State::Serving(serving) = &mut self.state else {
                continue;
            };
            if let Some(seat) = &serving.seat {
                seat.taken(arrived);
            }
            let mut out = Output::default();
            serving.server.passed(self.deliveries.position(), &mut out);
            self.put_out(out, 0);
        }
        if !has_passed {
            return false;
        }
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.sent = Instant::now();
        }
        if self.deliveries.is_empty() {
            if let Some(ending) = self.comes_to.take() {
                self.end(ending);
                return true;
            }
        }
        // What the server itself had said may have kept the client waiting.
        self.serve();
        true
    }

    fn login_decided(&mut self, verdict: Verdict) {
        let State::Serving(serving) = &mut self.state else {
            return;
        };
        serving.work = Work::None;
        match verdict {
            Verdict::Accepted(user) => {
                self.user = user;
                let mut out = Output::default();
                serving.server.login_decided(Ok(()), &mut out);
                self.put_out(out, 0);
                self.serve();
            }
            Verdict::Refused => {
                self.denied(Ending::LoginRefused(
                    "user or password are wrong".to_owned(),
                ));
            }
            Verdict::Forbidden => {
                self.denied(Ending::Forbidden(
                    "this user may not use the service".to_owned(),
                ));
            }
            Verdict::Unavailable => {
                self.end(Ending::Unavailable(
                    "the login cannot be checked now".to_owned(),
                ));
            }
        }
    }

    /// The client hears of it as from RabbitMQ, if it can.
    fn denied(&mut self, ending: Ending) {
        if let State::Serving(serving) = &mut self.state {
            let mut out = Output::default();
            serving.work = Work::Over;
            serving.server.login_decided(Err(Denied), &mut out);
            let close = out.violation.and_then(|violation| {
                let Violation {
                    reply_code,
                    text,
                    class_method,
                } = violation;
                serving
                    .server
                    .close_towards_client(reply_code, &text, class_method)
            });
            if let Some(frame) = close.filter(|_| !self.silent) {
                self.wiring.pass(Batch::copied(&frame));
            }
        }
        self.end(ending);
    }

    fn take_seat(&mut self) {
        let (Some(address), State::Serving(serving)) = (self.address.clone(), &mut self.state)
        else {
            return;
        };
        let shared = self.service.shared.clone();
        let window = Rc::clone(&self.wiring.from_client);
        serving.work = Work::Seat(Box::pin(async move { shared.seat(address, window).await }));
    }

    fn seated(&mut self, seat: Seat) {
        let State::Serving(serving) = &mut self.state else {
            return;
        };
        if seat.facts().frame_max < serving.server.frame_max() {
            // Brokers of one service may differ; over a frame that is too large this one would end the connection of all.
            let text = format!(
                "broker {} takes smaller frames than were agreed on",
                seat.facts().broker
            );
            return self.end(Ending::BrokerUnreachable(text));
        }
        self.wiring.seen.at(&seat.facts().broker);
        let mut out = Output::default();
        serving.work = Work::None;
        serving.seat = Some(seat);
        let blocked = serving.seat.as_ref().and_then(Seat::blocked);
        serving.server.seated(&mut out);
        if let Some(reason) = blocked {
            serving.server.blocked(&reason, &mut out);
        }
        let interval = serving.server.client_heartbeat();
        self.heartbeat = (interval > 0).then(|| Heartbeat::new(interval));
        self.deadline = None;
        self.put_out(out, 0);
        self.wiring.tell(ToClient::LoggedIn(self.user.take()));
        self.serve();
    }

    fn no_seat(&mut self, error: SeatError) {
        self.end(match error {
            SeatError::Unreachable(error) => Ending::BrokerUnreachable(error.to_string()),
            SeatError::Full(text) => Ending::Unavailable(text),
        });
    }

    /// The connection is gone, or this session's part of it.
    fn cut_off(&mut self, ending: Ending) {
        if let State::Serving(serving) = &mut self.state {
            serving.is_cut_off = true;
            if matches!(serving.work, Work::Leave) {
                return self.left();
            }
        }
        if self.finishing {
            self.forget_waiting();
            self.state = State::Over;
        } else {
            self.end(ending);
        }
    }
}

impl Heartbeat {
    fn new(seconds: u16) -> Self {
        let interval = Duration::from_secs(seconds.into());
        let now = Instant::now();
        Self {
            interval,
            heard: now,
            sent: now,
            sleep: Box::pin(tokio::time::sleep(interval / 2)),
        }
    }
}
