//! The negotiation of one AMQP connection, from connection.start to connection.open-ok: what of it
//! the gateway writes, and what of the client's answers it does not let through (AMQP 0-9-1 section
//! 2.2.4).

mod user;

use crate::relay::negotiation::user::claimed_user;
use crate::relay::splice::Login;
use crate::relay::splice::Params;
use crate::relay::splice::Side;
use crate::relay::violation::Violation;
use crate::wire::amqp::frame::SMALLEST_FRAME_MAX;
use crate::wire::amqp::method::LongString;
use crate::wire::amqp::method::Method;
use crate::wire::amqp::method::Open;
use crate::wire::amqp::method::Secure;
use crate::wire::amqp::method::SecureOk;
use crate::wire::amqp::method::ShortString;
use crate::wire::amqp::method::Start;
use crate::wire::amqp::method::StartOk;
use crate::wire::amqp::method::Tune;
use crate::wire::amqp::method::TuneOk;
use crate::wire::amqp::FrameHeader;
use crate::wire::amqp::FrameKind;
use crate::wire::amqp::Limits;
use crate::wire::amqp::MethodId;
use crate::wire::amqp::ReplyCode;

/// A negotiation that is going on. The two sides are followed apart, because a client may answer
/// before it is asked: RabbitMQ reads a start-ok, a tune-ok and an open that come in one go.
pub struct Negotiation {
    params: Params,
    client: Expects,
    started: bool,
    challenged: bool,
    offered: Option<Limits>,
    /// Who the client logs in as, where the login is its own.
    user: Option<String>,
}

/// What the client has to send next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expects {
    StartOk,
    TuneOk,
    Open,
    Nothing,
}

/// What becomes of a method from the client.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It goes on, as it is or as the frame given.
    Pass(Option<Vec<u8>>),
    /// It was tune-ok and goes on as it is; these are the limits from now on.
    Tuned(Limits),
    /// It was open, the client's last word in the negotiation; it goes on, as it is or as the frame
    /// given.
    Opened(Option<Vec<u8>>),
}

impl Negotiation {
    /// A negotiation of which only the client's protocol header has been sent.
    pub const fn new(params: Params) -> Self {
        Self {
            params,
            client: Expects::StartOk,
            started: false,
            challenged: false,
            offered: None,
            user: None,
        }
    }

    /// Whose turn it is.
    pub const fn awaiting(&self) -> Side {
        let asked = match self.client {
            Expects::StartOk => self.started,
            Expects::TuneOk => self.challenged || self.offered.is_some(),
            Expects::Open => true,
            Expects::Nothing => false,
        };
        if asked {
            Side::Client
        } else {
            Side::Broker
        }
    }

    /// Who the client has logged in as, where the login is its own and can be read.
    pub fn take_user(&mut self) -> Option<String> {
        self.user.take()
    }

    /// The largest frame the broker may send as long as frame-max is not agreed.
    pub const fn broker_frame_max(&self) -> u32 {
        self.params.frame_max
    }

    /// Takes a frame other than connection.close from the client; `payload` is without header and
    /// end octet.
    ///
    /// # Errors
    /// What the client did wrong; the frame must not go on.
    pub fn from_client(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Answer, Violation> {
        if header.channel != 0 {
            return Err(Violation::channel_before_open(header));
        }
        if header.kind == FrameKind::HEARTBEAT {
            return Ok(Answer::Pass(None));
        }
        if header.kind != FrameKind::METHOD {
            return Err(Violation::unexpected_frame(header));
        }
        let Some((number, arguments)) = payload.split_first_chunk() else {
            return Err(Violation::no_method(header));
        };
        let method = MethodId::from_bytes(*number);
        match (self.client, method) {
            (Expects::StartOk, StartOk::ID) => {
                let instead = self.start_ok(arguments)?;
                self.client = Expects::TuneOk;
                Ok(Answer::Pass(instead))
            }
            (Expects::TuneOk, SecureOk::ID) => {
                self.challenged = false;
                Ok(Answer::Pass(None))
            }
            (Expects::TuneOk, TuneOk::ID) => {
                let limits = self.tune_ok(arguments)?;
                self.client = Expects::Open;
                Ok(Answer::Tuned(limits))
            }
            (Expects::Open, Open::ID) => {
                let instead = self.open(arguments)?;
                self.client = Expects::Nothing;
                Ok(Answer::Opened(instead))
            }
            (expected, _) => Err(Violation::unexpected_method(
                method,
                self.state_name(expected),
            )),
        }
    }

    /// Takes a method on channel 0 from the broker; gives the whole frame that goes on in its
    /// place, if it is not to go on as it is. What cannot be decoded goes on, for the client to
    /// judge.
    pub fn from_broker(&mut self, method: MethodId, arguments: &[u8]) -> Option<Vec<u8>> {
        match method {
            Start::ID => {
                self.started = true;
                self.params.login.as_ref()?;
                let start = Start::decode(arguments).ok()?;
                let mechanisms = LongString(MECHANISMS_ACCEPTED);
                Some(
                    Start {
                        mechanisms,
                        ..start
                    }
                    .to_frame(),
                )
            }
            Secure::ID => {
                self.challenged = true;
                None
            }
            Tune::ID => {
                self.challenged = false;
                let tune = Tune::decode(arguments).ok()?;
                let Limits {
                    frame_max,
                    channel_max,
                } = self.lowered(tune.frame_max, tune.channel_max);
                self.offered = Some(Limits {
                    frame_max,
                    channel_max,
                });
                Some(
                    Tune {
                        channel_max,
                        frame_max,
                        ..tune
                    }
                    .to_frame(),
                )
            }
            _ => None,
        }
    }

    /// Writes the service's login in place of the client's, whatever that is.
    fn start_ok(&mut self, arguments: &[u8]) -> Result<Option<Vec<u8>>, Violation> {
        let Some(Login { user, password }) = &self.params.login else {
            let start_ok = StartOk::decode(arguments).ok();
            self.user = start_ok.as_ref().and_then(claimed_user);
            return Ok(None);
        };
        let Ok(start_ok) = StartOk::decode(arguments) else {
            return Err(Violation::malformed_method(
                StartOk::ID,
                "connection.start-ok",
            ));
        };
        let mechanism = start_ok.mechanism;
        if !matches!(mechanism.as_bytes(), b"PLAIN" | b"AMQPLAIN") {
            let explanation = format!("unknown authentication mechanism '{}'", mechanism.to_text());
            return Err(Violation::new(
                ReplyCode::COMMAND_INVALID,
                explanation,
                StartOk::ID.into(),
            ));
        }
        let response = format!("\0{user}\0{password}");
        let mechanism = ShortString::clipped("PLAIN");
        let written = StartOk {
            mechanism,
            response: LongString(response.as_bytes()),
            ..start_ok
        };
        Ok(Some(written.to_frame()))
    }

    /// Holds the client's limits to what it was offered, by the rules RabbitMQ has.
    fn tune_ok(&self, arguments: &[u8]) -> Result<Limits, Violation> {
        // A client that did not wait for connection.tune is held to our limits here, and to the
        // broker's by the broker.
        let offered = self.offered.unwrap_or_else(|| self.lowered(0, 0));
        let TuneOk {
            channel_max,
            frame_max,
            ..
        } = agree(offered, arguments)?;
        Ok(Limits {
            frame_max,
            channel_max,
        })
    }

    /// Writes the service's vhost in place of the client's.
    fn open(&self, arguments: &[u8]) -> Result<Option<Vec<u8>>, Violation> {
        let Some(vhost) = &self.params.vhost else {
            return Ok(None);
        };
        let Ok(open) = Open::decode(arguments) else {
            return Err(Violation::malformed_method(Open::ID, "connection.open"));
        };
        let virtual_host = ShortString::clipped(vhost);
        Ok(Some(
            Open {
                virtual_host,
                ..open
            }
            .to_frame(),
        ))
    }

    /// The smaller of the broker's limits and ours, where 0 means that there is none. Never 0
    /// itself, which would invite clients to agree on "no limit".
    fn lowered(&self, frame_max: u32, channel_max: u16) -> Limits {
        let no_zero = |limits: Limits| Limits {
            frame_max: if limits.frame_max == 0 {
                u32::MAX
            } else {
                limits.frame_max
            },
            channel_max: if limits.channel_max == 0 {
                u16::MAX
            } else {
                limits.channel_max
            },
        };
        let theirs = no_zero(Limits {
            frame_max,
            channel_max,
        });
        let ours = no_zero(Limits {
            frame_max: self.params.frame_max,
            channel_max: self.params.channel_max,
        });
        Limits {
            frame_max: theirs.frame_max.min(ours.frame_max),
            channel_max: theirs.channel_max.min(ours.channel_max),
        }
    }

    /// RabbitMQ's name for the state in which it expects this.
    const fn state_name(&self, expected: Expects) -> &'static str {
        match expected {
            Expects::StartOk => "starting",
            Expects::TuneOk if self.offered.is_some() => "tuning",
            Expects::TuneOk => "securing",
            Expects::Open => "opening",
            Expects::Nothing => "running",
        }
    }
}

/// Holds the arguments of connection.tune-ok to the limits that were offered, none of them 0, by the
/// rules RabbitMQ has.
///
/// # Errors
/// What connection.close has to say.
pub fn agree(offered: Limits, arguments: &[u8]) -> Result<TuneOk, Violation> {
    let Ok(tune_ok) = TuneOk::decode(arguments) else {
        return Err(Violation::malformed_method(
            TuneOk::ID,
            "connection.tune-ok",
        ));
    };
    let TuneOk {
        channel_max,
        frame_max,
        ..
    } = tune_ok;
    let smallest = SMALLEST_FRAME_MAX.min(offered.frame_max);
    if frame_max != 0 && frame_max < smallest {
        return Err(not_negotiable(
            "frame_max",
            frame_max,
            "",
            "lower than the minimum",
            smallest,
        ));
    }
    if frame_max == 0 || frame_max > offered.frame_max {
        let most = offered.frame_max;
        return Err(not_negotiable(
            "frame_max",
            frame_max,
            "",
            "higher than the maximum",
            most,
        ));
    }
    if channel_max == 0 || channel_max > offered.channel_max {
        let detail = if channel_max == 0 { " (no limit)" } else { "" };
        let (value, most) = (channel_max.into(), offered.channel_max.into());
        return Err(not_negotiable(
            "channel_max",
            value,
            detail,
            "higher than the maximum",
            most,
        ));
    }
    Ok(tune_ok)
}

fn not_negotiable(field: &str, value: u32, detail: &str, how: &str, bound: u32) -> Violation {
    let explanation =
        format!("negotiated {field} = {value}{detail} is {how} allowed value ({bound})");
    // RabbitMQ names connection.tune, not tune-ok, as the method that failed.
    Violation::new(ReplyCode::NOT_ALLOWED, explanation, Tune::ID.into())
}

/// What connection.start offers to clients when the gateway writes the login. Browser clients know
/// one of the two; the broker is always sent PLAIN.
const MECHANISMS_ACCEPTED: &[u8] = b"PLAIN AMQPLAIN";

#[cfg(test)]
mod tests;
