//! The client's side: sockets, WebSocket sessions, and what the gateway knows of all of them.

pub mod address;
pub mod checker;
pub mod close;
pub mod config;
mod doorkeeper;
pub mod gate;
mod heads;
pub mod listener;
pub mod metrics;
pub mod patience;
pub mod phase;
pub mod registry;
pub mod session;
pub mod timer;
pub mod tls;
pub mod trials;
pub mod upgrade;

pub use self::gate::Gate;
pub use self::metrics::Metrics;
pub use self::registry::SessionId;
pub use self::registry::Sessions;
