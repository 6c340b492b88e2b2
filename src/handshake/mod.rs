//! The agreement before data, as values: the opening handshake, from the head of a request to an [`Opening`] or a
//! [`Refusal`], and the [`Extended`] handshake inside the WebSocket. Knows no socket, no actor and no clock; what
//! answers on the wire is the downstream stage.

pub mod agreement;
pub mod config;
pub mod extended;
pub mod headers;
pub mod login;
pub mod metrics;
pub mod opening;
pub mod origin;
pub mod redirect;
pub mod refusal;
pub mod trial;

pub use agreement::Agreement;
pub use config::Kind;
pub use config::Service;
pub use extended::Extended;
pub use headers::Headers;
pub use login::Login;
pub use metrics::Metrics;
pub use opening::Opening;
pub use opening::OpeningRequest;
pub use refusal::Refusal;
