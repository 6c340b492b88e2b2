//! Publishes events and waits for the broker's confirms, many at a time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::options::ConfirmSelectOptions;
use lapin::types::ShortString;
use lapin::BasicProperties;
use lapin::Channel;
use lapin::Confirmation;
use lapin::PublisherConfirm;
use tokio::sync::watch;
use tokio::time::interval;

use crate::control::event::Event;
use crate::control::events::Queue;
use crate::control::events::LIMIT_PAUSE;
use crate::control::metrics::Dropped;
use crate::control::metrics::Metrics;
use crate::control::running::describe;
use crate::control::running::stop;

/// A channel in confirm mode, and the events on their way.
pub(super) struct Publisher {
    channel: Channel,
    exchange: ShortString,
    queue: Arc<Queue>,
    metrics: Metrics,
    /// In the order in which they were published; the last may not be on its way yet.
    in_flight: VecDeque<(Event, Option<PublisherConfirm>)>,
}

impl Publisher {
    pub(super) async fn new(
        channel: Channel,
        exchange: &str,
        queue: &Arc<Queue>,
        metrics: &Metrics,
    ) -> Result<Self, String> {
        let options = ConfirmSelectOptions::default();
        channel.confirm_select(options).await.map_err(describe)?;
        Ok(Self {
            channel,
            exchange: exchange.into(),
            queue: Arc::clone(queue),
            metrics: metrics.clone(),
            in_flight: VecDeque::new(),
        })
    }

    /// Publishes until the order to stop has come and nothing is left.
    pub(super) async fn run(&mut self, stopped: &mut watch::Receiver<bool>) -> Result<(), String> {
        let mut is_stopping = *stopped.borrow_and_update();
        let mut look = interval(LIMIT_PAUSE);
        loop {
            if is_stopping {
                self.queue.tell_hits(Duration::ZERO);
            }
            if is_stopping && self.in_flight.is_empty() && self.queue.len() == 0 {
                return Ok(());
            }
            let may_publish = self.in_flight.len() < WINDOW;
            tokio::select! {
                biased;
                event = self.queue.next(), if may_publish => self.publish(event).await?,
                confirmed = confirmed(&mut self.in_flight), if !self.in_flight.is_empty() => {
                    self.in_flight.pop_front();
                    if confirmed? {
                        self.metrics.published();
                    } else {
                        self.metrics.dropped(Dropped::Refused, 1);
                    }
                }
                () = stop(stopped), if !is_stopping => is_stopping = true,
                _ = look.tick() => self.queue.tell_hits(LIMIT_PAUSE),
            }
        }
    }

    async fn publish(&mut self, event: Event) -> Result<(), String> {
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_message_id(event.id().into())
            .with_app_id("smeuse".into());
        let (key, body) = (event.routing_key(), event.to_json());
        // Kept first: whatever ends this puts it back.
        self.in_flight.push_back((event, None));
        let options = BasicPublishOptions::default();
        let publishing = self.channel.basic_publish(
            self.exchange.clone(),
            key.into(),
            options,
            &body,
            properties,
        );
        let confirm = publishing.await.map_err(describe)?;
        if let Some((_, waiting)) = self.in_flight.back_mut() {
            *waiting = Some(confirm);
        }
        Ok(())
    }
}

/// What was not confirmed may not have arrived: it goes again, over the next connection.
impl Drop for Publisher {
    fn drop(&mut self) {
        let events = self.in_flight.drain(..).map(|(event, _)| event);
        self.queue.put_back(events);
    }
}

/// Whether the broker has taken the first in flight, once it says so.
async fn confirmed(
    in_flight: &mut VecDeque<(Event, Option<PublisherConfirm>)>,
) -> Result<bool, String> {
    let Some((_, Some(confirm))) = in_flight.front_mut() else {
        return std::future::pending().await;
    };
    match confirm.await.map_err(describe)? {
        Confirmation::Ack(_) | Confirmation::NotRequested => Ok(true),
        Confirmation::Nack(_) => Ok(false),
    }
}

/// Events published and not confirmed: enough for thousands a second over a round trip of 50 ms.
const WINDOW: usize = 256;
