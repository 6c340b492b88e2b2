//! How long a connection is waited for between requests: the HTTP server has a deadline for the first head only, so the
//! socket itself keeps one for every later head, for the pause before it, and for a client that takes no byte.

use std::cell::Cell;
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::time::Instant;
use tokio::time::Sleep;

use crate::downstream::heads::Heads;
use crate::downstream::session::Socket;

/// The times of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// For a complete head, from its first byte.
    pub head: Duration,
    /// Between an answer and the next request.
    pub pause: Duration,
    /// In which a client must take a byte that waits for it.
    pub stall: Duration,
}

/// What a connection is waited for; its requests say how far they are.
#[derive(Debug)]
pub struct Wait {
    phase: Cell<Phase>,
    times: Times,
    /// Answers behind which another request may follow.
    answers: Cell<u64>,
    /// Who reads.
    reader: RefCell<Option<Waker>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The first head, which the HTTP server watches, or an answer under way.
    Server,
    /// The next request, until then.
    Pause(Instant),
    /// The rest of a head, until then.
    Head(Instant),
}

impl Wait {
    /// A request has come whole, or its upgrade.
    pub fn requested(&self) {
        self.phase.set(Phase::Server);
    }

    /// An answer has gone out; another request may follow.
    pub fn answered(&self) {
        self.phase
            .set(Phase::Pause(Instant::now() + self.times.pause));
        self.answers.set(self.answers.get() + 1);
        self.wake();
    }

    /// The last answer has gone out. What still comes, such as the rest of a body that nobody wanted, has no more time
    /// than a head.
    pub fn closing(&self) {
        self.phase
            .set(Phase::Head(Instant::now() + self.times.head));
        self.wake();
    }

    /// What is waited for has changed.
    fn wake(&self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// Bytes have come.
    fn heard(&self) {
        if let Phase::Pause(_) = self.phase.get() {
            self.phase
                .set(Phase::Head(Instant::now() + self.times.head));
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.phase.get() {
            Phase::Server => None,
            Phase::Pause(deadline) | Phase::Head(deadline) => Some(deadline),
        }
    }
}

/// A socket that ends when it has been waited for long enough.
#[derive(Debug)]
pub struct Patient<T> {
    socket: T,
    wait: Rc<Wait>,
    heads: Heads,
    /// Answers that `heads` knows of.
    answered: u64,
    /// What the client has sent behind a request that is not answered: what one read gave, at most. No more is read.
    held: Vec<u8>,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<T> Patient<T> {
    /// A socket with these times.
    pub fn new(socket: T, times: Times) -> Self {
        Self {
            socket,
            wait: Rc::new(Wait {
                phase: Cell::new(Phase::Server),
                times,
                answers: Cell::new(0),
                reader: RefCell::default(),
            }),
            heads: Heads::default(),
            answered: 0,
            held: Vec::new(),
            reading: None,
            writing: None,
        }
    }

    /// What it is waited for.
    pub fn wait(&self) -> Rc<Wait> {
        Rc::clone(&self.wait)
    }

    /// The socket alone, and what was read from it and not shown.
    pub fn into_parts(self) -> (T, Vec<u8>) {
        (self.socket, self.held)
    }

    /// Whether a client that takes nothing has had its time.
    fn is_stalled(&mut self, cx: &mut Context<'_>) -> bool {
        let stall = self.wait.times.stall;
        let timer = self
            .writing
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        timer.as_mut().poll(cx).is_ready()
    }
}

impl<T: AsyncRead + Unpin> Patient<T> {
    /// Reads what may be seen of the client's bytes.
    fn poll_heads(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.answered != self.wait.answers.get() {
            self.answered = self.wait.answers.get();
            self.heads.next();
        }
        if !self.held.is_empty() {
            let room = buffer.remaining().min(self.held.len());
            let seen = self.heads.take(&self.held[..room]);
            buffer.put_slice(&self.held[..seen]);
            self.held.drain(..seen);
            return if seen > 0 {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            };
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        let fresh = &buffer.filled()[before..];
        if !matches!(read, Poll::Ready(Ok(()))) || fresh.is_empty() {
            return read;
        }
        let seen = self.heads.take(fresh);
        self.held.extend_from_slice(&fresh[seen..]);
        buffer.set_filled(before + seen);
        if seen > 0 {
            read
        } else {
            Poll::Pending
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = this.poll_heads(cx, buffer);
        if read.is_ready() && buffer.filled().len() > before {
            this.wait.heard();
        }
        if read.is_pending() {
            this.wait.reader.replace(Some(cx.waker().clone()));
        }
        // A head that comes a byte at a time has no more time than one that does not come.
        let Some(deadline) = this.wait.deadline() else {
            this.reading = None;
            return read;
        };
        let timer = this
            .reading
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        if timer.as_mut().poll(cx).is_ready() {
            // To the HTTP server the client has gone.
            buffer.set_filled(before);
            return Poll::Ready(Ok(()));
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.socket).poll_write(cx, bytes);
        if written.is_ready() {
            this.writing = None;
            return written;
        }
        if this.is_stalled(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let flushed = Pin::new(&mut this.socket).poll_flush(cx);
        if flushed.is_ready() {
            this.writing = None;
            return flushed;
        }
        if this.is_stalled(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let shut = Pin::new(&mut this.socket).poll_shutdown(cx);
        // TLS has something to say at the end, and a client may not take it.
        if shut.is_pending() && this.is_stalled(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        shut
    }
}

impl<T: Socket> Socket for Patient<T> {
    fn gateway_address(&self) -> Option<SocketAddr> {
        self.socket.gateway_address()
    }

    fn client_address(&self) -> Option<SocketAddr> {
        self.socket.client_address()
    }

    fn keep_little_unsent(&self) {
        self.socket.keep_little_unsent();
    }

    fn shut_down(&self) {
        self.socket.shut_down();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;

    use super::*;

    const TIMES: Times = Times {
        head: Duration::from_millis(200),
        pause: Duration::from_millis(100),
        stall: Duration::from_millis(100),
    };

    #[tokio::test]
    async fn a_pause_is_bounded() {
        let (mut socket, _client) = pair();
        socket.wait().answered();
        let began = Instant::now();
        assert_eq!(socket.read(&mut [0; 8]).await.unwrap(), 0);
        assert!(began.elapsed() >= TIMES.pause);
    }

    #[tokio::test]
    async fn a_head_that_drips_has_no_more_time_than_one_that_does_not_come() {
        let (mut socket, mut client) = pair();
        socket.wait().answered();
        let dripping = tokio::spawn(async move {
            loop {
                if client.write_all(b"x").await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let began = Instant::now();
        while socket.read(&mut [0; 8]).await.unwrap() > 0 {}
        assert!(began.elapsed() >= TIMES.head);
        assert!(!dripping.is_finished());
    }

    #[tokio::test]
    async fn the_rest_of_a_body_that_nobody_wanted_is_not_waited_for() {
        let (mut socket, mut client) = pair();
        socket.wait().requested();
        client.write_all(b"body").await.unwrap();
        assert_eq!(socket.read(&mut [0; 8]).await.unwrap(), 4);
        socket.wait().closing();
        let began = Instant::now();
        client.write_all(b"more").await.unwrap();
        while socket.read(&mut [0; 8]).await.unwrap() > 0 {}
        assert!(began.elapsed() >= TIMES.head);
    }

    #[tokio::test]
    async fn a_body_and_an_answer_are_not_hurried() {
        let (mut socket, mut client) = pair();
        socket.wait().answered();
        client.write_all(b"GET").await.unwrap();
        assert_eq!(socket.read(&mut [0; 8]).await.unwrap(), 3);
        socket.wait().requested();
        let (go, wait) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            tokio::time::sleep(2 * (TIMES.head + TIMES.pause)).await;
            client.write_all(b"body").await.unwrap();
            let _ = wait.await;
        });
        assert_eq!(socket.read(&mut [0; 8]).await.unwrap(), 4);
        let _ = go.send(());
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (mut socket, _client) = pair();
        let began = Instant::now();
        let error = socket.write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= TIMES.stall);
    }

    #[tokio::test]
    async fn a_client_that_does_not_take_the_end_of_tls_is_given_up() {
        let mut socket = Patient::new(Unending, TIMES);
        let began = Instant::now();
        let ended = tokio::time::timeout(100 * TIMES.stall, socket.shutdown());
        let error = ended.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= TIMES.stall);
    }

    /// A socket whose last words nobody takes.
    #[derive(Debug)]
    struct Unending;

    impl AsyncWrite for Unending {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    fn pair() -> (Patient<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (one, other) = tokio::io::duplex(64);
        (Patient::new(one, TIMES), other)
    }
}
