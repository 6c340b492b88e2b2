//! Endings by the gateway's plan and by its operator.

use super::expect_forced;
use super::Fixture;
use crate::harness::broker::Broker;
use crate::harness::configuration;
use crate::harness::gateway::Gateway;
use crate::harness::page::Page;
use crate::harness::DEADLINE;

/// gateway, drained: connection.close with 320, then 1001 and a reason that says to come back.
#[test]
fn gateway_drained() {
    let broker = Broker::polite();
    let drain = "[drain]\ndeadline = \"300ms\"\nspread = \"0s\"\n";
    let mut gateway = Gateway::start(&(drain.to_owned() + &configuration::amqp(broker.uri())));
    let mut page = Page::login(&gateway);
    gateway.signal("TERM");
    let end = page.read_to_end();
    expect_forced(&end, 1001);
    assert!(end.reason.contains("reconnect"), "{end:?}");
    assert!(gateway.exit_status(DEADLINE).success());
    gateway.log_line("session ended", |_| true);
    let lines = gateway.log_lines("session ended");
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (lines[0]["by"].as_str(), lines[0]["reason"].as_str()),
        (Some("gateway"), Some("drained"))
    );
    assert_eq!(lines[0]["close_code"], 1001);
    broker.wait_all_ended();
}

/// operator, ended: connection.close with 320, then 4100.
#[test]
fn operator_ended() {
    let fixture = Fixture::new();
    let mut page = Page::login(&fixture.gateway);
    fixture.gateway.end_all_sessions();
    expect_forced(&page.read_to_end(), 4100);
    fixture.expect("operator", "ended", Some(4100));
}

/// operator, ended, of a session that has not begun AMQP: a Close frame alone.
#[test]
fn operator_ended_before_amqp() {
    let fixture = Fixture::new();
    let mut page = Page::open(&fixture.gateway);
    fixture.gateway.end_all_sessions();
    let end = page.read_to_end();
    end.expect_code(4100);
    assert!(end.frames.is_empty(), "{end:?}");
    fixture.expect("operator", "ended", Some(4100));
}

/// The operator's list: what is open and nothing else; an id that is none is 404.
#[test]
fn an_operator_ends_one_session_and_no_other() {
    let fixture = Fixture::new();
    let mut first = Page::login(&fixture.gateway);
    let ids = fixture.gateway.session_ids();
    let mut second = Page::login(&fixture.gateway);
    assert_eq!(fixture.gateway.session_ids().len(), 2);
    let path = format!("/sessions/{}", ids[0]);
    assert_eq!(fixture.gateway.admin("DELETE", &path).status, 204);
    first.read_to_end().expect_code(4100);
    fixture
        .gateway
        .wait_metric("smeuse_sessions{service=\"amqp\"}", 1.0);
    assert_eq!(fixture.gateway.admin("DELETE", &path).status, 404);
    assert_eq!(
        fixture.gateway.admin("DELETE", "/sessions/nonsense").status,
        404
    );
    second.open_channel(1);
}
