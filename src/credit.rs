//! Bytes in flight: one window per direction and session, the only bound that mailboxes obey.
//!
//! Whoever reads a socket spends credit for what it passes on; whoever writes the other socket
//! returns it. The reader asks [`Window::poll_open`] before it reads more. Both live on one worker
//! thread, so the window is shared by `Rc` and costs no atomics.

use std::cell::Cell;
use std::cell::RefCell;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;
use std::time::Instant;

/// A bound on bytes and batches between one reader and one writer.
#[derive(Debug)]
pub struct Window {
    high: usize,
    low: usize,
    bytes: Cell<usize>,
    batches: Cell<u32>,
    shut: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    exhausted_since: Cell<Option<Instant>>,
    exhausted: Cell<Duration>,
}

impl Window {
    /// A window that shuts at `high` bytes and opens again at a quarter of that.
    ///
    /// The quarter keeps a pair of sockets from waking each other for every few bytes.
    pub fn new(high: usize) -> Self {
        Self {
            high,
            low: high / 4,
            bytes: Cell::new(0),
            batches: Cell::new(0),
            shut: Cell::new(false),
            reader: RefCell::new(None),
            exhausted_since: Cell::new(None),
            exhausted: Cell::new(Duration::ZERO),
        }
    }

    /// Ready while the reader may read. Otherwise its task is woken when credit has come back.
    pub fn poll_open(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.shut.get() && self.batches.get() < BATCHES_IN_FLIGHT {
            return Poll::Ready(());
        }
        *self.reader.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether the reader is kept from reading because too many bytes wait.
    pub fn is_exhausted(&self) -> bool {
        self.shut.get()
    }

    /// Takes credit for one batch of `bytes` that is sent on.
    pub fn spend(&self, bytes: usize) {
        self.batches.set(self.batches.get() + 1);
        self.bytes.set(self.bytes.get() + bytes);
        if self.bytes.get() >= self.high && !self.shut.replace(true) {
            self.exhausted_since.set(Some(Instant::now()));
        }
    }

    /// Says that one batch has left the mailbox; its bytes are still counted.
    pub fn batch_taken(&self) {
        self.batches.set(self.batches.get().saturating_sub(1));
        self.wake_if_open();
    }

    /// Returns credit for bytes that have left the gateway, or were thrown away.
    pub fn return_bytes(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().saturating_sub(bytes));
        if self.shut.get() && self.bytes.get() <= self.low {
            self.shut.set(false);
            if let Some(since) = self.exhausted_since.take() {
                self.exhausted.set(self.exhausted.get() + since.elapsed());
            }
        }
        self.wake_if_open();
    }

    /// The time the window was shut since the last call, a pause that still lasts included.
    pub fn take_exhausted(&self) -> Duration {
        let mut total = self.exhausted.take();
        if let Some(since) = self.exhausted_since.take() {
            let now = Instant::now();
            total += now - since;
            self.exhausted_since.set(Some(now));
        }
        total
    }

    fn wake_if_open(&self) {
        if self.shut.get() || self.batches.get() >= BATCHES_IN_FLIGHT {
            return;
        }
        let reader = self.reader.borrow_mut().take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// Batches that may sit in mailboxes per direction. One is being written while the next is read;
/// a third would only add latency.
const BATCHES_IN_FLIGHT: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn is_open(window: &Window) -> bool {
        window
            .poll_open(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn shuts_at_the_high_mark_and_opens_at_a_quarter() {
        let window = Window::new(1000);
        window.spend(999);
        window.batch_taken();
        assert!(is_open(&window));
        window.spend(1);
        window.batch_taken();
        assert!(!is_open(&window) && window.is_exhausted());
        window.return_bytes(749);
        assert!(!is_open(&window), "251 bytes wait, the low mark is 250");
        window.return_bytes(1);
        assert!(is_open(&window) && !window.is_exhausted());
    }

    #[test]
    fn holds_back_the_third_batch() {
        let window = Window::new(1000);
        window.spend(1);
        assert!(is_open(&window));
        window.spend(1);
        assert!(!is_open(&window) && !window.is_exhausted());
        window.batch_taken();
        assert!(is_open(&window));
    }

    #[test]
    fn counts_a_pause_that_still_lasts_and_only_once() {
        let window = Window::new(10);
        assert_eq!(window.take_exhausted(), Duration::ZERO);
        window.spend(10);
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut seen = window.take_exhausted();
        while seen.is_zero() && Instant::now() < deadline {
            seen = window.take_exhausted();
        }
        assert!(!seen.is_zero());
        window.return_bytes(10);
        window.take_exhausted();
        assert_eq!(window.take_exhausted(), Duration::ZERO);
    }
}
