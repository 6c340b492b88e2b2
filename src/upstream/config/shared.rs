//! The settings of shared connections (`[services.upstream.shared]`).

use std::num::NonZeroU16;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

/// How sessions share broker connections, and what each may do there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shared {
    /// Sessions on one connection at most; the connection's channels are divided among them. At most 1000.
    pub sessions_per_connection: NonZeroUsize,
    /// Connections of the service at most, divided among the workers; each may have one in any case.
    pub connections: NonZeroUsize,
    /// How long a connection without sessions stays open. At most a day.
    #[serde(with = "humantime_serde")]
    pub idle: Duration,
    /// Time between heartbeats with the broker, in whole seconds, 1 to 600; a broker that is silent for two is gone.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// Largest message a client may publish, in bytes; 4 KiB to 128 MiB.
    pub message_bytes: usize,
    /// Deliveries that may wait for a slow client, in bytes, before its session is ended; 64 KiB to 1 GiB.
    pub queue_bytes: usize,
    /// Deliveries on their way to a consumer without acknowledgement.
    pub prefetch: NonZeroU16,
    /// The types exchanges may be declared with.
    pub exchange_types: Vec<String>,
    /// Whether queues that no session has declared are taken for such that every method may be used on.
    pub trust_queue_types: bool,
    /// A file with a token that takes the place of the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

impl Shared {
    /// Checks what the types alone do not.
    ///
    /// # Errors
    /// `key: reason`, the key relative to this table.
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.sessions_per_connection.get() > SESSIONS_MAX {
            return Err(format!(
                "sessions_per_connection: must be at most {SESSIONS_MAX}"
            ));
        }
        if self.idle > IDLE_MAX {
            return Err("idle: must be at most one day".to_owned());
        }
        let heartbeat = self.heartbeat;
        let is_whole = heartbeat.subsec_nanos() == 0;
        if !is_whole || !(1..=HEARTBEAT_MAX).contains(&heartbeat.as_secs()) {
            return Err(format!(
                "heartbeat: must be 1 to {HEARTBEAT_MAX} whole seconds"
            ));
        }
        if !(MESSAGE_MIN..=MESSAGE_MAX).contains(&self.message_bytes) {
            return Err(format!(
                "message_bytes: must be {MESSAGE_MIN} to {MESSAGE_MAX}"
            ));
        }
        if !(QUEUE_MIN..=QUEUE_MAX).contains(&self.queue_bytes) {
            return Err(format!("queue_bytes: must be {QUEUE_MIN} to {QUEUE_MAX}"));
        }
        let is_odd = |name: &&String| name.is_empty() || name.len() > 255;
        if self.exchange_types.iter().any(|name| is_odd(&name)) {
            return Err("exchange_types: a type has 1 to 255 bytes".to_owned());
        }
        Ok(())
    }
}

impl Default for Shared {
    fn default() -> Self {
        let number = |value| NonZeroUsize::new(value).unwrap_or(NonZeroUsize::MIN);
        Self {
            sessions_per_connection: number(100),
            connections: number(64),
            idle: Duration::from_secs(60),
            heartbeat: Duration::from_secs(10),
            message_bytes: 4 * 1024 * 1024,
            queue_bytes: 4 * 1024 * 1024,
            prefetch: NonZeroU16::new(250).unwrap_or(NonZeroU16::MIN),
            exchange_types: ["direct", "fanout", "topic", "headers"]
                .map(str::to_owned)
                .to_vec(),
            trust_queue_types: false,
            token_file: None,
        }
    }
}

/// Two channels each with RabbitMQ's default of 2047.
const SESSIONS_MAX: usize = 1000;
const IDLE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const HEARTBEAT_MAX: u64 = 600;
/// AMQP's smallest frame, about.
const MESSAGE_MIN: usize = 4096;
/// RabbitMQ's own default limit.
const MESSAGE_MAX: usize = 128 * 1024 * 1024;
/// A read of the broker's socket.
const QUEUE_MIN: usize = 64 * 1024;
const QUEUE_MAX: usize = 1024 * 1024 * 1024;
