//! The workloads that have a rate: each runs for a given time over one lane, and fails if a message
//! is missing.

use std::io;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::amqp;
use crate::amqp::damaged;
use crate::amqp::Frame;
use crate::client::Client;
use crate::lane::Lane;
use crate::process::until;

/// What one run of a workload over one lane came to.
#[derive(Default)]
pub(crate) struct Sample {
    pub(crate) messages: u64,
    pub(crate) elapsed: Duration,
    pub(crate) cpu: Duration,
    /// Of every round trip, sorted; empty for the other workloads.
    pub(crate) latencies: Vec<Duration>,
}

/// What is measured.
#[derive(Clone, Copy)]
pub(crate) enum Workload {
    /// Publishes of so many bytes, one WebSocket message each, many in a write.
    Publish(usize),
    /// Deliveries of so many bytes, as fast as they are taken.
    Deliver(usize),
    /// A publish and its delivery, one in flight.
    RoundTrip(usize),
    /// A native Ping and its Pong, one in flight: the shortest way to the gateway's session and back.
    Pings,
    /// The time until a WebSocket may carry data: TCP and all handshakes, one at a time.
    Handshakes,
    /// Sessions opened (TCP, WebSocket, AMQP login, a channel) and closed in order, several at a
    /// time.
    Sessions,
}

impl Workload {
    /// Runs over a lane for about `time`.
    pub(crate) fn run(self, lane: &Lane, time: Duration) -> io::Result<Sample> {
        match self {
            Self::Publish(size) => publish(lane, size, time),
            Self::Deliver(size) => deliver(lane, size, time),
            Self::RoundTrip(size) => round_trips(lane, size, time),
            Self::Pings => pings(lane, time),
            Self::Handshakes => handshakes(lane, time),
            Self::Sessions => sessions(lane, time),
        }
    }
}

/// A block of publishes as they go over a client's way, and how many they are.
pub(crate) fn publishes(client: &Client, queue: &str, size: usize) -> (Vec<u8>, u64) {
    let mut one = Vec::new();
    amqp::publish(&mut one, queue, size);
    let mut block = Vec::new();
    let mut count = 0;
    while block.len() < BLOCK {
        client.wrap(&mut block, &one);
        count += 1;
    }
    (block, count)
}

fn publish(lane: &Lane, size: usize, time: Duration) -> io::Result<Sample> {
    let mut client = lane.open(BUFFER)?;
    let queue = own_queue("publish");
    client.declare(&queue, false)?;
    let sample = fill(lane, &mut client, &queue, size, time)?;
    client.close()?;
    Ok(sample)
}

/// Publishes for a time, until the broker has said that it has them all.
fn fill(
    lane: &Lane,
    client: &mut Client,
    queue: &str,
    size: usize,
    time: Duration,
) -> io::Result<Sample> {
    let (block, each) = publishes(client, queue, size);
    let cpu = lane.cpu()?;
    let start = Instant::now();
    let mut messages = 0;
    while start.elapsed() < time && messages < lane.most(size) {
        client.write(&block)?;
        messages += each;
    }
    arrived(client, queue, messages)?;
    Ok(Sample {
        messages,
        elapsed: start.elapsed(),
        cpu: lane.cpu()? - cpu,
        ..Sample::default()
    })
}

/// Asks until the broker has so many publishes: RabbitMQ's queue answers before it has looked at
/// all that came. The sink's first answer is right.
pub(crate) fn arrived(client: &mut Client, queue: &str, sent: u64) -> io::Result<()> {
    let mut counted = 0;
    let all = until(ARRIVAL_DEADLINE, || {
        counted = client.declare(queue, true)?.into();
        Ok(counted >= sent)
    })?;
    if !all || counted != sent {
        return Err(damaged(format!(
            "{sent} publishes were sent and {counted} have come"
        )));
    }
    Ok(())
}

fn deliver(lane: &Lane, size: usize, time: Duration) -> io::Result<Sample> {
    let mut client = lane.open(BUFFER)?;
    let (queue, expected) = if lane.real {
        let queue = own_queue("deliver");
        client.declare(&queue, false)?;
        let filled = fill(lane, &mut client, &queue, size, time)?;
        (queue, filled.messages)
    } else {
        (format!("flood.{size}.0"), u64::MAX)
    };
    let cpu = lane.cpu()?;
    let start = Instant::now();
    client.consume(&queue)?;
    let mut taken = Taken::of(size);
    while taken.messages < expected && !taken.cancelled {
        client.read(|frame| taken.frame(&frame))?;
        if !taken.cancelling && start.elapsed() >= time && expected == u64::MAX {
            taken.cancelling = true;
            client.cancel()?;
        }
    }
    let sample = Sample {
        messages: taken.messages,
        elapsed: start.elapsed(),
        cpu: lane.cpu()? - cpu,
        ..Sample::default()
    };
    client.close()?;
    Ok(sample)
}

/// The deliveries that came; their tags must count up from 1 without a gap, and their bodies be
/// whole.
pub(crate) struct Taken {
    size: u64,
    left: u64,
    pub(crate) messages: u64,
    cancelling: bool,
    cancelled: bool,
}

impl Taken {
    /// Of deliveries of `size` bytes each.
    pub(crate) fn of(size: usize) -> Self {
        Self {
            size: size as u64,
            left: 0,
            messages: 0,
            cancelling: false,
            cancelled: false,
        }
    }

    /// Takes the next frame of the session.
    pub(crate) fn frame(&mut self, frame: &Frame<'_>) -> io::Result<()> {
        match frame {
            Frame::Method {
                name: amqp::BASIC_DELIVER,
                arguments,
            } => {
                let tag = amqp::delivery_tag(arguments);
                if self.left != 0 || tag != Some(self.messages + 1) {
                    return Err(damaged(format!(
                        "delivery {tag:?} comes behind {}",
                        self.messages
                    )));
                }
            }
            Frame::Header { body } if *body == self.size => self.left = *body,
            Frame::Body { size } if *size <= self.left => {
                self.left -= size;
                self.messages += u64::from(self.left == 0);
            }
            Frame::Method {
                name: amqp::BASIC_CANCEL_OK,
                ..
            } => self.cancelled = true,
            Frame::Method {
                name: amqp::BASIC_CONSUME_OK,
                ..
            }
            | Frame::Heartbeat => {}
            _ => {
                return Err(damaged(
                    "a delivery of another size, or another method".to_owned(),
                ))
            }
        }
        Ok(())
    }
}

fn round_trips(lane: &Lane, size: usize, time: Duration) -> io::Result<Sample> {
    let mut client = lane.open(BUFFER)?;
    let queue = own_queue("echo");
    client.declare(&queue, false)?;
    client.consume(&queue)?;
    client.expect(amqp::BASIC_CONSUME_OK)?;
    let mut one = Vec::new();
    amqp::publish(&mut one, &queue, size);
    let mut wrapped = Vec::new();
    client.wrap(&mut wrapped, &one);
    let mut taken = Taken::of(size);
    let mut sample = Sample::default();
    let cpu = lane.cpu()?;
    let start = Instant::now();
    while start.elapsed() < time {
        let sent = Instant::now();
        client.write(&wrapped)?;
        sample.messages += 1;
        while taken.messages < sample.messages {
            client.read(|frame| taken.frame(&frame))?;
        }
        sample.latencies.push(sent.elapsed());
    }
    sample.elapsed = start.elapsed();
    sample.cpu = lane.cpu()? - cpu;
    sample.latencies.sort_unstable();
    client.close()?;
    Ok(sample)
}

fn pings(lane: &Lane, time: Duration) -> io::Result<Sample> {
    let mut client = lane.open(SMALL_BUFFER)?;
    let mut sample = Sample::default();
    let cpu = lane.cpu()?;
    let start = Instant::now();
    while start.elapsed() < time {
        let sent = Instant::now();
        client.ping()?;
        sample.latencies.push(sent.elapsed());
        sample.messages += 1;
    }
    sample.elapsed = start.elapsed();
    sample.cpu = lane.cpu()? - cpu;
    sample.latencies.sort_unstable();
    client.close()?;
    Ok(sample)
}

fn handshakes(lane: &Lane, time: Duration) -> io::Result<Sample> {
    let mut sample = Sample::default();
    let cpu = lane.cpu()?;
    let start = Instant::now();
    while start.elapsed() < time {
        let began = Instant::now();
        let client = Client::shake_hands(lane.way, SMALL_BUFFER)?;
        sample.latencies.push(began.elapsed());
        sample.messages += 1;
        drop(client);
    }
    sample.elapsed = start.elapsed();
    sample.cpu = lane.cpu()? - cpu;
    sample.latencies.sort_unstable();
    Ok(sample)
}

fn sessions(lane: &Lane, time: Duration) -> io::Result<Sample> {
    let cpu = lane.cpu()?;
    let start = Instant::now();
    let opened: io::Result<u64> = thread::scope(|scope| {
        let one = || {
            let mut opened = 0;
            while start.elapsed() < time {
                lane.open(SMALL_BUFFER)?.close()?;
                opened += 1;
            }
            Ok::<u64, io::Error>(opened)
        };
        let threads: Vec<_> = (0..OPENERS).map(|_| scope.spawn(one)).collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(io::Error::other("panicked")))
            })
            .sum()
    });
    let messages = opened?;
    Ok(Sample {
        messages,
        elapsed: start.elapsed(),
        cpu: lane.cpu()? - cpu,
        ..Sample::default()
    })
}

/// A name that no other run and no earlier session uses: a queue may go a little later than its
/// connection.
pub(crate) fn own_queue(what: &str) -> String {
    static SEQUENCE: AtomicU32 = AtomicU32::new(0);
    format!(
        "{what}.{}.{}",
        std::process::id(),
        SEQUENCE.fetch_add(1, Ordering::Relaxed)
    )
}

/// What one read may take where a rate is measured, in bytes.
pub(crate) const BUFFER: usize = 256 * 1024;

/// What one read may take where many sessions are open, in bytes.
pub(crate) const SMALL_BUFFER: usize = 4 * 1024;

const BLOCK: usize = 128 * 1024;
const OPENERS: usize = 8;
const ARRIVAL_DEADLINE: Duration = Duration::from_secs(20);
