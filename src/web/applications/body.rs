//! Bodies on their way: the client's to the origin by way of a short queue, the origin's to the client as it is asked for.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::ready;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use actix_web::body::BodySize;
use actix_web::body::MessageBody;
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use actix_web::web::Payload;
use futures_util::Stream;
use futures_util::StreamExt;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use hyper::body::Incoming;
use prometheus::IntCounter;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio::time::Sleep;

use crate::web::applications::failure::Failure;
use crate::web::applications::in_flight::Guard;
use crate::web::applications::metrics::BROKEN;
use crate::web::applications::metrics::STALLED;
use crate::web::applications::told::Recipient;

/// The client's body, as the HTTP client takes it.
pub struct RequestBody {
    chunks: Option<mpsc::Receiver<Result<Bytes, Broken>>>,
    /// Bytes that are still to come, where that is known.
    left: Option<u64>,
}

/// The client's body will not be whole: the origin must not take it for one.
#[derive(Debug, thiserror::Error)]
#[error("the body is broken off")]
pub struct Broken;

impl RequestBody {
    /// No body.
    pub fn none() -> Self {
        Self {
            chunks: None,
            left: Some(0),
        }
    }

    /// A body of this length, if it is known, and where its chunks go in.
    pub fn queued(length: Option<u64>) -> (mpsc::Sender<Result<Bytes, Broken>>, Self) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let body = Self {
            chunks: Some(receiver),
            left: length,
        };
        (sender, body)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Some(chunks) = &mut self.chunks else {
            return Poll::Ready(None);
        };
        let chunk = ready!(chunks.poll_recv(cx));
        Poll::Ready(match chunk {
            Some(Ok(chunk)) => {
                if let Some(left) = &mut self.left {
                    *left = left.saturating_sub(chunk.len() as u64);
                }
                Some(Ok(Frame::data(chunk)))
            }
            Some(Err(broken)) => Some(Err(broken)),
            None => {
                self.chunks = None;
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::default(),
        }
    }
}

/// Carries the client's body to the origin, at most `limit` bytes, no pause longer than `pause`; behind the first `pause`, no
/// slower on the whole than [`LEAST_RATE`].
///
/// Ends early, and well, if the origin wants no more of it.
///
/// # Errors
///
/// Why the body is not whole; the origin is told as well.
pub async fn carry(
    mut from: Payload,
    to: mpsc::Sender<Result<Bytes, Broken>>,
    limit: u64,
    pause: Duration,
    count: IntCounter,
) -> Result<(), Failure> {
    let mut carried = 0;
    let mut on_the_whole = Instant::now() + pause;
    loop {
        let deadline = on_the_whole.min(Instant::now() + pause);
        let failure = match tokio::time::timeout_at(deadline, from.next()).await {
            Ok(None) => return Ok(()),
            Ok(Some(Ok(chunk))) => {
                carried += chunk.len() as u64;
                if carried <= limit {
                    count.inc_by(chunk.len() as u64);
                    let came = Instant::now();
                    let earned = Duration::from_secs(1).mul_f64(chunk.len() as f64 / LEAST_RATE);
                    match tokio::time::timeout(pause, to.send(Ok(chunk))).await {
                        Ok(Ok(())) => {
                            // The origin's time is not the client's.
                            on_the_whole += earned + came.elapsed();
                            continue;
                        }
                        // What follows is of no use to anyone.
                        Ok(Err(_)) => return Ok(()),
                        Err(_) => Failure::OriginTimeout("the origin takes no more of the body"),
                    }
                } else {
                    Failure::BodyTooLarge
                }
            }
            Ok(Some(Err(PayloadError::Incomplete(_)))) => Failure::BodyMalformed,
            Ok(Some(Err(_))) => Failure::BodyMalformed,
            Err(_) => Failure::BodyTimeout,
        };
        // The queue may be full of what the origin does not take; dropping it unfinished says the same.
        let _ = to.try_send(Err(Broken));
        return Err(failure);
    }
}

/// Bytes a second that a client sends of a body, at least: slower than any line that people use.
const LEAST_RATE: f64 = 1024.0;

/// The origin's body, chunk by chunk; trailers are dropped.
pub struct Chunks(Incoming);

impl Chunks {
    /// The chunks of this body.
    pub fn new(body: Incoming) -> Self {
        Self(body)
    }
}

impl Stream for Chunks {
    type Item = io::Result<Bytes>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            match ready!(Pin::new(&mut self.0).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(io::Error::other(error)))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
            }
        }
    }
}

/// A body towards the client, which ends with an error if its source stands still.
pub struct Answer<S> {
    chunks: S,
    size: BodySize,
    pause: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    recipient: Recipient,
    _guard: Guard,
}

impl<S> Answer<S> {
    /// A body of this size; `guard` goes when it does.
    pub(super) fn new(
        chunks: S,
        size: BodySize,
        pause: Duration,
        recipient: Recipient,
        guard: Guard,
    ) -> Self {
        Self {
            chunks,
            size,
            pause,
            timer: None,
            recipient,
            _guard: guard,
        }
    }
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> MessageBody for Answer<S> {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, io::Error>>> {
        let this = &mut *self;
        loop {
            match Pin::new(&mut this.chunks).poll_next(cx) {
                // To the encoder of chunks an empty one is the end.
                Poll::Ready(Some(Ok(chunk))) if chunk.is_empty() => {}
                Poll::Ready(Some(Ok(chunk))) => {
                    this.timer = None;
                    this.recipient.counts().to_client.inc_by(chunk.len() as u64);
                    return Poll::Ready(Some(Ok(chunk)));
                }
                Poll::Ready(Some(Err(error))) => {
                    this.recipient.cut_off(BROKEN, &error);
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => break,
            }
        }
        // Set only when there is something to wait for; the client's own slowness is not the origin's.
        let deadline = Instant::now() + this.pause;
        let timer = this
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        ready!(timer.as_mut().poll(cx));
        let error = io::Error::new(io::ErrorKind::TimedOut, "the origin stands still");
        this.recipient.cut_off(STALLED, &error);
        Poll::Ready(Some(Err(error)))
    }
}

/// Chunks of a client's body that wait for the origin; each has at most what one read gives (32 KiB).
const QUEUE: usize = 2;
