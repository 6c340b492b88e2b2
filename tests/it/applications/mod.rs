//! Web applications behind the gateway: what reaches a scripted origin, and what a browser gets.

mod codings;
mod conformance;
mod conditions;
mod hostile;
mod lines;
pub(crate) mod origin;
mod pages;
mod places;
mod tls;
mod unread;
mod websockets;
