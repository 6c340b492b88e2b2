//! Methods of the client on open channels: what is refused, what is changed, and what is noted for
//! the broker's answer. Queues have a file of their own.

use crate::relay::server::channel::Awaited;
use crate::relay::server::channel::Channel;
use crate::relay::server::channel::Consumer;
use crate::relay::server::channel::Content;
use crate::relay::server::channel::Manner;
use crate::relay::server::channel::Stage;
use crate::relay::server::channel::State as ChannelState;
use crate::relay::server::closing::second_open;
use crate::relay::server::frames;
use crate::relay::server::negotiating::not_utf8;
use crate::relay::server::negotiating::unknown_frame;
use crate::relay::server::negotiating::unknown_method;
use crate::relay::server::open::expected_method;
use crate::relay::server::open::renumber;
use crate::relay::server::open::Step;
use crate::relay::server::rule::named;
use crate::relay::server::rule::octets;
use crate::relay::server::rule::Refusal;
use crate::relay::server::rule::Rule;
use crate::relay::server::Output;
use crate::relay::server::Params;
use crate::relay::server::Server;
use crate::relay::violation::NO_METHOD;
use crate::upstream::shared::Line;
use crate::upstream::shared::QueueKind;
use crate::upstream::shared::Version;
use crate::wire::amqp::arguments::check;
use crate::wire::amqp::arguments::sender;
use crate::wire::amqp::arguments::ArgumentsError;
use crate::wire::amqp::arguments::Sender;
use crate::wire::amqp::fields::field;
use crate::wire::amqp::fields::Value;
use crate::wire::amqp::frame::HEADER_SIZE;
use crate::wire::amqp::FrameHeader;
use crate::wire::amqp::FrameKind;
use crate::wire::amqp::MethodId;
use crate::wire::amqp::ReplyCode;
use crate::wire::reader::Reader;
use crate::wire::reader::UnexpectedEnd;

/// Bytes in front of the arguments of a method frame.
pub(super) const ARGUMENTS_AT: usize = HEADER_SIZE + 4;

/// Splits the payload of a method frame.
pub(super) fn method_of(payload: &[u8]) -> Result<(MethodId, &[u8]), Refusal> {
    match payload.split_first_chunk() {
        Some((number, arguments)) => Ok((MethodId::from_bytes(*number), arguments)),
        None => Err(unknown_frame(FrameKind::METHOD, payload)),
    }
}

/// Whether a client may send the method and a broker can decode it, on a channel.
pub(super) fn decodable(method: MethodId, arguments: &[u8]) -> Result<(), Refusal> {
    let schema = match sender(method) {
        Sender::Client(schema) => schema,
        Sender::Broker => return Ok(()),
        Sender::Nobody => return Err(unknown_method(method)),
    };
    check(schema, arguments).map_err(|error| undecodable(error, method, arguments))
}

#[cold]
fn undecodable(error: ArgumentsError, method: MethodId, arguments: &[u8]) -> Refusal {
    match error {
        ArgumentsError::Length => Refusal::connection(
            Rule::Arguments,
            ReplyCode::FRAME_ERROR,
            format!("cannot decode {}", octets(arguments)),
            method.into(),
        ),
        ArgumentsError::NotUtf8 => not_utf8(NO_METHOD),
        // RabbitMQ drops the connection without a word here.
        ArgumentsError::Table => Refusal::internal_error(Rule::Arguments),
    }
}

/// What a method's judge may look at and change.
pub(super) struct Case<'a, L> {
    pub params: &'a Params,
    pub channel: &'a mut Channel,
    /// Entries in the books of all channels.
    pub booked: usize,
    pub line: &'a L,
    pub method: MethodId,
}

/// What becomes of a method.
pub(super) enum Ruling {
    /// It goes on.
    Pass,
    /// It goes on with this octet of its arguments changed.
    With { at: usize, octet: u8 },
    /// It goes on like that, between frames of the server's own.
    Between {
        before: Vec<u8>,
        at: usize,
        octet: u8,
        after: Vec<u8>,
    },
    /// It goes on behind frames of the server's own, with this tag in place of its own.
    Tagged { before: Vec<u8>, tag: Option<u64> },
    /// These frames go on in its place, and these to the client.
    Instead {
        to_broker: Vec<u8>,
        to_client: Vec<u8>,
    },
    /// It is for later.
    Wait,
}

impl Server {
    /// A frame on an open channel between messages.
    #[inline]
    pub(super) fn method<L: Line>(
        &mut self,
        place: usize,
        header: FrameHeader,
        frame: &mut [u8],
        line: &L,
        out: &mut Output,
    ) -> Result<Step, Refusal> {
        let Some(channel) = self.channels.at(place) else {
            return Ok(Step::Drop);
        };
        let payload = frame.get(HEADER_SIZE..frame.len() - 1).unwrap_or_default();
        if header.kind != FrameKind::METHOD {
            if header.kind == FrameKind::HEADER && payload.len() < 12 {
                return Err(unknown_frame(header.kind, payload));
            }
            return expected_method(header.kind).map(|()| Step::Drop);
        }
        let (method, arguments) = method_of(payload)?;
        if channel.books.committing && method != frames::CHANNEL_CLOSE {
            return Ok(Step::Wait);
        }
        if method == MethodId::BASIC_PUBLISH {
            let Ok(bits) = publish_bits(arguments) else {
                return Err(undecodable(ArgumentsError::Length, method, arguments));
            };
            out.tally.count_from_client(method);
            channel.content = Content::Header {
                immediate: bits & 0b10 != 0,
            };
            renumber(frame, channel);
            return Ok(Step::Content);
        }
        decodable(method, arguments)?;
        let kept = channel.books.kept();
        let case = Case {
            params: &self.params,
            channel,
            booked: self.booked,
            line,
            method,
        };
        let ruling = case.rule(arguments)?;
        if matches!(ruling, Ruling::Wait) {
            return Ok(Step::Wait);
        }
        out.tally.count_from_client(method);
        self.booked = (self.booked + channel.books.kept()).saturating_sub(kept);
        renumber(frame, channel);
        let mut change = |at: usize, octet: u8| {
            if let Some(place) = frame.get_mut(ARGUMENTS_AT + at) {
                *place = octet;
            }
        };
        let edit = |before, after| {
            Ok(Step::Edit {
                before,
                keep: true,
                after,
            })
        };
        match ruling {
            Ruling::Pass => Ok(Step::Keep),
            Ruling::With { at, octet } => {
                change(at, octet);
                Ok(Step::Keep)
            }
            Ruling::Between {
                before,
                at,
                octet,
                after,
            } => {
                change(at, octet);
                edit(before, after)
            }
            Ruling::Tagged { before, tag } => {
                if let Some(tag) = tag {
                    for (at, octet) in tag.to_be_bytes().into_iter().enumerate() {
                        change(at, octet);
                    }
                }
                edit(before, Vec::new())
            }
            Ruling::Instead {
                to_broker,
                to_client,
            } => {
                if !to_client.is_empty() {
                    self.say(&to_client, out);
                }
                Ok(Step::Edit {
                    before: to_broker,
                    keep: false,
                    after: Vec::new(),
                })
            }
            Ruling::Wait => Ok(Step::Wait),
        }
    }
}

impl<L: Line> Case<'_, L> {
    /// Judges a method whose arguments can be decoded.
    fn rule(mut self, arguments: &[u8]) -> Result<Ruling, Refusal> {
        let mut reader = Reader::new(arguments);
        match (self.method.class, self.method.method) {
            (60, 80) => self.settle(&mut reader, false),
            (60, 90 | 120) => self.settle(&mut reader, true),
            (60, 100 | 110) => self.recover(&mut reader),
            (60, 10) => self.qos(&mut reader),
            (60, 20) => self.consume(arguments, &mut reader),
            (60, 30) => self.cancel(&mut reader),
            (60, 70) => self.get(&mut reader),
            (50, _) => self.queue(arguments, &mut reader),
            (40, 10) => self.exchange_declare(&mut reader),
            (20, 10) => Err(second_open()),
            (20, 20) => self.flow(&mut reader),
            (20, 40) => {
                self.channel.state = ChannelState::ClosedByClient {
                    times: 1,
                    client_owes: false,
                };
                self.channel.broker_owes = true;
                Ok(Ruling::Pass)
            }
            (90, 10) => {
                self.channel.books.transactional = true;
                Ok(Ruling::Pass)
            }
            (90, 20) => {
                self.channel.books.committing = self.channel.books.transactional;
                Ok(Ruling::Pass)
            }
            (30, 10) | (40, 20 | 30 | 40) | (85, 10) | (90, 30) => Ok(Ruling::Pass),
            // Class connection, and what only a broker sends. And basic.credit, an extension that RabbitMQ 4.0 has given up:
            // a channel of 3.10 fails when a classic queue answers that its credit is drained.
            _ => Err(Refusal::unimplemented(self.method)),
        }
        .or_undecodable(self.method, arguments)
    }

    fn flow(&mut self, reader: &mut Reader<'_>) -> Outcome {
        if reader.u8()? & 1 == 0 {
            return Err(self.not_implemented(Rule::Flow, "active=false"));
        }
        Ok(Ruling::Pass)
    }

    fn exchange_declare(&mut self, reader: &mut Reader<'_>) -> Outcome {
        reader.u16()?;
        reader.counted_by_u8()?;
        let kind = reader.counted_by_u8()?;
        let passive = reader.u8()? & 1 != 0;
        let types = &self.params.policy.exchange_types;
        if passive || types.iter().any(|known| known.as_bytes() == kind) {
            return Ok(Ruling::Pass);
        }
        let what = if kind.is_empty() {
            "invalid"
        } else {
            "unknown"
        };
        let explanation = format!("{what} exchange type '{}'", named(kind));
        let code = ReplyCode::COMMAND_INVALID;
        Err(Refusal::connection(
            Rule::ExchangeType,
            code,
            explanation,
            self.method.into(),
        ))
    }

    fn qos(&mut self, reader: &mut Reader<'_>) -> Outcome {
        let size = reader.u32()?;
        let prefetch = reader.u16()?;
        let global = reader.u8()? & 1 != 0;
        if size != 0 {
            let explanation = format!("prefetch_size!=0 ({size})");
            return Err(self.not_implemented(Rule::PrefetchSize, explanation));
        }
        self.has_room()?;
        let books = &mut self.channel.books;
        if global {
            books.global_prefetch = prefetch;
        } else {
            books.prefetch = prefetch;
        }
        books.awaited.push_back(Awaited::Qos { swallow: false });
        Ok(Ruling::Pass)
    }

    fn consume(&mut self, arguments: &[u8], reader: &mut Reader<'_>) -> Outcome {
        reader.u16()?;
        let queue = reader.counted_by_u8()?;
        let tag = reader.counted_by_u8()?;
        let at = arguments.len() - reader.remaining();
        let bits = reader.u8()?;
        let table = reader.counted_by_u32()?;
        let (no_ack, nowait) = (bits & 0b10 != 0, bits & 0b1000 != 0);
        match self
            .channel
            .books
            .consumers
            .get(tag)
            .map(|known| known.stage)
        {
            None => {}
            Some(Stage::Cancelling { .. }) => return Ok(Ruling::Wait),
            Some(_) => {
                let explanation = format!("attempt to reuse consumer tag '{}'", named(tag));
                let code = ReplyCode::NOT_ALLOWED;
                let method = self.method.into();
                return Err(Refusal::connection(
                    Rule::ConsumerTag,
                    code,
                    explanation,
                    method,
                ));
            }
        }
        if !self.may_use(queue)? {
            return Ok(Ruling::Wait);
        }
        let books = &self.channel.books;
        let untouchable = queue.starts_with(b"amq.rabbitmq.reply-to") || books.transactional;
        let manner = if !no_ack {
            Manner::Client
        } else if untouchable || !books.settling.may_turn() {
            Manner::Never
        } else {
            Manner::Turned
        };
        let kind = self.kind(queue);
        let reply_to = queue.starts_with(b"amq.rabbitmq.reply-to");
        if !reply_to {
            self.consume_fits(queue, kind, manner)?;
            self.poison(kind, table)?;
        }
        let quorum = !reply_to && !matches!(kind, Some(QueueKind::Classic | QueueKind::Stream));
        let mended = self.params.version >= Some(Version(4, 0));
        if quorum && !mended && !self.channel.books.may_consume_as(tag) {
            return Err(Refusal::internal_error(Rule::ConsumerTag));
        }
        let books = &self.channel.books;
        if tag.is_empty() {
            let alike = (manner, nowait);
            if books.unnamed.count > 0 && books.unnamed.kind != Some(alike) {
                return Ok(Ruling::Wait);
            }
        }
        self.has_room()?;
        let stage = Stage::Starting { swallow: nowait };
        let upstream = self.channel.upstream;
        let books = &mut self.channel.books;
        if tag.is_empty() {
            books.unnamed.count += 1;
            books.unnamed.kind = Some((manner, nowait));
        } else {
            let consumer = Consumer {
                manner,
                quorum,
                stage,
            };
            books.consumers.insert(tag.into(), consumer);
        }
        let octet = bits & !0b1000;
        if manner != Manner::Turned {
            return Ok(Ruling::With { at, octet });
        }
        books.settling.turn();
        let octet = octet & !0b10;
        let prefetch = self.params.policy.prefetch;
        if prefetch == books.prefetch {
            return Ok(Ruling::With { at, octet });
        }
        books.awaited.push_back(Awaited::Qos { swallow: true });
        books.awaited.push_back(Awaited::Qos { swallow: true });
        Ok(Ruling::Between {
            before: frames::qos(upstream, prefetch),
            at,
            octet,
            after: frames::qos(upstream, books.prefetch),
        })
    }

    /// Whether queues of this kind can be consumed like that.
    fn consume_fits(
        &self,
        queue: &[u8],
        kind: Option<QueueKind>,
        manner: Manner,
    ) -> Result<(), Refusal> {
        let books = &self.channel.books;
        let doubtful = kind.is_none() && !self.params.policy.trust_queue_types;
        let no_global = matches!(kind, Some(QueueKind::Quorum | QueueKind::Stream)) || doubtful;
        if books.global_prefetch != 0 && no_global {
            let explanation = format!("{} does not support global qos", self.described(queue));
            return Err(self.not_implemented(Rule::QueueType, explanation));
        }
        if manner == Manner::Never && (kind == Some(QueueKind::Stream) || doubtful) {
            let what = "automatic acknowledgement";
            return Err(self.not_for_streams(what, queue));
        }
        Ok(())
    }

    /// Values in the table of basic.consume over which RabbitMQ fails.
    fn poison(&self, kind: Option<QueueKind>, table: &[u8]) -> Result<(), Refusal> {
        let credit = field(table, b"x-credit").is_some();
        let offset = match field(table, b"x-stream-offset") {
            None => false,
            Some(Value::Text(offset)) => !is_offset(offset),
            Some(Value::Other(other)) => !matches!(
                other,
                b'T' | b'l' | b'I' | b'i' | b's' | b'u' | b'b' | b'B' | b'L'
            ),
            Some(_) => true,
        };
        let known = matches!(kind, Some(QueueKind::Classic | QueueKind::Quorum));
        if credit || (offset && !known) {
            return Err(Refusal::internal_error(Rule::ArgumentValue));
        }
        Ok(())
    }

    fn cancel(&mut self, reader: &mut Reader<'_>) -> Outcome {
        let tag = reader.counted_by_u8()?;
        let at = tag.len() + 1;
        let bits = reader.u8()?;
        let Some(consumer) = self.channel.books.consumers.get_mut(tag) else {
            return Ok(Ruling::Pass);
        };
        // RabbitMQ fails over a cancel that comes before its consume-ok has passed.
        if consumer.stage != Stage::Running {
            return Ok(Ruling::Wait);
        }
        let swallow = bits & 1 != 0;
        consumer.stage = Stage::Cancelling { swallow };
        Ok(Ruling::With {
            at,
            octet: bits & !1,
        })
    }

    /// Room for what has to be remembered until the broker answers.
    pub(super) fn has_room(&self) -> Result<(), Refusal> {
        if self.booked < BOOKED_MAX {
            return Ok(());
        }
        let explanation = "too many consumers and requests without an answer";
        Err(Refusal::connection(
            Rule::Bookkeeping,
            ReplyCode::RESOURCE_ERROR,
            explanation,
            self.method.into(),
        ))
    }

    pub(super) fn not_implemented(
        &self,
        rule: Rule,
        explanation: impl std::fmt::Display,
    ) -> Refusal {
        Refusal::connection(
            rule,
            ReplyCode::NOT_IMPLEMENTED,
            explanation,
            self.method.into(),
        )
    }

    pub(super) fn not_for_streams(&self, what: &str, queue: &[u8]) -> Refusal {
        let queue = self.described(queue);
        let explanation = format!("{what} not supported by stream queues {queue}");
        self.not_implemented(Rule::QueueType, explanation)
    }
}

/// What judging comes to.
pub(super) type Outcome = Result<Ruling, Refusal>;

/// The arguments were checked, so that they can be read; if not after all, that is what is said.
trait OrUndecodable {
    fn or_undecodable(self, method: MethodId, arguments: &[u8]) -> Outcome;
}

impl OrUndecodable for Outcome {
    fn or_undecodable(self, method: MethodId, arguments: &[u8]) -> Outcome {
        self.map_err(|refusal| match refusal.violation.text.as_str() {
            "" => undecodable(ArgumentsError::Length, method, arguments),
            _ => refusal,
        })
    }
}

impl From<UnexpectedEnd> for Refusal {
    /// Filled in by whoever has the arguments.
    fn from(UnexpectedEnd: UnexpectedEnd) -> Self {
        let mut refusal = Self::internal_error(Rule::Arguments);
        refusal.violation.text = String::new();
        refusal
    }
}

/// The bits of basic.publish: mandatory, immediate.
#[inline]
fn publish_bits(arguments: &[u8]) -> Result<u8, UnexpectedEnd> {
    let mut reader = Reader::new(arguments);
    reader.u16()?;
    reader.counted_by_u8()?;
    reader.counted_by_u8()?;
    let bits = reader.u8()?;
    if reader.is_empty() {
        Ok(bits)
    } else {
        Err(UnexpectedEnd)
    }
}

/// Whether RabbitMQ at least survives this as a place in a stream: a word, or an age such as `5m`.
fn is_offset(text: &[u8]) -> bool {
    matches!(text, b"first" | b"last" | b"next") || text.first().is_some_and(u8::is_ascii_digit)
}

/// Consumers, requests without an answer and deliveries that have to be followed, over all channels
/// of a session: some megabytes at most.
pub(super) const BOOKED_MAX: usize = 65_536;
