//! One socket of the scripted broker, with what scripts are made of.

use std::io;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;

use super::amqp;
use super::amqp::Arguments;
use super::amqp::Frame;
use super::amqp::Method;
use super::broker::Shared;
use super::client::Stream;
use super::negotiation;
use super::negotiation::Tuning;
use super::negotiation::TUNING;
use super::receive_queue;
use super::DEADLINE;

/// The broker's end of one socket. What is read is recorded, unless a method says otherwise.
pub(crate) struct Peer {
    stream: BufReader<Box<dyn Stream>>,
    socket: TcpStream,
    number: usize,
    shared: Arc<Shared>,
    abrupt: bool,
}

/// What the gateway said during the negotiation.
#[derive(Debug)]
pub(crate) struct Negotiated {
    pub(crate) mechanism: String,
    pub(crate) response: Vec<u8>,
    pub(crate) tuning: Tuning,
    pub(crate) vhost: String,
}

impl Peer {
    pub(crate) fn new(
        stream: Box<dyn Stream>,
        socket: TcpStream,
        number: usize,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            stream: BufReader::new(stream),
            socket,
            number,
            shared,
            abrupt: false,
        }
    }

    /// Which socket of the broker this is, from 0.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// # Errors
    /// The gateway has gone or takes nothing for too long.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    /// Sends bytes in two parts, the second only after the gateway has read the first.
    ///
    /// # Errors
    /// See [`Peer::send`].
    pub(crate) fn send_cut(&mut self, bytes: &[u8], cut: usize) -> io::Result<()> {
        let (first, second) = bytes.split_at(cut);
        self.send(first)?;
        self.wait_until_read()?;
        self.send(second)
    }

    /// Waits until the gateway has taken everything that was sent out of its socket.
    ///
    /// # Errors
    /// The socket is gone.
    pub(crate) fn wait_until_read(&self) -> io::Result<()> {
        let (gateway, broker) = (self.socket.peer_addr()?, self.socket.local_addr()?);
        let (SocketAddr::V4(gateway), SocketAddr::V4(broker)) = (gateway, broker) else {
            return Err(io::Error::other("the scripted broker listens on IPv4"));
        };
        receive_queue::wait_until_empty(gateway, broker, DEADLINE);
        Ok(())
    }

    /// # Errors
    /// The socket's error or end.
    pub(crate) fn read_exact(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes)?;
        self.shared.record(self.number, &bytes);
        Ok(bytes)
    }

    /// # Errors
    /// See [`amqp::read_frame`].
    pub(crate) fn read_frame(&mut self) -> io::Result<Frame> {
        let frame = amqp::read_frame(&mut self.stream)?;
        self.shared.record(self.number, &frame.bytes());
        Ok(frame)
    }

    /// Reads a frame and insists that it is this method.
    ///
    /// # Errors
    /// See [`amqp::read_frame`]; another frame.
    pub(crate) fn expect_method(&mut self, method: Method) -> io::Result<Frame> {
        let frame = self.read_frame()?;
        if frame.method() == Some(method) {
            return Ok(frame);
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{method:?} awaited, {frame:?} came"),
        ))
    }

    /// Logs a client in the way RabbitMQ does.
    ///
    /// # Errors
    /// See [`Peer::negotiate_with`].
    pub(crate) fn negotiate(&mut self) -> io::Result<Negotiated> {
        self.negotiate_with("PLAIN AMQPLAIN", TUNING)
    }

    /// Logs a client in, offering these mechanisms and limits.
    ///
    /// # Errors
    /// The gateway says something else than the negotiation wants, or goes away.
    pub(crate) fn negotiate_with(
        &mut self,
        mechanisms: &str,
        offered: Tuning,
    ) -> io::Result<Negotiated> {
        self.expect_header()?;
        self.send(&negotiation::start(mechanisms))?;
        let start_ok = self.expect_method(amqp::START_OK)?;
        self.send(&negotiation::tune(offered))?;
        let tune_ok = self.expect_method(amqp::TUNE_OK)?;
        let open = self.expect_method(amqp::OPEN)?;
        self.send(&negotiation::open_ok())?;
        let mut arguments = start_ok.arguments();
        let _properties = arguments.long_string();
        Ok(Negotiated {
            mechanism: arguments.short_string(),
            response: arguments.long_string(),
            tuning: negotiation::tuning_of(&tune_ok),
            vhost: open.arguments().short_string(),
        })
    }

    /// # Errors
    /// Other bytes than the protocol header came, or none.
    pub(crate) fn expect_header(&mut self) -> io::Result<()> {
        let header = self.read_exact(8)?;
        if header == amqp::HEADER {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{header:02x?} is no protocol header"),
        ))
    }

    /// Answers channel.open, queue.declare and basic.consume, and connection.close, after which it ends; passes over
    /// everything else; ends when the gateway does.
    ///
    /// # Errors
    /// The socket's error, or a broken frame.
    pub(crate) fn serve(&mut self) -> io::Result<()> {
        self.socket.set_read_timeout(None)?;
        loop {
            let frame = match self.read_frame() {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                frame => frame?,
            };
            match frame.method() {
                Some(amqp::CHANNEL_OPEN) => self.send(&amqp::channel_open_ok(frame.channel))?,
                Some(amqp::QUEUE_DECLARE) => {
                    let name = Arguments(&frame.payload[6..]).short_string();
                    let answer = amqp::Builder::new().short_string(&name).long(0).long(0);
                    self.send(&amqp::method(
                        frame.channel,
                        amqp::QUEUE_DECLARE_OK,
                        &answer,
                    ))?;
                }
                Some(amqp::CONSUME) => {
                    let answer = amqp::Builder::new().short_string("c");
                    self.send(&amqp::method(frame.channel, amqp::CONSUME_OK, &answer))?;
                }
                Some(amqp::CONNECTION_CLOSE) => return self.send(&amqp::connection_close_ok()),
                _ => (),
            }
        }
    }

    /// Reads and records until the gateway ends the socket.
    ///
    /// # Errors
    /// The socket's error; a reset is one.
    pub(crate) fn read_to_end(&mut self) -> io::Result<()> {
        self.socket.set_read_timeout(None)?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match self.stream.read(&mut buffer)? {
                0 => return Ok(()),
                count => self.shared.record(self.number, &buffer[..count]),
            }
        }
    }

    /// Reads `count` bytes, or up to the end, handing them on instead of recording them.
    ///
    /// # Errors
    /// The socket's error.
    pub(crate) fn read_into(&mut self, count: u64, mut each: impl FnMut(&[u8])) -> io::Result<u64> {
        let mut buffer = vec![0; 64 * 1024];
        let mut total = 0;
        while total < count {
            let wanted =
                usize::try_from(count - total).map_or(buffer.len(), |left| left.min(buffer.len()));
            match self.stream.read(&mut buffer[..wanted])? {
                0 => break,
                read => {
                    each(&buffer[..read]);
                    total += read as u64;
                }
            }
        }
        Ok(total)
    }

    /// Offers the same bytes again and again until `total` bytes are sent; takes as long as the gateway takes.
    ///
    /// # Errors
    /// The gateway has gone.
    pub(crate) fn flood(&mut self, piece: &[u8], total: u64) -> io::Result<u64> {
        self.socket.set_write_timeout(None)?;
        let mut sent = 0;
        while sent < total {
            self.send(piece)?;
            sent += piece.len() as u64;
        }
        Ok(sent)
    }

    /// Ends the socket by a TCP reset when the script ends, instead of in an orderly way.
    ///
    /// # Errors
    /// The socket is gone already.
    pub(crate) fn reset(&mut self) -> io::Result<()> {
        self.abrupt = true;
        SockRef::from(&self.socket).set_linger(Some(Duration::ZERO))
    }

    /// Ends the sending half and passes over what still comes: a socket closed with unread bytes is reset, and what
    /// was sent last would be lost.
    ///
    /// # Errors
    /// The gateway does not end its half in time.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if self.abrupt {
            return Ok(());
        }
        self.socket.shutdown(Shutdown::Write)?;
        self.socket.set_read_timeout(Some(DEADLINE))?;
        io::copy(&mut self.stream, &mut io::sink())?;
        Ok(())
    }
}
