//! The floor: a pipe between WebSocket and TCP on one thread and one epoll, without AMQP, actors,
//! limits or checks. What a gateway costs beyond this, it costs for what it does; nothing in here
//! is fit for use.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::SocketAddr;

use mio::event::Event;
use mio::net::TcpListener;
use mio::net::TcpStream;
use mio::Events;
use mio::Interest;
use mio::Poll;
use mio::Registry;
use mio::Token;

use crate::process::end_with_the_bench;
use crate::websocket;
use crate::websocket::FromClient;

/// Pipes to `upstream` until the bench ends.
pub(crate) fn run(upstream: SocketAddr) -> io::Result<()> {
    end_with_the_bench();
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    writeln!(io::stdout(), "listening {}", listener.local_addr()?)?;
    let mut events = Events::with_capacity(1024);
    let mut buffers = Buffers {
        read: vec![0; READ],
        written: vec![0; READ + ROOM],
    };
    let mut pipes: Vec<Option<Box<Pipe>>> = Vec::new();
    let mut free = Vec::new();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((client, _)) = listener.accept() {
                    let at = free.pop().unwrap_or(pipes.len());
                    let pipe = Box::new(Pipe::new(client, at, poll.registry())?);
                    if at == pipes.len() {
                        pipes.push(None);
                    }
                    pipes[at] = Some(pipe);
                }
                continue;
            }
            let at = event.token().0 / 2;
            let Some(Some(pipe)) = pipes.get_mut(at) else {
                continue;
            };
            if pipe
                .handle(event, upstream, poll.registry(), &mut buffers)
                .is_err()
                || pipe.over()
            {
                pipes[at] = None;
                free.push(at);
            }
        }
    }
}

struct Buffers {
    read: Vec<u8>,
    written: Vec<u8>,
}

/// One session. Bytes are kept only when a socket took less than was offered, and then no more are
/// read.
struct Pipe {
    client: TcpStream,
    broker: Option<TcpStream>,
    request: Vec<u8>,
    unmask: FromClient,
    to_broker: Vec<u8>,
    to_client: Vec<u8>,
    client_ended: bool,
    broker_ended: bool,
}

impl Pipe {
    fn new(mut client: TcpStream, at: usize, registry: &Registry) -> io::Result<Self> {
        client.set_nodelay(true)?;
        registry.register(
            &mut client,
            Token(at * 2),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        Ok(Self {
            client,
            broker: None,
            request: Vec::new(),
            unmask: FromClient::default(),
            to_broker: Vec::new(),
            to_client: Vec::new(),
            client_ended: false,
            broker_ended: false,
        })
    }

    fn over(&self) -> bool {
        self.broker_ended && self.to_client.is_empty()
    }

    fn handle(
        &mut self,
        event: &Event,
        to: SocketAddr,
        registry: &Registry,
        buffers: &mut Buffers,
    ) -> io::Result<()> {
        let Token(token) = event.token();
        if self.broker.is_none() {
            return self.open(token / 2, to, registry, buffers);
        }
        // Nearly every event says writable; that matters only to bytes that wait.
        let (client, broker) = (token % 2 == 0, token % 2 == 1);
        if client && event.is_readable()
            || broker && event.is_writable() && !self.to_broker.is_empty()
        {
            self.relay_from_client(buffers)?;
        }
        if broker && event.is_readable()
            || client && event.is_writable() && !self.to_client.is_empty()
        {
            self.relay_from_broker(buffers)?;
        }
        Ok(())
    }

    /// Reads the request and answers 101 to whatever it says.
    fn open(
        &mut self,
        at: usize,
        upstream: SocketAddr,
        registry: &Registry,
        buffers: &mut Buffers,
    ) -> io::Result<()> {
        let Some(read) = taken(self.client.read(&mut buffers.read))? else {
            return Ok(());
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.request.extend_from_slice(&buffers.read[..read]);
        if !self.request.ends_with(b"\r\n\r\n") {
            return Ok(());
        }
        self.request = Vec::new();
        // Over loopback a connect is done when it returns.
        let broker = std::net::TcpStream::connect(upstream)?;
        broker.set_nonblocking(true)?;
        broker.set_nodelay(true)?;
        let mut broker = TcpStream::from_std(broker);
        registry.register(
            &mut broker,
            Token(at * 2 + 1),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        self.broker = Some(broker);
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: amqp\r\n\r\n",
            websocket::ACCEPT
        );
        self.client.write_all(answer.as_bytes())
    }

    fn relay_from_client(&mut self, buffers: &mut Buffers) -> io::Result<()> {
        let Some(broker) = &mut self.broker else {
            return Ok(());
        };
        while flush(broker, &mut self.to_broker)? && !self.client_ended {
            let Some(read) = taken(self.client.read(&mut buffers.read))? else {
                return Ok(());
            };
            let payload = self
                .unmask
                .feed(&buffers.read[..read], &mut buffers.written);
            write_or_keep(broker, &buffers.written[..payload], &mut self.to_broker)?;
            if read == 0 || self.unmask.closed {
                self.client_ended = true;
                broker.shutdown(std::net::Shutdown::Write)?;
            }
            // A short read emptied the socket; epoll tells when there is more.
            if read < READ {
                return Ok(());
            }
        }
        Ok(())
    }

    fn relay_from_broker(&mut self, buffers: &mut Buffers) -> io::Result<()> {
        let Some(broker) = &mut self.broker else {
            return Ok(());
        };
        while flush(&mut self.client, &mut self.to_client)? && !self.broker_ended {
            let Some(read) = taken(broker.read(&mut buffers.written[ROOM..]))? else {
                return Ok(());
            };
            self.broker_ended = read == 0;
            let opcode = if read == 0 {
                websocket::CLOSE
            } else {
                websocket::BINARY
            };
            let (head, length) = websocket::server_head(opcode, read);
            let start = ROOM - length;
            buffers.written[start..ROOM].copy_from_slice(&head[..length]);
            write_or_keep(
                &mut self.client,
                &buffers.written[start..ROOM + read],
                &mut self.to_client,
            )?;
            if read < READ {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Whether nothing is kept any more.
fn flush(socket: &mut TcpStream, kept: &mut Vec<u8>) -> io::Result<bool> {
    while !kept.is_empty() {
        match taken(socket.write(kept))? {
            Some(written) => drop(kept.drain(..written)),
            None => return Ok(false),
        }
    }
    *kept = Vec::new();
    Ok(true)
}

fn write_or_keep(socket: &mut TcpStream, bytes: &[u8], kept: &mut Vec<u8>) -> io::Result<()> {
    let written = if bytes.is_empty() {
        0
    } else {
        taken(socket.write(bytes))?.unwrap_or(0)
    };
    kept.extend_from_slice(&bytes[written..]);
    Ok(())
}

/// Nothing, where the socket would have to be waited for.
fn taken(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(length) => Ok(Some(length)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

const LISTENER: Token = Token(usize::MAX);

/// Room in front of what the broker sent for the head of the frame it becomes.
const ROOM: usize = 10;

const READ: usize = 128 * 1024;
