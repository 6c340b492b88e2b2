//! The admin listener: who is let in and who is not, the list of sessions, and the live view.

mod door;
mod live;
mod sessions;
mod token;
