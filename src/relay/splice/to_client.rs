//! The half of the splice that takes bytes from the broker.

use std::borrow::Cow;

use crate::relay::splice::CloseReason;
use crate::relay::splice::FromClient;
use crate::relay::splice::Side;
use crate::relay::splice::Splice;
use crate::relay::splice::State;
use crate::relay::tally::Tally;
use crate::relay::violation::BrokerFailure;
use crate::relay::violation::NO_METHOD;
use crate::wire::amqp::frame::HEADER_SIZE;
use crate::wire::amqp::frame::OVERHEAD;
use crate::wire::amqp::frame::PROTOCOL_HEADER;
use crate::wire::amqp::frame::PROTOCOL_NAME;
use crate::wire::amqp::method::Close;
use crate::wire::amqp::method::CloseOk;
use crate::wire::amqp::method::Method;
use crate::wire::amqp::method::OpenOk;
use crate::wire::amqp::method::Secure;
use crate::wire::amqp::method::Start;
use crate::wire::amqp::method::Tune;
use crate::wire::amqp::scanner::whole_frames;
use crate::wire::amqp::scanner::ScanEnd;
use crate::wire::amqp::scanner::Then;
use crate::wire::amqp::Limits;
use crate::wire::amqp::MethodId;
use crate::wire::amqp::ReplyCode;

/// What becomes of bytes from the broker.
#[derive(Debug)]
pub struct ToClientBytes<'a> {
    /// Bytes that are done with; those behind them are to be given again, with more.
    pub consumed: usize,
    /// What goes on to the client. If borrowed, it is exactly the bytes consumed.
    pub forward: Cow<'a, [u8]>,
    /// Bytes that the incomplete frame behind those consumed has in all; 0 if that is not known
    /// yet.
    pub incomplete: usize,
    /// What is wrong with the bytes behind those consumed.
    pub failure: Option<BrokerFailure>,
}

impl Splice {
    /// Takes bytes from the broker, beginning at a frame boundary; whole frames go on.
    #[inline]
    pub fn to_client<'a>(&mut self, bytes: &'a [u8], tally: &mut Tally) -> ToClientBytes<'a> {
        let mut forward = Forward {
            bytes,
            end: 0,
            copy: None,
        };
        if matches!(self.state, State::Negotiating(_)) && !self.started {
            if let Some(refused) = self.version_refused(bytes) {
                return refused;
            }
        }
        loop {
            if matches!(self.state, State::Closed) {
                forward.replace(bytes.len(), &[]);
                return forward.finish(0, None);
            }
            let rest = forward.rest();
            let mut frames = 0_u32;
            let mut notable = None;
            let scanned = whole_frames(rest, self.broker_limits(), |seen| {
                frames += 1;
                let Some(method) = seen.method else {
                    return Then::GoOn;
                };
                tally.count_to_client(method);
                if seen.header.channel != 0 || !is_notable(method) {
                    return Then::GoOn;
                }
                notable = Some((method, seen.header));
                Then::Stop
            });
            tally.frames_to_client = tally.frames_to_client.wrapping_add(frames);
            let end = forward.end + scanned.passed;
            match (scanned.end, notable) {
                (ScanEnd::Stopped, Some((method, header))) => {
                    let begin = end.saturating_sub(header.size as usize + OVERHEAD);
                    forward.pass(begin);
                    let arguments = bytes.get(begin + HEADER_SIZE + METHOD_ID_SIZE..end - 1);
                    match self.broker_method(method, arguments.unwrap_or_default()) {
                        Some(frame) => forward.replace(end, &frame),
                        None => forward.pass(end),
                    }
                }
                (ScanEnd::Failed(error), _) => {
                    forward.pass(end);
                    return forward.finish(0, Some(BrokerFailure::from(error)));
                }
                (ScanEnd::Exhausted | ScanEnd::Stopped, _) => {
                    forward.pass(end);
                    return forward.finish(scanned.incomplete, None);
                }
            }
        }
    }

    /// Takes a notable method of the broker; gives the frame that goes on in its place, if it is
    /// not to go on as it is.
    #[cold]
    fn broker_method(&mut self, method: MethodId, arguments: &[u8]) -> Option<Vec<u8>> {
        match method {
            Start::ID => self.started = true,
            OpenOk::ID if matches!(self.state, State::Negotiating(_)) => {
                if let State::Negotiating(negotiation) = &mut self.state {
                    self.user = negotiation.take_user();
                }
                self.state = State::Open;
                self.client_is_relayed();
                return None;
            }
            Close::ID => self.broker_closes(close_reason(arguments)),
            CloseOk::ID if self.client_closed => {
                self.state = State::Closed;
                self.from_client = FromClient::Deaf;
            }
            MethodId::CONNECTION_BLOCKED => self.blocked = true,
            MethodId::CONNECTION_UNBLOCKED => self.blocked = false,
            _ => {}
        }
        match &mut self.state {
            State::Negotiating(negotiation) => negotiation.from_broker(method, arguments),
            State::Open | State::Closing { .. } | State::Closed => None,
        }
    }

    /// Takes note of how the broker ended the connection; the first word counts.
    fn broker_closes(&mut self, reason: CloseReason) {
        self.broker_close.get_or_insert_with(|| Box::new(reason));
        if matches!(self.state, State::Negotiating(_) | State::Open) {
            self.state = State::Closing { by: Side::Broker };
        }
        self.client_is_relayed();
    }

    fn client_is_relayed(&mut self) {
        if self.from_client == FromClient::Negotiate {
            self.from_client = FromClient::Relay;
        }
    }

    /// Before frame-max is agreed the broker may send what our own limit allows, because the
    /// buffers are made for that.
    #[inline]
    fn broker_limits(&self) -> Limits {
        let frame_max = match &self.state {
            State::Negotiating(negotiation) => {
                self.limits.frame_max.max(negotiation.broker_frame_max())
            }
            State::Open | State::Closing { .. } | State::Closed => self.limits.frame_max,
        };
        Limits {
            frame_max,
            channel_max: u16::MAX,
        }
    }

    /// The broker's first bytes, if they are or may become a protocol header.
    #[cold]
    fn version_refused<'a>(&mut self, bytes: &'a [u8]) -> Option<ToClientBytes<'a>> {
        let known = bytes.len().min(PROTOCOL_NAME.len());
        if bytes.get(..known) != PROTOCOL_NAME.get(..known) {
            return None;
        }
        let Some((header, _)) = bytes.split_first_chunk::<{ PROTOCOL_HEADER.len() }>() else {
            return Some(ToClientBytes {
                consumed: 0,
                forward: Cow::Borrowed(&[]),
                incomplete: PROTOCOL_HEADER.len(),
                failure: None,
            });
        };
        let [_, _, _, _, id, major, minor, revision] = *header;
        self.broker_closes(CloseReason {
            reply_code: ReplyCode::NOT_IMPLEMENTED,
            text: format!("the broker speaks AMQP {major}.{minor}.{revision} (protocol {id})"),
            class_method: NO_METHOD,
            version_refused: true,
        });
        self.state = State::Closed;
        self.from_client = FromClient::Deaf;
        Some(ToClientBytes {
            consumed: header.len(),
            forward: Cow::Borrowed(bytes.get(..header.len()).unwrap_or_default()),
            incomplete: 0,
            failure: None,
        })
    }
}

/// What goes on of the bytes given: a prefix of them, until something is replaced.
struct Forward<'a> {
    bytes: &'a [u8],
    /// Bytes dealt with.
    end: usize,
    copy: Option<Vec<u8>>,
}

impl<'a> Forward<'a> {
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.end..).unwrap_or_default()
    }

    /// Lets the bytes up to `end` go on.
    fn pass(&mut self, end: usize) {
        if let Some(copy) = &mut self.copy {
            copy.extend_from_slice(self.bytes.get(self.end..end).unwrap_or_default());
        }
        self.end = end;
    }

    /// Lets `with` go on in place of the bytes up to `end`.
    fn replace(&mut self, end: usize, with: &[u8]) {
        if end == self.end && with.is_empty() {
            return;
        }
        let passed = self.bytes.get(..self.end).unwrap_or_default();
        self.copy
            .get_or_insert_with(|| passed.to_vec())
            .extend_from_slice(with);
        self.end = end;
    }

    fn finish(self, incomplete: usize, failure: Option<BrokerFailure>) -> ToClientBytes<'a> {
        let forward = match self.copy {
            Some(copy) => Cow::Owned(copy),
            None => Cow::Borrowed(self.bytes.get(..self.end).unwrap_or_default()),
        };
        ToClientBytes {
            consumed: self.end,
            forward,
            incomplete,
            failure,
        }
    }
}

/// Bytes of a method's number.
const METHOD_ID_SIZE: usize = 4;

/// Whether the splice takes note of this method of the broker, or rewrites it.
#[inline]
fn is_notable(method: MethodId) -> bool {
    matches!(
        method,
        Start::ID
            | Secure::ID
            | Tune::ID
            | OpenOk::ID
            | Close::ID
            | CloseOk::ID
            | MethodId::CONNECTION_BLOCKED
            | MethodId::CONNECTION_UNBLOCKED
    )
}

/// What connection.close says, as far as it can be read.
fn close_reason(arguments: &[u8]) -> CloseReason {
    match Close::decode(arguments) {
        Ok(close) => CloseReason {
            reply_code: close.reply_code,
            text: close.reply_text.to_text(),
            class_method: (close.class_id, close.method_id),
            version_refused: false,
        },
        Err(_) => CloseReason {
            reply_code: ReplyCode::INTERNAL_ERROR,
            text: "the broker's connection.close cannot be decoded".to_owned(),
            class_method: NO_METHOD,
            version_refused: false,
        },
    }
}
