//! What one read of the broker's socket holds, taken apart: frames for lapin, and frames for sessions, under their
//! clients' own channel numbers.

use std::ops::Range;

use crate::batch::Batch;
use crate::batch::Buffer;
use crate::upstream::shared::core::State;
use crate::upstream::shared::metrics::Metrics;
use crate::upstream::shared::slots::is_followed;
use crate::upstream::shared::slots::Heard;
use crate::upstream::shared::slots::Slot;
use crate::upstream::shared::BASE;
use crate::wire::amqp::frame::END_OCTET;
use crate::wire::amqp::frame::HEADER_SIZE;
use crate::wire::amqp::frame::OVERHEAD;
use crate::wire::amqp::FrameError;
use crate::wire::amqp::FrameHeader;
use crate::wire::amqp::FrameKind;
use crate::wire::amqp::Limits;
use crate::wire::amqp::MethodId;
use crate::wire::reader::Reader;

/// Which bytes of a read are for whom.
#[derive(Debug, Default)]
pub(super) struct Crossing {
    /// Of sessions, in the order of the read; neighbours of one session are joined.
    runs: Vec<(usize, Range<usize>)>,
    /// Of lapin.
    lapin: Vec<Range<usize>>,
    /// Bytes of whole frames.
    pub(super) consumed: usize,
    /// Bytes that the incomplete frame behind them has in all; 0 if that is not known yet.
    pub(super) incomplete: usize,
    pub(super) frames: u64,
}

impl Crossing {
    /// Empty, and ready for the next read; what is allocated stays.
    fn reset(&mut self) {
        self.runs.clear();
        self.lapin.clear();
        (self.consumed, self.incomplete, self.frames) = (0, 0, 0);
    }

    /// Looks through the frames, and gives those of sessions their clients' channel numbers. Without a `state` nobody has
    /// a seat yet.
    ///
    /// # Errors
    /// What is wrong with the bytes behind those consumed.
    pub(super) fn scan(
        &mut self,
        bytes: &mut [u8],
        limits: Limits,
        mut state: Option<&mut State>,
    ) -> Result<(), FrameError> {
        self.reset();
        loop {
            let begin = self.consumed;
            let rest = bytes.get_mut(begin..).unwrap_or_default();
            let Some((head, behind)) = rest.split_first_chunk_mut::<HEADER_SIZE>() else {
                return Ok(());
            };
            let header = FrameHeader::from_bytes(*head);
            limits.check(header)?;
            // The limits hold it far below what fits.
            let size = header.size as usize;
            let Some(end_octet) = behind.get(size).copied() else {
                self.incomplete = size + OVERHEAD;
                return Ok(());
            };
            if end_octet != END_OCTET {
                return Err(FrameError::WrongEnd {
                    header,
                    found: end_octet,
                });
            }
            let frame = begin..begin + size + OVERHEAD;
            self.consumed = frame.end;
            self.frames += 1;
            if header.channel < BASE {
                self.lapin.push(frame);
                continue;
            }
            let Some(state) = state.as_deref_mut() else {
                continue;
            };
            match state.slots.get(header.channel) {
                Slot::Used { seat, client } => {
                    [head[1], head[2]] = client.to_be_bytes();
                    let is_method = header.kind == FrameKind::METHOD;
                    if is_method && !note(state, header.channel, seat, followed(behind, size)) {
                        continue;
                    }
                    if state.expect(seat, frame.len()) {
                        self.add(seat, frame);
                    }
                }
                Slot::Closing { seat } => {
                    if header.kind == FrameKind::METHOD {
                        let followed = followed(behind, size);
                        let is_meant = note(state, header.channel, seat, followed);
                        if let Some((method, _)) = followed.filter(|_| is_meant) {
                            state.heard_late(seat, header.channel, method);
                        }
                    }
                }
                Slot::Free => {}
            }
        }
    }

    fn add(&mut self, seat: usize, frame: Range<usize>) {
        match self.runs.last_mut() {
            Some((last, run)) if *last == seat && run.end == frame.start => run.end = frame.end,
            _ => self.runs.push((seat, frame)),
        }
    }

    /// Counts what is not lapin's.
    pub(super) fn count(&self, metrics: &Metrics) {
        let bytes = self.runs.iter().map(|(_, run)| run.len()).sum();
        let frames = self.frames.saturating_sub(self.lapin.len() as u64);
        if bytes > 0 {
            metrics.received(frames, bytes);
        }
    }

    /// lapin's frames, in order.
    pub(super) fn lapin(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.lapin.iter().cloned()
    }

    /// Sends the sessions what is theirs: one message each.
    pub(super) fn deliver(&self, buffer: Buffer, len: usize, state: &mut State) -> Option<Buffer> {
        let sole = match self.runs.as_slice() {
            [] => return Some(buffer),
            [(seat, run)] if run.start == 0 && run.end == len => Some(*seat),
            _ => None,
        };
        if let Some(seat) = sole {
            // The buffer itself goes on, without a copy.
            state.deliver(seat, Batch::of_buffer(buffer, len, Vec::new()));
            return None;
        }
        for (index, (seat, _)) in self.runs.iter().enumerate() {
            let total = state.expected(*seat);
            if total == 0 {
                // Its runs have gone with the first of them.
                continue;
            }
            let mut own = Buffer::with_room(total);
            let mut filled = 0;
            for (_, run) in self.runs[index..].iter().filter(|(of, _)| of == seat) {
                let bytes = &buffer.data(len)[run.clone()];
                own.room()[filled..filled + bytes.len()].copy_from_slice(bytes);
                filled += bytes.len();
            }
            state.deliver(*seat, Batch::of_buffer(own, filled, Vec::new()));
        }
        Some(buffer)
    }
}

/// The method that the first `size` octets are, if it concerns the channel itself or its queues, and its arguments.
#[inline]
fn followed(payload: &[u8], size: usize) -> Option<(MethodId, &[u8])> {
    let (id, arguments) = payload.get(..size)?.split_first_chunk()?;
    let method = MethodId::from_bytes(*id);
    is_followed(method).then_some((method, arguments))
}

/// Takes note of a method on a session's channel, and of a queue that is there for that session alone: the session may be
/// gone before it hears of it. Says whether it is for the session.
fn note(state: &mut State, channel: u16, seat: usize, method: Option<(MethodId, &[u8])>) -> bool {
    let Some((method, arguments)) = method else {
        return true;
    };
    match state.slots.heard(channel, method) {
        Heard::Other => true,
        Heard::OwnQueue => {
            if let Ok(queue) = Reader::new(arguments).counted_by_u8() {
                state.own(seat, queue);
            }
            true
        }
        Heard::Stray => false,
    }
}
