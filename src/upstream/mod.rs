//! The broker's side: which brokers a service has, how one of them is reached within the deadline,
//! and whether one is reachable now. Knows nothing of sessions, and of AMQP only the first bytes.

pub mod backoff;
pub mod brokers;
pub mod config;
pub mod connect;
mod dial;
pub mod error;
mod evidence;
pub mod held;
pub mod kit;
pub mod metrics;
pub mod order;
pub mod own;
pub mod pace;
pub mod probe;
mod proxy_protocol;
pub mod runtime;
pub mod shared;
pub mod socket;
pub mod tls;
mod watch;

pub use brokers::Broker;
pub use brokers::Brokers;
pub use config::BrokerUri;
pub use config::Config;
pub use config::Secret;
pub use connect::Blocked;
pub use connect::Connected;
pub use connect::Upstream;
pub use error::ConnectError;
pub use metrics::Metrics;
pub use probe::Readiness;
pub use socket::Socket;

#[cfg(test)]
mod tests;
