//! Methods about queues: whose a queue is, of which kind, and whether the method suits that.

use std::borrow::Cow;

use crate::relay::server::channel::Awaited;
use crate::relay::server::channel::Declare;
use crate::relay::server::channel::LastQueue;
use crate::relay::server::methods::Case;
use crate::relay::server::methods::Outcome;
use crate::relay::server::methods::Ruling;
use crate::relay::server::rule::named;
use crate::relay::server::rule::Refusal;
use crate::relay::server::rule::Rule;
use crate::upstream::shared::Access;
use crate::upstream::shared::Line;
use crate::upstream::shared::QueueKind;
use crate::upstream::shared::Version;
use crate::wire::amqp::fields::field;
use crate::wire::amqp::fields::Value;
use crate::wire::amqp::ReplyCode;
use crate::wire::reader::Reader;

impl<L: Line> Case<'_, L> {
    /// A method of class queue.
    pub(super) fn queue(&mut self, arguments: &[u8], reader: &mut Reader<'_>) -> Outcome {
        reader.u16()?;
        let queue = reader.counted_by_u8()?;
        match self.method.method {
            10 => self.declare(queue, queue.len() + 3, reader),
            // bind and unbind
            20 | 50 => Ok(if self.may_use(queue)? {
                Ruling::Pass
            } else {
                Ruling::Wait
            }),
            30 => self.purge(queue),
            40 => self.delete(queue, queue.len() + 3, reader),
            _ => {
                debug_assert!(!arguments.is_empty());
                Err(Refusal::unimplemented(self.method))
            }
        }
    }

    fn declare(&mut self, queue: &[u8], at: usize, reader: &mut Reader<'_>) -> Outcome {
        let bits = reader.u8()?;
        let table = reader.counted_by_u32()?;
        let bit = |place: u8| bits & (1 << place) != 0;
        let (passive, durable, exclusive) = (bit(0), bit(1), bit(2));
        let (auto_delete, nowait) = (bit(3), bit(4));
        let mut claimed = false;
        if !queue.is_empty() {
            match self.line.queue_access(queue) {
                Access::Undecided => return Ok(Ruling::Wait),
                Access::Locked => return Err(self.locked(queue)),
                Access::Mine => {}
                Access::Free => claimed = exclusive && !passive,
            }
        }
        if !passive {
            self.declare_values(table, queue.is_empty())?;
        }
        self.has_room()?;
        if claimed || (exclusive && !passive && queue.is_empty()) {
            self.line.claim_queue(queue);
        }
        let lasting = durable && !exclusive && !auto_delete;
        let kind = declared_kind(table, lasting, self.params.version);
        let doubted = if passive || queue.is_empty() {
            None
        } else {
            self.line.doubt_queue_kind(queue, kind)
        };
        let books = &mut self.channel.books;
        books.last_queue = if queue.is_empty() {
            LastQueue::Unnamed(kind)
        } else {
            LastQueue::Named(queue.into())
        };
        books.awaited.push_back(Awaited::Declare(Declare {
            queue: queue.into(),
            passive,
            exclusive,
            claimed,
            kind,
            doubted,
            swallow: nowait,
        }));
        Ok(Ruling::With {
            at,
            octet: bits & !0b1_0000,
        })
    }

    /// Values in the table of queue.declare over which RabbitMQ fails.
    fn declare_values(&self, table: &[u8], unnamed: bool) -> Result<(), Refusal> {
        let kind = field(table, b"x-queue-type");
        // Whether a queue may go without a name, it asks a kind that it does not know.
        let unknown = match kind {
            None | Some(Value::Text(b"classic" | b"quorum" | b"stream")) => false,
            Some(_) => unnamed,
        };
        let stream = kind == Some(Value::Text(b"stream"));
        let replicated = stream || kind == Some(Value::Text(b"quorum"));
        let locator = match field(table, b"x-queue-master-locator") {
            None | Some(Value::Text(b"min-masters" | b"client-local" | b"random")) => false,
            Some(_) => !replicated,
        };
        let age = match field(table, b"x-max-age") {
            Some(Value::Text(age)) => stream && !age.first().is_some_and(u8::is_ascii_digit),
            _ => false,
        };
        if unknown || locator || age {
            return Err(Refusal::internal_error(Rule::ArgumentValue));
        }
        Ok(())
    }

    fn purge(&mut self, queue: &[u8]) -> Outcome {
        if !self.may_use(queue)? {
            return Ok(Ruling::Wait);
        }
        if self.may_be(queue, &[QueueKind::Stream]) {
            return Err(self.not_for_streams("queue.purge", queue));
        }
        Ok(Ruling::Pass)
    }

    fn delete(&mut self, queue: &[u8], at: usize, reader: &mut Reader<'_>) -> Outcome {
        let bits = reader.u8()?;
        let (if_unused, if_empty) = (bits & 1 != 0, bits & 0b10 != 0);
        if !self.may_use(queue)? {
            return Ok(Ruling::Wait);
        }
        if (if_unused || if_empty) && self.may_be(queue, &[QueueKind::Quorum]) {
            let flag = if if_unused { "if-unused" } else { "if-empty" };
            let queue = self.described(queue);
            let explanation = format!(
                "cannot delete {queue}. queue.delete operations with {flag} flag set are not supported by quorum queues"
            );
            return Err(self.not_implemented(Rule::QueueType, explanation));
        }
        self.has_room()?;
        let name = self.resolved(queue).into_owned().into();
        self.channel.books.awaited.push_back(Awaited::Delete {
            queue: name,
            swallow: bits & 0b100 != 0,
        });
        Ok(Ruling::With {
            at,
            octet: bits & !0b100,
        })
    }

    /// basic.get.
    pub(super) fn get(&mut self, reader: &mut Reader<'_>) -> Outcome {
        reader.u16()?;
        let queue = reader.counted_by_u8()?;
        let no_ack = reader.u8()? & 1 != 0;
        if !self.may_use(queue)? {
            return Ok(Ruling::Wait);
        }
        if self.may_be(queue, &[QueueKind::Stream]) {
            return Err(self.not_for_streams("basic.get", queue));
        }
        self.has_room()?;
        self.channel.books.awaited.push_back(Awaited::Get {
            acknowledged: !no_ack,
        });
        Ok(Ruling::Pass)
    }

    /// Whether the session may use the queue; `false` while nobody knows.
    pub(super) fn may_use(&self, queue: &[u8]) -> Result<bool, Refusal> {
        let name = self.resolved(queue);
        if name.is_empty() {
            // Just declared by this session, or not there at all.
            return Ok(true);
        }
        match self.line.queue_access(&name) {
            Access::Free | Access::Mine => Ok(true),
            Access::Undecided => Ok(false),
            Access::Locked => Err(self.locked(&name)),
        }
    }

    /// Whether the queue is, or for all that is known may be, of one of these kinds.
    fn may_be(&self, queue: &[u8], kinds: &[QueueKind]) -> bool {
        if queue.is_empty() && self.channel.books.last_queue == LastQueue::None {
            // The broker knows none either.
            return false;
        }
        match self.kind(queue) {
            Some(kind) => kinds.contains(&kind),
            None => !self.params.policy.trust_queue_types,
        }
    }

    /// The kind of a queue, if a session has declared it.
    pub(super) fn kind(&self, queue: &[u8]) -> Option<QueueKind> {
        match &self.channel.books.last_queue {
            LastQueue::Unnamed(kind) if queue.is_empty() => *kind,
            _ => {
                let name = self.resolved(queue);
                // What is on its way on this channel comes before what is asked now.
                let declared =
                    self.channel
                        .books
                        .awaited
                        .iter()
                        .rev()
                        .find_map(|awaited| match awaited {
                            Awaited::Declare(declare)
                                if *declare.queue == *name && !declare.passive =>
                            {
                                Some(declare.kind)
                            }
                            _ => None,
                        });
                declared.unwrap_or_else(|| self.line.queue_kind(&name))
            }
        }
    }

    /// The queue that is meant: the empty name is the channel's last one.
    fn resolved<'n>(&self, queue: &'n [u8]) -> Cow<'n, [u8]> {
        match &self.channel.books.last_queue {
            LastQueue::Named(last) if queue.is_empty() => Cow::Owned(last.to_vec()),
            _ => Cow::Borrowed(queue),
        }
    }

    /// The queue as reply texts name it.
    pub(super) fn described(&self, queue: &[u8]) -> String {
        let name = self.resolved(queue);
        format!("queue '{}' in vhost '{}'", named(&name), self.params.vhost)
    }

    fn locked(&self, queue: &[u8]) -> Refusal {
        let explanation = format!(
            "cannot obtain exclusive access to locked {}. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.",
            self.described(queue)
        );
        let code = ReplyCode::RESOURCE_LOCKED;
        Refusal::channel(Rule::QueueLocked, code, explanation, self.method)
    }
}

/// The kind of queue that such a declare makes.
fn declared_kind(table: &[u8], lasting: bool, version: Option<Version>) -> Option<QueueKind> {
    match field(table, b"x-queue-type") {
        Some(Value::Text(b"classic")) => Some(QueueKind::Classic),
        Some(Value::Text(b"quorum")) => Some(QueueKind::Quorum),
        Some(Value::Text(b"stream")) => Some(QueueKind::Stream),
        Some(_) => None,
        // Since 3.11 a vhost may have another default, for queues that stay.
        None if lasting && version.is_none_or(|version| version >= Version(3, 11)) => None,
        None => Some(QueueKind::Classic),
    }
}
