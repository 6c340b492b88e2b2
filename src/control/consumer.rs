//! Receives commands over a queue of its own and obeys them. Replies go another way, so that no alarm of the broker holds
//! a command back.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use lapin::message::Delivery;
use lapin::options::BasicAckOptions;
use lapin::options::BasicConsumeOptions;
use lapin::options::BasicQosOptions;
use lapin::options::QueueBindOptions;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::types::ShortString;
use lapin::Channel;
use tokio::time::interval;
use tracing::info;
use tracing::warn;

use crate::control::command;
use crate::control::command::Command;
use crate::control::metrics::Metrics;
use crate::control::replies::Replies;
use crate::control::replies::Reply;
use crate::control::running::describe;
use crate::control::running::Parts;
use crate::control::Sessions;
use crate::ending::OneLine;

/// A queue that is bound to the exchange and consumed.
pub(super) struct Consumer {
    deliveries: lapin::Consumer,
    channel: Channel,
    exchange: ShortString,
    queue: ShortString,
    gateway: Arc<str>,
    metrics: Metrics,
    replies: Arc<Replies>,
    sessions: Arc<dyn Sessions>,
}

impl Consumer {
    /// Declares an exclusive queue that the server names, and binds it. It goes with the connection, so nothing is left
    /// of a gateway that is gone.
    pub(super) async fn new(
        channel: Channel,
        exchange: &str,
        parts: &Parts,
        sessions: &Arc<dyn Sessions>,
    ) -> Result<Self, String> {
        let options = QueueDeclareOptions {
            exclusive: true,
            ..QueueDeclareOptions::default()
        };
        let table = FieldTable::default;
        let queue = channel.queue_declare("".into(), options, table()).await;
        let queue = queue.map_err(describe)?.name().clone();
        let options = QueueBindOptions::default();
        let bound = channel.queue_bind(queue.clone(), exchange.into(), "".into(), options, table());
        bound.await.map_err(describe)?;
        let options = BasicQosOptions::default();
        channel
            .basic_qos(PREFETCH, options)
            .await
            .map_err(describe)?;
        let options = BasicConsumeOptions::default();
        let consumed = channel.basic_consume(queue.clone(), "".into(), options, table());
        let deliveries = consumed.await.map_err(describe)?;
        Ok(Self {
            deliveries,
            channel,
            exchange: exchange.into(),
            queue,
            gateway: Arc::clone(&parts.gateway),
            metrics: parts.metrics.clone(),
            replies: Arc::clone(&parts.replies),
            sessions: Arc::clone(sessions),
        })
    }

    /// Obeys commands until the queue, the exchange or the connection is lost; says how.
    pub(super) async fn run(&mut self) -> String {
        let mut look = interval(LOOK);
        loop {
            let delivery = poll_fn(|cx| Pin::new(&mut self.deliveries).poll_next(cx));
            let done = tokio::select! {
                delivery = delivery => match delivery {
                    Some(Ok(delivery)) => self.obey(delivery).await,
                    Some(Err(error)) => Err(error),
                    None => return "the queue for commands is gone".to_owned(),
                },
                _ = look.tick() => self.bind().await,
            };
            if let Err(error) = done {
                return describe(error);
            }
        }
    }

    /// Binds the queue, which changes nothing if it is bound. Nobody would say that the exchange was deleted, and no
    /// command would come any more.
    async fn bind(&self) -> Result<(), lapin::Error> {
        let (queue, exchange) = (self.queue.clone(), self.exchange.clone());
        let options = QueueBindOptions::default();
        let table = FieldTable::default();
        self.channel
            .queue_bind(queue, exchange, "".into(), options, table)
            .await
    }

    async fn obey(&self, delivery: Delivery) -> Result<(), lapin::Error> {
        // Who sent it, if he has said: RabbitMQ lets nobody claim to be another user.
        let sender = delivery.properties.user_id().as_ref();
        let sender = sender.map_or("", |user| user.as_str());
        let reply = match Command::parse(&delivery.data) {
            Ok(Command::End(target)) => {
                let ended = self.sessions.end_all_of(&target);
                info!(ended, target = %OneLine(format!("{target:?}")), sender = %OneLine(sender), "command obeyed");
                self.metrics.obeyed(target.kind(), ended);
                command::done(&self.gateway, ended)
            }
            Err(malformed) => {
                let (code, detail) = (malformed.code, OneLine(&malformed.detail));
                warn!(code, %detail, sender = %OneLine(sender), "command refused");
                self.metrics.malformed();
                command::refused(&self.gateway, &malformed)
            }
        };
        if let Some(address) = delivery.properties.reply_to().clone() {
            self.replies.push(Reply {
                address,
                correlation_id: delivery.properties.correlation_id().clone(),
                body: reply,
            });
        }
        delivery.acker.ack(BasicAckOptions::default()).await?;
        Ok(())
    }
}

/// Between two looks whether the exchange is still there.
const LOOK: Duration = Duration::from_secs(10);

/// Commands that may wait here: more than a person sends, and few enough to hold.
const PREFETCH: u16 = 64;
