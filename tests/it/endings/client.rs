//! Endings by the client.

use super::Fixture;
use super::LIMITS;
use crate::harness::amqp;
use crate::harness::broker::Broker;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::ending::expect_ending;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation;
use crate::harness::page::Page;
use crate::harness::websocket;
use crate::harness::websocket::Frame;
use crate::harness::websocket::BINARY;
use crate::harness::websocket::TEXT;
use crate::harness::CLOSE_DEADLINE;

/// client, closed: the code is the client's own, echoed.
#[test]
fn client_closed() {
    let fixture = Fixture::new();
    let mut page = Page::login(&fixture.gateway);
    page.client.send_close(4000, "enough");
    let closed = page.client.read_to_close();
    assert_eq!(closed.code, Some(4000));
    page.client.expect_end(CLOSE_DEADLINE);
    fixture.expect("client", "closed", Some(4000));
}

/// client, closed, before the broker was ever asked.
#[test]
fn client_closed_before_amqp() {
    let fixture = Fixture::new();
    let mut page = Page::open(&fixture.gateway);
    page.client.send_close(1000, "");
    assert_eq!(page.client.read_to_close().code, Some(1000));
    fixture.expect("client", "closed", Some(1000));
    assert_eq!(fixture.broker.accepted(), 0);
}

/// client, amqp_closed: connection.close is answered by the broker, then the WebSocket closes with 1000.
#[test]
fn client_amqp_closed() {
    let fixture = Fixture::new();
    let mut page = Page::login(&fixture.gateway);
    page.send(&amqp::connection_close(200, "bye"));
    page.expect_method(amqp::CONNECTION_CLOSE_OK);
    page.read_to_end().expect_code(1000);
    fixture.expect("client", "amqp_closed", Some(1000));
}

/// client, lost: no code can be sent; the broker's socket is shut, so that it requeues.
#[test]
fn client_lost() {
    let fixture = Fixture::new();
    Page::login(&fixture.gateway).client.reset();
    fixture.expect("client", "lost", None);
}

/// client, silent: 4101, after Pings that were not answered.
#[test]
fn client_silent() {
    let fixture = Fixture::with_limits(Broker::polite());
    let mut page = Page::login(&fixture.gateway);
    let end = page.read_to_end();
    super::expect_forced(&end, 4101);
    fixture.expect("client", "silent", Some(4101));
    assert_eq!(
        fixture
            .gateway
            .metric("smeuse_limits_hit_total{limit=\"silence_limit\"}"),
        1.0
    );
}

/// client, stalled: takes no byte while bytes wait; 4102, which it cannot be told.
#[test]
fn client_stalled() {
    let broker = Broker::start(|peer| {
        peer.negotiate()?;
        let delivery = amqp::deliver(1, 1, &[0; 10_000], 131_072);
        peer.flood(&delivery, 1 << 30)?;
        Ok(())
    });
    // Without the short silence limit: a client that does not read does not answer Pings either.
    let stall = "[websocket]\nwrite_stall_limit = \"500ms\"\nclose_deadline = \"500ms\"\n";
    let gateway = Gateway::start(&(stall.to_owned() + &configuration::amqp(broker.uri())));
    let fixture = Fixture { broker, gateway };
    let page = Page::login(&fixture.gateway);
    fixture.expect("client", "stalled", Some(4102));
    assert_eq!(
        fixture
            .gateway
            .metric("smeuse_limits_hit_total{limit=\"write_stall_limit\"}"),
        1.0
    );
    drop(page);
}

/// client, login_timeout: the client does not begin its login, or does not go on with it; 4103.
#[test]
fn client_login_timeout() {
    for steps in 0..3 {
        let fixture = Fixture::with_limits(Broker::polite());
        let mut page = Page::open(&fixture.gateway);
        for (number, step) in negotiation::client_steps(&negotiation::Login::default())
            .iter()
            .take(steps)
            .enumerate()
        {
            page.send(step);
            page.expect_method([amqp::START, amqp::TUNE][number]);
        }
        page.read_to_end().expect_code(4103);
        fixture.expect("client", "login_timeout", Some(4103));
        assert_eq!(
            fixture
                .gateway
                .metric("smeuse_limits_hit_total{limit=\"login_deadline\"}"),
            1.0
        );
    }
}

/// client, login_timeout: nor does a client get more time that begins with less than the protocol header.
#[test]
fn client_login_timeout_within_the_protocol_header() {
    let fixture = Fixture::with_limits(Broker::polite());
    let mut page = Page::open(&fixture.gateway);
    page.send(b"AMQ");
    page.read_to_end().expect_code(4103);
    fixture.expect("client", "login_timeout", Some(4103));
}

/// client, protocol_error: 1002.
#[test]
fn client_protocol_error() {
    let fixture = Fixture::new();
    let mut page = Page::login(&fixture.gateway);
    page.client.send(
        &Frame {
            mask: None,
            ..Frame::new(BINARY, b"x")
        }
        .encode(),
    );
    page.read_to_end().expect_code(1002);
    fixture.expect("client", "protocol_error", Some(1002));
}

/// client, invalid_utf8: 1007.
#[test]
fn client_invalid_utf8() {
    let gateway = Gateway::start(&(LIMITS.to_owned() + &configuration::echo()));
    let mut client = Client::open(gateway.public(), ECHO_PATH);
    client.send(&websocket::frame(TEXT, b"\xff"));
    assert!(!client.expect_close_and_answer(1007).is_empty());
    expect_ending(&gateway, "echo", "client", "invalid_utf8", Some(1007));
}

/// client, message_too_big: 1009.
#[test]
fn client_message_too_big() {
    let fixture = Fixture::with_limits(Broker::polite());
    let mut page = Page::login(&fixture.gateway);
    let length = websocket::Length::Announced(100_001);
    page.client.send(
        &Frame {
            length,
            ..Frame::new(BINARY, b"")
        }
        .encode(),
    );
    page.read_to_end().expect_code(1009);
    fixture.expect("client", "message_too_big", Some(1009));
}

/// client, text_message: 1003.
#[test]
fn client_text_message() {
    let fixture = Fixture::new();
    let mut page = Page::login(&fixture.gateway);
    page.client.send_text("hello");
    page.read_to_end().expect_code(1003);
    fixture.expect("client", "text_message", Some(1003));
}

/// client, not_amqp: 1002.
#[test]
fn client_not_amqp() {
    let fixture = Fixture::new();
    let mut page = Page::open(&fixture.gateway);
    page.send(b"HELO page\r\n");
    page.read_to_end().expect_code(1002);
    fixture.expect("client", "not_amqp", Some(1002));
}

/// client, amqp_violation: connection.close with the reply code, and 4000 and it.
#[test]
fn client_amqp_violation() {
    let fixture = Fixture::new();
    let mut page = Page::login(&fixture.gateway);
    page.send(&amqp::frame(9, 0, b""));
    let end = page.read_to_end();
    end.expect_code(4501);
    assert_eq!(end.connection_close().0, 501);
    fixture.expect("client", "amqp_violation", Some(4501));
}
