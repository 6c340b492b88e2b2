//! The AMQP negotiation from `connection.start` to `connection.open-ok` (specification section 2.2.4), each side's
//! part of it as bytes.

use super::amqp;
use super::amqp::Builder;
use super::amqp::Frame;
use super::amqp::HEADER;

/// What a tune or tune-ok says; 0 means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tuning {
    pub(crate) channel_max: u16,
    pub(crate) frame_max: u32,
    pub(crate) heartbeat: u16,
}

/// What RabbitMQ offers by default.
pub(crate) const TUNING: Tuning = Tuning {
    channel_max: 2047,
    frame_max: 131_072,
    heartbeat: 60,
};

/// What a client has to say during the negotiation.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) mechanism: &'static str,
    pub(crate) response: Vec<u8>,
    pub(crate) tuning: Tuning,
    pub(crate) vhost: String,
    /// The client's properties, a table with its length.
    pub(crate) properties: Builder,
}

impl Default for Login {
    fn default() -> Self {
        let properties = Builder::new().table(&[("product", "a scripted page")]);
        let response = b"\0guest\0guest".to_vec();
        Self {
            mechanism: "PLAIN",
            response,
            tuning: TUNING,
            vhost: "/".to_owned(),
            properties,
        }
    }
}

/// The client's messages in order; before each but the first and the last, the broker's answer is awaited.
pub(crate) fn client_steps(login: &Login) -> [Vec<u8>; 3] {
    [
        HEADER.to_vec(),
        start_ok(login),
        [tune_ok(login.tuning), open(&login.vhost)].concat(),
    ]
}

pub(crate) fn start(mechanisms: &str) -> Vec<u8> {
    let arguments = Builder::new()
        .octet(0)
        .octet(9)
        .table(&[("product", "a scripted broker")]);
    amqp::method(
        0,
        amqp::START,
        &arguments
            .long_string(mechanisms.as_bytes())
            .long_string(b"en_US"),
    )
}

pub(crate) fn start_ok(login: &Login) -> Vec<u8> {
    let arguments = login.properties.clone().short_string(login.mechanism);
    amqp::method(
        0,
        amqp::START_OK,
        &arguments.long_string(&login.response).short_string("en_US"),
    )
}

pub(crate) fn tune(tuning: Tuning) -> Vec<u8> {
    amqp::method(0, amqp::TUNE, &tuning_arguments(tuning))
}

pub(crate) fn tune_ok(tuning: Tuning) -> Vec<u8> {
    amqp::method(0, amqp::TUNE_OK, &tuning_arguments(tuning))
}

pub(crate) fn open(vhost: &str) -> Vec<u8> {
    amqp::method(
        0,
        amqp::OPEN,
        &Builder::new().short_string(vhost).short_string("").octet(0),
    )
}

pub(crate) fn open_ok() -> Vec<u8> {
    amqp::method(0, amqp::OPEN_OK, &Builder::new().short_string(""))
}

/// Reads the numbers of a tune or tune-ok.
#[track_caller]
pub(crate) fn tuning_of(frame: &Frame) -> Tuning {
    let mut arguments = frame.arguments();
    Tuning {
        channel_max: arguments.short(),
        frame_max: arguments.long(),
        heartbeat: arguments.short(),
    }
}

fn tuning_arguments(tuning: Tuning) -> Builder {
    Builder::new()
        .short(tuning.channel_max)
        .long(tuning.frame_max)
        .short(tuning.heartbeat)
}
