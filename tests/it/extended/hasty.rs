//! Messages that begin while the gateway is at work on an earlier one.

use super::with_login;
use super::SLOW;
use crate::harness::configuration::AMQP_PATH;
use crate::harness::ending::expect_ending;
use crate::harness::extended;
use crate::harness::websocket::Frame;
use crate::harness::websocket::BINARY;

/// Not even the first fragment of a message may come while credentials are checked: it would be lost, and what follows
/// it would be data without a beginning.
#[test]
fn a_fragment_while_credentials_are_checked_is_too_early() {
    let (_broker, gateway, _users) = with_login("");
    let mut client = extended::begin(&gateway, AMQP_PATH);
    client.send_text(&extended::request(&[("Authorization", SLOW)]));
    client.send(&Frame::unfinished(BINARY, b"LOST-").encode());
    extended::expect_refusal(&mut client, 400, "message_too_early");
    client.expect_close_and_answer(1002);
    expect_ending(
        &gateway,
        "amqp",
        "client",
        "handshake_malformed",
        Some(1002),
    );
}
