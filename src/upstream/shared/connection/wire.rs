//! The socket of a shared connection: reads are taken apart, writes put together, and channel 0 is listened to.

use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use std::time::Instant;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;

use crate::batch::Buffer;
use crate::upstream::shared::core::Core;
use crate::upstream::shared::core::Outgoing;
use crate::upstream::shared::crossing::Crossing;
use crate::upstream::shared::tuning::Tuning;
use crate::upstream::shared::Loss;
use crate::upstream::Socket;
use crate::wire::amqp::frame::HEADER_SIZE;
use crate::wire::amqp::frame::HEARTBEAT;
use crate::wire::amqp::method::Close;
use crate::wire::amqp::method::Method;
use crate::wire::amqp::method::Start;
use crate::wire::amqp::method::Tune;
use crate::wire::amqp::FrameKind;
use crate::wire::amqp::Limits;
use crate::wire::amqp::MethodId;
use crate::wire::reader::Reader;

/// The socket and what is on its way through it.
pub(super) struct Wire {
    socket: Socket,
    tuning: Tuning,
    /// The beginning of a frame whose end has not come.
    partial: Option<(Buffer, usize)>,
    crossing: Crossing,
    /// Small frames of many, written together.
    staging: Vec<u8>,
    staged: usize,
    /// A large batch on its way, and what of it has left.
    current: Option<(Outgoing, usize)>,
    /// lapin's frames, which go first.
    own: Vec<u8>,
    unflushed: bool,
    heartbeat: Duration,
    lapin_heard: Instant,
    blocked: Option<Option<String>>,
    close: Option<Loss>,
}

impl Wire {
    /// A socket on which nothing has been read.
    pub(super) fn new(socket: Socket, heartbeat: u16) -> Self {
        Self {
            socket,
            tuning: Tuning::default(),
            partial: None,
            crossing: Crossing::default(),
            staging: Vec::new(),
            staged: 0,
            current: None,
            own: Vec::new(),
            unflushed: false,
            heartbeat: Duration::from_secs(heartbeat.into()),
            lapin_heard: Instant::now(),
            blocked: None,
            close: None,
        }
    }

    /// Takes apart what has come while the broker was dialed.
    pub(super) fn begin(&mut self, first: &[u8], lapin: &mut Vec<u8>) -> Option<Loss> {
        let mut buffer = Buffer::with_room(first.len());
        buffer.room()[..first.len()].copy_from_slice(first);
        self.take_apart(buffer, first.len(), None, lapin)
    }

    pub(super) fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// Frames that go before those of sessions.
    pub(super) fn push_own(&mut self, frames: Vec<u8>) {
        if self.own.is_empty() {
            self.own = frames;
        } else {
            self.own.extend_from_slice(&frames);
        }
    }

    /// Whether the broker has said something that concerns the sessions.
    pub(super) fn has_news(&self) -> bool {
        self.blocked.is_some() || self.close.is_some()
    }

    /// connection.blocked with its reason, or connection.unblocked, whichever came last.
    pub(super) fn take_blocked(&mut self) -> Option<Option<String>> {
        self.blocked.take()
    }

    /// connection.close.
    pub(super) fn take_close(&mut self) -> Option<Loss> {
        self.close.take()
    }

    /// Reads and takes apart what the broker has sent; the socket's end, if it has come.
    pub(super) fn poll_read(
        &mut self,
        core: Option<&Core>,
        lapin: &mut Vec<u8>,
        cx: &mut Context<'_>,
    ) -> Option<Loss> {
        for _ in 0..READS_PER_TURN {
            let (mut buffer, have) = self.partial.take().unwrap_or_else(|| (Buffer::take(), 0));
            let mut room = ReadBuf::new(&mut buffer.room()[have..]);
            match Pin::new(&mut self.socket).poll_read(cx, &mut room) {
                Poll::Pending => {
                    if have > 0 {
                        self.partial = Some((buffer, have));
                    }
                    return None;
                }
                Poll::Ready(Err(error)) => return Some(failed(&error)),
                Poll::Ready(Ok(())) => {}
            }
            let count = room.filled().len();
            if count == 0 {
                return Some(loss("was closed by the broker"));
            }
            if let Some(loss) = self.take_apart(buffer, have + count, core, lapin) {
                return Some(loss);
            }
        }
        cx.waker().wake_by_ref();
        None
    }

    fn take_apart(
        &mut self,
        mut buffer: Buffer,
        len: usize,
        core: Option<&Core>,
        lapin: &mut Vec<u8>,
    ) -> Option<Loss> {
        let limits = Limits {
            frame_max: self.tuning.frame_max(),
            channel_max: u16::MAX,
        };
        let bytes = &mut buffer.room()[..len];
        let scanned = match core {
            Some(core) => core.with(|state| self.crossing.scan(bytes, limits, Some(state))),
            None => self.crossing.scan(bytes, limits, None),
        };
        if let Err(error) = scanned {
            return Some(loss(&format!("carried what is not AMQP: {error:?}")));
        }
        self.feed_lapin(buffer.data(len), lapin);
        let (consumed, incomplete) = (self.crossing.consumed, self.crossing.incomplete);
        if consumed == 0 {
            self.partial = Some((with_room_for(buffer, len, incomplete), len));
            return None;
        }
        let rest = &buffer.data(len)[consumed..];
        if !rest.is_empty() {
            let mut tail = Buffer::with_room(incomplete.max(rest.len() + 1));
            tail.room()[..rest.len()].copy_from_slice(rest);
            self.partial = Some((tail, rest.len()));
        }
        if let Some(core) = core {
            core.with(|state| {
                self.crossing.count(&state.metrics);
                drop(self.crossing.deliver(buffer, consumed, state));
            });
        }
        None
    }

    /// Gives lapin its frames, listening to those of channel 0, and a heartbeat where the sessions' frames took the place
    /// of the broker's (section 4.2.7 of AMQP 0-9-1: any octet will do for one).
    fn feed_lapin(&mut self, bytes: &[u8], lapin: &mut Vec<u8>) {
        let before = lapin.len();
        for frame in self.crossing.lapin() {
            let frame = &bytes[frame];
            let instead = listen(frame, &mut self.tuning, &mut self.blocked, &mut self.close);
            lapin.extend_from_slice(instead.as_deref().unwrap_or(frame));
        }
        let now = Instant::now();
        if lapin.len() > before {
            self.lapin_heard = now;
        } else if self.tuning.offered.is_some()
            && now.saturating_duration_since(self.lapin_heard) >= self.heartbeat / 2
        {
            lapin.extend_from_slice(&HEARTBEAT);
            self.lapin_heard = now;
        }
    }

    /// Writes what waits: lapin's frames, then those of each session in turn; the socket's end, if it has come.
    pub(super) fn poll_write(&mut self, core: Option<&Core>, cx: &mut Context<'_>) -> Option<Loss> {
        loop {
            if !self.is_written_out() {
                match self.poll_out(cx) {
                    Poll::Pending => return None,
                    Poll::Ready(Err(error)) => return Some(failed(&error)),
                    Poll::Ready(Ok(())) => {}
                }
            }
            if !self.refill(core) {
                break;
            }
        }
        if self.unflushed {
            match Pin::new(&mut self.socket).poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(Err(error)) => return Some(failed(&error)),
                Poll::Ready(Ok(())) => self.unflushed = false,
            }
        }
        None
    }

    fn is_written_out(&self) -> bool {
        self.staged == self.staging.len() && self.current.is_none()
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.staged < self.staging.len() {
            let bytes = &self.staging[self.staged..];
            let Poll::Ready(written) = Pin::new(&mut self.socket).poll_write(cx, bytes) else {
                return Poll::Pending;
            };
            let written = written?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.staged += written;
        }
        while let Some((outgoing, done)) = &mut self.current {
            let bytes = outgoing.frames.bytes().get(*done..).unwrap_or_default();
            if bytes.is_empty() {
                self.current = None;
                break;
            }
            let Poll::Ready(written) = Pin::new(&mut self.socket).poll_write(cx, bytes) else {
                return Poll::Pending;
            };
            let written = written?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            *done += written;
        }
        Poll::Ready(Ok(()))
    }

    /// Fetches the next bytes to be written; false if there are none.
    fn refill(&mut self, core: Option<&Core>) -> bool {
        self.staging.clear();
        self.staged = 0;
        self.staging.append(&mut self.own);
        let Some(core) = core else {
            return !self.staging.is_empty();
        };
        core.with(|state| {
            while self.staging.len() < STAGING {
                let Some(outgoing) = state.next() else {
                    break;
                };
                if outgoing.frames.len() >= LARGE {
                    // Written where it is, behind what is staged.
                    self.current = Some((outgoing, 0));
                    break;
                }
                self.staging.extend_from_slice(outgoing.frames.bytes());
            }
            state.release();
        });
        !self.is_written_out()
    }
}

/// Takes note of what concerns more than lapin; the frame that lapin gets instead, if it is not this one.
fn listen(
    frame: &[u8],
    tuning: &mut Tuning,
    blocked: &mut Option<Option<String>>,
    close: &mut Option<Loss>,
) -> Option<Vec<u8>> {
    let (header, rest) = frame.split_first_chunk::<HEADER_SIZE>()?;
    let (id, arguments) = rest.split_first_chunk()?;
    let arguments = arguments.get(..arguments.len().checked_sub(1)?)?;
    if header[0] != FrameKind::METHOD.0 || header[1..3] != [0, 0] {
        return None;
    }
    match MethodId::from_bytes(*id) {
        Start::ID => tuning.start(arguments),
        Tune::ID => return tuning.tune(arguments),
        BLOCKED => {
            let reason = Reader::new(arguments).counted_by_u8().unwrap_or_default();
            *blocked = Some(Some(String::from_utf8_lossy(reason).into_owned()));
        }
        UNBLOCKED => *blocked = Some(None),
        Close::ID => {
            let said = Close::decode(arguments).ok();
            *close = Some(Loss {
                reply_code: said.map(|close| close.reply_code),
                text: said.map_or_else(String::new, |close| close.reply_text.to_text()),
            });
        }
        _ => {}
    }
    None
}

/// A buffer with the first `len` bytes of `buffer` and room for `wanted` in all.
fn with_room_for(buffer: Buffer, len: usize, wanted: usize) -> Buffer {
    if wanted <= buffer.capacity() && len < buffer.capacity() {
        return buffer;
    }
    let mut larger = Buffer::with_room(wanted.max(len + 1));
    larger.room()[..len].copy_from_slice(buffer.data(len));
    larger
}

fn loss(text: &str) -> Loss {
    Loss {
        reply_code: None,
        text: text.to_owned(),
    }
}

fn failed(error: &io::Error) -> Loss {
    loss(&format!("failed: {error}"))
}

const BLOCKED: MethodId = MethodId::new(10, 60);
const UNBLOCKED: MethodId = MethodId::new(10, 61);

/// Reads before others of the thread get their turn.
const READS_PER_TURN: usize = 4;

/// Bytes of small batches that are written together.
const STAGING: usize = 64 * 1024;

/// A batch of this size is not worth a copy.
const LARGE: usize = 16 * 1024;
