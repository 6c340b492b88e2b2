//! Both sockets' bytes of one AMQP connection: the shell around [`Splice`] that reads and writes the
//! broker's socket and keeps frames whole towards the client.

use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::task::ready;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;

use crate::batch::Batch;
use crate::batch::Buffer;
use crate::ending::Ending;
use crate::outbox::Outbox;
use crate::relay::metrics::Metrics;
use crate::relay::splice::Params;
use crate::relay::splice::Phase;
use crate::relay::splice::Splice;
use crate::relay::tally::Tally;
use crate::relay::Wiring;
use crate::upstream::Socket;
use crate::wire::amqp::ReplyCode;

/// One client's AMQP connection whose broker has answered.
pub struct Relaying {
    socket: Socket,
    splice: Splice,
    to_broker: Outbox,
    /// The beginning of a frame from the broker whose end has not come.
    partial: Option<(Buffer, usize)>,
    logged_in: bool,
    /// What was last said of [`Splice::is_blocked`].
    blocked: bool,
    /// The broker's connection.close was reported.
    over: bool,
    /// The write side of the socket is of no more use: reading goes on to learn why.
    write_failed: Option<String>,
    shut_down: bool,
}

/// What bytes from the broker have changed.
#[derive(Debug)]
pub enum Event {
    /// The broker has accepted the login (connection.open-ok): whose, where the login is the client's own.
    LoggedIn(Option<String>),
    /// The broker holds back what the client publishes, or no longer.
    Blocked(bool),
    /// The broker has sent connection.close: the client's connection.close-ok is still to come.
    AmqpOver,
    /// The broker's socket is of no more use.
    Ended(Ending),
}

impl Relaying {
    /// Relays between the client and `socket`.
    pub fn new(socket: Socket, params: Params) -> Self {
        Self {
            socket,
            splice: Splice::new(params),
            to_broker: Outbox::default(),
            partial: None,
            logged_in: false,
            blocked: false,
            over: false,
            write_failed: None,
            shut_down: false,
        }
    }

    /// How far AMQP is.
    pub fn phase(&self) -> Phase {
        self.splice.phase()
    }

    /// Whether bytes for the broker wait.
    pub fn is_delivering(&self) -> bool {
        self.write_failed.is_none() && !self.to_broker.is_empty()
    }

    /// How long the broker has taken none of the bytes that wait for it.
    pub fn blocked_for(&self) -> Duration {
        let since = self.to_broker.blocked_since();
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// A connection.close for the client, if AMQP is up towards it.
    pub fn close_towards_client(
        &mut self,
        reply_code: ReplyCode,
        text: &str,
        class_method: (u16, u16),
    ) -> Option<Vec<u8>> {
        self.splice
            .close_towards_client(reply_code, text, class_method)
    }

    /// Queues what the splice lets through; an ending if the client broke the rules.
    pub fn data_from_client(
        &mut self,
        mut batch: Batch,
        wiring: &Wiring,
        metrics: &Metrics,
    ) -> Option<Ending> {
        let spent = batch.len();
        if self.write_failed.is_some() {
            wiring.from_client.return_bytes(spent);
            return None;
        }
        let mut tally = Tally::default();
        let scanned = self.splice.from_client(batch.bytes(), &mut tally);
        metrics.add(&tally);
        wiring.seen.add_channels(tally.channels);
        let violation = scanned.violation;
        self.to_broker.push_slice(scanned.held.as_slice());
        match scanned.bytes {
            Cow::Borrowed(bytes) => {
                let len = bytes.len();
                batch.truncate(len);
                if batch.is_empty() {
                    wiring.from_client.return_bytes(spent);
                } else {
                    self.to_broker.push(batch, spent);
                }
            }
            Cow::Owned(bytes) if bytes.is_empty() => wiring.from_client.return_bytes(spent),
            Cow::Owned(bytes) => self.to_broker.push(Batch::copied(&bytes), spent),
        }
        violation.map(|violation| Ending::AmqpViolation {
            reply_code: violation.reply_code,
            text: violation.text,
            class_method: violation.class_method,
        })
    }

    /// Writes what waits. A failure is remembered: the broker may have said why before.
    pub fn poll_write(&mut self, wiring: &Wiring, cx: &mut Context<'_>) {
        if self.write_failed.is_some() {
            return;
        }
        let written = self
            .to_broker
            .poll_write(&mut self.socket, &wiring.from_client, cx);
        if let Poll::Ready(Err(error)) = written {
            self.to_broker.clear(&wiring.from_client);
            self.write_failed = Some(how_it_failed(&error));
        }
    }

    /// Takes the bytes that came while the broker was dialed.
    pub fn first_from_broker(
        &mut self,
        first: &[u8],
        wiring: &Wiring,
        metrics: &Metrics,
        silent: bool,
    ) -> Option<Event> {
        let mut buffer = Buffer::with_room(first.len());
        buffer.room()[..first.len()].copy_from_slice(first);
        self.data_from_broker(buffer, first.len(), wiring, metrics, silent)
    }

    /// Reads what the broker has sent, while the client takes it; ready when that changed something.
    ///
    /// With `silent` the bytes are read and thrown away.
    pub fn poll_read(
        &mut self,
        wiring: &Wiring,
        metrics: &Metrics,
        silent: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Event> {
        for _ in 0..READS_PER_TURN {
            ready!(wiring.to_client.poll_open(cx));
            let (mut buffer, have) = self.partial.take().unwrap_or_else(|| (Buffer::take(), 0));
            let mut room = ReadBuf::new(&mut buffer.room()[have..]);
            let read = Pin::new(&mut self.socket).poll_read(cx, &mut room);
            let count = room.filled().len();
            match read {
                Poll::Pending => {
                    if have > 0 {
                        self.partial = Some((buffer, have));
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) if count == 0 => {
                    return Poll::Ready(Event::Ended(self.ending("was closed by the broker")));
                }
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Event::Ended(self.ending(&how_it_failed(&error))));
                }
                Poll::Ready(Ok(())) => {}
            }
            let event = self.data_from_broker(buffer, have + count, wiring, metrics, silent);
            if let Some(event) = event {
                return Poll::Ready(event);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Passes the whole frames at the front of `buffer` on and keeps the rest.
    fn data_from_broker(
        &mut self,
        buffer: Buffer,
        len: usize,
        wiring: &Wiring,
        metrics: &Metrics,
        silent: bool,
    ) -> Option<Event> {
        let mut tally = Tally::default();
        let scanned = self.splice.to_client(buffer.data(len), &mut tally);
        metrics.add(&tally);
        wiring.seen.add_channels(tally.channels);
        let (consumed, incomplete) = (scanned.consumed, scanned.incomplete);
        let failure = scanned.failure;
        let rewritten = match scanned.forward {
            Cow::Borrowed(_) => None,
            Cow::Owned(bytes) => Some(bytes),
        };
        if consumed == 0 {
            self.partial = Some((with_room_for(buffer, len, incomplete), len));
        } else {
            let rest = &buffer.data(len)[consumed..];
            if !rest.is_empty() {
                let mut tail = Buffer::with_room(incomplete.max(rest.len() + 1));
                tail.room()[..rest.len()].copy_from_slice(rest);
                self.partial = Some((tail, rest.len()));
            }
            let batch = match rewritten {
                Some(bytes) => Batch::copied(&bytes),
                None => Batch::of_buffer(buffer, consumed, Vec::new()),
            };
            if !batch.is_empty() && !silent {
                wiring.pass(batch);
            }
        }
        if let Some(failure) = failure {
            return Some(Event::Ended(Ending::BrokerLost(failure.to_string())));
        }
        self.changed()
    }

    /// What the last frames have changed and nobody was told yet.
    pub fn changed(&mut self) -> Option<Event> {
        let phase = self.splice.phase();
        if phase == Phase::Open && !self.logged_in {
            self.logged_in = true;
            return Some(Event::LoggedIn(self.splice.take_user()));
        }
        if self.splice.is_blocked() != self.blocked {
            self.blocked = self.splice.is_blocked();
            return Some(Event::Blocked(self.blocked));
        }
        if phase == Phase::Closed {
            return self.amqp_ending().map(Event::Ended);
        }
        if self.splice.broker_close().is_some() && !self.over {
            self.over = true;
            return Some(Event::AmqpOver);
        }
        None
    }

    /// Delivers the last bytes, says the end and waits for the broker's.
    ///
    /// What the broker still sends is read and thrown away: closing a socket with unread bytes
    /// resets it, and a reset may overtake what we sent.
    pub fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.write_failed.is_some() {
            return Poll::Ready(());
        }
        if self.to_broker.is_empty() && !self.shut_down {
            // A failing shutdown shows in the read below.
            self.shut_down = Pin::new(&mut self.socket).poll_shutdown(cx).is_ready();
        }
        let mut buffer = Buffer::take();
        loop {
            let mut room = ReadBuf::new(buffer.room());
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut room)) {
                Ok(()) if !room.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// What the end of the broker's socket means; `how` it ended matters if AMQP did not say why.
    pub fn ending(&self, how: &str) -> Ending {
        self.amqp_ending().unwrap_or_else(|| {
            let how = self.write_failed.as_deref().unwrap_or(how);
            Ending::BrokerLost(how.to_owned())
        })
    }

    /// The ending that AMQP has come to by itself: the broker's connection.close, or the client's and
    /// its answer.
    pub fn amqp_ending(&self) -> Option<Ending> {
        if let Some(reason) = self.splice.broker_close() {
            if reason.version_refused {
                return Some(Ending::VersionRefused);
            }
            return Some(Ending::BrokerClosed {
                reply_code: reason.reply_code,
                text: reason.text.clone(),
            });
        }
        (self.splice.phase() == Phase::Closed).then_some(Ending::AmqpClosed)
    }
}

/// A buffer with the first `len` bytes of `buffer` and room for `wanted` in all: no more than the one
/// frame that is larger than a read, so that it is a message of its own.
fn with_room_for(buffer: Buffer, len: usize, wanted: usize) -> Buffer {
    if wanted <= buffer.capacity() && len < buffer.capacity() {
        return buffer;
    }
    let mut larger = Buffer::with_room(wanted.max(len + 1));
    larger.room()[..len].copy_from_slice(buffer.data(len));
    larger
}

fn how_it_failed(error: &io::Error) -> String {
    format!("failed: {error}")
}

/// Reads before other sessions of the thread get their turn.
const READS_PER_TURN: usize = 4;
