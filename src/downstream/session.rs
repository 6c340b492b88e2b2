//! ACTOR: one client's WebSocket, from the 101 to its end.
//!
//! The shell around the frame decoder, the [`Phase`] and the [`Timer`]: it owns the socket and the
//! outbox. What one read produced goes to the relay as one message, through the extensions that claim
//! it; what the relay sends goes to the socket in one write. This file holds the turns of the socket,
//! `negotiating` the extended handshake, `flow` the data, `finish` the end, `mailbox` what others say,
//! `news` what backends are told, `time` what the clock says.

mod finish;
mod flow;
mod mailbox;
mod negotiating;
mod news;
mod time;

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::ready;
use std::task::Context;
use std::task::Poll;
use std::time::Instant;

use actix::Actor;
use actix::Recipient;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::time::Sleep;

use crate::batch::Buffer;
use crate::batch::READ_SIZE;
use crate::credit::Window;
use crate::downstream::gate::Backend;
use crate::downstream::phase::Client;
use crate::downstream::phase::Phase;
use crate::downstream::registry::Permit;
use crate::downstream::registry::SessionId;
use crate::downstream::registry::Traffic;
use crate::downstream::session::finish::Waits;
use crate::downstream::session::negotiating::Extending;
use crate::downstream::timer::Timer;
use crate::downstream::trials::Figures;
use crate::downstream::Gate;
use crate::ending::Ending;
use crate::handshake::opening::EXTENDED_HANDSHAKE;
use crate::handshake::Agreement;
use crate::handshake::Extended;
use crate::outbox::Outbox;
use crate::pipeline::metrics::Direction;
use crate::pipeline::Pipeline;
use crate::relay::FromClient;
use crate::wire::websocket::encoder;
use crate::wire::websocket::Control;
use crate::wire::websocket::Decoder;
use crate::wire::websocket::Limits;
use crate::wire::websocket::Piece;

/// A socket that a session can own.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + 'static {
    /// The gateway's end.
    fn gateway_address(&self) -> Option<SocketAddr>;

    /// The peer's end: the client's, or that of a proxy.
    fn client_address(&self) -> Option<SocketAddr>;

    /// Asks the kernel to queue only little beyond what is on its way to the client.
    fn keep_little_unsent(&self);

    /// Ends it both ways, at once.
    fn shut_down(&self);
}

/// What a session begins with.
#[derive(Debug)]
pub struct Start {
    /// Index of the service.
    pub service: usize,
    /// What was agreed, or how it will be.
    pub negotiated: Negotiated,
    /// The client's address.
    pub client: SocketAddr,
    /// The place among the limits.
    pub permit: Permit,
    /// The answer to the opening handshake; the session sends it.
    pub response: Vec<u8>,
    /// What the client has sent behind its request.
    pub early: Vec<u8>,
}

/// How far client and gateway have agreed in the opening handshake.
#[derive(Debug)]
pub enum Negotiated {
    /// On everything.
    All(Agreement),
    /// On the extended handshake.
    Opening(Extended),
}

/// One client's WebSocket.
pub struct Session<S> {
    id: SessionId,
    socket: S,
    gate: Arc<Gate>,
    service: usize,
    client: SocketAddr,
    gateway: Option<SocketAddr>,
    stage: Stage,
    decoder: Decoder,
    outbox: Outbox,
    from_client: Rc<Window>,
    to_client: Rc<Window>,
    relay: Relay,
    phase: Phase,
    waits: Waits,
    timer: Timer,
    sleep: Pin<Box<Sleep>>,
    traffic: Arc<Traffic>,
    /// Its side of each trial.
    trials: Vec<Figures>,
    /// The login was accepted, or data may flow where there is none: backends were told.
    is_known: bool,
    early: Vec<u8>,
    /// The place among the limits, held until session and relay are gone.
    place: Rc<Permit>,
}

/// How far the session is before its end.
#[derive(Debug)]
enum Stage {
    /// It has not looked at what was negotiated.
    New(Box<Negotiated>),
    /// The extended handshake goes on.
    Extending(Box<Extending>),
    /// Data flows, through these extensions if there are any.
    Open(Option<Box<Pipeline>>),
}

impl Stage {
    /// The subprotocol of the opening handshake, for the log.
    fn subprotocol(&self) -> &str {
        match self {
            Self::New(negotiated) => match negotiated.as_ref() {
                Negotiated::All(agreement) => agreement.subprotocol.as_deref().unwrap_or(""),
                Negotiated::Opening(_) => EXTENDED_HANDSHAKE,
            },
            Self::Extending(_) => EXTENDED_HANDSHAKE,
            Self::Open(_) => "",
        }
    }
}

/// The actor behind the session.
#[derive(Debug)]
enum Relay {
    /// The client has sent nothing yet.
    Absent,
    /// Takes data.
    Live(Recipient<FromClient>),
    /// Takes no more data, and has not said that it is gone.
    Finishing,
    /// Is gone.
    Gone,
}

impl<S: Socket> Session<S> {
    /// Starts a session on this thread.
    pub fn start(gate: Arc<Gate>, socket: S, start: Start) {
        let now = Instant::now();
        let websocket = &gate.websocket;
        let limits = match start.negotiated {
            Negotiated::All(_) => limits_before_login(&gate, start.service),
            Negotiated::Opening(_) => negotiating::LIMITS,
        };
        let mut session = Self {
            id: SessionId::random(),
            gateway: socket.gateway_address(),
            socket,
            service: start.service,
            client: start.client,
            decoder: Decoder::new(limits, false),
            stage: Stage::New(Box::new(start.negotiated)),
            outbox: Outbox::default(),
            from_client: Rc::new(Window::new(websocket.window_bytes)),
            to_client: Rc::new(Window::new(websocket.window_bytes)),
            relay: Relay::Absent,
            phase: Phase::Open,
            waits: Waits::default(),
            timer: Timer::new(now),
            sleep: Box::pin(tokio::time::sleep(websocket.ping_interval)),
            traffic: Arc::default(),
            trials: Vec::new(),
            is_known: false,
            early: start.early,
            place: Rc::new(start.permit),
            gate,
        };
        session.outbox.push_slice(&start.response);
        Actor::start(session);
    }

    /// One turn: ready when the session is over.
    fn poll(&mut self, ctx: &mut actix::Context<Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.early.is_empty() {
            self.take_early(ctx);
        }
        loop {
            if self.poll_write(cx) || self.poll_read(ctx, cx) {
                return Poll::Ready(());
            }
            let next = tokio::time::Instant::from_std(self.next_moment());
            if next < self.sleep.deadline() {
                self.sleep.as_mut().reset(next);
            }
            ready!(self.sleep.as_mut().poll(cx));
            if self.time_passed() {
                return Poll::Ready(());
            }
            let next = tokio::time::Instant::from_std(self.next_moment());
            self.sleep.as_mut().reset(next);
        }
    }

    /// Writes what waits; true when the session is over.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        let waiting = self.outbox.len();
        let written = self
            .outbox
            .poll_write(&mut self.socket, &self.to_client, cx);
        match written {
            Poll::Pending => {
                if self.outbox.len() < waiting {
                    // Who takes what was waiting is there, however slowly it comes to our Ping.
                    let now = Instant::now();
                    self.timer.taken(now);
                    if let Some(pipeline) = self.pipeline() {
                        pipeline.activity().hears(now);
                    }
                }
                return false;
            }
            Poll::Ready(Err(error)) => return self.lost(how_it_failed(&error)),
            Poll::Ready(Ok(())) => {}
        }
        let all_said = matches!(self.phase, Phase::Delivering { .. });
        if all_said && matches!(self.relay, Relay::Gone) {
            // A failing shutdown shows in the next read, if there is one.
            if Pin::new(&mut self.socket).poll_shutdown(cx).is_ready() {
                self.phase.delivered();
            }
        }
        matches!(self.phase, Phase::Over { .. })
    }

    /// Reads what the client has sent, while it is wanted; true when the session is over.
    fn poll_read(&mut self, ctx: &mut actix::Context<Self>, cx: &mut Context<'_>) -> bool {
        for _ in 0..READS_PER_TURN {
            if self.is_paused(cx) {
                return false;
            }
            let mut buffer = Buffer::take();
            let mut room = ReadBuf::new(buffer.room());
            match Pin::new(&mut self.socket).poll_read(cx, &mut room) {
                Poll::Pending => return false,
                Poll::Ready(Err(error)) => return self.lost(how_it_failed(&error)),
                Poll::Ready(Ok(())) => {}
            }
            let len = room.filled().len();
            if len == 0 {
                return self.lost("was closed without a Close frame".to_owned());
            }
            self.timer.heard(Instant::now());
            self.take_bytes(buffer, len, ctx);
            if self.poll_write(cx) {
                return true;
            }
        }
        cx.waker().wake_by_ref();
        false
    }

    /// Whether the client is not read for now: its bytes, or our answers to its pings, wait.
    fn is_paused(&self, cx: &mut Context<'_>) -> bool {
        if matches!(self.phase, Phase::Delivering { .. }) {
            // First the relay and the outbox finish; then the socket is read to its end.
            return true;
        }
        if !self.phase.is_listening() {
            return false;
        }
        let takes = matches!(self.relay, Relay::Live(_)) || self.is_passing(Direction::FromClient);
        let is_full = takes && self.from_client.poll_open(cx).is_pending();
        let is_paused = is_full || self.answers_wait();
        self.note_paused(is_paused);
        is_paused
    }

    /// Whether so much waits for the client that it may not ask for more, such as answers to pings.
    fn answers_wait(&self) -> bool {
        self.outbox.len() > 2 * self.gate.websocket.window_bytes
    }

    fn take_early(&mut self, ctx: &mut actix::Context<Self>) {
        let early = std::mem::take(&mut self.early);
        for bytes in early.chunks(READ_SIZE) {
            let mut buffer = Buffer::take();
            buffer.room()[..bytes.len()].copy_from_slice(bytes);
            self.take_bytes(buffer, bytes.len(), ctx);
        }
    }

    /// Decodes `len` bytes and sends their payload on.
    fn take_bytes(&mut self, mut buffer: Buffer, len: usize, ctx: &mut actix::Context<Self>) {
        if !self.phase.is_listening() {
            return;
        }
        let Scratch {
            mut pieces,
            mut controls,
        } = SCRATCH.take();
        let decoded = self
            .decoder
            .decode(&mut buffer.room()[..len], &mut pieces, &mut controls);
        self.count_from_client(decoded.data, decoded.messages);
        self.note_heard(&pieces, &controls);
        if !pieces.is_empty() {
            match self.stage {
                Stage::Open(_) => self.pass_on(buffer, decoded.data, &pieces, ctx),
                Stage::Extending(_) | Stage::New(_) => {
                    self.negotiate(buffer.data(decoded.data), &pieces, ctx);
                }
            }
        }
        pieces.clear();
        for control in controls.drain(..) {
            match control {
                Control::Ping(payload) => self.outbox.push_slice(&encoder::pong(&payload)),
                Control::Pong(_) => {}
                Control::Close(close) => {
                    self.leave(Ending::ClientClosed(close));
                    self.heard_out(Client::Silent);
                }
            }
        }
        SCRATCH.set(Scratch { pieces, controls });
        if let Some(violation) = decoded.violation {
            self.leave(Ending::WebSocketViolation(violation));
            self.heard_out(Client::Ignored);
        }
    }
}

/// What a message may cost until the broker has accepted the login; an echo has none.
fn limits_before_login(gate: &Gate, service: usize) -> Limits {
    let websocket = &gate.websocket;
    Limits {
        message_bytes: match gate.backends[service] {
            Backend::Amqp(_) | Backend::Shared(_) => websocket.message_before_login_bytes,
            Backend::Echo => websocket.message_bytes,
        },
        fragments: websocket.fragments.get(),
    }
}

/// What one decoding produces, kept per thread so that a busy session allocates nothing for it.
#[derive(Default)]
struct Scratch {
    pieces: Vec<Piece>,
    controls: Vec<Control>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

fn how_it_failed(error: &io::Error) -> String {
    format!("failed: {error}")
}

/// Reads before other sessions of the thread get their turn.
const READS_PER_TURN: usize = 4;
