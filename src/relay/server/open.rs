//! The frames of an open connection: renumbered in place, and cut out, held or answered where they
//! must not go on as they are.

use std::mem;

use crate::batch::Batch;
use crate::relay::server::channel::Channel;
use crate::relay::server::channel::Content;
use crate::relay::server::channel::State as ChannelState;
use crate::relay::server::frames;
use crate::relay::server::from_client::bad_end;
use crate::relay::server::from_client::bad_frame;
use crate::relay::server::from_client::payload_of;
use crate::relay::server::rule::Refusal;
use crate::relay::server::rule::Rule;
use crate::relay::server::rule::Scope;
use crate::relay::server::run::Run;
use crate::relay::server::Output;
use crate::relay::server::Pause;
use crate::relay::server::Server;
use crate::relay::server::State;
use crate::upstream::shared::Line;
use crate::wire::amqp::frame::END_OCTET;
use crate::wire::amqp::frame::HEADER_SIZE;
use crate::wire::amqp::FrameHeader;
use crate::wire::amqp::FrameKind;
use crate::wire::amqp::MethodId;
use crate::wire::amqp::ReplyCode;
use crate::wire::websocket::encoder::HEADROOM;

/// What becomes of a frame.
#[derive(Debug)]
pub(super) enum Step {
    /// It goes on.
    Keep,
    /// It belongs to a message that is not complete with it.
    Content,
    /// It completes a message.
    Complete,
    /// It does not go on.
    Drop,
    /// It goes on, or not, between frames of the server's own.
    Edit {
        before: Vec<u8>,
        keep: bool,
        after: Vec<u8>,
    },
    /// Something has to come from the connection first.
    Wait,
    /// The connection as a whole goes another way.
    Pause(Pause),
}

/// A message in the batch whose frames have all stood next to each other so far.
#[derive(Debug, Clone, Copy)]
struct Adjacent {
    channel: u16,
    start: usize,
}

impl Server {
    /// An open connection's bytes from the client.
    pub(super) fn relay<L: Line>(
        &mut self,
        batch: &mut Batch,
        line: &L,
        out: &mut Output,
    ) -> Pause {
        if !self.partial.is_empty() {
            let (known, before) = (self.partial.len(), batch.len());
            let mut frame = match self.gather(batch, self.limits) {
                Ok(None) => return Pause::No,
                Ok(Some(frame)) => frame,
                Err(refusal) => return self.refuse_connection(refusal, batch, out),
            };
            match self.scan(&mut frame, line, out) {
                Pause::No => {}
                Pause::Line => {
                    // For another time, as if its rest had not come.
                    batch.retreat(before - batch.len());
                    self.partial.resize(HEADROOM, 0);
                    self.partial.extend_from_slice(frame.bytes());
                    self.partial.truncate(known);
                    return Pause::Line;
                }
                pause => {
                    *batch = Batch::empty();
                    return pause;
                }
            }
        }
        self.scan(batch, line, out)
    }

    /// Takes the whole frames at the front of `batch`, and what is left if it is less than one.
    fn scan<L: Line>(&mut self, batch: &mut Batch, line: &L, out: &mut Output) -> Pause {
        let mut run = Run::default();
        let mut adjacent: Option<Adjacent> = None;
        let mut at = 0;
        let pause = loop {
            let bytes = batch.bytes_mut();
            let rest = bytes.get_mut(at..).unwrap_or_default();
            let Some(first) = rest.first_chunk() else {
                break Pause::No;
            };
            let header = FrameHeader::from_bytes(*first);
            if let Err(error) = self.limits.check(header) {
                if let Some(message) = adjacent {
                    run.take_back(message.start);
                }
                return self.refuse_scan(bad_frame(error), run, at, batch, out);
            }
            let size = HEADER_SIZE + header.size as usize + 1;
            let Some(frame) = rest.get_mut(..size) else {
                break Pause::No;
            };
            if let Some(&found) = frame.last().filter(|octet| **octet != END_OCTET) {
                let refusal = bad_end(header, frame, found);
                if let Some(message) = adjacent {
                    run.take_back(message.start);
                }
                return self.refuse_scan(refusal, run, at, batch, out);
            }
            let step = self.frame(header, frame, line, out);
            let end = at + size;
            if let Some(message) = adjacent.filter(|message| message.channel != header.channel) {
                self.set_aside(message, &mut run, at, batch);
                adjacent = None;
            }
            match step {
                Ok(Step::Keep) => run.keep(at, end, batch, &mut out.to_broker),
                Ok(Step::Content) => {
                    if adjacent.is_some() || !self.is_gathering(header.channel) {
                        run.keep(at, end, batch, &mut out.to_broker);
                        adjacent = adjacent.or(Some(Adjacent {
                            channel: header.channel,
                            start: at,
                        }));
                    } else {
                        self.add(header.channel, batch.bytes().get(at..end));
                    }
                }
                Ok(Step::Complete) => {
                    if adjacent.take().is_some() {
                        run.keep(at, end, batch, &mut out.to_broker);
                    } else {
                        self.add(header.channel, batch.bytes().get(at..end));
                        let whole = self.take_gathered(header.channel);
                        run.insert_batch(whole, batch, &mut out.to_broker);
                    }
                }
                Ok(Step::Drop) => {}
                Ok(Step::Edit {
                    before,
                    keep,
                    after,
                }) => {
                    run.insert(&before, batch, &mut out.to_broker);
                    if keep {
                        run.keep(at, end, batch, &mut out.to_broker);
                    }
                    run.insert(&after, batch, &mut out.to_broker);
                }
                Ok(Step::Wait) => break Pause::Line,
                Ok(Step::Pause(Pause::No)) => {}
                Ok(Step::Pause(pause)) => {
                    if let Some(message) = adjacent {
                        run.take_back(message.start);
                    }
                    run.finish(at, batch, &mut out.to_broker);
                    *batch = Batch::empty();
                    return pause;
                }
                Err(refusal) => {
                    if let Some(message) = adjacent.take() {
                        // It goes no further, whole or not.
                        run.take_back(message.start);
                    }
                    if refusal.scope == Scope::Connection {
                        return self.refuse_scan(refusal, run, at, batch, out);
                    }
                    out.tally.frames_from_client = out.tally.frames_from_client.wrapping_add(1);
                    let close = self.refuse_channel(header.channel, refusal, out);
                    run.insert(&close, batch, &mut out.to_broker);
                    at = end;
                    continue;
                }
            }
            out.tally.frames_from_client = out.tally.frames_from_client.wrapping_add(1);
            at = end;
            if self.gathered > self.gathered_max() {
                // Found again below.
                break Pause::No;
            }
        };
        if let Some(message) = adjacent {
            self.set_aside(message, &mut run, at, batch);
        }
        if self.gathered > self.gathered_max() {
            return self.refuse_scan(too_much_at_once(), run, at, batch, out);
        }
        let mut consumed = at;
        if pause == Pause::No && at < batch.len() {
            // Less than a frame is left.
            let rest = batch.bytes().get(at..).unwrap_or_default();
            self.partial = Vec::with_capacity(HEADROOM + rest.len());
            self.partial.resize(HEADROOM, 0);
            self.partial.extend_from_slice(rest);
            consumed = batch.len();
        }
        run.finish(consumed, batch, &mut out.to_broker);
        pause
    }

    /// Ends a scan at `at` with a refusal that costs the connection; what was let through before
    /// goes on.
    #[cold]
    fn refuse_scan(
        &mut self,
        refusal: Refusal,
        run: Run,
        at: usize,
        batch: &mut Batch,
        out: &mut Output,
    ) -> Pause {
        batch.truncate(at);
        run.finish(at, batch, &mut out.to_broker);
        self.refuse_connection(refusal, batch, out)
    }

    /// Judges a whole frame, and gives it the connection's channel number if it goes on.
    #[inline]
    fn frame<L: Line>(
        &mut self,
        header: FrameHeader,
        frame: &mut [u8],
        line: &L,
        out: &mut Output,
    ) -> Result<Step, Refusal> {
        if header.channel == 0 {
            let payload = payload_of(frame);
            return self.connection_frame(header, payload, out).map(Step::Pause);
        }
        let Some(place) = self.channels.find(header.channel) else {
            return self.frame_without_channel(header, frame, line, out);
        };
        let Some(channel) = self.channels.at(place) else {
            return Ok(Step::Drop);
        };
        if channel.state != ChannelState::Open {
            return self.frame_on_closed_channel(place, header, frame, out);
        }
        let step = match channel.content {
            Content::Nothing => self.method(place, header, frame, line, out)?,
            content => self.content(place, content, header, frame)?,
        };
        Ok(step)
    }

    /// Whether frames of a message on this channel are kept apart already.
    fn is_gathering(&mut self, channel: u16) -> bool {
        self.channels
            .get(channel)
            .is_some_and(|channel| !channel.gathered.is_empty())
    }

    /// Takes the frames of a message, which end the run at `end`, out of the batch until the rest
    /// has come.
    fn set_aside(&mut self, message: Adjacent, run: &mut Run, end: usize, batch: &Batch) {
        run.take_back(message.start);
        self.add(message.channel, batch.bytes().get(message.start..end));
    }

    fn add(&mut self, channel: u16, frames: Option<&[u8]>) {
        let Some(channel) = self.channels.get(channel) else {
            return;
        };
        let frames = frames.unwrap_or_default();
        if channel.gathered.is_empty() {
            channel.gathered.reserve(HEADROOM + frames.len());
            channel.gathered.resize(HEADROOM, 0);
        }
        channel.gathered.extend_from_slice(frames);
        self.gathered += frames.len();
    }

    fn take_gathered(&mut self, channel: u16) -> Batch {
        let Some(channel) = self.channels.get(channel) else {
            return Batch::empty();
        };
        let whole = Batch::gathered(mem::take(&mut channel.gathered));
        self.gathered = self.gathered.saturating_sub(whole.len());
        whole
    }

    /// One message, the headers of its frames, and one frame.
    fn gathered_max(&self) -> usize {
        let message = self.params.policy.message_bytes;
        message + message / 256 + self.limits.frame_max as usize
    }

    /// Closes a channel on both sides; gives the frame for the broker.
    #[cold]
    pub(super) fn refuse_channel(
        &mut self,
        number: u16,
        refusal: Refusal,
        out: &mut Output,
    ) -> Vec<u8> {
        out.refusals.push(refusal.rule);
        let violation = *refusal.violation;
        let close = |channel| {
            frames::close(
                channel,
                violation.reply_code.0,
                &violation.text,
                violation.class_method,
            )
        };
        let Some(channel) = self.channels.get(number) else {
            return Vec::new();
        };
        self.gathered = self
            .gathered
            .saturating_sub(channel.gathered.len().saturating_sub(HEADROOM));
        channel.gathered = Vec::new();
        channel.content = Content::Nothing;
        channel.delivery = None;
        channel.state = ChannelState::ClosedToClient;
        channel.broker_owes = true;
        let to_broker = frames::close(channel.upstream, ReplyCode::REPLY_SUCCESS.0, "", (0, 0));
        self.say(&close(number), out);
        to_broker
    }
}

#[cold]
fn too_much_at_once() -> Refusal {
    Refusal::connection(
        Rule::PublishMemory,
        ReplyCode::RESOURCE_ERROR,
        "too many bytes in messages that are not complete",
        MethodId::BASIC_PUBLISH.into(),
    )
}

/// Writes the connection's channel number into a frame.
#[inline]
pub(super) fn renumber(frame: &mut [u8], channel: &Channel) {
    if let Some(place) = frame.get_mut(1..3) {
        place.copy_from_slice(&channel.upstream.to_be_bytes());
    }
}

/// Whether the connection with the client is open, for what comes from the broker.
pub(super) fn is_open(state: State) -> bool {
    state == State::Open
}

/// The kind of a frame that must be a method.
pub(super) fn expected_method(kind: FrameKind) -> Result<(), Refusal> {
    if kind == FrameKind::METHOD {
        return Ok(());
    }
    Err(Refusal::out_of_sequence(
        "expected method frame, got non method frame instead",
        (0, 0),
    ))
}
