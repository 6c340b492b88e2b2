//! Formats only: bytes to values and back. No I/O, no clock, no actor, no configuration.

pub mod amqp;
pub mod extended;
pub mod reader;
pub mod websocket;
