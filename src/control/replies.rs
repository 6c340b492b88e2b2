//! Replies to commands: a short bounded queue, and who publishes what is in it, one after the other.
//!
//! A broker that has an alarm holds back whoever publishes. Commands do not wait for that: only the replies do, here.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use lapin::options::BasicPublishOptions;
use lapin::options::ConfirmSelectOptions;
use lapin::types::ShortString;
use lapin::BasicProperties;
use lapin::Channel;
use tokio::sync::watch;
use tokio::sync::Notify;
use tracing::warn;

use crate::control::metrics::Metrics;
use crate::control::running::describe;
use crate::control::running::stop;
use crate::ending::OneLine;
use crate::upstream::own::Channels;

/// One reply.
#[derive(Debug)]
pub(super) struct Reply {
    /// The queue that it goes to.
    pub(super) address: ShortString,
    pub(super) correlation_id: Option<ShortString>,
    pub(super) body: Vec<u8>,
}

/// Replies that wait for the broker.
#[derive(Debug)]
pub(super) struct Replies {
    waiting: Mutex<VecDeque<Reply>>,
    arrived: Notify,
    metrics: Metrics,
}

impl Replies {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self {
            waiting: Mutex::default(),
            arrived: Notify::new(),
            metrics,
        }
    }

    /// Takes a reply; the oldest makes room if there are too many.
    pub(super) fn push(&self, reply: Reply) {
        let mut waiting = self.lock();
        if waiting.len() >= MOST {
            waiting.pop_front();
            self.metrics.reply_dropped();
        }
        waiting.push_back(reply);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Publishes replies until the order to stop has come and none is left. One that the broker does not take is dropped:
    /// whoever asked has named a queue that this login may not write to.
    ///
    /// # Errors
    /// The connection is lost; the reply that was on its way goes over the next one.
    pub(super) async fn publish(
        &self,
        channels: &Channels,
        stopped: &mut watch::Receiver<bool>,
    ) -> Result<(), String> {
        let mut channel = None;
        let mut is_stopping = *stopped.borrow_and_update();
        loop {
            let next = Next::take(self);
            let Some(next) = next else {
                if is_stopping {
                    return Ok(());
                }
                tokio::select! {
                    () = self.arrived.notified() => {}
                    () = stop(stopped) => is_stopping = true,
                }
                continue;
            };
            let on = match channel.take() {
                Some(channel) => channel,
                None => confirming(channels).await?,
            };
            match next.publish(&on).await {
                Ok(()) => {
                    next.done();
                    self.metrics.reply_sent();
                    channel = Some(on);
                }
                Err(error) if on.status().connected() || is_of_channel(&error) => {
                    warn!(detail = %OneLine(error.to_string()), "a reply was not taken");
                    next.done();
                    self.metrics.reply_dropped();
                }
                Err(error) => return Err(describe(error)),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Reply>> {
        // A queue cannot be left half written.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The oldest reply on its way; dropped before it is done it goes back.
struct Next<'a> {
    replies: &'a Replies,
    reply: Option<Reply>,
}

impl<'a> Next<'a> {
    fn take(replies: &'a Replies) -> Option<Self> {
        let reply = replies.lock().pop_front()?;
        Some(Self {
            replies,
            reply: Some(reply),
        })
    }

    async fn publish(&self, channel: &Channel) -> Result<(), lapin::Error> {
        let Some(reply) = &self.reply else {
            return Ok(());
        };
        let mut properties =
            BasicProperties::default().with_content_type("application/json".into());
        if let Some(id) = reply.correlation_id.clone() {
            properties = properties.with_correlation_id(id);
        }
        let options = BasicPublishOptions::default();
        let address = reply.address.clone();
        let confirm = channel
            .basic_publish("".into(), address, options, &reply.body, properties)
            .await?;
        // A queue that is full or gone loses it, which is the affair of who has named the queue.
        confirm.await.map(drop)
    }

    fn done(mut self) {
        self.reply = None;
    }
}

impl Drop for Next<'_> {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            let mut waiting = self.replies.lock();
            if waiting.len() < MOST {
                waiting.push_front(reply);
            } else {
                self.replies.metrics.reply_dropped();
            }
        }
    }
}

async fn confirming(channels: &Channels) -> Result<Channel, String> {
    let channel = channels.open().await.map_err(describe)?;
    let options = ConfirmSelectOptions::default();
    channel.confirm_select(options).await.map_err(describe)?;
    Ok(channel)
}

/// The broker has closed the channel and not the connection.
fn is_of_channel(error: &lapin::Error) -> bool {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(error) => {
            matches!(error.kind(), lapin::protocol::AMQPErrorKind::Soft(_))
        }
        _ => false,
    }
}

/// Replies are short, and who waits for one has given up long before so many more have come.
const MOST: usize = 256;
