//! The extensions that every gateway has, and the one that stands for those of a page alone, one file each: an [`Extension`](super::link::Extension) that decides, and the
//! [`Link`](super::link::Link) it becomes in a session.
//!
//! They are values. Time is an argument, so tests hold the clock.

pub mod idle_timeout;
pub mod page_only;
pub mod ping_pong;
pub mod sequence;

#[cfg(test)]
mod harness;
#[cfg(test)]
mod vectors;

pub use self::idle_timeout::IdleTimeout;
pub use self::page_only::PageOnly;
pub use self::ping_pong::PingPong;
pub use self::sequence::Sequence;
