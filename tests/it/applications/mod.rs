//! Web applications behind the gateway: what reaches a scripted origin, and what a browser gets.

mod conformance;
mod conditions;
mod hostile;
pub(crate) mod origin;
mod pages;
mod places;
mod websockets;
