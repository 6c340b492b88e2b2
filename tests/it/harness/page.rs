//! An AMQP client in a WebSocket, as a page is: whole frames come to it, and it says when they do not.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::amqp;
use super::amqp::Frame;
use super::amqp::Method;
use super::amqp::FRAME_OVERHEAD;
use super::client::Client;
use super::client::Closed;
use super::configuration::AMQP_PATH;
use super::gateway::Gateway;
use super::negotiation;
use super::negotiation::Login;
use super::negotiation::Tuning;
use super::opening::Opening;
use super::websocket;
use super::websocket::BINARY;
use super::CLOSE_DEADLINE;

/// Messages towards the client hold at most this much, unless a single frame is larger.
const MESSAGE_MAX: usize = 64 * 1024;

/// One page with its session.
pub(crate) struct Page {
    pub(crate) client: Client,
    frames: VecDeque<Frame>,
    /// What the gateway offered in its tune, once logged in.
    pub(crate) offered: Option<Tuning>,
}

/// How a session ended as the page saw it: the AMQP frames that came last, then the Close frame.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) frames: Vec<Frame>,
    pub(crate) code: Option<u16>,
    pub(crate) reason: String,
}

impl Page {
    /// Opens a WebSocket to the `amqp` service and says nothing yet.
    #[track_caller]
    pub(crate) fn open(gateway: &Gateway) -> Self {
        Self::open_at(gateway.public(), AMQP_PATH)
    }

    #[track_caller]
    pub(crate) fn open_at(address: SocketAddr, path: &str) -> Self {
        Self::over(Client::open_by(
            &Opening::new(address, path).subprotocols("amqp"),
            address,
        ))
    }

    /// Speaks AMQP over a WebSocket that is open.
    pub(crate) fn over(client: Client) -> Self {
        Self {
            client,
            frames: VecDeque::new(),
            offered: None,
        }
    }

    /// Opens a WebSocket and an AMQP connection in it.
    #[track_caller]
    pub(crate) fn login(gateway: &Gateway) -> Self {
        Self::open(gateway).logged_in(&Login::default())
    }

    /// Goes through the negotiation, asking for no more than the tune offers.
    #[track_caller]
    pub(crate) fn logged_in(mut self, login: &Login) -> Self {
        self.send(amqp::HEADER);
        self.expect_method(amqp::START);
        self.send(&negotiation::start_ok(login));
        let offered = negotiation::tuning_of(&self.expect_method(amqp::TUNE));
        let asked = Tuning {
            channel_max: login.tuning.channel_max.min(offered.channel_max),
            frame_max: login.tuning.frame_max.min(offered.frame_max),
            heartbeat: login.tuning.heartbeat,
        };
        self.send(&[negotiation::tune_ok(asked), negotiation::open(&login.vhost)].concat());
        self.expect_method(amqp::OPEN_OK);
        self.offered = Some(offered);
        self
    }

    /// Opens a channel and awaits the answer.
    #[track_caller]
    pub(crate) fn open_channel(&mut self, channel: u16) {
        self.send(&amqp::channel_open(channel));
        assert_eq!(self.expect_method(amqp::CHANNEL_OPEN_OK).channel, channel);
    }

    /// Asks for a channel where the broker's script does not answer.
    #[track_caller]
    pub(crate) fn open_channel_without_answer(&mut self, channel: u16) {
        self.send(&amqp::channel_open(channel));
    }

    /// Sends one binary message.
    #[track_caller]
    pub(crate) fn send(&mut self, payload: &[u8]) {
        self.client.send_binary(payload);
    }

    /// The next AMQP frame from the broker.
    #[track_caller]
    pub(crate) fn read_frame(&mut self) -> Frame {
        while self.frames.is_empty() {
            let received = self.client.read_frame();
            assert!(
                received.opcode == BINARY && received.fin,
                "not a whole binary message but opcode {} with {:?}",
                received.opcode,
                String::from_utf8_lossy(&received.payload)
            );
            self.frames.extend(whole_frames(&received.payload));
        }
        self.frames.pop_front().expect("a frame is there")
    }

    /// The next AMQP frame, or `None` once the WebSocket closes or the socket ends. Pings are passed over; a message that
    /// is not whole frames still fails the test.
    #[track_caller]
    pub(crate) fn try_read_frame(&mut self) -> Option<Frame> {
        while self.frames.is_empty() {
            let received = self.client.try_read_frame().ok()?;
            match received.opcode {
                BINARY => self.frames.extend(whole_frames(&received.payload)),
                websocket::PING => (),
                _ => return None,
            }
        }
        self.frames.pop_front()
    }

    /// The next AMQP frame, which must be this method.
    #[track_caller]
    pub(crate) fn expect_method(&mut self, method: Method) -> Frame {
        let frame = self.read_frame();
        assert_eq!(frame.method(), Some(method), "{frame:?}");
        frame
    }

    /// The next AMQP frame, which must be `connection.close`; gives its reply code and text.
    #[track_caller]
    pub(crate) fn expect_connection_close(&mut self) -> (u16, String) {
        let frame = self.expect_method(amqp::CONNECTION_CLOSE);
        let mut arguments = frame.arguments();
        (arguments.short(), arguments.short_string())
    }

    /// Reads everything up to the Close frame, answers it as a browser does, and insists that the socket ends.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> End {
        let Closed {
            before,
            code,
            reason,
        } = self.client.read_to_close();
        for received in before.iter().filter(|received| received.opcode == BINARY) {
            self.frames.extend(whole_frames(&received.payload));
        }
        let answer = code.map_or_else(Vec::new, |code| code.to_be_bytes().to_vec());
        // The gateway may have gone already: it need not wait for this answer after a violation.
        let _ = self
            .client
            .try_send(&websocket::frame(websocket::CLOSE, &answer));
        self.client.expect_end(CLOSE_DEADLINE);
        End {
            frames: self.frames.drain(..).collect(),
            code,
            reason,
        }
    }
}

impl End {
    /// Insists on the close code and a reason text, and on nothing but an optional `connection.close` before.
    #[track_caller]
    pub(crate) fn expect_code(&self, code: u16) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(
            !self.reason.is_empty(),
            "a Close frame without reason: {self:?}"
        );
        self
    }

    /// Reply code and text of the `connection.close` that came just before the Close frame.
    #[track_caller]
    pub(crate) fn connection_close(&self) -> (u16, String) {
        let frame = self
            .frames
            .last()
            .unwrap_or_else(|| panic!("no AMQP frame before the Close frame: {self:?}"));
        assert_eq!(frame.method(), Some(amqp::CONNECTION_CLOSE), "{self:?}");
        let mut arguments = frame.arguments();
        (arguments.short(), arguments.short_string())
    }
}

/// Splits a message into frames and insists that it holds whole ones, and no more than it may.
#[track_caller]
fn whole_frames(mut payload: &[u8]) -> Vec<Frame> {
    let length = payload.len();
    let mut frames = Vec::new();
    while let Some(frame) = amqp::take_frame(&mut payload) {
        frames.push(frame);
    }
    assert!(
        payload.is_empty(),
        "a message ends within a frame: {} octets too many",
        payload.len()
    );
    assert!(!frames.is_empty(), "an empty message");
    let largest = frames
        .iter()
        .map(|frame| frame.payload.len() + FRAME_OVERHEAD)
        .max()
        .unwrap_or(0);
    assert!(
        length <= MESSAGE_MAX || largest == length,
        "a message of {length} octets holds {} frames",
        frames.len()
    );
    frames
}
