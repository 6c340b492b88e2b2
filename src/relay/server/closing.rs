//! Frames of the client on channels that are not open, and the opening of one.

use crate::relay::server::channel::State as ChannelState;
use crate::relay::server::frames;
use crate::relay::server::from_client::payload_of;
use crate::relay::server::methods::decodable;
use crate::relay::server::methods::method_of;
use crate::relay::server::open::expected_method;
use crate::relay::server::open::Step;
use crate::relay::server::rule::Refusal;
use crate::relay::server::rule::Rule;
use crate::relay::server::Output;
use crate::relay::server::Server;
use crate::upstream::shared::Line;
use crate::wire::amqp::FrameHeader;
use crate::wire::amqp::FrameKind;
use crate::wire::amqp::MethodId;
use crate::wire::amqp::ReplyCode;

impl Server {
    /// A frame on a channel that is not there: only channel.open makes sense.
    pub(super) fn frame_without_channel<L: Line>(
        &mut self,
        header: FrameHeader,
        frame: &mut [u8],
        line: &L,
        out: &mut Output,
    ) -> Result<Step, Refusal> {
        expected_method(header.kind)?;
        let (method, arguments) = method_of(payload_of(frame))?;
        decodable(method, arguments)?;
        if method != frames::CHANNEL_OPEN {
            return Err(not_open(method));
        }
        let Some(upstream) = line.open_channel(header.channel) else {
            return Ok(Step::Wait);
        };
        out.tally.count_from_client(method);
        self.channels.open(header.channel, upstream);
        if let Some(place) = frame.get_mut(1..3) {
            place.copy_from_slice(&upstream.to_be_bytes());
        }
        Ok(Step::Keep)
    }

    /// A frame on a channel that is being closed.
    #[cold]
    pub(super) fn frame_on_closed_channel(
        &mut self,
        place: usize,
        header: FrameHeader,
        frame: &[u8],
        out: &mut Output,
    ) -> Result<Step, Refusal> {
        let number = header.channel;
        let method = MethodId::decode(payload_of(frame))
            .ok()
            .filter(|_| header.kind == FrameKind::METHOD);
        let Some(channel) = self.channels.at(place) else {
            return Ok(Step::Drop);
        };
        if channel.state == ChannelState::Gone {
            // The broker has still to confirm what the client knows already.
            if method == Some(frames::CHANNEL_OPEN) {
                return Ok(Step::Wait);
            }
            expected_method(header.kind)?;
            let (method, arguments) = method_of(payload_of(frame))?;
            decodable(method, arguments)?;
            return Err(not_open(method));
        }
        match (method, channel.state) {
            (Some(frames::CHANNEL_OPEN), _) => return Err(second_open()),
            (Some(frames::CHANNEL_CLOSE), ChannelState::ClosedByClient { times, client_owes }) => {
                channel.state = ChannelState::ClosedByClient {
                    times: times.saturating_add(1),
                    client_owes,
                };
            }
            (Some(frames::CHANNEL_CLOSE), _) => {
                self.say(&frames::close_ok(number), out);
            }
            (Some(frames::CHANNEL_CLOSE_OK), ChannelState::ClosedByClient { times, .. }) => {
                channel.state = ChannelState::ClosedByClient {
                    times,
                    client_owes: false,
                };
            }
            (Some(frames::CHANNEL_CLOSE_OK), _) => {
                if channel.broker_owes {
                    channel.state = ChannelState::Gone;
                } else {
                    self.channels.remove(number);
                }
            }
            _ => {}
        }
        if let Some(method) = method {
            out.tally.count_from_client(method);
        }
        Ok(Step::Drop)
    }
}

/// channel.open where the channel is open.
pub(super) fn second_open() -> Refusal {
    Refusal::connection(
        Rule::ChannelOpenedTwice,
        ReplyCode::CHANNEL_ERROR,
        "second 'channel.open' seen",
        frames::CHANNEL_OPEN.into(),
    )
}

fn not_open(method: MethodId) -> Refusal {
    Refusal::connection(
        Rule::ChannelNotOpen,
        ReplyCode::CHANNEL_ERROR,
        "expected 'channel.open'",
        method.into(),
    )
}
