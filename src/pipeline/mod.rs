//! The agreed extensions, in order: what an offer becomes, and the actors that the claimed traffic of a session passes.

pub mod extensions;
pub mod link;
