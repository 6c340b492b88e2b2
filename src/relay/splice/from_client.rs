//! The half of the splice that takes bytes from the client.

use std::borrow::Cow;
use std::mem;

use crate::relay::negotiation::Answer;
use crate::relay::splice::FromClient;
use crate::relay::splice::Side;
use crate::relay::splice::Splice;
use crate::relay::splice::State;
use crate::relay::tally::Tally;
use crate::relay::violation::Violation;
use crate::wire::amqp::frame::END_OCTET;
use crate::wire::amqp::frame::HEADER_SIZE;
use crate::wire::amqp::frame::HEARTBEAT;
use crate::wire::amqp::frame::INITIAL_FRAME_MAX;
use crate::wire::amqp::frame::OVERHEAD;
use crate::wire::amqp::method::Close;
use crate::wire::amqp::method::CloseOk;
use crate::wire::amqp::method::Method;
use crate::wire::amqp::method::CLOSE_OK;
use crate::wire::amqp::scanner::Held;
use crate::wire::amqp::scanner::ScanEnd;
use crate::wire::amqp::scanner::Seen;
use crate::wire::amqp::scanner::Then;
use crate::wire::amqp::FrameError;
use crate::wire::amqp::FrameHeader;
use crate::wire::amqp::FrameKind;
use crate::wire::amqp::Limits;
use crate::wire::amqp::MethodId;

/// What becomes of bytes from the client. Write `held`, then `bytes`.
#[derive(Debug)]
pub struct FromClientBytes<'a> {
    /// Beginning of a frame header that came earlier and was held back until it could be judged.
    pub held: Held,
    /// What goes on to the broker. If borrowed, it is a prefix of what was given.
    pub bytes: Cow<'a, [u8]>,
    /// What the client did wrong behind these bytes. Nothing it sends afterwards goes on.
    pub violation: Option<Violation>,
}

impl<'a> FromClientBytes<'a> {
    /// What was held and then these bytes, and nothing wrong behind them.
    #[inline]
    const fn passing(held: Held, bytes: Cow<'a, [u8]>) -> Self {
        Self {
            held,
            bytes,
            violation: None,
        }
    }

    /// Nothing, which is not a prefix of what was given: that was dropped.
    const fn nothing() -> Self {
        Self::passing(Held::NOTHING, Cow::Owned(Vec::new()))
    }

    /// These bytes, then those of `next`, which has nothing held.
    fn followed_by(mut self, next: FromClientBytes<'_>) -> Self {
        if !next.bytes.is_empty() {
            self.bytes.to_mut().extend_from_slice(&next.bytes);
        }
        Self {
            violation: next.violation,
            ..self
        }
    }
}

impl Splice {
    /// Takes bytes from the client, those behind its protocol header, cut anywhere.
    ///
    /// In an open connection parts of frames go on as they come; only the beginning of a header
    /// waits for its end.
    #[inline]
    pub fn from_client<'a>(&mut self, bytes: &'a [u8], tally: &mut Tally) -> FromClientBytes<'a> {
        match self.from_client {
            FromClient::Relay if self.partial.is_empty() => self.relay(bytes, tally),
            FromClient::Relay => {
                // The broker closed in the middle of a frame of the negotiation, which is read no
                // more.
                let joined = [&mem::take(&mut self.partial), bytes].concat();
                let FromClientBytes {
                    held,
                    bytes,
                    violation,
                } = self.relay(&joined, tally);
                FromClientBytes {
                    held,
                    bytes: Cow::Owned(bytes.into_owned()),
                    violation,
                }
            }
            FromClient::Negotiate => self.negotiate(bytes, tally),
            FromClient::Discard => self.discard(bytes, tally),
            FromClient::Deaf => FromClientBytes::nothing(),
        }
    }

    /// An open connection's bytes from the client.
    #[inline]
    fn relay<'a>(&mut self, bytes: &'a [u8], tally: &mut Tally) -> FromClientBytes<'a> {
        let held = self.scanner.held();
        let close_ok_ends = self.broker_close.is_some() || self.gateway_closed;
        let mut frames = 0_u32;
        let mut stopped_by = None;
        let scan = self
            .scanner
            .scan(bytes, self.limits, |Seen { header, method }| {
                frames += 1;
                let Some(method) = method else {
                    return Then::GoOn;
                };
                tally.count_from_client(method);
                if header.channel != 0 {
                    return Then::GoOn;
                }
                if method == Close::ID || (method == CloseOk::ID && close_ok_ends) {
                    stopped_by = Some(method);
                    return Then::Stop;
                }
                Then::GoOn
            });
        tally.frames_from_client = tally.frames_from_client.wrapping_add(frames);
        let (passed, behind) = bytes.split_at_checked(scan.passed).unwrap_or((bytes, &[]));
        let held = if passed.is_empty() {
            Held::NOTHING
        } else {
            held
        };
        let relayed = FromClientBytes::passing(held, Cow::Borrowed(passed));
        match scan.end {
            ScanEnd::Exhausted => relayed,
            ScanEnd::Stopped => self.relayed_close(stopped_by, relayed, behind, tally),
            ScanEnd::Failed(error) => {
                let violation = self.violated(error.into());
                FromClientBytes {
                    violation,
                    ..relayed
                }
            }
        }
    }

    /// The client's connection.close or close-ok stands at the end of `relayed`.
    #[cold]
    fn relayed_close<'a>(
        &mut self,
        method: Option<MethodId>,
        relayed: FromClientBytes<'a>,
        behind: &'a [u8],
        tally: &mut Tally,
    ) -> FromClientBytes<'a> {
        if method == Some(Close::ID) {
            self.client_closes();
            return relayed.followed_by(self.discard(behind, tally));
        }
        self.state = State::Closed;
        self.from_client = FromClient::Deaf;
        match (self.gateway_closed, relayed.bytes) {
            // The broker knows nothing of the gateway's close, so it must not see the answer. One
            // that came in pieces has gone on already; then the broker has nothing left to lose but
            // this connection.
            (true, Cow::Borrowed(bytes)) if bytes.ends_with(&CLOSE_OK) => {
                let before = bytes
                    .get(..bytes.len() - CLOSE_OK.len())
                    .unwrap_or_default();
                FromClientBytes {
                    bytes: Cow::Borrowed(before),
                    ..relayed
                }
            }
            (_, bytes) => FromClientBytes { bytes, ..relayed },
        }
    }

    /// A negotiation's bytes from the client, taken frame by frame.
    fn negotiate<'a>(&mut self, bytes: &'a [u8], tally: &mut Tally) -> FromClientBytes<'a> {
        let mut rest = bytes;
        let mut out = Vec::new();
        let violation = loop {
            if self.from_client != FromClient::Negotiate {
                let read = FromClientBytes::passing(Held::NOTHING, Cow::Owned(out));
                return read.followed_by(self.from_client(rest, tally));
            }
            let (header, frame) = match self.gather(&mut rest) {
                Ok(Some(gathered)) => gathered,
                Ok(None) => break None,
                Err(error) => break self.violated(error.into()),
            };
            match self.negotiate_frame(header, &frame, tally) {
                Ok(instead) => out.extend_from_slice(&instead.unwrap_or(frame)),
                Err(violation) => break self.violated(violation),
            }
        };
        FromClientBytes {
            held: Held::NOTHING,
            bytes: Cow::Owned(out),
            violation,
        }
    }

    /// Judges a whole frame of the negotiation; gives what goes on in its place, if it is not to go
    /// on as it is.
    fn negotiate_frame(
        &mut self,
        header: FrameHeader,
        frame: &[u8],
        tally: &mut Tally,
    ) -> Result<Option<Vec<u8>>, Violation> {
        tally.frames_from_client = tally.frames_from_client.wrapping_add(1);
        let payload = frame
            .get(HEADER_SIZE..frame.len().saturating_sub(1))
            .unwrap_or_default();
        let method = MethodId::decode(payload)
            .ok()
            .filter(|_| header.kind == FrameKind::METHOD);
        if let Some(method) = method {
            tally.count_from_client(method);
        }
        if header.channel == 0 && method == Some(Close::ID) {
            self.client_closes();
            return Ok(None);
        }
        let State::Negotiating(negotiation) = &mut self.state else {
            return Ok(None);
        };
        match negotiation.from_client(header, payload)? {
            Answer::Pass(instead) => Ok(instead),
            Answer::Tuned(limits) => {
                self.limits = limits;
                Ok(None)
            }
            Answer::Opened(instead) => {
                self.from_client = FromClient::Relay;
                Ok(instead)
            }
        }
    }

    /// Takes bytes until a frame of the negotiation is whole.
    fn gather(&mut self, rest: &mut &[u8]) -> Result<Option<(FrameHeader, Vec<u8>)>, FrameError> {
        // frame-max may be agreed already, but what is held back whole stays small all the same.
        let frame_max = self.limits.frame_max.min(INITIAL_FRAME_MAX);
        let limits = Limits {
            frame_max,
            channel_max: u16::MAX,
        };
        if !take_until(&mut self.partial, HEADER_SIZE, rest) {
            return Ok(None);
        }
        let Ok(header) = FrameHeader::decode(&self.partial) else {
            return Ok(None);
        };
        limits.check(header)?;
        if !take_until(&mut self.partial, header.size as usize + OVERHEAD, rest) {
            return Ok(None);
        }
        let frame = mem::take(&mut self.partial);
        match frame.last() {
            Some(&END_OCTET) => Ok(Some((header, frame))),
            found => {
                let found = found.copied().unwrap_or_default();
                Err(FrameError::WrongEnd { header, found })
            }
        }
    }

    /// What the client sends behind its connection.close.
    fn discard<'a>(&mut self, bytes: &[u8], tally: &mut Tally) -> FromClientBytes<'a> {
        let mut out = Vec::new();
        let broker_closed = self.broker_close.is_some();
        let mut confirmed = false;
        let mut frames = 0_u32;
        let scan = self
            .scanner
            .scan(bytes, self.limits, |Seen { header, method }| {
                frames += 1;
                if let Some(method) = method {
                    tally.count_from_client(method);
                }
                // Their bytes are known, so they need not be kept when they come in pieces.
                if header.kind == FrameKind::HEARTBEAT {
                    out.extend_from_slice(&HEARTBEAT);
                } else if header.channel == 0 && method == Some(CloseOk::ID) && broker_closed {
                    out.extend_from_slice(&CLOSE_OK);
                    confirmed = true;
                    return Then::Stop;
                }
                Then::GoOn
            });
        tally.frames_from_client = tally.frames_from_client.wrapping_add(frames);
        if confirmed {
            self.state = State::Closed;
        }
        // What it gets wrong after it has closed matters to nobody; there is only no reading on.
        if confirmed || matches!(scan.end, ScanEnd::Failed(_)) {
            self.from_client = FromClient::Deaf;
        }
        FromClientBytes::passing(Held::NOTHING, Cow::Owned(out))
    }

    /// Takes note of the client's connection.close, which has gone on.
    fn client_closes(&mut self) {
        self.client_closed = true;
        self.from_client = FromClient::Discard;
        if matches!(self.state, State::Negotiating(_) | State::Open) {
            self.state = State::Closing { by: Side::Client };
        }
    }

    /// Nothing the client sends goes on any more. Its fault matters only as long as nobody has
    /// closed.
    #[cold]
    fn violated(&mut self, violation: Violation) -> Option<Violation> {
        self.from_client = FromClient::Deaf;
        self.partial = Vec::new();
        matches!(self.state, State::Negotiating(_) | State::Open).then_some(violation)
    }
}

/// Moves bytes from `rest` to `gathered` until that has `size` bytes; says whether it has.
fn take_until(gathered: &mut Vec<u8>, size: usize, rest: &mut &[u8]) -> bool {
    let missing = size.saturating_sub(gathered.len());
    let (taken, behind) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
    gathered.extend_from_slice(taken);
    *rest = behind;
    gathered.len() >= size
}
