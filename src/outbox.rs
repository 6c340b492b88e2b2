//! Bytes on their way to a socket: a queue that returns credit as they leave and knows since when
//! the socket has taken none.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Instant;

use tokio::io::AsyncWrite;

use crate::batch::Batch;
use crate::credit::Window;

/// A queue of bytes for one socket.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<Chunk>,
    bytes: usize,
    blocked_since: Option<Instant>,
    unflushed: bool,
}

#[derive(Debug)]
struct Chunk {
    batch: Batch,
    /// Bytes to return to the window when the chunk has left.
    credit: usize,
}

impl Outbox {
    /// Queues `batch`, for which `credit` bytes were spent.
    ///
    /// While other bytes wait, small batches are copied together, so that what is queued takes
    /// about as much memory as it has bytes.
    pub fn push(&mut self, batch: Batch, credit: usize) {
        self.bytes += batch.len();
        if let Some(last) = self.queue.back_mut() {
            if last.batch.append(batch.bytes()) {
                last.credit += credit;
                return;
            }
        }
        self.queue.push_back(Chunk { batch, credit });
    }

    /// Queues a copy of `bytes` that no credit was spent for.
    pub fn push_slice(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if let Some(last) = self.queue.back_mut() {
            if last.batch.append(bytes) {
                self.bytes += bytes.len();
                return;
            }
        }
        self.push(Batch::copied(bytes), 0);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && !self.unflushed
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Since when bytes wait without any having been taken.
    pub fn blocked_since(&self) -> Option<Instant> {
        self.blocked_since
    }

    /// Throws away what waits and returns its credit.
    pub fn clear(&mut self, window: &Window) {
        for chunk in self.queue.drain(..) {
            window.return_bytes(chunk.credit);
        }
        self.bytes = 0;
        self.blocked_since = None;
        self.unflushed = false;
    }

    /// Writes until all is gone (`Ready(Ok)`) or the socket takes no more.
    ///
    /// # Errors
    ///
    /// The socket's error, or `WriteZero`.
    pub fn poll_write<S>(
        &mut self,
        socket: &mut S,
        window: &Window,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        while let Some(chunk) = self.queue.front_mut() {
            let Poll::Ready(written) = Pin::new(&mut *socket).poll_write(cx, chunk.batch.bytes())
            else {
                self.blocked_since.get_or_insert_with(Instant::now);
                return Poll::Pending;
            };
            let written = written?;
            if written == 0 && !chunk.batch.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.blocked_since = None;
            chunk.batch.advance(written);
            self.bytes -= written;
            if chunk.batch.is_empty() {
                window.return_bytes(chunk.credit);
                self.queue.pop_front();
            }
        }
        if self.unflushed {
            // TLS takes bytes before the socket does: only the flush says that they have left.
            let Poll::Ready(flushed) = Pin::new(socket).poll_flush(cx) else {
                self.blocked_since.get_or_insert_with(Instant::now);
                return Poll::Pending;
            };
            flushed?;
            self.unflushed = false;
            self.blocked_since = None;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// A socket that takes `room` bytes and then none.
    struct Narrow {
        taken: Vec<u8>,
        room: usize,
        flushes: bool,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Poll::Pending;
            }
            self.room -= count;
            self.taken.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.flushes {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn spend(window: &Window, outbox: &mut Outbox, bytes: &[u8]) {
        window.spend(bytes.len());
        window.batch_taken();
        outbox.push(Batch::copied(bytes), bytes.len());
    }

    #[test]
    fn keeps_order_and_returns_credit_only_for_what_left() {
        let cx = &mut Context::from_waker(Waker::noop());
        let window = Window::new(6);
        let mut outbox = Outbox::default();
        let mut socket = Narrow {
            taken: Vec::new(),
            room: 5,
            flushes: true,
        };
        spend(&window, &mut outbox, b"abc");
        outbox.push_slice(b"-");
        spend(&window, &mut outbox, b"def");
        assert!(window.is_exhausted());
        assert!(outbox.poll_write(&mut socket, &window, cx).is_pending());
        assert!(outbox.blocked_since().is_some());
        socket.room = 100;
        assert!(outbox.poll_write(&mut socket, &window, cx).is_ready());
        assert_eq!(socket.taken, b"abc-def");
        assert!(outbox.blocked_since().is_none() && outbox.is_empty());
        assert!(!window.is_exhausted());
    }

    #[test]
    fn a_flush_that_does_not_end_counts_as_blocked() {
        let cx = &mut Context::from_waker(Waker::noop());
        let window = Window::new(100);
        let mut outbox = Outbox::default();
        let mut socket = Narrow {
            taken: Vec::new(),
            room: 100,
            flushes: false,
        };
        spend(&window, &mut outbox, b"abc");
        assert!(outbox.poll_write(&mut socket, &window, cx).is_pending());
        assert!(outbox.blocked_since().is_some() && !outbox.is_empty());
        socket.flushes = true;
        assert!(outbox.poll_write(&mut socket, &window, cx).is_ready());
        assert!(outbox.blocked_since().is_none() && outbox.is_empty());
    }

    #[test]
    fn small_batches_share_one_buffer_while_they_wait() {
        let window = Window::new(1 << 20);
        let mut outbox = Outbox::default();
        for _ in 0..1000 {
            spend(&window, &mut outbox, b"0123456789");
        }
        assert_eq!(outbox.queue.len(), 1);
    }

    #[test]
    fn clearing_returns_all_credit() {
        let window = Window::new(4);
        let mut outbox = Outbox::default();
        spend(&window, &mut outbox, b"abcdef");
        assert!(window.is_exhausted());
        outbox.clear(&window);
        assert!(!window.is_exhausted() && outbox.is_empty());
    }
}
