//! The shipped extensions in real sessions: each by itself, in pairs and all together; what is counted; and that nothing
//! is lost or kept in them.

mod idle_timeout;
mod metrics;
mod offers;
mod ordering;
mod ping_pong;
mod pressure;
mod sequence;

use std::collections::VecDeque;

use crate::harness::amqp;
use crate::harness::amqp::Frame;
use crate::harness::amqp::Method;
use crate::harness::client::Client;
use crate::harness::negotiation;
use crate::harness::negotiation::Login;
use crate::harness::websocket;
use crate::harness::websocket::BINARY;

const PING_PONG: &str = "x-kaazing-ping-pong";
const IDLE_TIMEOUT: &str = "x-kaazing-idle-timeout";
const SEQUENCE: &str = "smeuse-sequence";

/// Emulated control frames.
const EMULATED_PING: &[u8] = b"\x01\x01\x01\x02\x09\x00";
const EMULATED_PONG: &[u8] = b"\x01\x01\x01\x02\x0a\x00";
const ESCAPE: &[u8] = b"\x01\x01\x01\x02";

/// A message with its number.
fn numbered(number: u32, payload: &[u8]) -> Vec<u8> {
    [format!("{number:08x}").as_bytes(), payload].concat()
}

/// A client that numbers what it sends and checks the numbers of what it gets.
struct Numbered {
    client: Client,
    sent: u32,
    received: u32,
    frames: VecDeque<Frame>,
}

impl Numbered {
    fn new(client: Client) -> Self {
        Self {
            client,
            sent: 0,
            received: 0,
            frames: VecDeque::new(),
        }
    }

    /// The next message as bytes to be sent, its number in front.
    fn next(&mut self, payload: &[u8]) -> Vec<u8> {
        self.sent += 1;
        numbered(self.sent - 1, payload)
    }

    #[track_caller]
    fn send(&mut self, opcode: u8, payload: &[u8]) {
        let message = self.next(payload);
        self.client.send(&websocket::frame(opcode, &message));
    }

    /// The next message, which must have the next number.
    #[track_caller]
    fn read(&mut self) -> (u8, Vec<u8>) {
        let (opcode, message) = self.client.read_message();
        (opcode, self.strip(&message))
    }

    #[track_caller]
    fn strip(&mut self, message: &[u8]) -> Vec<u8> {
        let number = numbered(self.received, b"");
        self.received += 1;
        let payload = message.strip_prefix(&number[..]);
        let payload = payload.unwrap_or_else(|| panic!("not number {number:?} but {message:?}"));
        payload.to_vec()
    }

    #[track_caller]
    fn expect(&mut self, opcode: u8, payload: &[u8]) {
        assert_eq!(self.read(), (opcode, payload.to_vec()));
    }

    /// The next AMQP frame, which must be this method.
    #[track_caller]
    fn expect_method(&mut self, method: Method) -> Frame {
        while self.frames.is_empty() {
            let (opcode, payload) = self.read();
            assert_eq!(opcode, BINARY);
            self.take(&payload);
        }
        let frame = self.frames.pop_front().expect("a frame is there");
        assert_eq!(frame.method(), Some(method), "{frame:?}");
        frame
    }

    fn take(&mut self, mut payload: &[u8]) {
        while let Some(frame) = amqp::take_frame(&mut payload) {
            self.frames.push_back(frame);
        }
        assert!(payload.is_empty(), "a message ends within a frame");
    }

    /// Goes through the AMQP negotiation.
    #[track_caller]
    fn login(&mut self) {
        let steps = negotiation::client_steps(&Login::default());
        let answers = [amqp::START, amqp::TUNE, amqp::OPEN_OK];
        for (step, answer) in steps.iter().zip(answers) {
            self.send(BINARY, step);
            self.expect_method(answer);
        }
    }
}
