//! The load generator's end of a session: AMQP in a TCP socket, or AMQP in a WebSocket, by the same
//! calls. It blocks, because nothing costs the generator less.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;

use crate::amqp;
use crate::amqp::damaged;
use crate::amqp::Frame;
use crate::amqp::Name;
use crate::amqp::Scanner;
use crate::websocket;
use crate::websocket::FromServer;

/// How a session reaches the broker.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    Direct(SocketAddr),
    WebSocket(SocketAddr),
    /// By the extended handshake, with these extensions, which have to be agreed.
    Extended(SocketAddr, &'static str),
}

/// Whom the broker knows.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) vhost: String,
}

/// A logged-in AMQP connection with channel 1 open.
pub(crate) struct Client {
    socket: TcpStream,
    from_server: Option<FromServer>,
    scanner: Scanner,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects, and is done with the handshakes of the WebSocket if there are any.
    pub(crate) fn shake_hands(way: Way, buffer: usize) -> io::Result<Self> {
        let (address, from_server) = match way {
            Way::Direct(address) => (address, None),
            Way::WebSocket(address) | Way::Extended(address, _) => {
                (address, Some(FromServer::default()))
            }
        };
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(DEADLINE))?;
        socket.set_write_timeout(Some(DEADLINE))?;
        let mut client = Self {
            socket,
            from_server,
            scanner: Scanner::default(),
            buffer: vec![0; buffer],
        };
        match way {
            Way::Direct(_) => {}
            Way::WebSocket(_) => client.upgrade(address, "amqp")?,
            Way::Extended(_, extensions) => {
                client.upgrade(address, "x-kaazing-handshake, amqp")?;
                client.extend(extensions)?;
            }
        }
        Ok(client)
    }

    /// Connects and logs in. `buffer` is how much one read may take, in bytes.
    pub(crate) fn open(way: Way, account: &Account, buffer: usize) -> io::Result<Self> {
        let mut client = Self::shake_hands(way, buffer)?;
        client.log_in(account)?;
        Ok(client)
    }

    /// Bytes as they go over this way: alone, or as one WebSocket message.
    pub(crate) fn wrap(&self, out: &mut Vec<u8>, bytes: &[u8]) {
        match self.from_server {
            None => out.extend_from_slice(bytes),
            Some(_) => {
                // Not random, but another key for every message, as the masking's cost is to be
                // seen.
                let key = (out.len() as u32 | 1)
                    .wrapping_mul(0x9E37_79B9)
                    .to_ne_bytes();
                websocket::client_frame(out, websocket::BINARY, key, bytes);
            }
        }
    }

    /// Writes what [`Self::wrap`] made.
    pub(crate) fn write(&mut self, wrapped: &[u8]) -> io::Result<()> {
        self.socket.write_all(wrapped)
    }

    /// Sends one method.
    pub(crate) fn send(&mut self, channel: u16, name: Name, arguments: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::new();
        amqp::method(&mut bytes, channel, name, arguments);
        let mut wrapped = Vec::new();
        self.wrap(&mut wrapped, &bytes);
        self.write(&wrapped)
    }

    /// Reads once, and calls `each` for every frame that came with it. A close from the broker or
    /// the gateway is an error that tells its text.
    pub(crate) fn read(
        &mut self,
        mut each: impl FnMut(Frame<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        if let Some(close) = self.from_server.as_ref().and_then(FromServer::closed) {
            return Err(io::Error::other(format!(
                "the WebSocket was closed: {close}"
            )));
        }
        let length = self.socket.read(&mut self.buffer)?;
        let bytes = &self.buffer[..length];
        let scanner = &mut self.scanner;
        let mut judge = |_, frame: Frame<'_>| match frame {
            Frame::Method {
                name: name @ (amqp::CONNECTION_CLOSE | amqp::CHANNEL_CLOSE),
                arguments,
            } => {
                let text = arguments
                    .get(2..)
                    .and_then(amqp::take_short)
                    .map_or(&[][..], |(text, _)| text);
                Err(io::Error::other(format!(
                    "the broker closes, {name:?}: {}",
                    String::from_utf8_lossy(text)
                )))
            }
            frame => each(frame),
        };
        match &mut self.from_server {
            None => scanner.feed(bytes, judge)?,
            Some(from_server) => {
                from_server.feed(bytes, |piece| scanner.feed(piece, &mut judge))?;
            }
        }
        if length == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the socket ended in the middle of a session",
            ));
        }
        Ok(())
    }

    /// Reads until a method comes; gives its arguments.
    pub(crate) fn expect(&mut self, expected: Name) -> io::Result<Vec<u8>> {
        let mut found = None;
        while found.is_none() {
            self.read(|frame| match frame {
                Frame::Method { name, arguments } if name == expected => {
                    found = Some(arguments.to_vec());
                    Ok(())
                }
                Frame::Method { name, .. } => {
                    Err(damaged(format!("{name:?} instead of {expected:?}")))
                }
                _ => Ok(()),
            })?;
        }
        Ok(found.unwrap_or_default())
    }

    /// Declares a queue that goes with the connection; passively, to learn how many messages are in
    /// it.
    pub(crate) fn declare(&mut self, queue: &str, passive: bool) -> io::Result<u32> {
        self.declare_with(queue, if passive { 0b00001 } else { 0b00100 })
    }

    /// Declares a queue for everybody that goes with its last consumer.
    pub(crate) fn declare_auto_delete(&mut self, queue: &str) -> io::Result<u32> {
        self.declare_with(queue, 0b01000)
    }

    fn declare_with(&mut self, queue: &str, bits: u8) -> io::Result<u32> {
        let mut arguments = vec![0, 0];
        amqp::short_string(&mut arguments, queue);
        arguments.push(bits);
        arguments.extend_from_slice(&[0; 4]);
        self.send(1, amqp::QUEUE_DECLARE, &arguments)?;
        let counts = self.expect(amqp::QUEUE_DECLARE_OK)?;
        let count = amqp::take_short(&counts).and_then(|(_, counts)| counts.first_chunk());
        Ok(u32::from_be_bytes(
            *count.ok_or_else(|| damaged("no message count".to_owned()))?,
        ))
    }

    /// Asks for a queue's messages, to be taken as acknowledged. The answer is left to be read with
    /// the deliveries.
    pub(crate) fn consume(&mut self, queue: &str) -> io::Result<()> {
        let mut arguments = vec![0, 0];
        amqp::short_string(&mut arguments, queue);
        amqp::short_string(&mut arguments, amqp::CONSUMER_TAG);
        arguments.push(0b0010);
        arguments.extend_from_slice(&[0; 4]);
        self.send(1, amqp::BASIC_CONSUME, &arguments)
    }

    /// Asks for an end of the deliveries. The answer is left to be read behind the last of them.
    pub(crate) fn cancel(&mut self) -> io::Result<()> {
        let mut arguments = Vec::new();
        amqp::short_string(&mut arguments, amqp::CONSUMER_TAG);
        arguments.push(0);
        self.send(1, amqp::BASIC_CANCEL, &arguments)
    }

    /// Sends a Ping and reads until something has come, which on a silent session is its Pong.
    pub(crate) fn ping(&mut self) -> io::Result<()> {
        let mut frame = Vec::new();
        websocket::client_frame(&mut frame, websocket::PING, [1, 2, 3, 4], b"");
        self.write(&frame)?;
        self.read(|_| Err(damaged("a frame of AMQP in place of a Pong".to_owned())))
    }

    /// Closes the AMQP connection and then the WebSocket in the orderly way; a WebSocket's socket
    /// is the server's to end, and is waited for.
    pub(crate) fn close(mut self) -> io::Result<()> {
        self.send(0, amqp::CONNECTION_CLOSE, &[0, 200, 0, 0, 0, 0, 0])?;
        self.expect(amqp::CONNECTION_CLOSE_OK)?;
        if self.from_server.is_some() {
            let mut close = Vec::new();
            websocket::client_frame(
                &mut close,
                websocket::CLOSE,
                [1, 2, 3, 4],
                &1000u16.to_be_bytes(),
            );
            // The gateway's own Close may have come first, and the socket be gone.
            let _ = self.socket.write_all(&close);
            while matches!(self.socket.read(&mut self.buffer), Ok(1..)) {}
        }
        Ok(())
    }

    /// The extended handshake: one request, one response.
    fn extend(&mut self, extensions: &str) -> io::Result<()> {
        let request = format!("Sec-WebSocket-Extensions: {extensions}\r\n\r\n");
        let mut wrapped = Vec::new();
        self.wrap(&mut wrapped, request.as_bytes());
        self.write(&wrapped)?;
        let mut response = Vec::new();
        while !response.ends_with(b"\r\n\r\n") {
            let length = self.socket.read(&mut self.buffer)?;
            let bytes = &self.buffer[..length];
            if let (Some(from_server), 1..) = (&mut self.from_server, length) {
                from_server.feed(bytes, |piece| {
                    response.extend_from_slice(piece);
                    Ok(())
                })?;
                continue;
            }
            break;
        }
        let response = String::from_utf8_lossy(&response);
        let agreed = |offer: &str| {
            let line = format!("Sec-WebSocket-Extensions: {offer}");
            response.contains(&line)
        };
        if !response.starts_with("HTTP/1.1 101 ") || !extensions.split(", ").all(agreed) {
            return Err(io::Error::other(format!("not agreed: {response}")));
        }
        Ok(())
    }

    fn upgrade(&mut self, address: SocketAddr, subprotocols: &str) -> io::Result<()> {
        let request = format!(
            "GET /ws/amqp HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {subprotocols}\r\n\r\n",
            websocket::KEY
        );
        self.socket.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        // The server says nothing behind its answer until it is spoken to.
        while !answer.ends_with(b"\r\n\r\n") {
            let length = self.socket.read(&mut self.buffer)?;
            answer.extend_from_slice(&self.buffer[..length]);
            if length == 0 {
                break;
            }
        }
        let answer = String::from_utf8_lossy(&answer);
        if !answer.starts_with("HTTP/1.1 101 ") || !answer.contains(websocket::ACCEPT) {
            return Err(io::Error::other(format!("no upgrade: {answer}")));
        }
        Ok(())
    }

    fn log_in(&mut self, account: &Account) -> io::Result<()> {
        let mut greeting = Vec::new();
        self.wrap(&mut greeting, &amqp::PROTOCOL_HEADER);
        self.write(&greeting)?;
        self.expect(amqp::CONNECTION_START)?;
        // No properties: no capabilities, so that nothing unasked for comes back.
        let mut start_ok = vec![0, 0, 0, 0];
        amqp::short_string(&mut start_ok, "PLAIN");
        amqp::long_string(
            &mut start_ok,
            format!("\0{}\0{}", account.user, account.password).as_bytes(),
        );
        amqp::short_string(&mut start_ok, "en_US");
        self.send(0, amqp::CONNECTION_START_OK, &start_ok)?;
        let tune = self.expect(amqp::CONNECTION_TUNE)?;
        // As offered, but without heartbeats, which a generator that stalls on purpose could not
        // keep.
        let mut tune_ok = tune.get(..6).unwrap_or_default().to_vec();
        tune_ok.extend_from_slice(&[0, 0]);
        self.send(0, amqp::CONNECTION_TUNE_OK, &tune_ok)?;
        let mut open = Vec::new();
        amqp::short_string(&mut open, &account.vhost);
        open.extend_from_slice(&[0, 0]);
        self.send(0, amqp::CONNECTION_OPEN, &open)?;
        self.expect(amqp::CONNECTION_OPEN_OK)?;
        self.send(1, amqp::CHANNEL_OPEN, &[0])?;
        self.expect(amqp::CHANNEL_OPEN_OK)?;
        Ok(())
    }
}

/// Nothing in a run waits this long unless it hangs.
const DEADLINE: Duration = Duration::from_secs(20);
