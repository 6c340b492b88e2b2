//! The contract of an extension, in two halves: an [`Extension`] decides on offers and is shared by all sessions; a
//! [`Link`] is what it becomes in one session that agreed on it, and is run by an actor of its own.
//!
//! A link knows only its neighbours. It is handed what it claims, in order, and says what becomes of it by an
//! [`Output`]; it cannot see who else is there. With the extensions `a, b` agreed, what goes to the client passes `a`
//! and then `b`, what comes from the client passes `b` and then `a` (RFC 6455 section 9.1).

use std::cell::Cell;
use std::fmt;
use std::time::Duration;
use std::time::Instant;

use crate::batch::Batch;
use crate::ending::Ending;
use crate::pipeline::metrics::Direction;
use crate::wire::websocket::header::Offer;
use crate::wire::websocket::CloseCode;

/// An extension that sessions may agree on.
pub trait Extension: fmt::Debug + Send + Sync {
    /// The name in `Sec-WebSocket-Extensions`: a token (RFC 7230 section 3.2.6), compared exactly.
    fn name(&self) -> &str;

    /// Answers an offer of this name.
    fn decide(&self, offer: &Offer, terms: &Terms<'_>) -> Decision;

    /// Every [`Failure::reason`] of its links, so that each is counted from zero and the first failures are seen to be new.
    fn failure_reasons(&self) -> &[&'static str] {
        &[]
    }
}

/// What a service has to say about its extensions.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The service's name.
    pub service: &'a str,
    /// `services.idle_timeout`.
    pub idle_timeout: Duration,
}

/// The three answers to an offer.
#[derive(Debug)]
pub enum Decision {
    /// The session has the extension, with these parameters.
    Agreed {
        /// The parameters that are answered, in this order.
        params: Vec<(String, Option<String>)>,
        /// The extension in this session.
        link: Box<dyn Link>,
    },
    /// The session goes on without it.
    Declined,
    /// The offer breaks the extension's own rules and the handshake fails; the text says how, as the end of a sentence
    /// that begins with the extension's name.
    Malformed(String),
}

/// An agreed extension in one session. All but [`Link::claims`] have a default that changes nothing.
pub trait Link: fmt::Debug + 'static {
    /// What this link must be handed. Asked again after each call of another method, so it may change.
    ///
    /// What no link claims goes past all of them, and so does not cost a thing.
    fn claims(&self) -> Claims;

    /// Takes a batch from the client, claimed or in the wake of one that was.
    #[expect(
        clippy::wrong_self_convention,
        reason = "it names a direction and converts nothing"
    )]
    fn from_client(&mut self, batch: Batch, output: &mut Output) {
        output.pass(batch);
    }

    /// Takes a batch for the client, claimed or in the wake of one that was.
    fn to_client(&mut self, batch: Batch, output: &mut Output) {
        output.pass(batch);
    }

    /// Takes a sign of life on its way to the client, if it claims them.
    fn sign_of_life(&mut self, sign: SignOfLife, output: &mut Output) {
        output.pass_sign(sign);
    }

    /// Does what is due at `now`, and says when to be called again; called once at the start.
    fn time_passed(
        &mut self,
        now: Instant,
        activity: &Activity,
        output: &mut Output,
    ) -> Option<Instant> {
        let _ = (now, activity, output);
        None
    }

    /// The session is over; called once, if the link has not failed before.
    fn ended(&mut self, ending: &Ending) {
        let _ = ending;
    }
}

/// What a link must see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Of the data, both ways.
    pub data: Data,
    /// Whether signs of life on their way to the client.
    pub signs_of_life: bool,
}

/// The data messages that a link claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Data {
    /// None: it lives by the clock.
    #[default]
    Nothing,
    /// TEXT messages that begin with these bytes, and those so short as yet that they may.
    TextWithPrefix([u8; 4]),
    /// All.
    Everything,
}

impl Claims {
    /// Nothing but time.
    pub const NOTHING: Self = Self {
        data: Data::Nothing,
        signs_of_life: false,
    };

    /// Every data message.
    pub const EVERYTHING: Self = Self {
        data: Data::Everything,
        signs_of_life: false,
    };
}

/// How the gateway shows that it is there, and asks whether the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignOfLife {
    /// Wants an answer.
    Ping,
    /// Wants none.
    Pong,
}

/// When a session was last heard and last said something.
#[derive(Debug)]
pub struct Activity {
    heard: Cell<Instant>,
    said: Cell<Instant>,
    paused: Cell<bool>,
}

impl Activity {
    /// Both happened at `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            heard: Cell::new(now),
            said: Cell::new(now),
            paused: Cell::new(false),
        }
    }

    /// When the client was last heard: any frame but a native Pong, which its page knows nothing of.
    ///
    /// In a session none of whose links claims signs of life, a native Pong does count: there it is the only answer
    /// that a client can give to [`SignOfLife::Ping`].
    pub fn heard(&self) -> Instant {
        self.heard.get()
    }

    /// When a data message was last queued for the client: what a page can see.
    pub fn said(&self) -> Instant {
        self.said.get()
    }

    /// Whether the gateway does not read from the client, so that its silence says nothing about it.
    pub fn is_paused(&self) -> bool {
        self.paused.get()
    }

    /// The gateway stops reading from the client until credit comes back.
    pub fn pauses(&self) {
        self.paused.set(true);
    }

    /// The gateway reads again. What the client said meanwhile may lie unread, so it counts as heard.
    pub fn resumes(&self, now: Instant) {
        self.paused.set(false);
        self.hears(now);
    }

    /// The client was heard.
    pub fn hears(&self, now: Instant) {
        self.heard.set(now);
    }

    /// A data message was queued for the client.
    pub fn says(&self, now: Instant) {
        self.said.set(now);
    }
}

/// Why a link ends its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The metric label; one of [`Extension::failure_reasons`].
    pub reason: &'static str,
    /// What the client did, for the log and the Close frame, which have the extension's name in front of it.
    pub text: String,
    /// What the Close frame says.
    pub close_code: CloseCode,
}

/// What a link makes of what it was handed.
#[derive(Debug)]
pub struct Output {
    now: Instant,
    pub(super) passed: Vec<Content>,
    pub(super) to_client: Vec<Batch>,
    pub(super) wanted: Option<SignOfLife>,
    pub(super) controls: Vec<(Direction, &'static str)>,
    pub(super) round_trip: Option<Duration>,
    pub(super) failure: Option<Failure>,
}

/// What travels from link to link.
#[derive(Debug)]
pub enum Content {
    /// Data, with at least one piece.
    Data(Batch),
    /// A sign of life, to the client.
    Sign(SignOfLife),
}

impl Output {
    /// An empty output of a call at `now`.
    pub fn at(now: Instant) -> Self {
        Self {
            now,
            passed: Vec::new(),
            to_client: Vec::new(),
            wanted: None,
            controls: Vec::new(),
            round_trip: None,
            failure: None,
        }
    }

    /// When the link was called.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Sends a batch on, the way it came.
    pub fn pass(&mut self, batch: Batch) {
        if !batch.pieces.is_empty() {
            self.passed.push(Content::Data(batch));
        }
    }

    /// Sends a sign of life on towards the client.
    pub fn pass_sign(&mut self, sign: SignOfLife) {
        self.passed.push(Content::Sign(sign));
    }

    /// Sends a batch of whole messages of one's own towards the client, whichever way the batch at hand travels. If a
    /// message to the client is open at this place of the chain, they wait for its end.
    pub fn send_to_client(&mut self, batch: Batch) {
        self.to_client.push(batch);
    }

    /// Asks the session for a sign of life, which passes all links that claim them.
    pub fn want(&mut self, sign: SignOfLife) {
        self.wanted = Some(sign);
    }

    /// Counts a control frame of the extension; `kind` is of a small fixed set.
    pub fn count_control(&mut self, direction: Direction, kind: &'static str) {
        self.controls.push((direction, kind));
    }

    /// Reports the time from a ping to its answer.
    pub fn measured_round_trip(&mut self, took: Duration) {
        self.round_trip = Some(took);
    }

    /// Ends the session. The link is handed nothing from then on.
    pub fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }
}
