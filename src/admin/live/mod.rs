//! The operator's live view: what is read of the gateway once a second, and pushed to the pages that look.
//!
//! ```text
//!  registry of metrics ─► figures ─► history ┐
//!  sessions ────────────► table ◄── query ───┴► push ─► hub (ACTOR) ─► socket (ACTOR, one per page)
//! ```
//!
//! Without a page nobody reads the sessions; the history of the last minutes goes on, so that whoever opens a page
//! because something has just happened sees it. None of it happens on a worker's thread.

pub mod figures;
pub mod history;
pub mod hub;
pub mod push;
pub mod query;
pub mod socket;
pub mod table;

pub use self::hub::Hub;
pub use self::hub::Source;
