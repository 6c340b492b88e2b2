//! A scripted broker, fast enough not to be the limit. It negotiates, counts and swallows
//! publishes, and does what the name of a queue tells it to: `flood.SIZE.COUNT` delivers (0: until
//! cancelled), `echo...` delivers what is published, `stall.MILLISECONDS` stops reading for a
//! while. Every channel of a connection is for itself, and consumers that acknowledge get no more
//! than their prefetch: so it can stand behind a connection that sessions share.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::io::Write;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncWriteExt;
use tokio::io::ReadBuf;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::amqp;
use crate::amqp::damaged;
use crate::amqp::Frame;
use crate::amqp::Name;
use crate::amqp::Scanner;
use crate::process::end_with_the_bench;

/// Serves until the bench ends.
pub(crate) fn run() -> io::Result<()> {
    end_with_the_bench();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        writeln!(io::stdout(), "listening {}", listener.local_addr()?)?;
        let buffer = Rc::new(RefCell::new(vec![0; READ]));
        loop {
            let (socket, _) = listener.accept().await?;
            let buffer = buffer.clone();
            tokio::task::spawn_local(async move {
                if let Err(error) = serve(socket, &buffer).await {
                    // A bench that stops in the middle is not worth a line; a damaged stream is.
                    if error.kind() == io::ErrorKind::InvalidData {
                        eprintln!("sink: {error}");
                    }
                }
            });
        }
    })
}

async fn serve(mut socket: TcpStream, buffer: &RefCell<Vec<u8>>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut script = Script::default();
    loop {
        // One buffer for all: nothing of it is kept across a wait.
        let read = poll_fn(|context| {
            let mut buffer = buffer.borrow_mut();
            let mut space = ReadBuf::new(&mut buffer);
            match Pin::new(&mut socket).poll_read(context, &mut space) {
                Poll::Ready(Ok(())) => Poll::Ready(
                    script
                        .read(space.filled())
                        .map(|()| !space.filled().is_empty()),
                ),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                // While a flood goes on, it is looked whether the client says something, but not
                // waited for.
                Poll::Pending if script.floods() => Poll::Ready(Ok(true)),
                Poll::Pending => Poll::Pending,
            }
        });
        if !read.await? {
            return Ok(());
        }
        if !script.replies.is_empty() {
            socket.write_all(&script.replies).await?;
            script.replies.clear();
        }
        if script.closing {
            return socket.shutdown().await;
        }
        if let Some(pause) = script.stall.take() {
            tokio::time::sleep(pause).await;
        }
        if script.floods() {
            for channel in script.channels.iter_mut().flatten() {
                if let Some(block) = channel.flood_block() {
                    socket.write_all(block).await?;
                }
            }
            tokio::task::yield_now().await;
        }
    }
}

/// What one client has said, and what is to be done about it.
#[derive(Default)]
struct Script {
    greeted: bool,
    scanner: Scanner,
    replies: Vec<u8>,
    /// By number, those that are open.
    channels: Vec<Option<Box<Channel>>>,
    stall: Option<Duration>,
    closing: bool,
}

/// What has been said on one channel.
#[derive(Default)]
struct Channel {
    published: u32,
    body_size: u64,
    body_left: Option<u64>,
    delivered: u64,
    echo: bool,
    flood: Option<Flood>,
    /// Of the consumers that come from now on; 0 is without limit.
    prefetch: u16,
}

impl Script {
    fn floods(&self) -> bool {
        self.channels.iter().flatten().any(|channel| {
            let flood = channel.flood.as_ref();
            flood.is_some_and(|flood| flood.room() > 0)
        })
    }

    fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        if !self.greeted && !rest.is_empty() {
            rest = rest
                .strip_prefix(&amqp::PROTOCOL_HEADER)
                .ok_or_else(|| damaged("no protocol header".to_owned()))?;
            self.greeted = true;
            self.say_start();
        }
        let mut scanner = std::mem::take(&mut self.scanner);
        let fed = scanner.feed(rest, |number, frame| self.frame(number, &frame));
        self.scanner = scanner;
        fed
    }

    fn frame(&mut self, number: u16, frame: &Frame<'_>) -> io::Result<()> {
        let channel = self.channels.get_mut(usize::from(number));
        match (frame, channel.and_then(Option::as_mut)) {
            (Frame::Heartbeat, _) => Ok(()),
            (Frame::Method { name, arguments }, None) => self.connection(number, *name, arguments),
            (frame, Some(channel)) => {
                if let Frame::Method {
                    name: amqp::QUEUE_DECLARE,
                    arguments,
                } = frame
                {
                    if let Some(milliseconds) = queue_name(arguments)?.strip_prefix("stall.") {
                        self.stall = milliseconds.parse().ok().map(Duration::from_millis);
                    }
                }
                if channel.frame(number, frame, &mut self.replies)? {
                    self.channels[usize::from(number)] = None;
                }
                Ok(())
            }
            _ => Err(damaged("content on a channel that is not open".to_owned())),
        }
    }

    /// A method on channel 0, or on a channel that is not open.
    fn connection(&mut self, number: u16, name: Name, arguments: &[u8]) -> io::Result<()> {
        let replies = &mut self.replies;
        match name {
            amqp::CONNECTION_START_OK => amqp::method(replies, 0, amqp::CONNECTION_TUNE, TUNE),
            amqp::CONNECTION_TUNE_OK => {}
            amqp::CONNECTION_OPEN => amqp::method(replies, 0, amqp::CONNECTION_OPEN_OK, &[0]),
            amqp::CHANNEL_OPEN => {
                let count = self.channels.len().max(usize::from(number) + 1);
                self.channels.resize_with(count, || None);
                self.channels[usize::from(number)] = Some(Box::default());
                amqp::method(replies, number, amqp::CHANNEL_OPEN_OK, &[0, 0, 0, 0]);
            }
            amqp::CONNECTION_CLOSE => {
                amqp::method(replies, 0, amqp::CONNECTION_CLOSE_OK, &[]);
                self.closing = true;
            }
            amqp::CONNECTION_CLOSE_OK => self.closing = true,
            other => return Err(unknown(other, number, arguments)),
        }
        Ok(())
    }

    fn say_start(&mut self) {
        let mut start = vec![0, 9, 0, 0, 0, 0];
        amqp::long_string(&mut start, b"PLAIN AMQPLAIN");
        amqp::long_string(&mut start, b"en_US");
        amqp::method(&mut self.replies, 0, amqp::CONNECTION_START, &start);
    }
}

impl Channel {
    /// Takes a frame; true when the channel is over.
    fn frame(&mut self, number: u16, frame: &Frame<'_>, replies: &mut Vec<u8>) -> io::Result<bool> {
        match (frame, self.body_left) {
            (
                Frame::Method {
                    name: amqp::BASIC_PUBLISH,
                    ..
                },
                None,
            ) => self.body_left = Some(u64::MAX),
            (Frame::Header { body }, Some(u64::MAX)) => {
                self.body_size = *body;
                self.body_left = Some(*body);
                self.content_ends_if(*body == 0, number, replies);
            }
            (Frame::Body { size }, Some(left)) if *size <= left && left != u64::MAX => {
                self.body_left = Some(left - size);
                self.content_ends_if(left == *size, number, replies);
            }
            (Frame::Method { name, arguments }, None) => {
                return self.method(number, *name, arguments, replies)
            }
            _ => return Err(damaged("frames out of order".to_owned())),
        }
        Ok(false)
    }

    fn content_ends_if(&mut self, over: bool, number: u16, replies: &mut Vec<u8>) {
        if !over {
            return;
        }
        self.body_left = None;
        self.published += 1;
        if self.echo {
            self.delivered += 1;
            amqp::deliver(replies, number, self.delivered, self.body_size as usize);
        }
    }

    fn method(
        &mut self,
        number: u16,
        name: Name,
        arguments: &[u8],
        replies: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let mut reply = |name, arguments: &[u8]| amqp::method(replies, number, name, arguments);
        match name {
            amqp::CHANNEL_CLOSE => reply(amqp::CHANNEL_CLOSE_OK, &[]),
            amqp::QUEUE_DECLARE => {
                let mut counts = Vec::new();
                amqp::short_string(&mut counts, queue_name(arguments)?);
                counts.extend_from_slice(&self.published.to_be_bytes());
                counts.extend_from_slice(&[0; 4]);
                reply(amqp::QUEUE_DECLARE_OK, &counts);
            }
            amqp::QUEUE_DELETE => reply(amqp::QUEUE_DELETE_OK, &[0; 4]),
            amqp::BASIC_QOS => {
                let prefetch = arguments.get(4..6).and_then(|two| two.try_into().ok());
                self.prefetch = prefetch.map_or(0, u16::from_be_bytes);
                reply(amqp::BASIC_QOS_OK, &[]);
            }
            amqp::BASIC_CONSUME => {
                self.consume(number, arguments)?;
                reply(amqp::BASIC_CONSUME_OK, &tag());
            }
            amqp::BASIC_ACK => self.acknowledged(arguments)?,
            amqp::BASIC_CANCEL => {
                let flood = self.flood.take();
                self.delivered = flood.map_or(self.delivered, |flood| flood.delivered);
                reply(amqp::BASIC_CANCEL_OK, &tag());
            }
            other => return Err(unknown(other, number, arguments)),
        }
        Ok(name == amqp::CHANNEL_CLOSE)
    }

    fn consume(&mut self, number: u16, arguments: &[u8]) -> io::Result<()> {
        let queue = queue_name(arguments)?;
        let no_ack = arguments
            .get(2..)
            .and_then(amqp::take_short)
            .and_then(|(_, rest)| amqp::take_short(rest))
            .and_then(|(_, rest)| rest.first())
            .is_some_and(|bits| bits & 0b10 != 0);
        let prefetch = if no_ack || self.prefetch == 0 {
            u64::MAX
        } else {
            self.prefetch.into()
        };
        if let Some((size, count)) = queue
            .strip_prefix("flood.")
            .and_then(|rest| rest.split_once('.'))
        {
            if let (Ok(size), Ok(count)) = (size.parse(), count.parse()) {
                self.flood = Some(Flood::new(number, size, count, prefetch));
            }
        }
        self.echo = queue.starts_with("echo.");
        Ok(())
    }

    fn acknowledged(&mut self, arguments: &[u8]) -> io::Result<()> {
        let (tag, rest) = arguments
            .split_first_chunk()
            .ok_or_else(|| damaged("no delivery tag".to_owned()))?;
        if let Some(flood) = &mut self.flood {
            // Only their number counts here: a deliverer that gets them in another order is not
            // held back longer for it.
            flood.acknowledged = match rest {
                [bits, ..] if bits & 1 != 0 => u64::from_be_bytes(*tag).max(flood.acknowledged),
                _ => flood.acknowledged + 1,
            };
        }
        Ok(())
    }

    /// The next deliveries of the flood, if one goes on and may.
    fn flood_block(&mut self) -> Option<&[u8]> {
        if self.flood.as_ref().is_some_and(Flood::over) {
            self.delivered = self.flood.take().map_or(0, |flood| flood.delivered);
        }
        let flood = self.flood.as_mut()?;
        Some(flood.next())
    }
}

fn tag() -> Vec<u8> {
    let mut tag = Vec::new();
    amqp::short_string(&mut tag, amqp::CONSUMER_TAG);
    tag
}

fn unknown(name: Name, number: u16, arguments: &[u8]) -> io::Error {
    damaged(format!(
        "the script does not know {name:?} on channel {number}: {arguments:02x?}"
    ))
}

/// Deliveries without end, or a number of them: the same bytes again and again, with new delivery
/// tags.
struct Flood {
    block: Vec<u8>,
    each: usize,
    delivered: u64,
    acknowledged: u64,
    count: u64,
    prefetch: u64,
}

impl Flood {
    fn new(channel: u16, size: usize, count: u64, prefetch: u64) -> Self {
        let mut block = Vec::new();
        amqp::deliver(&mut block, channel, 0, size);
        let each = block.len();
        let block = block.repeat((WRITE / each).max(1));
        Self {
            block,
            each,
            delivered: 0,
            acknowledged: 0,
            count: if count == 0 { u64::MAX } else { count },
            prefetch,
        }
    }

    /// How many deliveries may go now.
    fn room(&self) -> u64 {
        let unacknowledged = self.delivered - self.acknowledged.min(self.delivered);
        let allowed = self.prefetch.saturating_sub(unacknowledged);
        allowed.min(self.count - self.delivered)
    }

    fn next(&mut self) -> &[u8] {
        let room = self.room();
        let mut length = 0;
        for (_, delivery) in (0..room).zip(self.block.chunks_exact_mut(self.each)) {
            self.delivered += 1;
            length += self.each;
            delivery[amqp::TAG_OFFSET..amqp::TAG_OFFSET + 8]
                .copy_from_slice(&self.delivered.to_be_bytes());
        }
        &self.block[..length]
    }

    fn over(&self) -> bool {
        self.delivered == self.count
    }
}

/// The queue of `queue.declare` and `basic.consume`, behind the reserved ticket.
fn queue_name(arguments: &[u8]) -> io::Result<&str> {
    let name = arguments
        .get(2..)
        .and_then(amqp::take_short)
        .and_then(|(name, _)| std::str::from_utf8(name).ok());
    name.ok_or_else(|| damaged("no queue name".to_owned()))
}

/// Of `connection.tune`: 2,047 channels, frames of 128 KiB, a heartbeat of a minute.
const TUNE: &[u8] = &[0x07, 0xFF, 0x00, 0x02, 0x00, 0x00, 0x00, 0x3C];

const READ: usize = 256 * 1024;
const WRITE: usize = 128 * 1024;
