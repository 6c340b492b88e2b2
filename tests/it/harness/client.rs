//! A WebSocket client of raw bytes: it writes whatever it is told, reads exactly what comes, answers nothing by itself.

use std::io;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;
use std::time::Instant;

use socket2::Domain;
use socket2::SockRef;
use socket2::Socket;
use socket2::Type;

use super::http;
use super::http::Response;
use super::opening::Opening;
use super::websocket;
use super::websocket::Received;
use super::websocket::BINARY;
use super::websocket::CLOSE;
use super::websocket::CONTINUATION;
use super::websocket::TEXT;
use super::CLOSE_DEADLINE;
use super::DEADLINE;

/// Anything bytes go through: a TCP socket, or TLS over one.
pub(crate) trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// One socket to the gateway. Every read and write has a deadline.
pub(crate) struct Client {
    stream: BufReader<Box<dyn Stream>>,
    socket: TcpStream,
}

/// What came before the gateway's Close frame, and what the frame said.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) before: Vec<Received>,
    /// `None` for a Close frame without payload.
    pub(crate) code: Option<u16>,
    pub(crate) reason: String,
}

impl Client {
    /// A plain TCP socket; nothing is sent yet.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over_tcp(TcpStream::connect_timeout(&address, DEADLINE).expect("the gateway accepts"))
    }

    /// The same with a small receive buffer, so that what it does not read soon stays with the gateway.
    #[track_caller]
    pub(crate) fn connect_with_small_buffer(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket
            .set_recv_buffer_size(16 * 1024)
            .expect("a receive buffer");
        socket
            .connect_timeout(&address.into(), DEADLINE)
            .expect("the gateway accepts");
        Self::over_tcp(socket.into())
    }

    #[track_caller]
    fn over_tcp(socket: TcpStream) -> Self {
        let stream = socket.try_clone().expect("a socket can be cloned");
        Self::over(Box::new(stream), socket)
    }

    /// `stream` speaks through `socket`, for instance by TLS.
    #[track_caller]
    pub(crate) fn over(stream: Box<dyn Stream>, socket: TcpStream) -> Self {
        socket.set_nodelay(true).expect("TCP_NODELAY");
        socket
            .set_write_timeout(Some(DEADLINE))
            .expect("a write deadline");
        socket
            .set_read_timeout(Some(DEADLINE))
            .expect("a read deadline");
        Self {
            stream: BufReader::new(stream),
            socket,
        }
    }

    /// Opens a WebSocket and insists on a 101.
    #[track_caller]
    pub(crate) fn open(address: SocketAddr, path: &str) -> Self {
        Self::open_by(&Opening::new(address, path), address)
    }

    /// Opens a WebSocket by this request and insists on a 101.
    #[track_caller]
    pub(crate) fn open_by(opening: &Opening, address: SocketAddr) -> Self {
        Self::connect(address).upgraded_by(opening)
    }

    /// Sends this request over the socket and insists on a 101.
    #[track_caller]
    pub(crate) fn upgraded_by(mut self, opening: &Opening) -> Self {
        self.send(&opening.bytes());
        let response = self.response();
        assert_eq!(response.status, 101, "{response:?}");
        self
    }

    pub(crate) fn local_address(&self) -> SocketAddr {
        self.socket
            .local_addr()
            .expect("a connected socket has an address")
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the gateway takes the bytes");
    }

    /// # Errors
    /// The gateway has closed the socket, or takes nothing more.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    #[track_caller]
    pub(crate) fn send_binary(&mut self, payload: &[u8]) {
        self.send(&websocket::frame(BINARY, payload));
    }

    #[track_caller]
    pub(crate) fn send_text(&mut self, text: &str) {
        self.send(&websocket::frame(TEXT, text.as_bytes()));
    }

    #[track_caller]
    pub(crate) fn send_close(&mut self, code: u16, reason: &str) {
        self.send(&websocket::frame(
            CLOSE,
            &websocket::close_payload(code, reason),
        ));
    }

    /// Reads the answer to the opening handshake.
    #[track_caller]
    pub(crate) fn response(&mut self) -> Response {
        self.try_response().expect("the gateway answers")
    }

    /// # Errors
    /// See [`http::read_response`].
    pub(crate) fn try_response(&mut self) -> io::Result<Response> {
        http::read_response(&mut self.stream)
    }

    #[track_caller]
    pub(crate) fn read_frame(&mut self) -> Received {
        self.try_read_frame().expect("a frame comes")
    }

    /// # Errors
    /// See [`websocket::read_frame`].
    pub(crate) fn try_read_frame(&mut self) -> io::Result<Received> {
        websocket::read_frame(&mut self.stream)
    }

    /// Reads one message, in however many fragments it comes: its opcode and payload.
    #[track_caller]
    pub(crate) fn read_message(&mut self) -> (u8, Vec<u8>) {
        let Received {
            mut fin,
            opcode,
            mut payload,
        } = self.read_frame();
        while !fin {
            let next = self.read_frame();
            assert_eq!(next.opcode, CONTINUATION, "{next:?}");
            fin = next.fin;
            payload.extend(next.payload);
        }
        (opcode, payload)
    }

    /// Reads one message and insists on its opcode and payload.
    #[track_caller]
    pub(crate) fn expect_message(&mut self, opcode: u8, payload: &[u8]) {
        let (found, received) = self.read_message();
        assert_eq!(found, opcode, "{:?}", String::from_utf8_lossy(&received));
        assert!(
            received == payload,
            "another payload of {} bytes came",
            received.len()
        );
    }

    /// Reads one frame and insists on its opcode and payload.
    #[track_caller]
    pub(crate) fn expect_frame(&mut self, opcode: u8, payload: &[u8]) {
        let frame = self.read_frame();
        assert_eq!(frame.opcode, opcode, "{frame:?}");
        assert!(frame.fin, "{frame:?}");
        assert!(
            frame.payload == payload,
            "another payload of {} bytes came",
            frame.payload.len()
        );
    }

    /// Reads up to the gateway's Close frame. Pings on the way are not answered.
    #[track_caller]
    pub(crate) fn read_to_close(&mut self) -> Closed {
        let mut before = Vec::new();
        loop {
            let frame = match self.try_read_frame() {
                Ok(frame) => frame,
                Err(error) => panic!("no Close frame came but {error}, after {before:?}"),
            };
            if frame.opcode != CLOSE {
                before.push(frame);
                continue;
            }
            return Closed::new(before, &frame.payload);
        }
    }

    /// Insists that the gateway closes with this code and a reason as the next thing, and then ends the socket.
    #[track_caller]
    pub(crate) fn expect_close(&mut self, code: u16) -> String {
        let closed = self.read_to_close();
        assert_eq!(closed.code, Some(code), "{closed:?}");
        assert!(
            closed.before.is_empty(),
            "more than a Close frame came: {closed:?}"
        );
        self.expect_end(CLOSE_DEADLINE);
        closed.reason
    }

    /// The same, answering the Close frame as a browser does.
    #[track_caller]
    pub(crate) fn expect_close_and_answer(&mut self, code: u16) -> String {
        let closed = self.read_to_close();
        assert_eq!(closed.code, Some(code), "{closed:?}");
        assert!(
            closed.before.is_empty(),
            "more than a Close frame came: {closed:?}"
        );
        // After a violation the gateway may have gone without waiting for this.
        let _ = self.try_send(&websocket::frame(CLOSE, &code.to_be_bytes()));
        self.expect_end(CLOSE_DEADLINE);
        closed.reason
    }

    /// Insists that nothing more comes and the gateway closes the socket in an orderly way within the deadline.
    #[track_caller]
    pub(crate) fn expect_end(&mut self, deadline: Duration) {
        let started = Instant::now();
        self.socket
            .set_read_timeout(Some(deadline))
            .expect("a read deadline");
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            // Then the client ends its half as well, as browsers do (RFC 6455 section 7.1.1); it may be gone already.
            Ok(0) => drop(self.socket.shutdown(Shutdown::Both)),
            Ok(_) => panic!("a byte {:#04x} came instead of the end", byte[0]),
            Err(error) => panic!(
                "no end of the socket after {:?}: {error}",
                started.elapsed()
            ),
        }
    }

    /// Reads and throws away until the socket ends in whatever way, and gives the number of bytes.
    #[track_caller]
    pub(crate) fn drain_to_end(&mut self, deadline: Duration) -> u64 {
        let started = Instant::now();
        let mut buffer = vec![0; 64 * 1024];
        let mut total = 0;
        loop {
            let left = deadline
                .checked_sub(started.elapsed())
                .filter(|left| !left.is_zero());
            let left =
                left.unwrap_or_else(|| panic!("the socket has not ended after {deadline:?}"));
            self.socket
                .set_read_timeout(Some(left))
                .expect("a read deadline");
            match self.stream.read(&mut buffer) {
                Ok(0) => return total,
                Ok(count) => total += count as u64,
                Err(error) if is_timeout(&error) => (),
                Err(_) => return total,
            }
        }
    }

    /// True if nothing comes within `patience`; what comes is left to be read.
    pub(crate) fn is_silent_for(&mut self, patience: Duration) -> bool {
        self.socket
            .set_read_timeout(Some(patience))
            .expect("a read deadline");
        let silent = io::BufRead::fill_buf(&mut self.stream).is_err_and(|error| is_timeout(&error));
        self.socket
            .set_read_timeout(Some(DEADLINE))
            .expect("a read deadline");
        silent
    }

    /// A second handle for writing from another thread, without a deadline. For plain TCP alone.
    #[track_caller]
    pub(crate) fn writer(&self) -> TcpStream {
        let writer = self.socket.try_clone().expect("a socket can be cloned");
        writer.set_write_timeout(None).expect("no write deadline");
        writer
    }

    /// Ends the sending half; the gateway sees the end of the stream without a Close frame.
    pub(crate) fn finish_sending(&self) {
        self.socket
            .shutdown(Shutdown::Write)
            .expect("the socket can be shut down");
    }

    /// The same for a socket that may be gone.
    pub(crate) fn try_finish_sending(&self) {
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// How long reads wait from now on.
    #[track_caller]
    pub(crate) fn set_patience(&self, patience: Duration) {
        self.socket
            .set_read_timeout(Some(patience))
            .expect("a read deadline");
    }

    /// Goes away with a TCP reset, as a browser does whose machine lost its network.
    pub(crate) fn reset(self) {
        SockRef::from(&self.socket)
            .set_linger(Some(Duration::ZERO))
            .expect("SO_LINGER");
    }
}

impl Closed {
    #[track_caller]
    fn new(before: Vec<Received>, payload: &[u8]) -> Self {
        let Some((code, reason)) = payload.split_first_chunk() else {
            assert!(payload.is_empty(), "a Close frame with half a code");
            return Self {
                before,
                code: None,
                reason: String::new(),
            };
        };
        let reason =
            String::from_utf8(reason.to_vec()).expect("the reason of a Close frame is UTF-8");
        Self {
            before,
            code: Some(u16::from_be_bytes(*code)),
            reason,
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
