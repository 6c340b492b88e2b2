//! lapin's end of a shared connection: a pipe in memory, its login, and the task that deletes queues.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::DuplexStream;
use tokio::io::ReadBuf;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

use crate::upstream::kit;
use crate::upstream::runtime;
use crate::upstream::shared::account::Account;
use crate::upstream::shared::control;
use crate::upstream::shared::control::Deleted;
use crate::upstream::shared::control::Request;
use crate::upstream::shared::tuning::Tuning;
use crate::upstream::shared::Loss;
use crate::wire::amqp::frame::HEADER_SIZE;
use crate::wire::amqp::frame::OVERHEAD;
use crate::wire::amqp::frame::PROTOCOL_HEADER;
use crate::wire::amqp::method::Method;
use crate::wire::amqp::method::TuneOk;
use crate::wire::amqp::FrameHeader;
use crate::wire::amqp::FrameKind;
use crate::wire::amqp::MethodId;

/// lapin's end.
pub(super) struct LapinSide {
    pipe: DuplexStream,
    /// Frames for lapin, as far as the pipe has not taken them.
    inbox: Vec<u8>,
    /// What lapin has written and is not whole.
    partial: Vec<u8>,
    /// lapin's protocol header has been seen; the broker has had ours.
    greeted: bool,
    outgoing: Vec<u8>,
    requests: mpsc::UnboundedSender<Request>,
    deleted: mpsc::UnboundedReceiver<Deleted>,
    login: oneshot::Receiver<Result<(), Failure>>,
    opened: bool,
    why: Option<String>,
    is_refused: bool,
}

/// A login that failed.
#[derive(Debug)]
struct Failure {
    why: String,
    /// The broker itself has refused it.
    is_refusal: bool,
}

impl LapinSide {
    /// Starts lapin on its own runtime.
    ///
    /// # Errors
    /// If the system gives it no thread.
    pub(super) fn start(account: &Account) -> io::Result<Self> {
        let (pipe, far) = tokio::io::duplex(PIPE);
        let (requests, to_do) = mpsc::unbounded_channel();
        let (done, deleted) = mpsc::unbounded_channel();
        let (logged_in, login) = oneshot::channel();
        let (uri, properties) = (account.uri(), account.properties());
        runtime::handle()?.spawn(async move {
            match kit::connect(Box::new(far), uri, properties).await {
                Ok(connection) => {
                    if logged_in.send(Ok(())).is_ok() {
                        control::serve(connection, to_do, done).await;
                    }
                }
                // Nobody may wait for it any more.
                Err(error) => drop(logged_in.send(Err(Failure {
                    is_refusal: kit::is_refusal(&error),
                    why: error.to_string(),
                }))),
            }
        });
        Ok(Self {
            pipe,
            inbox: Vec::new(),
            partial: Vec::new(),
            greeted: false,
            outgoing: Vec::new(),
            requests,
            deleted,
            login,
            opened: false,
            why: None,
            is_refused: false,
        })
    }

    /// Whether lapin has logged in.
    pub(super) fn is_open(&self) -> bool {
        self.opened
    }

    /// What lapin says of a login that failed, else `how`.
    pub(super) fn why(&mut self, how: &str) -> String {
        if let Ok(Err(failure)) = self.login.try_recv() {
            self.failed(failure);
        }
        self.why.clone().unwrap_or_else(|| how.to_owned())
    }

    /// Whether the broker has refused the login.
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused
    }

    fn failed(&mut self, failure: Failure) {
        self.is_refused = failure.is_refusal;
        self.why = Some(failure.why);
    }

    /// Where frames for lapin are put.
    pub(super) fn inbox(&mut self) -> &mut Vec<u8> {
        &mut self.inbox
    }

    /// Whole frames that lapin has written, as the broker is to see them.
    pub(super) fn take_outgoing(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.outgoing)
    }

    /// Has lapin delete a queue.
    pub(super) fn delete(&self, queue: Box<[u8]>) {
        // A task that is gone shows in `poll`.
        drop(self.requests.send(Request::Delete(queue)));
    }

    /// Has lapin close the connection in order.
    pub(super) fn close(&self) {
        drop(self.requests.send(Request::Close));
    }

    /// A queue that lapin is done with.
    pub(super) fn poll_deleted(&mut self, cx: &mut Context<'_>) -> Option<Deleted> {
        match self.deleted.poll_recv(cx) {
            Poll::Ready(Some(deleted)) => Some(deleted),
            Poll::Ready(None) => {
                self.why
                    .get_or_insert_with(|| "failed: the broker no longer answers".to_owned());
                None
            }
            Poll::Pending => None,
        }
    }

    /// Moves bytes both ways between the pipe and the two buffers.
    ///
    /// # Errors
    /// If lapin has given up.
    pub(super) fn poll(&mut self, tuning: &Tuning, cx: &mut Context<'_>) -> Result<(), Loss> {
        if !self.opened && self.why.is_none() {
            match Pin::new(&mut self.login).poll(cx) {
                Poll::Ready(Ok(Ok(()))) => self.opened = true,
                Poll::Ready(Ok(Err(failure))) => self.failed(failure),
                Poll::Ready(Err(_)) => self.why = Some("lapin is gone".to_owned()),
                Poll::Pending => {}
            }
        }
        if let Some(why) = &self.why {
            return Err(loss(why.clone()));
        }
        let moved = self
            .poll_read(tuning, cx)
            .and_then(|()| self.poll_write(cx));
        if self.opened {
            moved
        } else {
            // Why it gives up it says a moment later.
            Ok(())
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), Loss> {
        // What the broker says has come before lapin was started; lapin fails over what it hears before it has spoken.
        if !self.greeted {
            return Ok(());
        }
        let mut written = 0;
        while written < self.inbox.len() {
            match Pin::new(&mut self.pipe).poll_write(cx, &self.inbox[written..]) {
                Poll::Ready(Ok(count)) if count > 0 => written += count,
                Poll::Ready(Ok(_) | Err(_)) => return Err(given_up()),
                Poll::Pending => break,
            }
        }
        self.inbox.drain(..written);
        if self.inbox.len() > INBOX_MAX {
            return Err(loss("failed: lapin does not read".to_owned()));
        }
        Ok(())
    }

    fn poll_read(&mut self, tuning: &Tuning, cx: &mut Context<'_>) -> Result<(), Loss> {
        let mut bytes = [0; 4096];
        loop {
            let mut room = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.pipe).poll_read(cx, &mut room) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(_)) => return Err(given_up()),
                Poll::Ready(Ok(())) if room.filled().is_empty() => return Err(given_up()),
                Poll::Ready(Ok(())) => {}
            }
            self.partial.extend_from_slice(room.filled());
            self.take_frames(tuning);
        }
    }

    /// Moves the whole frames of `partial` on; one of them in the gateway's words.
    fn take_frames(&mut self, tuning: &Tuning) {
        let mut at = 0;
        if !self.greeted {
            if self.partial.len() < PROTOCOL_HEADER.len() {
                return;
            }
            self.greeted = true;
            at = PROTOCOL_HEADER.len();
        }
        while let Some(rest) = self.partial.get(at..) {
            let Ok(header) = FrameHeader::decode(rest) else {
                break;
            };
            let size = header.size as usize + OVERHEAD;
            let Some(frame) = rest.get(..size) else {
                break;
            };
            at += size;
            let is_tune_ok = header.kind == FrameKind::METHOD
                && header.channel == 0
                && frame
                    .get(HEADER_SIZE..)
                    .and_then(|payload| MethodId::decode(payload).ok())
                    == Some(TuneOk::ID);
            let instead = is_tune_ok
                .then(|| frame.get(HEADER_SIZE + 4..size - 1))
                .flatten()
                .and_then(|arguments| tuning.tune_ok(arguments));
            self.outgoing
                .extend_from_slice(instead.as_deref().unwrap_or(frame));
        }
        self.partial.drain(..at);
    }
}

fn given_up() -> Loss {
    loss("failed: lapin has given it up, as for missed heartbeats".to_owned())
}

fn loss(text: String) -> Loss {
    Loss {
        reply_code: None,
        text,
    }
}

/// lapin's frames have at most 4096 bytes.
const PIPE: usize = 64 * 1024;

/// What lapin asks for is answered in a few frames; more than this it never has coming.
const INBOX_MAX: usize = 4 * 1024 * 1024;
