//! ACTOR: one client's AMQP connection to RabbitMQ, on a broker socket of its own.
//!
//! The shell around [`Splice`]: it dials when the client's protocol header arrives, moves bytes both
//! ways under the two windows, keeps the deadlines of the login and of the end, and turns whatever
//! happens into one [`Ending`].

use std::collections::VecDeque;
use std::future::Future;
use std::io;
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
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::time::Instant;
use tokio::time::Sleep;

use crate::ending::Ending;
use crate::relay::batch::Batch;
use crate::relay::batch::Buffer;
use crate::relay::config::Config;
use crate::relay::farewell;
use crate::relay::metrics::Metrics;
use crate::relay::outbox::Outbox;
use crate::relay::splice::Login;
use crate::relay::splice::Params;
use crate::relay::splice::Phase;
use crate::relay::splice::Side;
use crate::relay::splice::Splice;
use crate::relay::tally::Tally;
use crate::relay::FromClient;
use crate::relay::ToClient;
use crate::relay::Wiring;
use crate::upstream::ConnectError;
use crate::upstream::Connected;
use crate::upstream::Socket;
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
    /// Runs out when the login, or after the end the delivery, takes too long.
    deadline: Option<Pin<Box<Sleep>>>,
    /// The session wants no more data: it has been told all there was to say.
    silent: bool,
    /// The session sends no more data.
    finishing: bool,
}

enum State {
    /// The client has not sent all of its protocol header.
    ExpectHeader { header: [u8; 8], have: usize },
    /// The broker has not sent its first bytes. What the client sends waits.
    Dialing {
        connect: Pin<Box<dyn Future<Output = Result<Connected, ConnectError>>>>,
        waiting: VecDeque<Batch>,
    },
    /// Both sides are there.
    Relaying(Box<Relaying>),
    /// The end has been said, or there is nobody left to say it to.
    Over,
}

struct Relaying {
    socket: Socket,
    splice: Splice,
    to_broker: Outbox,
    /// The beginning of a frame from the broker whose end has not come.
    partial: Option<(Buffer, usize)>,
    logged_in: bool,
    /// The write side of the socket is of no more use: reading goes on to learn why.
    write_failed: Option<String>,
    /// AMQP is over; the broker has until the deadline to end its socket.
    closing: bool,
    shut_down: bool,
}

impl Connection {
    /// A connection that dials when the client's protocol header has come.
    pub fn new(service: Arc<Service>, addresses: Addresses, wiring: Wiring) -> Self {
        Self {
            service,
            addresses,
            wiring,
            state: State::ExpectHeader {
                header: [0; 8],
                have: 0,
            },
            deadline: None,
            silent: false,
            finishing: false,
        }
    }

    fn data_from_client(&mut self, mut batch: Batch) {
        match &mut self.state {
            State::ExpectHeader { header, have } => {
                let count = batch.len().min(header.len() - *have);
                header[*have..*have + count].copy_from_slice(&batch.bytes()[..count]);
                *have += count;
                batch.advance(count);
                self.wiring.from_client.return_bytes(count);
                let known = (*have).min(PROTOCOL_NAME.len());
                if header[..known] != PROTOCOL_NAME[..known] {
                    self.wiring.from_client.return_bytes(batch.len());
                    return self.end(Ending::NotAmqp);
                }
                if *have < header.len() {
                    return;
                }
                let header = *header;
                self.dial(header, batch);
            }
            State::Dialing { waiting, .. } => waiting.push_back(batch),
            State::Relaying(relaying) => {
                let violation = relaying.pass_to_broker(batch, &self.wiring, &self.service.metrics);
                if let Some(ending) = violation {
                    self.end(ending);
                }
            }
            State::Over => self.wiring.from_client.return_bytes(batch.len()),
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
        self.set_deadline(self.service.config.login_deadline);
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
        if let Some(frame) = relaying
            .splice
            .close_towards_client(reply_code, &text, class_method)
        {
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
            State::Relaying(_) => self.set_deadline(self.service.close_deadline),
            State::ExpectHeader { .. } | State::Dialing { .. } | State::Over => {
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

    /// One turn: ready when the actor has nothing left to do.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Poll::Ready(()) = self.poll_once(cx) {
                if matches!(self.state, State::Over) {
                    return Poll::Ready(());
                }
                continue;
            }
            let Some(deadline) = &mut self.deadline else {
                return Poll::Pending;
            };
            ready!(deadline.as_mut().poll(cx));
            self.deadline = None;
            self.deadline_passed();
        }
    }

    fn deadline_passed(&mut self) {
        if self.finishing {
            self.state = State::Over;
            return;
        }
        let ending = match &self.state {
            State::Relaying(relaying) => match relaying.splice.phase() {
                Phase::Negotiating {
                    awaiting: Side::Client,
                } => Ending::LoginTimeout,
                Phase::Negotiating {
                    awaiting: Side::Broker,
                } => Ending::BrokerLoginTimeout,
                Phase::Open | Phase::Closing { .. } | Phase::Closed => {
                    relaying.ending(&"did not end after connection.close")
                }
            },
            State::ExpectHeader { .. } | State::Dialing { .. } | State::Over => {
                Ending::BrokerLoginTimeout
            }
        };
        self.end(ending);
    }

    /// Ready when the state has changed and wants another look.
    fn poll_once(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::ExpectHeader { .. } => Poll::Pending,
            State::Over => Poll::Ready(()),
            State::Dialing { connect, .. } => {
                match ready!(connect.as_mut().poll(cx)) {
                    Ok(connected) => self.start_relaying(connected),
                    Err(error) => self.end(Ending::BrokerUnreachable(error.to_string())),
                }
                Poll::Ready(())
            }
            State::Relaying(relaying) => {
                relaying.poll_write(&self.wiring, cx);
                if self.finishing {
                    ready!(relaying.poll_finish(cx));
                    self.state = State::Over;
                    return Poll::Ready(());
                }
                self.poll_read(cx)
            }
        }
    }

    fn start_relaying(&mut self, connected: Connected) {
        let config = &self.service.config;
        let params = Params {
            login: connected.login.map(|(user, password)| Login {
                user,
                password: password.expose().to_owned(),
            }),
            vhost: connected.vhost,
            frame_max: config.frame_max.get(),
            channel_max: config.channel_max.get(),
        };
        let relaying = Box::new(Relaying {
            socket: connected.socket,
            splice: Splice::new(params),
            to_broker: Outbox::default(),
            partial: None,
            logged_in: false,
            write_failed: None,
            closing: false,
            shut_down: false,
        });
        let dialing = std::mem::replace(&mut self.state, State::Relaying(relaying));
        self.data_from_broker(&connected.first);
        if let State::Dialing { waiting, .. } = dialing {
            for batch in waiting {
                self.data_from_client(batch);
            }
        }
    }

    fn data_from_broker(&mut self, first: &[u8]) {
        let mut buffer = Buffer::with_room(first.len());
        buffer.room()[..first.len()].copy_from_slice(first);
        self.pass_to_client(buffer, first.len());
    }

    /// Reads what the broker has sent, while the client takes it.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..READS_PER_TURN {
            ready!(self.wiring.to_client.poll_open(cx));
            let State::Relaying(relaying) = &mut self.state else {
                return Poll::Ready(());
            };
            let (mut buffer, have) = match relaying.partial.take() {
                Some(partial) => partial,
                None => (Buffer::take(), 0),
            };
            let mut room = ReadBuf::new(&mut buffer.room()[have..]);
            let read = Pin::new(&mut relaying.socket).poll_read(cx, &mut room);
            let count = room.filled().len();
            let failure = match read {
                Poll::Pending => {
                    if have > 0 {
                        relaying.partial = Some((buffer, have));
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) if count > 0 => {
                    self.pass_to_client(buffer, have + count);
                    continue;
                }
                Poll::Ready(Ok(())) => "was closed by the broker".to_owned(),
                Poll::Ready(Err(error)) => how_it_failed(&error),
            };
            let ending = relaying.ending(&failure);
            self.end(ending);
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Passes the whole frames at the front of `buffer` on and keeps the rest.
    fn pass_to_client(&mut self, buffer: Buffer, len: usize) {
        let State::Relaying(relaying) = &mut self.state else {
            return;
        };
        let mut tally = Tally::default();
        let scanned = relaying.splice.to_client(buffer.data(len), &mut tally);
        self.service.metrics.add(&tally);
        let (consumed, incomplete) = (scanned.consumed, scanned.incomplete);
        let failure = scanned.failure;
        let rewritten = match scanned.forward {
            std::borrow::Cow::Borrowed(_) => None,
            std::borrow::Cow::Owned(bytes) => Some(bytes),
        };
        let rest = len - consumed;
        let tail = (consumed > 0 && rest > 0).then(|| {
            let mut tail = Buffer::with_room(incomplete.max(rest));
            tail.room()[..rest].copy_from_slice(&buffer.data(len)[consumed..]);
            tail
        });
        let whole = if consumed == 0 {
            let mut partial = buffer;
            if incomplete > partial.capacity() || rest == partial.capacity() {
                let mut larger = Buffer::with_room(incomplete.max(2 * rest));
                larger.room()[..rest].copy_from_slice(partial.data(rest));
                partial = larger;
            }
            relaying.partial = Some((partial, rest));
            None
        } else {
            relaying.partial = tail.map(|tail| (tail, rest));
            Some(match rewritten {
                Some(bytes) => Batch::copied(&bytes),
                None => Batch::of_buffer(buffer, consumed, Vec::new()),
            })
        };
        if let Some(batch) = whole.filter(|batch| !batch.is_empty() && !self.silent) {
            self.wiring.pass(batch);
        }
        if let Some(failure) = failure {
            return self.end(Ending::BrokerLost(failure.to_string()));
        }
        self.follow_phase();
    }

    /// What a frame from the broker may have changed.
    fn follow_phase(&mut self) {
        let State::Relaying(relaying) = &mut self.state else {
            return;
        };
        if relaying.splice.phase() == Phase::Open && !relaying.logged_in {
            relaying.logged_in = true;
            self.deadline = None;
            self.wiring.tell(ToClient::LoggedIn);
            return;
        }
        let over =
            relaying.splice.broker_close().is_some() || relaying.splice.phase() == Phase::Closed;
        if over && !relaying.closing {
            relaying.closing = true;
            self.set_deadline(self.service.close_deadline);
        }
    }
}

impl Relaying {
    /// Queues what the splice lets through; an ending if the client broke the rules.
    fn pass_to_broker(
        &mut self,
        mut batch: Batch,
        wiring: &Wiring,
        metrics: &Metrics,
    ) -> Option<Ending> {
        let spent = batch.len();
        if self.write_failed.is_some() {
            wiring.from_client.return_bytes(spent);
            return None;
        }
        let mut tally = Tally::default();
        let scanned = self.splice.from_client(batch.bytes(), &mut tally);
        metrics.add(&tally);
        let violation = scanned.violation;
        self.to_broker.push_slice(scanned.held.as_slice());
        match scanned.bytes {
            std::borrow::Cow::Borrowed(bytes) => {
                let len = bytes.len();
                batch.truncate(len);
                if batch.is_empty() {
                    wiring.from_client.return_bytes(spent);
                } else {
                    self.to_broker.push(batch, spent);
                }
            }
            std::borrow::Cow::Owned(bytes) => {
                self.to_broker.push_slice(&bytes);
                wiring.from_client.return_bytes(spent);
            }
        }
        violation.map(|violation| Ending::AmqpViolation {
            reply_code: violation.reply_code,
            text: violation.text,
            class_method: violation.class_method,
        })
    }

    /// Writes what waits. A failure is remembered: the broker may have said why before.
    fn poll_write(&mut self, wiring: &Wiring, cx: &mut Context<'_>) {
        if self.write_failed.is_some() {
            return;
        }
        let written = self
            .to_broker
            .poll_write(&mut self.socket, &wiring.from_client, cx);
        if let Poll::Ready(Err(error)) = written {
            self.to_broker.clear(&wiring.from_client);
            self.write_failed = Some(how_it_failed(&error));
        }
    }

    /// Delivers the last bytes, says the end and waits for the broker's.
    ///
    /// What the broker still sends is read and thrown away: closing a socket with unread bytes
    /// resets it, and a reset may overtake what we sent.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.write_failed.is_some() {
            return Poll::Ready(());
        }
        if self.to_broker.is_empty() && !self.shut_down {
            // A failing shutdown shows in the read below.
            self.shut_down = Pin::new(&mut self.socket).poll_shutdown(cx).is_ready();
        }
        let mut buffer = Buffer::take();
        loop {
            let mut room = ReadBuf::new(buffer.room());
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut room)) {
                Ok(()) if !room.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// What the end of the broker's socket means.
    fn ending(&self, how: &dyn std::fmt::Display) -> Ending {
        if let Some(reason) = self.splice.broker_close() {
            if reason.version_refused {
                return Ending::VersionRefused;
            }
            return Ending::BrokerClosed {
                reply_code: reason.reply_code,
                text: reason.text.clone(),
            };
        }
        if self.splice.phase() == Phase::Closed {
            return Ending::AmqpClosed;
        }
        match &self.write_failed {
            Some(failed) => Ending::BrokerLost(failed.clone()),
            None => Ending::BrokerLost(how.to_string()),
        }
    }
}

impl Actor for Connection {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(Pump);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
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
                self.say_farewell(&ending);
                self.wiring.tell(ToClient::Farewell);
            }
            FromClient::Finish => self.finish(),
        }
    }
}

fn how_it_failed(error: &io::Error) -> String {
    format!("failed: {error}")
}

/// Every AMQP protocol header begins with it (AMQP 0-9-1, 4.2.2).
const PROTOCOL_NAME: &[u8; 4] = b"AMQP";

/// Reads before other sessions of the thread get their turn.
const READS_PER_TURN: usize = 4;
