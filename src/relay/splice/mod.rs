//! Everything the relay knows of one session's AMQP, for a broker socket of its own: what of the
//! bytes of either side goes on to the other, where the connection stands, and what was said at its
//! end.
//!
//! Content is never read. Once the connection is open, bytes go on as they came, and the frames in
//! them are only counted and held to the limits agreed.

mod from_client;
mod to_client;

use std::fmt;

pub use self::from_client::FromClientBytes;
pub use self::to_client::ToClientBytes;
use crate::relay::negotiation::Negotiation;
use crate::relay::violation::clip_text;
use crate::wire::amqp::frame::INITIAL_FRAME_MAX;
use crate::wire::amqp::method::Close;
use crate::wire::amqp::method::Method;
use crate::wire::amqp::method::ShortString;
use crate::wire::amqp::scanner::Scanner;
use crate::wire::amqp::Limits;
use crate::wire::amqp::ReplyCode;

/// What the gateway writes into a negotiation.
#[derive(Debug, Clone)]
pub struct Params {
    /// The login that takes the place of the client's; `None` lets the client's own through.
    pub login: Option<Login>,
    /// The vhost that takes the place of the client's, at most 255 bytes; `None` lets the client's
    /// own through.
    pub vhost: Option<String>,
    /// Largest frame offered to the client, in bytes; 0 means no limit but the broker's.
    pub frame_max: u32,
    /// Highest channel number offered to the client; 0 means no limit but the broker's.
    pub channel_max: u16,
}

/// A user and a password for the broker.
#[derive(Clone)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password; never printed.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .field("password", &"***")
            .finish()
    }
}

/// One end of an AMQP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The downstream peer.
    Client,
    /// RabbitMQ.
    Broker,
}

/// Where an AMQP connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// connection.open-ok has not come.
    Negotiating {
        /// Whose turn it is.
        awaiting: Side,
    },
    /// Channels may be used.
    Open,
    /// One side has sent connection.close, the other has not confirmed it.
    Closing {
        /// Who was first.
        by: Side,
    },
    /// The close is confirmed, or the gateway has closed towards the client, or the broker has
    /// refused the version.
    Closed,
}

/// What the broker said when it ended the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseReason {
    /// The code in its connection.close.
    pub reply_code: ReplyCode,
    /// The text in its connection.close, with what is not UTF-8 replaced.
    pub text: String,
    /// Class and method that were the cause, or zeros.
    pub class_method: (u16, u16),
    /// It was not connection.close but a protocol header in answer to the client's (section 4.2.2).
    /// Code and text are ours then.
    pub version_refused: bool,
}

/// One session's AMQP, between its client's protocol header and its end.
pub struct Splice {
    state: State,
    from_client: FromClient,
    scanner: Scanner,
    /// A frame of the negotiation that is not complete.
    partial: Vec<u8>,
    limits: Limits,
    /// connection.start has gone to the client.
    started: bool,
    client_closed: bool,
    gateway_closed: bool,
    broker_close: Option<Box<CloseReason>>,
    /// Who the client has logged in as.
    user: Option<String>,
    /// The broker holds publishers back.
    blocked: bool,
}

/// How far the connection is; the negotiation is dropped when it is over.
enum State {
    Negotiating(Box<Negotiation>),
    Open,
    Closing { by: Side },
    Closed,
}

/// What is done with bytes from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FromClient {
    /// Whole frames are read, and some rewritten.
    Negotiate,
    /// They go on as they come.
    Relay,
    /// The client has sent connection.close: only a close-ok, for a close of the broker that
    /// crossed it, and heartbeats go on.
    Discard,
    /// Nothing goes on, nothing is read.
    Deaf,
}

impl Splice {
    /// The splice of a session whose client's protocol header has been sent to the broker.
    pub fn new(params: Params) -> Self {
        Self {
            state: State::Negotiating(Box::new(Negotiation::new(params))),
            from_client: FromClient::Negotiate,
            scanner: Scanner::default(),
            partial: Vec::new(),
            limits: Limits {
                frame_max: INITIAL_FRAME_MAX,
                channel_max: u16::MAX,
            },
            started: false,
            client_closed: false,
            gateway_closed: false,
            broker_close: None,
            user: None,
            blocked: false,
        }
    }

    /// Where the connection stands.
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::Negotiating(negotiation) => Phase::Negotiating {
                awaiting: negotiation.awaiting(),
            },
            State::Open => Phase::Open,
            State::Closing { by } => Phase::Closing { by: *by },
            State::Closed => Phase::Closed,
        }
    }

    /// What the broker said when it ended the connection, from the moment this has gone to the
    /// client.
    pub fn broker_close(&self) -> Option<&CloseReason> {
        self.broker_close.as_deref()
    }

    /// Who the client has logged in as, from connection.open-ok on, where the login is its own and can be read.
    pub fn take_user(&mut self) -> Option<String> {
        self.user.take()
    }

    /// Whether the broker holds back what the client publishes (connection.blocked). It says so only to clients that
    /// have asked for it.
    pub const fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether the client has sent connection.close.
    pub const fn client_close(&self) -> bool {
        self.client_closed
    }

    /// Largest frame in bytes, as agreed by connection.tune-ok; before that, what a frame of the
    /// negotiation may have.
    pub const fn frame_max(&self) -> u32 {
        self.limits.frame_max
    }

    /// Closes towards the client: a connection.close frame for it, if connection.start has gone to
    /// it and no close has.
    ///
    /// Nothing from the broker goes on afterwards. What the client sends until its close-ok still
    /// does, unless it was the client's violation that led here. The text is cut to 255 bytes.
    pub fn close_towards_client(
        &mut self,
        reply_code: ReplyCode,
        text: &str,
        (class_id, method_id): (u16, u16),
    ) -> Option<Vec<u8>> {
        if !self.started || self.broker_close.is_some() || matches!(self.state, State::Closed) {
            return None;
        }
        self.state = State::Closed;
        self.gateway_closed = true;
        if self.from_client == FromClient::Negotiate {
            // There is no negotiation any more to read it with, and nothing in it that could be
            // lost.
            self.from_client = FromClient::Deaf;
        }
        let text = clip_text(text.to_owned());
        let reply_text = ShortString::clipped(&text);
        Some(
            Close {
                reply_code,
                reply_text,
                class_id,
                method_id,
            }
            .to_frame(),
        )
    }
}

impl fmt::Debug for Splice {
    /// Says where it stands, and shows no bytes: those of a negotiation hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Splice")
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
