//! The agreed extensions, in order: what an offer becomes, and the actors that the claimed traffic of a session passes.

pub mod actor;
pub mod catalogue;
pub mod chain;
pub mod extensions;
pub mod link;
pub mod metrics;

pub use self::actor::Passage;
pub use self::actor::Request;
pub use self::catalogue::Agreed;
pub use self::catalogue::Catalogue;
pub use self::chain::Pipeline;
pub use self::metrics::Metrics;
