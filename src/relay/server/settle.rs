//! Acknowledgements: the client's, which must not touch what the gateway settles, and the gateway's
//! own for deliveries that have gone on to the client.

use crate::relay::server::channel::State as ChannelState;
use crate::relay::server::frames;
use crate::relay::server::methods::Case;
use crate::relay::server::methods::Outcome;
use crate::relay::server::methods::Ruling;
use crate::relay::server::rule::Refusal;
use crate::relay::server::rule::Rule;
use crate::relay::server::run;
use crate::relay::server::turned::Settle;
use crate::relay::server::turned::Settled;
use crate::relay::server::Output;
use crate::relay::server::Server;
use crate::upstream::shared::Line;
use crate::wire::amqp::ReplyCode;
use crate::wire::reader::Reader;

impl<L: Line> Case<'_, L> {
    /// basic.ack, and, `negative`, basic.reject and basic.nack.
    pub(super) fn settle(&mut self, reader: &mut Reader<'_>, negative: bool) -> Outcome {
        let tag = reader.u64()?;
        let bits = reader.u8()?;
        // The first bit of basic.reject says something else.
        let multiple = bits & 1 != 0 && self.method.method != 90;
        let mut before = Vec::new();
        let upstream = self.channel.upstream;
        let settle = Settle {
            tag,
            multiple,
            negative,
        };
        let ack = |ack| before.extend(frames::ack(upstream, ack));
        match self.channel.books.settling.settle(settle, ack) {
            Settled::Pass if before.is_empty() => Ok(Ruling::Pass),
            Settled::Pass => Ok(Ruling::Tagged { before, tag: None }),
            Settled::With(tag) => Ok(Ruling::Tagged {
                before,
                tag: Some(tag),
            }),
            Settled::Drop => Ok(Ruling::Instead {
                to_broker: Vec::new(),
                to_client: Vec::new(),
            }),
            Settled::Unknown => {
                let explanation = format!("unknown delivery tag {tag}");
                let code = ReplyCode::PRECONDITION_FAILED;
                Err(Refusal::channel(
                    Rule::DeliveryTag,
                    code,
                    explanation,
                    self.method,
                ))
            }
        }
    }

    /// basic.recover and recover-async.
    pub(super) fn recover(&mut self, reader: &mut Reader<'_>) -> Outcome {
        if reader.u8()? & 1 == 0 {
            return Err(self.not_implemented(Rule::Recover, "requeue=false"));
        }
        let upstream = self.channel.upstream;
        let settling = &mut self.channel.books.settling;
        if !settling.is_exact() {
            settling.recovers_roughly();
            return Ok(Ruling::Pass);
        }
        // The broker would put back what is on its way to a turned consumer as well, and what is
        // the gateway's to acknowledge would have lost its tag. So the client's own are put back by
        // their tags.
        let mut to_broker = Vec::new();
        if let Some(tag) = settling.last_own() {
            let settle = Settle {
                tag,
                multiple: true,
                negative: true,
            };
            settling.settle(settle, |ack| to_broker.extend(frames::ack(upstream, ack)));
            to_broker.extend(frames::nack_all(upstream, tag));
        }
        let to_client = if self.method.method == 110 {
            frames::recover_ok(self.channel.number)
        } else {
            Vec::new()
        };
        Ok(Ruling::Instead {
            to_broker,
            to_client,
        })
    }
}

impl Server {
    /// All bytes ever put out for the client up to `position` have gone to the session: deliveries
    /// of turned consumers that end there are acknowledged.
    pub fn passed(&mut self, position: u64, out: &mut Output) {
        // Most deliveries that go on at once are of one channel, and in order on each.
        let mut last = None;
        while let Some(first) = self.crossing.front().copied() {
            if first.end > position {
                break;
            }
            self.crossing.pop_front();
            let this = (first.channel, first.generation);
            if let Some((before, tag)) = last.replace((this, first.tag)) {
                if before != this {
                    self.acknowledge(before, tag, out);
                }
            }
        }
        if let Some((channel, tag)) = last {
            self.acknowledge(channel, tag, out);
        }
    }

    /// Acknowledges the gateway's deliveries on a channel up to `tag`.
    fn acknowledge(&mut self, (number, generation): (u16, u32), tag: u64, out: &mut Output) {
        let Some(channel) = self.channels.get(number) else {
            return;
        };
        if channel.generation != generation || channel.state != ChannelState::Open {
            return;
        }
        let upstream = channel.upstream;
        let settling = &mut channel.books.settling;
        if channel.books.committing {
            settling.hold(tag);
            return;
        }
        let before = settling.len();
        settling.acknowledge(tag, |ack| {
            run::push(&frames::ack(upstream, ack), &mut out.to_broker);
        });
        self.booked = self.booked.saturating_sub(before - settling.len());
    }

    /// Acknowledges what had to wait for tx.commit-ok.
    pub(super) fn release_held(&mut self, number: u16, out: &mut Output) {
        let Some(channel) = self.channels.get(number) else {
            return;
        };
        let id = (number, channel.generation);
        if let Some(tag) = channel.books.settling.release() {
            self.acknowledge(id, tag, out);
        }
    }
}
