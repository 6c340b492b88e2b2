//! From connection.start to connection.open-ok, and the frames of channel 0 afterwards.

use crate::relay::negotiation::agree;
use crate::relay::server::login;
use crate::relay::server::rule::payload_octets;
use crate::relay::server::rule::Refusal;
use crate::relay::server::rule::Rule;
use crate::relay::server::Denied;
use crate::relay::server::Output;
use crate::relay::server::Pause;
use crate::relay::server::Server;
use crate::relay::server::State;
use crate::relay::violation::Violation;
use crate::relay::violation::NO_METHOD;
use crate::upstream::shared::Facts;
use crate::wire::amqp::arguments::check;
use crate::wire::amqp::arguments::sender;
use crate::wire::amqp::arguments::ArgumentsError;
use crate::wire::amqp::arguments::Sender;
use crate::wire::amqp::fields::has_capability;
use crate::wire::amqp::method::Close;
use crate::wire::amqp::method::CloseOk;
use crate::wire::amqp::method::LongString;
use crate::wire::amqp::method::Method;
use crate::wire::amqp::method::Open;
use crate::wire::amqp::method::Start;
use crate::wire::amqp::method::StartOk;
use crate::wire::amqp::method::Table;
use crate::wire::amqp::method::Tune;
use crate::wire::amqp::method::TuneOk;
use crate::wire::amqp::FrameHeader;
use crate::wire::amqp::FrameKind;
use crate::wire::amqp::Limits;
use crate::wire::amqp::MethodId;
use crate::wire::amqp::ReplyCode;

impl Server {
    /// connection.start in the broker's own words.
    pub(super) fn start(&mut self, facts: &Facts, out: &mut Output) {
        let start = Start {
            version_major: 0,
            version_minor: 9,
            server_properties: Table(&facts.server_properties),
            mechanisms: LongString(login::MECHANISMS),
            locales: LongString(&facts.locales),
        };
        self.say(&start.to_frame(), out);
    }

    /// What has become of the login: connection.tune, or the violation of RabbitMQ's own words.
    pub fn login_decided(&mut self, verdict: Result<(), Denied>, out: &mut Output) {
        let State::Deciding(mechanism) = self.state else {
            return;
        };
        match verdict {
            Ok(()) => {
                self.state = State::ExpectTuneOk;
                let tune = Tune {
                    channel_max: self.params.channel_max,
                    frame_max: self.params.frame_max,
                    heartbeat: self.params.heartbeat,
                };
                self.say(&tune.to_frame(), out);
            }
            Err(Denied) => {
                self.client.denied = true;
                self.violated(login::denied(mechanism), out);
            }
        }
    }

    /// A whole frame of the negotiation.
    pub(super) fn negotiate(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        out: &mut Output,
    ) -> Result<Pause, Refusal> {
        let refused = |violation| Refusal::of(Rule::Negotiation, violation);
        if header.channel != 0 {
            return Err(refused(Violation::channel_before_open(header)));
        }
        if header.kind == FrameKind::HEARTBEAT {
            return Ok(Pause::No);
        }
        if header.kind != FrameKind::METHOD {
            return Err(unexpected_frame(header.kind, payload));
        }
        let Some((number, arguments)) = payload.split_first_chunk() else {
            return Err(unknown_frame(header.kind, payload));
        };
        let method = MethodId::from_bytes(*number);
        out.tally.count_from_client(method);
        decodable(method, arguments)?;
        let undecodable = |_| Refusal::internal_error(Rule::Arguments);
        match (self.state, method) {
            (_, Close::ID) => {
                self.forget();
                self.state = State::Leaving;
                Ok(Pause::Leave)
            }
            (State::ExpectStartOk, StartOk::ID) => {
                let start_ok = StartOk::decode(arguments).map_err(undecodable)?;
                let properties = start_ok.client_properties.0;
                let has = |name: &str| has_capability(properties, name.as_bytes());
                self.client.blocked = has("connection.blocked");
                self.client.consumer_cancel_notify = has("consumer_cancel_notify");
                self.client.authentication_failure_close = has("authentication_failure_close");
                let login = login::read(&start_ok).map_err(refused)?;
                self.state = State::Deciding(login.mechanism);
                Ok(Pause::Login(login))
            }
            (State::ExpectTuneOk, TuneOk::ID) => {
                let offered = Limits {
                    frame_max: self.params.frame_max,
                    channel_max: self.params.channel_max,
                };
                let agreed = agree(offered, arguments).map_err(refused)?;
                self.limits = Limits {
                    frame_max: agreed.frame_max,
                    channel_max: agreed.channel_max,
                };
                self.heartbeat = agreed.heartbeat;
                self.state = State::ExpectOpen;
                Ok(Pause::No)
            }
            (State::ExpectOpen, Open::ID) => {
                // The vhost is the service's, whatever the client asks for.
                self.state = State::Seating;
                Ok(Pause::Seat)
            }
            _ => {
                let state = match self.state {
                    State::ExpectStartOk => "starting",
                    State::ExpectTuneOk => "tuning",
                    _ => "opening",
                };
                Err(refused(Violation::unexpected_method(method, state)))
            }
        }
    }

    /// A whole frame on channel 0 of an open connection.
    pub(super) fn connection_frame(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        out: &mut Output,
    ) -> Result<Pause, Refusal> {
        if header.kind == FrameKind::HEARTBEAT {
            return if payload.is_empty() {
                Ok(Pause::No)
            } else {
                Err(unknown_frame(header.kind, payload))
            };
        }
        if header.kind != FrameKind::METHOD {
            return Err(unexpected_frame(header.kind, payload));
        }
        let Some((number, arguments)) = payload.split_first_chunk() else {
            return Err(unknown_frame(header.kind, payload));
        };
        let method = MethodId::from_bytes(*number);
        out.tally.count_from_client(method);
        decodable(method, arguments)?;
        match method {
            Close::ID => {
                self.forget();
                self.state = State::Leaving;
                Ok(Pause::Leave)
            }
            // The account is the service's; its secret is not the client's to change.
            UPDATE_SECRET => {
                self.say(&super::frames::method(0, UPDATE_SECRET_OK, &[]), out);
                Ok(Pause::No)
            }
            _ => Err(Refusal::of(
                Rule::UnexpectedMethod,
                Violation::unexpected_method(method, "running"),
            )),
        }
    }

    /// A whole frame after the gateway has closed.
    pub(super) fn frame_after_close(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        out: &mut Output,
    ) -> Pause {
        let method = MethodId::decode(payload)
            .ok()
            .filter(|_| header.kind == FrameKind::METHOD && header.channel == 0);
        match method {
            Some(Close::ID) => self.say(&CloseOk {}.to_frame(), out),
            Some(CloseOk::ID) => {}
            _ => return Pause::No,
        }
        self.state = State::Closed;
        Pause::Over
    }
}

/// Whether a method on channel 0 can be decoded.
fn decodable(method: MethodId, arguments: &[u8]) -> Result<(), Refusal> {
    let schema = match sender(method) {
        Sender::Client(schema) => schema,
        Sender::Broker => return Ok(()),
        Sender::Nobody => return Err(unknown_method(method)),
    };
    match check(schema, arguments) {
        Ok(()) => Ok(()),
        Err(ArgumentsError::NotUtf8) => Err(not_utf8(method.into())),
        Err(ArgumentsError::Length | ArgumentsError::Table) => {
            Err(Refusal::internal_error(Rule::Arguments))
        }
    }
}

/// A method RabbitMQ does not know; it drops the connection without a word.
#[cold]
pub(super) fn unknown_method(method: MethodId) -> Refusal {
    let explanation = format!("unknown method {}.{}", method.class, method.method);
    Refusal::connection(
        Rule::UnknownMethod,
        ReplyCode::COMMAND_INVALID,
        explanation,
        method.into(),
    )
}

#[cold]
pub(super) fn not_utf8(class_method: (u16, u16)) -> Refusal {
    let explanation = "Malformed UTF-8 in shortstr";
    Refusal::connection(
        Rule::Arguments,
        ReplyCode::FRAME_ERROR,
        explanation,
        class_method,
    )
}

/// A frame whose payload is not what its type says.
#[cold]
pub(super) fn unknown_frame(kind: FrameKind, payload: &[u8]) -> Refusal {
    let explanation = format!(
        "type {}, {}: unknown_frame",
        kind.0,
        payload_octets(payload)
    );
    Refusal::connection(Rule::Frame, ReplyCode::FRAME_ERROR, explanation, NO_METHOD)
}

/// A frame on a channel that has no such frames.
#[cold]
pub(super) fn unexpected_frame(kind: FrameKind, payload: &[u8]) -> Refusal {
    let explanation = format!("type {}, {}", kind.0, payload_octets(payload));
    Refusal::connection(
        Rule::Frame,
        ReplyCode::UNEXPECTED_FRAME,
        explanation,
        NO_METHOD,
    )
}

const UPDATE_SECRET: MethodId = MethodId::new(10, 70);
const UPDATE_SECRET_OK: MethodId = MethodId::new(10, 71);
