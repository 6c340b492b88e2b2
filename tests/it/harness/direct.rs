//! RabbitMQ without the gateway, through lapin: to see what really arrived there, and to send what pages shall get.

use std::future::Future;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_lite::StreamExt;
use lapin::options::BasicConsumeOptions;
use lapin::options::BasicPublishOptions;
use lapin::options::ExchangeDeleteOptions;
use lapin::options::QueueBindOptions;
use lapin::options::QueueDeclareOptions;
use lapin::options::QueueDeleteOptions;
use lapin::types::FieldTable;
use lapin::BasicProperties;
use lapin::Channel;
use lapin::Connection;
use lapin::ConnectionProperties;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::rabbitmq::RabbitMq;
use super::DEADLINE;

/// An AMQP connection and a channel of lapin's. Every call has a deadline.
pub(crate) struct Direct {
    runtime: Runtime,
    connection: Connection,
    channel: Channel,
}

impl Direct {
    #[track_caller]
    pub(crate) fn connect(broker: &RabbitMq) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        let (connection, channel) = within(&runtime, DEADLINE, async {
            let connection =
                Connection::connect(broker.uri(), ConnectionProperties::default()).await?;
            let channel = connection.create_channel().await?;
            Ok((connection, channel))
        });
        Self {
            runtime,
            connection,
            channel,
        }
    }

    /// Declares a queue of a name that nobody else has, and gives the name.
    #[track_caller]
    pub(crate) fn queue(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "smeuse-it-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let options = QueueDeclareOptions::default();
        self.within(self.channel.queue_declare(
            name.as_str().into(),
            options,
            FieldTable::default(),
        ));
        name
    }

    /// How many messages wait in the queue, unacknowledged ones not among them.
    #[track_caller]
    pub(crate) fn waiting(&self, queue: &str) -> u32 {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        self.within(
            self.channel
                .queue_declare(queue.into(), options, FieldTable::default()),
        )
        .message_count()
    }

    #[track_caller]
    pub(crate) fn publish(&self, queue: &str, body: &[u8]) {
        let options = BasicPublishOptions::default();
        let properties = BasicProperties::default();
        self.within(
            self.channel
                .basic_publish("".into(), queue.into(), options, body, properties),
        );
    }

    /// Takes this many messages out of the queue, in order.
    #[track_caller]
    pub(crate) fn take(&self, queue: &str, count: usize) -> Vec<Vec<u8>> {
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let consume =
            self.channel
                .basic_consume(queue.into(), "".into(), options, FieldTable::default());
        let mut consumer = self.within(consume);
        let take = async {
            let mut bodies = Vec::new();
            while bodies.len() < count {
                let Some(delivery) = consumer.next().await else {
                    break;
                };
                bodies.push(delivery?.data);
            }
            Ok(bodies)
        };
        let bodies = within(&self.runtime, 3 * DEADLINE, take);
        assert_eq!(bodies.len(), count, "the consumer ended early");
        bodies
    }

    /// A queue as of [`Self::queue`] that outlives the broker's process.
    #[track_caller]
    pub(crate) fn durable_queue(&self) -> String {
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let name = format!("smeuse-it-durable-{}", std::process::id());
        self.within(self.channel.queue_declare(
            name.as_str().into(),
            options,
            FieldTable::default(),
        ));
        name
    }

    /// A queue of a name that nobody else has, bound to the exchange with this key.
    #[track_caller]
    pub(crate) fn subscribe(&self, exchange: &str, key: &str) -> String {
        let queue = self.queue();
        self.bind(&queue, exchange, key);
        queue
    }

    #[track_caller]
    pub(crate) fn bind(&self, queue: &str, exchange: &str, key: &str) {
        self.within(self.channel.queue_bind(
            queue.into(),
            exchange.into(),
            key.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        ));
    }

    /// Publishes to the exchange, and gives so many replies.
    #[track_caller]
    pub(crate) fn ask(&self, exchange: &str, body: &str, replies: usize) -> Vec<Value> {
        let queue = self.queue();
        let properties = BasicProperties::default()
            .with_reply_to(queue.as_str().into())
            .with_correlation_id("7".into());
        let options = BasicPublishOptions::default();
        self.within(self.channel.basic_publish(
            exchange.into(),
            "".into(),
            options,
            body.as_bytes(),
            properties,
        ));
        let replies = self.take_json(&queue, replies);
        self.delete(&queue);
        replies
    }

    #[track_caller]
    pub(crate) fn delete_exchange(&self, exchange: &str) {
        let options = ExchangeDeleteOptions::default();
        self.within(self.channel.exchange_delete(exchange.into(), options));
    }

    /// [`Self::take`] of messages that are JSON.
    #[track_caller]
    pub(crate) fn take_json(&self, queue: &str, count: usize) -> Vec<Value> {
        let parse = |body: Vec<u8>| serde_json::from_slice(&body).expect("JSON");
        self.take(queue, count).into_iter().map(parse).collect()
    }

    #[track_caller]
    pub(crate) fn delete(&self, queue: &str) {
        self.within(
            self.channel
                .queue_delete(queue.into(), QueueDeleteOptions::default()),
        );
    }

    #[track_caller]
    fn within<T>(&self, future: impl Future<Output = lapin::Result<T>>) -> T {
        within(&self.runtime, DEADLINE, future)
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        let close = self.connection.close(200, "".into());
        let _ = self
            .runtime
            .block_on(async { tokio::time::timeout(DEADLINE, close).await });
    }
}

#[track_caller]
fn within<T>(
    runtime: &Runtime,
    deadline: Duration,
    future: impl Future<Output = lapin::Result<T>>,
) -> T {
    let outcome = runtime.block_on(async { tokio::time::timeout(deadline, future).await });
    outcome
        .expect("RabbitMQ answers in time")
        .expect("RabbitMQ agrees")
}
