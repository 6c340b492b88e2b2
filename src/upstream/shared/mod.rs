//! Broker connections that many sessions share: lapin drives each of them as a passenger, and the sessions' frames travel
//! beside lapin's own on the same socket, with other channel numbers and otherwise untouched.
//!
//! A session has a [`Seat`]. All of a connection and its sessions live on one worker thread; lapin lives on
//! [`runtime`](crate::upstream::runtime).

mod account;
mod connection;
mod control;
mod core;
mod crossing;
pub mod facts;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod kinds;
mod ledger;
pub mod line;
pub mod metrics;
mod pool;
mod seat;
mod slots;
mod tuning;

use std::fmt;

use actix::Message;

pub use facts::Facts;
pub use facts::Policy;
pub use facts::Version;
pub use kinds::Kinds;
pub use line::Access;
pub use line::Line;
pub use line::QueueKind;
pub use metrics::Metrics;
pub use pool::Shared;
pub use seat::Seat;

use crate::batch::Batch;
use crate::wire::amqp::ReplyCode;

/// What a shared connection tells a session that has a seat on it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum FromShared {
    /// Whole frames, with the client's own channel numbers. They count against `queue_bytes` until [`Seat::taken`].
    Data(Batch),
    /// A channel, or another session's claim on a queue, has become free: what had to wait may be tried again.
    Again,
    /// The broker takes no publishes (connection.blocked); the reason it gives.
    Blocked(String),
    /// The broker takes publishes again.
    Unblocked,
    /// More than `queue_bytes` waited for the session. Nothing follows but [`Self::Left`].
    Overrun,
    /// The connection is gone. Nothing follows.
    Lost(Loss),
    /// Answers [`Seat::leave`].
    Left,
}

/// How a shared connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The code in the broker's connection.close, if there was one.
    pub reply_code: Option<ReplyCode>,
    /// The broker's own text, or what happened to the socket.
    pub text: String,
}

impl fmt::Display for Loss {
    /// Goes on from "the broker's socket".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reply_code {
            Some(code) => write!(f, "was closed by the broker with {}: {}", code.0, self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// Why a session gets no seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeatError {
    /// No broker could be reached, or none took the login; one sentence with the last reason.
    Unreachable(String),
    /// All connections that may be opened are full.
    Full(String),
}

impl fmt::Display for SeatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(text) | Self::Full(text) => f.write_str(text),
        }
    }
}

/// Channels below this one are lapin's.
const BASE: u16 = 8;
