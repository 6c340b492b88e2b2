//! What the client sends: put into whole frames, and given to whoever knows what to do with them in
//! this state.

use std::mem;

use crate::batch::Batch;
use crate::relay::server::rule::Refusal;
use crate::relay::server::rule::Rule;
use crate::relay::server::Output;
use crate::relay::server::Pause;
use crate::relay::server::Server;
use crate::relay::server::State;
use crate::relay::violation::Violation;
use crate::relay::violation::NO_METHOD;
use crate::upstream::shared::Line;
use crate::wire::amqp::frame::END_OCTET;
use crate::wire::amqp::frame::HEADER_SIZE;
use crate::wire::amqp::frame::INITIAL_FRAME_MAX;
use crate::wire::amqp::frame::OVERHEAD;
use crate::wire::amqp::FrameError;
use crate::wire::amqp::FrameHeader;
use crate::wire::amqp::Limits;
use crate::wire::amqp::ReplyCode;
use crate::wire::websocket::encoder::HEADROOM;

impl Server {
    /// Takes from the front of `batch`, which continues what was given before, what can be dealt
    /// with now; `line` is there once the session has a place.
    ///
    /// What is left in `batch` is given again when the pause is over.
    pub fn from_client<L: Line>(
        &mut self,
        batch: &mut Batch,
        line: Option<&L>,
        out: &mut Output,
    ) -> Pause {
        loop {
            let pause = match self.state {
                State::Open => match line {
                    Some(line) => return self.relay(batch, line, out),
                    None => return Pause::Line,
                },
                State::Deciding(_) => return Pause::Line,
                State::Seating => return Pause::Seat,
                State::Leaving => {
                    *batch = Batch::empty();
                    return Pause::No;
                }
                State::Refused | State::Closed => {
                    *batch = Batch::empty();
                    return Pause::Over;
                }
                State::ExpectStartOk
                | State::ExpectTuneOk
                | State::ExpectOpen
                | State::ExpectCloseOk => match self.one_frame(batch, out) {
                    Ok(Some(pause)) => pause,
                    Ok(None) => return Pause::No,
                    Err(refusal) => return self.refuse_connection(refusal, batch, out),
                },
            };
            if pause != Pause::No {
                return pause;
            }
        }
    }

    /// Deals with the next frame outside an open connection; `None` if it is not whole.
    fn one_frame(&mut self, batch: &mut Batch, out: &mut Output) -> Result<Option<Pause>, Refusal> {
        let closed = self.state == State::ExpectCloseOk;
        let limits = Limits {
            frame_max: self.limits.frame_max.min(INITIAL_FRAME_MAX),
            channel_max: u16::MAX,
        };
        let limits = if closed { self.limits } else { limits };
        let Some(frame) = self.gather(batch, limits)? else {
            return Ok(None);
        };
        let Ok(header) = FrameHeader::decode(frame.bytes()) else {
            return Ok(None);
        };
        out.tally.frames_from_client = out.tally.frames_from_client.wrapping_add(1);
        let payload = payload_of(frame.bytes());
        if closed {
            return Ok(Some(self.frame_after_close(header, payload, out)));
        }
        self.negotiate(header, payload, out).map(Some)
    }

    /// Takes bytes from the batch until the frame they continue is whole.
    pub(super) fn gather(
        &mut self,
        batch: &mut Batch,
        limits: Limits,
    ) -> Result<Option<Batch>, Refusal> {
        if self.partial.is_empty() {
            self.partial.resize(HEADROOM, 0);
        }
        if !self.take_until(HEADER_SIZE, batch) {
            return Ok(None);
        }
        let started = self.partial.get(HEADROOM..).unwrap_or_default();
        let Ok(header) = FrameHeader::decode(started) else {
            return Ok(None);
        };
        limits.check(header).map_err(bad_frame)?;
        if !self.take_until(header.size as usize + OVERHEAD, batch) {
            return Ok(None);
        }
        let frame = Batch::gathered(mem::take(&mut self.partial));
        match frame.bytes().last() {
            Some(&END_OCTET) => Ok(Some(frame)),
            found => {
                let found = found.copied().unwrap_or_default();
                Err(bad_end(header, frame.bytes(), found))
            }
        }
    }

    /// Moves bytes from the batch until the frame has `size`; says whether it has.
    fn take_until(&mut self, size: usize, batch: &mut Batch) -> bool {
        let missing = (HEADROOM + size).saturating_sub(self.partial.len());
        let taken = missing.min(batch.len());
        self.partial
            .extend_from_slice(batch.bytes().get(..taken).unwrap_or_default());
        batch.advance(taken);
        missing == taken
    }

    /// Nothing the client sends is heard any more, but the answer to the close that follows.
    #[cold]
    pub(super) fn refuse_connection(
        &mut self,
        refusal: Refusal,
        batch: &mut Batch,
        out: &mut Output,
    ) -> Pause {
        self.partial = Vec::new();
        *batch = Batch::empty();
        if self.state == State::ExpectCloseOk {
            // What it gets wrong after that matters to nobody.
            self.state = State::Closed;
            return Pause::Over;
        }
        out.refusals.push(refusal.rule);
        self.violated(*refusal.violation, out);
        Pause::Over
    }
}

impl Server {
    /// The client has lost its connection, and is to be told so.
    pub(super) fn violated(&mut self, violation: Violation, out: &mut Output) {
        self.state = State::Refused;
        self.forget();
        out.violation = Some(violation);
    }
}

/// The payload of a whole frame.
pub(super) fn payload_of(frame: &[u8]) -> &[u8] {
    frame
        .get(HEADER_SIZE..frame.len().saturating_sub(1))
        .unwrap_or_default()
}

/// A header that breaks a rule.
#[cold]
pub(super) fn bad_frame(error: FrameError) -> Refusal {
    if let FrameError::HeartbeatOnChannel { .. } = error {
        let explanation = "type 8, all octets = <<>>";
        return Refusal::connection(
            Rule::Frame,
            ReplyCode::UNEXPECTED_FRAME,
            explanation,
            NO_METHOD,
        );
    }
    Refusal::of(Rule::Frame, Violation::from(error))
}

/// A whole frame that ends with the wrong octet.
#[cold]
pub(super) fn bad_end(header: FrameHeader, frame: &[u8], found: u8) -> Refusal {
    let octets = super::rule::payload_octets(payload_of(frame));
    let explanation = format!(
        "type {}, {octets}: {{invalid_frame_end_marker,{found}}}",
        header.kind.0
    );
    Refusal::connection(Rule::Frame, ReplyCode::FRAME_ERROR, explanation, NO_METHOD)
}
