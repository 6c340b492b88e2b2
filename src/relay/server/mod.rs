//! The AMQP 0-9-1 server towards one client whose session shares a broker connection with others.
//!
//! The gateway negotiates with the client itself, in the broker's words. Then the client's frames
//! go on to the connection with its channels renumbered in place, publishes only when they are
//! whole, and nothing that would cost the connection: that is refused here, as the broker would.
//! Where a page asks for deliveries without acknowledgement, the gateway acknowledges what has gone
//! on to it, so that a slow page slows its own consumers and nobody else's.

mod channel;
mod closing;
mod content;
mod declares;
mod frames;
mod from_client;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod login;
mod methods;
mod negotiating;
mod open;
mod rule;
mod run;
mod settle;
mod to_client;
mod turned;

use std::collections::VecDeque;
use std::fmt;

use self::channel::Channels;
pub use self::login::ClientLogin;
pub use self::login::Mechanism;
pub use self::rule::Refusal;
pub use self::rule::Rule;
pub use self::rule::Scope;
use crate::batch::Batch;
use crate::relay::splice::Phase;
use crate::relay::splice::Side;
use crate::relay::tally::Tally;
use crate::relay::violation::clip_text;
use crate::relay::violation::Violation;
use crate::upstream::shared::Facts;
use crate::upstream::shared::Policy;
use crate::upstream::shared::Version;
use crate::wire::amqp::frame::HEARTBEAT;
use crate::wire::amqp::frame::INITIAL_FRAME_MAX;
use crate::wire::amqp::method::Close;
use crate::wire::amqp::method::CloseOk;
use crate::wire::amqp::method::Method;
use crate::wire::amqp::method::OpenOk;
use crate::wire::amqp::method::ShortString;
use crate::wire::amqp::Limits;
use crate::wire::amqp::MethodId;
use crate::wire::amqp::ReplyCode;

/// What the server offers and enforces: the broker's facts, lowered to the operator's limits.
#[derive(Debug, Clone)]
pub struct Params {
    /// Largest frame, in bytes; never 0, and no more than the broker's.
    pub frame_max: u32,
    /// Highest channel number; never 0.
    pub channel_max: u16,
    /// Seconds between heartbeats; 0 means none.
    pub heartbeat: u16,
    /// What the operator allows.
    pub policy: Policy,
    /// The broker's version, if it is RabbitMQ.
    pub version: Option<Version>,
    /// The vhost, for reply texts.
    pub vhost: String,
}

impl Params {
    /// The facts, held to the operator's limits, of which 0 means none.
    pub fn new(facts: &Facts, frame_max: u32, channel_max: u16, heartbeat: u16) -> Self {
        let or_most = |limit, most| if limit == 0 { most } else { limit };
        Self {
            frame_max: or_most(frame_max, u32::MAX).min(or_most(facts.frame_max, u32::MAX)),
            channel_max: or_most(channel_max.into(), u32::MAX)
                .min(or_most(facts.channel_max.into(), u32::MAX))
                .min(u16::MAX.into()) as u16,
            heartbeat,
            policy: facts.policy.clone(),
            version: facts.version,
            vhost: facts.vhost.clone(),
        }
    }
}

/// What comes out of the server; whoever takes it empties it.
#[derive(Debug, Default)]
pub struct Output {
    /// Whole frames for the connection, with the connection's channel numbers.
    pub to_broker: Vec<Batch>,
    /// Whole frames for the client.
    pub to_client: Vec<Batch>,
    /// What the client did that costs its connection. Nothing it sends afterwards is heard;
    /// [`Server::close_towards_client`] tells it.
    pub violation: Option<Violation>,
    /// Rules that were broken.
    pub refusals: Vec<Rule>,
    /// What was counted.
    pub tally: Tally,
}

/// Why the server goes no further with what the client has sent.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Pause {
    /// It has gone as far as there are bytes.
    No,
    /// Somebody has to decide on this login: [`Server::login_decided`].
    Login(ClientLogin),
    /// The session needs a place on a connection: [`Server::seated`].
    Seat,
    /// Something has to come from the connection first: try again after the next `FromShared`,
    /// whichever it is.
    Line,
    /// The client has closed its connection: give up the place, if there is one, then
    /// [`Server::left`].
    Leave,
    /// Nothing is to come from the client any more that matters: the connection is closed on both
    /// sides, or there is a violation in the output.
    Over,
}

/// A login that was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied;

/// One client's AMQP server.
pub struct Server {
    params: Params,
    state: State,
    client: Client,
    limits: Limits,
    heartbeat: u16,
    /// The beginning of a frame that is not whole, in front of it room for a header.
    partial: Vec<u8>,
    channels: Channels,
    /// Bytes in messages that are not complete.
    gathered: usize,
    /// Entries in the books of all channels.
    booked: usize,
    /// All bytes ever put out for the client.
    position: u64,
    /// Deliveries of turned consumers on their way to the client, and where they end.
    crossing: VecDeque<Crossing>,
}

/// How far the connection with the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    ExpectStartOk,
    /// Somebody decides on the login.
    Deciding(Mechanism),
    ExpectTuneOk,
    ExpectOpen,
    /// A place on a connection is looked for.
    Seating,
    Open,
    /// The client has closed; the place is being given up.
    Leaving,
    /// There is a violation that the client is still to be told of.
    Refused,
    /// The gateway has closed; nothing but the answer counts.
    ExpectCloseOk,
    Closed,
}

/// What the client's properties say it understands.
#[derive(Debug, Clone, Copy, Default)]
struct Client {
    blocked: bool,
    consumer_cancel_notify: bool,
    /// It is told why its login failed.
    authentication_failure_close: bool,
    /// Its login was refused.
    denied: bool,
}

/// A delivery of a turned consumer.
#[derive(Debug, Clone, Copy)]
struct Crossing {
    /// Where it ends among all bytes for the client.
    end: u64,
    channel: u16,
    generation: u32,
    tag: u64,
}

impl Server {
    /// The server of a session whose client has sent the protocol header of AMQP 0-9-1.
    pub fn new(facts: &Facts, params: Params, out: &mut Output) -> Self {
        let mut server = Self {
            params,
            state: State::ExpectStartOk,
            client: Client::default(),
            limits: Limits {
                frame_max: INITIAL_FRAME_MAX,
                channel_max: u16::MAX,
            },
            heartbeat: 0,
            partial: Vec::new(),
            channels: Channels::default(),
            gathered: 0,
            booked: 0,
            position: 0,
            crossing: VecDeque::new(),
        };
        server.start(facts, out);
        server
    }

    /// Where the connection with the client stands.
    pub const fn phase(&self) -> Phase {
        match self.state {
            State::ExpectStartOk | State::ExpectTuneOk | State::ExpectOpen => Phase::Negotiating {
                awaiting: Side::Client,
            },
            State::Deciding(_) | State::Seating => Phase::Negotiating {
                awaiting: Side::Broker,
            },
            State::Open => Phase::Open,
            State::Leaving => Phase::Closing { by: Side::Client },
            State::Refused | State::ExpectCloseOk => Phase::Closing { by: Side::Broker },
            State::Closed => Phase::Closed,
        }
    }

    /// Seconds between heartbeats as agreed with the client; 0 means none.
    pub const fn client_heartbeat(&self) -> u16 {
        self.heartbeat
    }

    /// Largest frame, in bytes, that the client may send now.
    pub const fn frame_max(&self) -> u32 {
        self.limits.frame_max
    }

    /// Channels of the client that are not closed on both sides.
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Sends the client a heartbeat, if heartbeats were agreed on and nobody has closed.
    pub fn send_heartbeat(&mut self, out: &mut Output) {
        let tuned = matches!(self.state, State::ExpectOpen | State::Seating | State::Open);
        if tuned && self.heartbeat != 0 {
            self.say(&HEARTBEAT, out);
        }
    }

    /// Tells a client that asked for it that the broker takes no publishes now.
    pub fn blocked(&mut self, reason: &str, out: &mut Output) {
        if self.client.blocked && self.state == State::Open {
            let reason = ShortString::clipped(reason).as_bytes();
            let length = [reason.len() as u8];
            let frame = frames::method(0, MethodId::new(10, 60), &[&length, reason]);
            self.say(&frame, out);
        }
    }

    /// Tells a client that asked for it that the broker takes publishes again.
    pub fn unblocked(&mut self, out: &mut Output) {
        if self.client.blocked && self.state == State::Open {
            self.say(&frames::method(0, MethodId::new(10, 61), &[]), out);
        }
    }

    /// The session has a place, and is to be told so: connection.open-ok.
    pub fn seated(&mut self, out: &mut Output) {
        if self.state == State::Seating {
            self.state = State::Open;
            let open_ok = OpenOk {
                reserved_1: ShortString::clipped(""),
            };
            self.say(&open_ok.to_frame(), out);
        }
    }

    /// The place is given up after the client's connection.close, which can be confirmed.
    pub fn left(&mut self, out: &mut Output) {
        if self.state == State::Leaving {
            self.state = State::Closed;
            self.say(&CloseOk {}.to_frame(), out);
        }
    }

    /// Closes towards the client: a connection.close frame for it, if nobody has closed. It is not
    /// in any output, and not counted in positions.
    ///
    /// Nothing from the connection goes on afterwards, and of the client only its answer counts.
    pub fn close_towards_client(
        &mut self,
        reply_code: ReplyCode,
        text: &str,
        (class_id, method_id): (u16, u16),
    ) -> Option<Vec<u8>> {
        let closed = matches!(
            self.state,
            State::Leaving | State::ExpectCloseOk | State::Closed
        );
        if closed {
            return None;
        }
        self.forget();
        if self.client.denied && !self.client.authentication_failure_close {
            // Such a client learns it from the end of its socket, as from RabbitMQ.
            self.state = State::Closed;
            return None;
        }
        self.state = State::ExpectCloseOk;
        let text = clip_text(text.to_owned());
        let close = Close {
            reply_code,
            reply_text: ShortString::clipped(&text),
            class_id,
            method_id,
        };
        Some(close.to_frame())
    }

    /// What was kept for going on is of no use any more.
    fn forget(&mut self) {
        self.crossing = VecDeque::new();
        self.channels = Channels::default();
        self.gathered = 0;
    }

    /// Sends the client a frame.
    fn say(&mut self, frame: &[u8], out: &mut Output) {
        run::push(frame, &mut out.to_client);
        self.position += frame.len() as u64;
        out.tally.frames_to_client = out.tally.frames_to_client.wrapping_add(1);
        let method = frame
            .get(7..)
            .and_then(|payload| MethodId::decode(payload).ok());
        if let Some(method) = method.filter(|_| frame.first() == Some(&1)) {
            out.tally.count_to_client(method);
        }
    }
}

impl fmt::Debug for Server {
    /// Says where it stands, and shows no bytes: those of a negotiation hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("state", &self.state)
            .field("channels", &self.channels.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
