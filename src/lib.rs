//! Smeuse puts browsers on RabbitMQ: an AMQP-over-WebSocket gateway.
//!
//! ```text
//!  browser ── WebSocket ──► downstream ─► handshake ─► pipeline ─► relay ─► upstream ── AMQP ──► RabbitMQ
//!                           Session       opening      extensions  Connection  broker socket
//!                           (actor)       extended     (actors)    (actor)
//! ```
//!
//! The modules stand in the order of the flow, and that order is the law of imports: a module may
//! name only modules below it. What must travel up travels as a message to a `Recipient<M>`, where
//! `M` belongs to the lower module. A test reads this file and every `crate::` path and fails on an
//! arrow that runs up.

pub mod gateway;
pub mod app;
pub mod config;
pub mod commands;
pub mod health;
pub mod cli;
pub mod logging;
pub mod admin;
pub mod web;
pub mod downstream;
pub mod handshake;
pub mod pipeline;
pub mod relay;
pub mod control;
pub mod upstream;
pub mod drain;
pub mod outbox;
pub mod batch;
pub mod credit;
pub mod ending;
pub mod wire;

pub use gateway::Gateway;
