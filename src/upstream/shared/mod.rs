//! Broker connections that many sessions share.

pub mod facts;
pub mod line;

pub use facts::Facts;
pub use facts::Policy;
pub use facts::Version;
pub use line::Access;
pub use line::Line;
pub use line::QueueKind;
