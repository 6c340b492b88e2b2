//! RabbitMQ without the gateway, through lapin: to see what really arrived there, and to send what pages shall get.

use std::future::Future;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_lite::StreamExt;
use lapin::options::BasicConsumeOptions;
use lapin::options::BasicPublishOptions;
use lapin::options::QueueDeclareOptions;
use lapin::options::QueueDeleteOptions;
use lapin::types::FieldTable;
use lapin::BasicProperties;
use lapin::Channel;
use lapin::Connection;
use lapin::ConnectionProperties;
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
