//! A client's AMQP connection, directly to the broker or through a gateway, as the police test needs it: what comes is
//! read beside, so that nothing that is asked of it can hang or lose half a frame.

use std::io::Write;
use std::net::Shutdown;
use std::net::TcpStream;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::harness::amqp;
use crate::harness::amqp::Builder;
use crate::harness::amqp::Frame;
use crate::harness::amqp::Method;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation;
use crate::harness::negotiation::Login;
use crate::harness::page::Page;
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::websocket;

pub(super) const CHANNEL_CLOSE: Method = (20, 40);

/// An open connection with channels 1 and 2, and what has come from it.
pub(super) struct Wire {
    writer: TcpStream,
    in_messages: bool,
    incoming: Receiver<Frame>,
    pub(super) seen: Vec<Frame>,
    pub(super) ended: bool,
}

impl Wire {
    /// Through a gateway.
    #[track_caller]
    pub(super) fn through(gateway: &Gateway, login: &Login) -> Self {
        let mut page = Page::open(gateway).logged_in(login);
        page.open_channel(1);
        page.open_channel(2);
        page.client.set_patience(PATIENCE);
        let writer = page.client.writer();
        Self::reading(writer, true, move || page.try_read_frame())
    }

    /// To the broker itself.
    #[track_caller]
    pub(super) fn direct(broker: &RabbitMq, login: &Login) -> Self {
        let mut socket = TcpStream::connect(broker.address()).expect("the broker accepts");
        socket.set_nodelay(true).expect("TCP_NODELAY");
        socket.set_read_timeout(Some(PATIENCE)).expect("a deadline");
        let channels = [amqp::channel_open(1), amqp::channel_open(2)].concat();
        let [header, start_ok, open] = negotiation::client_steps(login);
        let steps = [(header, 1), (start_ok, 1), (open, 1), (channels, 2)];
        for (bytes, answers) in steps {
            socket.write_all(&bytes).expect("the broker reads");
            for _ in 0..answers {
                amqp::read_frame(&mut socket).expect("the broker answers");
            }
        }
        let writer = socket.try_clone().expect("a socket can be cloned");
        Self::reading(writer, false, move || amqp::read_frame(&mut socket).ok())
    }

    fn reading(
        writer: TcpStream,
        in_messages: bool,
        mut next: impl FnMut() -> Option<Frame> + Send + 'static,
    ) -> Self {
        let (tell, incoming) = mpsc::channel();
        thread::spawn(move || while next().is_some_and(|frame| tell.send(frame).is_ok()) {});
        Self {
            writer,
            in_messages,
            incoming,
            seen: Vec::new(),
            ended: false,
        }
    }

    /// Sends bytes, in one WebSocket message if it is one; a connection that is gone is found out by reading.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        let _ = if self.in_messages {
            self.writer
                .write_all(&websocket::frame(websocket::BINARY, bytes))
        } else {
            self.writer.write_all(bytes)
        };
    }

    /// Reads until `found` says so, the connection closes or ends, or the time is over.
    pub(super) fn read_until(
        &mut self,
        time: Duration,
        mut found: impl FnMut(&Frame) -> bool,
    ) -> bool {
        let started = Instant::now();
        while !self.over() {
            let left = time.saturating_sub(started.elapsed());
            match self.incoming.recv_timeout(left) {
                Ok(frame) => {
                    let stop = found(&frame);
                    self.seen.push(frame);
                    if stop {
                        return true;
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => return false,
                Err(mpsc::RecvTimeoutError::Disconnected) => self.ended = true,
            }
        }
        false
    }

    /// The connection is closed by either side or has ended.
    pub(super) fn over(&self) -> bool {
        let closed = |frame: &Frame| {
            matches!(
                frame.method(),
                Some(amqp::CONNECTION_CLOSE | amqp::CONNECTION_CLOSE_OK)
            )
        };
        self.ended || self.seen.last().is_some_and(closed)
    }

    /// Asks both channels (or the second alone) for a sign of life, and gives those that do not answer.
    pub(super) fn probe(&mut self, channels: &[u16]) -> Vec<u16> {
        let before = self.seen.len();
        for channel in channels {
            self.send(&amqp::method(
                *channel,
                QOS,
                &Builder::new().long(0).short(0).octet(0),
            ));
        }
        let closed = |frame: &Frame| frame.method() == Some(CHANNEL_CLOSE);
        let mut silent: Vec<u16> = channels.to_vec();
        silent.retain(|channel| !self.seen.iter().any(|f| closed(f) && f.channel == *channel));
        let mut waiting = silent.clone();
        if !waiting.is_empty() {
            self.read_until(Duration::from_secs(3), |frame| {
                if matches!(frame.method(), Some(QOS_OK | CHANNEL_CLOSE)) {
                    waiting.retain(|channel| *channel != frame.channel);
                }
                waiting.is_empty()
            });
        }
        // What the channel's last deeds set off elsewhere may come a little later.
        self.read_until(SETTLE, |_| false);
        for channel in channels {
            let own = |f: &Frame| f.method() == Some(QOS_OK) && f.channel == *channel;
            if let Some(last) = self.seen[before..].iter().rposition(own) {
                self.seen.remove(before + last);
            }
        }
        waiting
    }

    /// What came, in the words of the notation; sorted where channels answer beside each other.
    pub(super) fn outcome(&mut self, probe: &[u16], unique: &str) -> String {
        let silent = if self.over() {
            Vec::new()
        } else {
            self.probe(probe)
        };
        let silent = if self.over() { Vec::new() } else { silent };
        let methods = self
            .seen
            .iter()
            .filter_map(|frame| frame.method().map(|method| (frame, method)));
        let mut parts: Vec<String> = methods
            .map(|(frame, (class, method))| match (class, method) {
                amqp::CONNECTION_CLOSE => format!("connection {}", reason(frame, unique)),
                CHANNEL_CLOSE => format!("channel {} {}", frame.channel, reason(frame, unique)),
                _ => format!("{}:{class}.{method}", frame.channel),
            })
            .collect();
        if self.ended {
            parts.push("dropped".to_owned());
        } else if !silent.is_empty() {
            let silent: Vec<String> = silent.iter().map(u16::to_string).collect();
            parts.push(format!("silent {}", silent.join(",")));
        }
        parts.sort();
        if parts.is_empty() {
            parts.push("nothing".to_owned());
        }
        parts.join(" ")
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.over() {
            self.send(&amqp::connection_close_ok());
        } else {
            self.send(&amqp::connection_close(200, ""));
            let closed = |frame: &Frame| frame.method() == Some(amqp::CONNECTION_CLOSE_OK);
            self.read_until(Duration::from_secs(1), closed);
        }
        let _ = self.writer.shutdown(Shutdown::Both);
    }
}

/// Code, class, method and text of a close; the unique part of names left out.
fn reason(frame: &Frame, unique: &str) -> String {
    let mut arguments = frame.arguments();
    let code = arguments.short();
    let text = arguments.short_octets();
    let (class, method) = (arguments.short(), arguments.short());
    // Texts are cut in the middle of a character, too; Latin-1 shows every octet.
    let text: String = text.iter().map(|octet| *octet as char).collect();
    format!(
        "{code} {class}.{method} \"{}\"",
        text.replace(unique, "$")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    )
}

/// The properties of a client that wants to be told everything.
pub(super) fn attentive(login: Login) -> Login {
    let mut capabilities = Builder::new();
    for name in [
        "authentication_failure_close",
        "connection.blocked",
        "consumer_cancel_notify",
    ] {
        capabilities = capabilities.short_string(name).octet(b't').octet(1);
    }
    let capabilities = Builder::new()
        .short_string("capabilities")
        .octet(b'F')
        .long_string(&capabilities.0);
    Login {
        properties: Builder::new().long_string(&capabilities.0),
        ..login
    }
}

const QOS: Method = (60, 10);
const QOS_OK: Method = (60, 11);

/// No case takes this long.
const PATIENCE: Duration = Duration::from_secs(30);
const SETTLE: Duration = Duration::from_millis(15);
