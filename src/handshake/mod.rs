//! The agreement before data: the opening handshake as a value, from the head of a request to an [`Opening`] or a
//! [`Refusal`]. Knows no socket, no actor and no clock; what answers on the wire is the downstream stage.

pub mod config;
pub mod headers;
pub mod login;
pub mod metrics;
pub mod opening;
pub mod origin;
pub mod refusal;

pub use config::Kind;
pub use config::Service;
pub use headers::Headers;
pub use metrics::Metrics;
pub use opening::Opening;
pub use opening::OpeningRequest;
pub use refusal::Refusal;
