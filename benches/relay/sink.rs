//! A scripted broker, fast enough not to be the limit. It negotiates, counts and swallows
//! publishes, and does what the name of a queue tells it to: `flood.SIZE.COUNT` delivers (0: until
//! cancelled), `echo...` delivers what is published, `stall.MILLISECONDS` stops reading for a
//! while.

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
                Poll::Pending if script.flood.is_some() => Poll::Ready(Ok(true)),
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
        if let Some(flood) = &mut script.flood {
            let block = flood.next();
            socket.write_all(block).await?;
            if flood.over() {
                script.flood = None;
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
    published: u32,
    body_size: u64,
    body_left: Option<u64>,
    delivered: u64,
    echo: bool,
    flood: Option<Flood>,
    stall: Option<Duration>,
    closing: bool,
}

impl Script {
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
        let fed = scanner.feed(rest, |frame| self.frame(&frame));
        self.scanner = scanner;
        fed
    }

    fn frame(&mut self, frame: &Frame<'_>) -> io::Result<()> {
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
                self.content_ends_if(*body == 0);
            }
            (Frame::Body { size }, Some(left)) if *size <= left && left != u64::MAX => {
                self.body_left = Some(left - size);
                self.content_ends_if(left == *size);
            }
            (Frame::Method { name, arguments }, None) => return self.method(*name, arguments),
            (Frame::Heartbeat, _) => {}
            _ => return Err(damaged("frames out of order".to_owned())),
        }
        Ok(())
    }

    fn content_ends_if(&mut self, over: bool) {
        if !over {
            return;
        }
        self.body_left = None;
        self.published += 1;
        if self.echo {
            self.delivered += 1;
            amqp::deliver(&mut self.replies, self.delivered, self.body_size as usize);
        }
    }

    fn method(&mut self, name: Name, arguments: &[u8]) -> io::Result<()> {
        match name {
            amqp::CONNECTION_START_OK => {
                self.reply(
                    0,
                    amqp::CONNECTION_TUNE,
                    &[0x07, 0xFF, 0x00, 0x02, 0x00, 0x00, 0x00, 0x3C],
                );
            }
            amqp::CONNECTION_TUNE_OK => {}
            amqp::CONNECTION_OPEN => self.reply(0, amqp::CONNECTION_OPEN_OK, &[0]),
            amqp::CHANNEL_OPEN => self.reply(1, amqp::CHANNEL_OPEN_OK, &[0, 0, 0, 0]),
            amqp::CONNECTION_CLOSE => {
                self.reply(0, amqp::CONNECTION_CLOSE_OK, &[]);
                self.closing = true;
            }
            amqp::CONNECTION_CLOSE_OK => self.closing = true,
            amqp::QUEUE_DECLARE => self.declare(arguments)?,
            amqp::BASIC_CONSUME => self.consume(arguments)?,
            amqp::BASIC_CANCEL => {
                self.delivered = self
                    .flood
                    .take()
                    .map_or(self.delivered, |flood| flood.delivered);
                self.reply_with_tag(amqp::BASIC_CANCEL_OK);
            }
            other => return Err(damaged(format!("the script does not know {other:?}"))),
        }
        Ok(())
    }

    fn declare(&mut self, arguments: &[u8]) -> io::Result<()> {
        let queue = queue_name(arguments)?;
        if let Some(milliseconds) = queue.strip_prefix("stall.") {
            self.stall = milliseconds.parse().ok().map(Duration::from_millis);
        }
        let mut counts = Vec::new();
        amqp::short_string(&mut counts, queue);
        counts.extend_from_slice(&self.published.to_be_bytes());
        counts.extend_from_slice(&[0; 4]);
        self.reply(1, amqp::QUEUE_DECLARE_OK, &counts);
        Ok(())
    }

    fn consume(&mut self, arguments: &[u8]) -> io::Result<()> {
        let queue = queue_name(arguments)?;
        if let Some((size, count)) = queue
            .strip_prefix("flood.")
            .and_then(|rest| rest.split_once('.'))
        {
            if let (Ok(size), Ok(count)) = (size.parse(), count.parse()) {
                self.flood = Some(Flood::new(size, count));
            }
        }
        self.echo = queue.starts_with("echo.");
        self.reply_with_tag(amqp::BASIC_CONSUME_OK);
        Ok(())
    }

    fn say_start(&mut self) {
        let mut start = vec![0, 9, 0, 0, 0, 0];
        amqp::long_string(&mut start, b"PLAIN AMQPLAIN");
        amqp::long_string(&mut start, b"en_US");
        self.reply(0, amqp::CONNECTION_START, &start);
    }

    fn reply_with_tag(&mut self, name: Name) {
        let mut tag = Vec::new();
        amqp::short_string(&mut tag, amqp::CONSUMER_TAG);
        self.reply(1, name, &tag);
    }

    fn reply(&mut self, channel: u16, name: Name, arguments: &[u8]) {
        amqp::method(&mut self.replies, channel, name, arguments);
    }
}

/// Deliveries without end, or a number of them: the same bytes again and again, with new delivery
/// tags.
struct Flood {
    block: Vec<u8>,
    each: usize,
    delivered: u64,
    count: u64,
}

impl Flood {
    fn new(size: usize, count: u64) -> Self {
        let mut block = Vec::new();
        amqp::deliver(&mut block, 0, size);
        let each = block.len();
        let block = block.repeat((WRITE / each).max(1));
        Self {
            block,
            each,
            delivered: 0,
            count: if count == 0 { u64::MAX } else { count },
        }
    }

    fn next(&mut self) -> &[u8] {
        let mut length = 0;
        for delivery in self.block.chunks_exact_mut(self.each) {
            if self.delivered == self.count {
                break;
            }
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

const READ: usize = 256 * 1024;
const WRITE: usize = 128 * 1024;
