//! `x-kaazing-ping-pong`: signs of life as TEXT messages, because a browser hides native Pings and Pongs from its page.
//!
//! A TEXT message that begins with the control bytes is a control frame: those bytes and nothing more are an *escape*,
//! behind which the next message is data whatever it begins with; with `09 00` it is a ping, with `0a 00` a pong.

mod begin;
mod rewrite;

use std::time::Instant;

use crate::batch::Batch;
use crate::pipeline::link::Claims;
use crate::pipeline::link::Data;
use crate::pipeline::link::Decision;
use crate::pipeline::link::Extension;
use crate::pipeline::link::Failure;
use crate::pipeline::link::Link;
use crate::pipeline::link::Output;
use crate::pipeline::link::SignOfLife;
use crate::pipeline::link::Terms;
use crate::pipeline::metrics::Direction;
use crate::wire::websocket::header::Offer;
use crate::wire::websocket::CloseCode;
use crate::wire::websocket::Opcode;
use crate::wire::websocket::Piece;

use begin::Control;
use begin::FromClient;
use begin::Outgoing;
use begin::Taken;
use begin::ToClient;
use begin::Violation;
use rewrite::Rewrite;

/// The name in the handshake.
pub const NAME: &str = "x-kaazing-ping-pong";

/// The extension.
#[derive(Clone, Copy, Debug, Default)]
pub struct PingPong;

impl Extension for PingPong {
    fn name(&self) -> &str {
        NAME
    }

    /// Agreed with the control bytes as a parameter.
    fn decide(&self, offer: &Offer, _terms: &Terms<'_>) -> Decision {
        if !offer.params.is_empty() {
            return Decision::Malformed("takes no parameters in an offer".to_owned());
        }
        Decision::Agreed {
            params: vec![(PARAMETER.to_owned(), None)],
            link: Box::<Emulation>::default(),
        }
    }

    fn failure_reasons(&self) -> &[&'static str] {
        &[UNKNOWN_CONTROL, NEEDLESS_ESCAPE]
    }
}

/// The emulated control frames of one session. It holds no bytes but the two behind the control bytes: what has matched
/// the control bytes so far is known without them.
#[derive(Debug, Default)]
struct Emulation {
    from_client: FromClient,
    to_client: ToClient,
    /// When the ping went that has had no answer.
    pinged: Option<Instant>,
}

impl Emulation {
    fn answered(&mut self, output: &mut Output) {
        if let Some(pinged) = self.pinged.take() {
            output.measured_round_trip(output.now().saturating_duration_since(pinged));
        }
    }
}

impl Link for Emulation {
    fn claims(&self) -> Claims {
        let data = if self.from_client.awaits_more() || self.to_client.awaits_more() {
            Data::Everything
        } else {
            Data::TextWithPrefix(CONTROL)
        };
        Claims {
            data,
            signs_of_life: true,
        }
    }

    fn from_client(&mut self, batch: Batch, output: &mut Output) {
        let mut rewrite = Rewrite::of(&batch);
        let mut wants_answer = false;
        for (piece, bytes) in batch.parts() {
            match self.from_client.take(piece, bytes) {
                Ok(Taken::Data { held }) => rewrite.pass(piece, held, bytes),
                Ok(Taken::Held) => rewrite.leave_out(),
                Ok(Taken::Control(control)) => {
                    rewrite.leave_out();
                    match control {
                        Control::Escape => output.count_control(Direction::FromClient, "escape"),
                        Control::Ping => {
                            output.count_control(Direction::FromClient, "ping");
                            wants_answer = true;
                        }
                        Control::Pong => {
                            output.count_control(Direction::FromClient, "pong");
                            self.answered(output);
                        }
                    }
                }
                Err(violation) => {
                    rewrite.leave_out();
                    output.fail(failure(violation));
                    break;
                }
            }
        }
        rewrite.finish().pass(batch, output);
        if wants_answer {
            // One for all pings of the batch, which RFC 6455 section 5.5.3 allows for its own: pings do not multiply.
            send(SignOfLife::Pong, output);
        }
    }

    fn to_client(&mut self, batch: Batch, output: &mut Output) {
        let mut rewrite = Rewrite::of(&batch);
        for (piece, bytes) in batch.parts() {
            match self.to_client.take(piece, bytes) {
                Outgoing::Plain { held } => rewrite.pass(piece, held, bytes),
                Outgoing::Held => rewrite.leave_out(),
                Outgoing::Escaped { held } => {
                    output.count_control(Direction::ToClient, "escape");
                    rewrite.insert(Piece::whole(Opcode::Text), &CONTROL);
                    rewrite.pass(piece, held, bytes);
                }
            }
        }
        rewrite.finish().pass(batch, output);
    }

    fn sign_of_life(&mut self, sign: SignOfLife, output: &mut Output) {
        if sign == SignOfLife::Ping {
            // Answers come in order, so a later ping does not make an earlier one's answer look quick.
            let now = output.now();
            self.pinged.get_or_insert(now);
        }
        send(sign, output);
    }
}

/// Sends an emulated frame, as a message of its own.
fn send(sign: SignOfLife, output: &mut Output) {
    let (kind, payload) = match sign {
        SignOfLife::Ping => ("ping", begin::PING),
        SignOfLife::Pong => ("pong", begin::PONG),
    };
    output.count_control(Direction::ToClient, kind);
    let frame = [CONTROL.as_slice(), &payload].concat();
    output.send_to_client(Batch::message(Opcode::Text, &frame));
}

const UNKNOWN_CONTROL: &str = "unknown_control";
const NEEDLESS_ESCAPE: &str = "needless_escape";

fn failure(violation: Violation) -> Failure {
    let (reason, text) = match violation {
        Violation::UnknownControl => (UNKNOWN_CONTROL, "an unknown control message came"),
        Violation::NeedlessEscape => (NEEDLESS_ESCAPE, "an escape came before what needs none"),
    };
    Failure {
        reason,
        text: text.to_owned(),
        close_code: CloseCode::PROTOCOL_ERROR,
    }
}

/// The beginning of every control frame. One constant for all sessions: the published client keeps those of the first
/// session of a page for all others.
const CONTROL: [u8; 4] = [0x01, 0x01, 0x01, 0x02];

/// The same, as the handshake tells it.
const PARAMETER: &str = "01010102";

#[cfg(test)]
mod tests;
