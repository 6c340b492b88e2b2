//! The gateway as a client of its own broker: it publishes events for backends and obeys commands from them, over
//! connections by lapin. Several gateways act as one through the broker, without knowing each other.

pub mod command;
pub mod config;
pub mod consumer;
pub mod event;
pub mod events;
pub mod metrics;
pub mod publisher;
pub mod replies;
pub mod running;

pub use self::command::Target;
pub use self::config::Config;
pub use self::events::Events;
pub use self::metrics::Metrics;
pub use self::running::Control;
pub use self::running::Running;

/// The sessions that commands are about.
pub trait Sessions: Send + Sync {
    /// Ends these in an operator's name, and says how many there were.
    fn end_all_of(&self, target: &Target) -> usize;
}
