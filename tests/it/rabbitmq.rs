//! A real RabbitMQ behind the gateway: pages in raw AMQP on one side, lapin directly at the
//! broker on the other, so that each sees what the other really did. With `SMEUSE_TEST_CONNECTIONS=shared` the same
//! over shared broker connections.

use std::sync::Arc;

use crate::harness::amqp;
use crate::harness::amqp::Arguments;
use crate::harness::amqp::Builder;
use crate::harness::amqp::Frame;
use crate::harness::configuration;
use crate::harness::direct::Direct;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation::Login;
use crate::harness::negotiation::Tuning;
use crate::harness::page::Page;
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::wait_until;
use crate::harness::DEADLINE;

const FRAME_MAX: usize = 131_072;

struct Fixture {
    gateway: Gateway,
    direct: Direct,
    rabbitmq: Arc<RabbitMq>,
}

impl Fixture {
    fn new() -> Self {
        let rabbitmq = RabbitMq::shared();
        let gateway = Gateway::start(&configuration::amqp_of_the_run(rabbitmq.uri()));
        let direct = Direct::connect(&rabbitmq);
        Self {
            gateway,
            direct,
            rabbitmq,
        }
    }

    #[track_caller]
    fn login(&self) -> Page {
        Page::open(&self.gateway).logged_in(&self.rabbitmq.login())
    }

    /// A page with channel 1 open.
    #[track_caller]
    fn channel(&self) -> Page {
        let mut page = self.login();
        page.open_channel(1);
        page
    }
}

/// Closes the AMQP connection in order and sees the session end.
#[track_caller]
fn close(mut page: Page) {
    page.send(&amqp::connection_close(200, "bye"));
    page.expect_method(amqp::CONNECTION_CLOSE_OK);
    page.read_to_end().expect_code(1000);
}

fn consume(page: &mut Page, queue: &str) {
    let arguments = Builder::new()
        .short(0)
        .short_string(queue)
        .short_string("c")
        .octet(0)
        .table(&[]);
    page.send(&amqp::method(1, amqp::CONSUME, &arguments));
    page.expect_method(amqp::CONSUME_OK);
}

/// Reads one delivery: its tag and its body, from as many frames as it takes.
#[track_caller]
fn delivery(page: &mut Page) -> (u64, Vec<u8>) {
    let deliver = page.expect_method(amqp::DELIVER);
    let mut arguments = deliver.arguments();
    arguments.short_string();
    let tag = u64::from(arguments.long()) << 32 | u64::from(arguments.long());
    let header = page.read_frame();
    assert_eq!(header.kind, amqp::CONTENT_HEADER);
    let mut size = Arguments(&header.payload[4..]);
    let size = u64::from(size.long()) << 32 | u64::from(size.long());
    let mut body = Vec::new();
    while (body.len() as u64) < size {
        let Frame { kind, payload, .. } = page.read_frame();
        assert_eq!(kind, amqp::CONTENT_BODY);
        body.extend(payload);
    }
    (tag, body)
}

/// What a page publishes is what a consumer at the broker gets, in order.
#[test]
fn publishes_of_a_page_reach_a_consumer_at_the_broker() {
    let fixture = Fixture::new();
    let queue = fixture.direct.queue();
    let mut page = fixture.channel();
    let bodies: Vec<Vec<u8>> = (0..500_usize)
        .map(|number| vec![number as u8; number * 7])
        .collect();
    for body in &bodies {
        page.send(&amqp::publish(1, &queue, body, FRAME_MAX));
    }
    assert!(fixture.direct.take(&queue, bodies.len()) == bodies);
    fixture.direct.delete(&queue);
    close(page);
}

/// What is published at the broker is what a page consumes, in order.
#[test]
fn publishes_at_the_broker_reach_a_page() {
    let fixture = Fixture::new();
    let queue = fixture.direct.queue();
    let mut page = fixture.channel();
    consume(&mut page, &queue);
    for number in 0..500_usize {
        fixture
            .direct
            .publish(&queue, &vec![number as u8; number * 7]);
    }
    for number in 0..500_usize {
        let (tag, body) = delivery(&mut page);
        assert_eq!(tag, number as u64 + 1);
        assert!(
            body == vec![number as u8; number * 7],
            "delivery {tag} is another"
        );
    }
    fixture.direct.delete(&queue);
}

/// Nothing accepted is lost: after an orderly close every publish before it is there.
#[test]
fn ten_thousand_publishes_before_an_orderly_close_are_all_there() {
    let fixture = Fixture::new();
    let queue = fixture.direct.queue();
    let mut page = fixture.channel();
    let publishes: Vec<u8> = (0_u32..10_000)
        .flat_map(|number| amqp::publish(1, &queue, &number.to_be_bytes(), FRAME_MAX))
        .collect();
    for message in publishes.chunks(50_000) {
        page.send(message);
    }
    close(page);
    let bodies = fixture.direct.take(&queue, 10_000);
    let in_order = bodies
        .iter()
        .enumerate()
        .all(|(number, body)| *body == (number as u32).to_be_bytes());
    assert!(in_order, "not the publishes in order");
    fixture.direct.delete(&queue);
}

/// On a vanished client RabbitMQ requeues what it had not acknowledged.
#[test]
fn what_a_vanished_page_has_not_acknowledged_is_requeued() {
    let fixture = Fixture::new();
    let queue = fixture.direct.queue();
    for number in 0..10 {
        fixture.direct.publish(&queue, &[number]);
    }
    let mut page = fixture.channel();
    consume(&mut page, &queue);
    for _ in 0..10 {
        delivery(&mut page);
    }
    assert_eq!(fixture.direct.waiting(&queue), 0);
    page.client.reset();
    wait_until("the messages to be back in the queue", DEADLINE, || {
        fixture.direct.waiting(&queue) == 10
    });
    fixture
        .gateway
        .wait_metric("smeuse_sessions{service=\"amqp\"}", 0.0);
    if !configuration::shared_is_asked_for() {
        fixture.gateway.wait_nothing_left();
    }
    fixture.direct.delete(&queue);
}

/// A body of many frames, in one message and larger than any window, there and back.
#[test]
fn a_large_body_goes_there_and_back() {
    let fixture = Fixture::new();
    let queue = fixture.direct.queue();
    let mut page = fixture.channel();
    consume(&mut page, &queue);
    let body: Vec<u8> = (0..10_000_000_u32)
        .map(|index| (index % 251) as u8)
        .collect();
    page.send(&amqp::publish(1, &queue, &body, FRAME_MAX));
    assert!(delivery(&mut page).1 == body, "another body came back");
    fixture.direct.delete(&queue);
}

/// The broker's own connection.close, code and text, reaches the page before the WebSocket closes.
#[test]
fn the_brokers_own_text_reaches_the_page() {
    let fixture = Fixture::new();
    let mut page = fixture.channel();
    // basic.publish with the flag `immediate`, which RabbitMQ does not implement.
    let arguments = Builder::new()
        .short(0)
        .short_string("")
        .short_string("q")
        .octet(2);
    page.send(&amqp::method(1, amqp::PUBLISH, &arguments));
    let content = amqp::publish(1, "q", b"x", FRAME_MAX);
    let method = amqp::method(
        1,
        amqp::PUBLISH,
        &Builder::new()
            .short(0)
            .short_string("")
            .short_string("q")
            .octet(0),
    );
    page.send(&content[method.len()..]);
    let (code, text) = page.expect_connection_close();
    assert_eq!(code, 540, "{text}");
    assert!(text.starts_with("NOT_IMPLEMENTED"), "{text}");
    page.send(&amqp::connection_close_ok());
    let end = page.read_to_end();
    end.expect_code(4540);
    assert!(end.reason.contains("NOT_IMPLEMENTED"), "{end:?}");
}

/// A channel's error is the channel's: the broker's text reaches the page, and the session goes on.
#[test]
fn a_channel_error_leaves_the_session_open() {
    let fixture = Fixture::new();
    let mut page = fixture.channel();
    let arguments = Builder::new()
        .short(0)
        .short_string("no-such-queue-anywhere")
        .octet(1)
        .table(&[]);
    page.send(&amqp::method(1, amqp::QUEUE_DECLARE, &arguments));
    let closed = page.expect_method((20, 40));
    let mut arguments = closed.arguments();
    assert_eq!(arguments.short(), 404);
    let text = arguments.short_string();
    assert!(text.contains("no-such-queue-anywhere"), "{text}");
    page.send(&amqp::method(1, (20, 41), &Builder::new()));
    page.open_channel(1);
    close(page);
}

/// A wrong password: a client that can hear it is told 403 by the broker itself.
#[test]
fn a_refused_login_is_told_in_the_brokers_words() {
    if configuration::shared_is_asked_for() {
        // There the broker knows the service alone; `login` has who the clients are.
        return;
    }
    let fixture = Fixture::new();
    let flag = Builder::new()
        .short_string("authentication_failure_close")
        .octet(b't')
        .octet(1);
    let capabilities = Builder::new()
        .short_string("capabilities")
        .octet(b'F')
        .long_string(&flag.0);
    let properties = Builder::new().long_string(&capabilities.0);
    let login = Login {
        response: b"\0guest\0certainly wrong".to_vec(),
        properties,
        ..Login::default()
    };
    let mut page = Page::open(&fixture.gateway);
    page.send(amqp::HEADER);
    page.expect_method(amqp::START);
    page.send(&crate::harness::negotiation::start_ok(&login));
    let (code, text) = page.expect_connection_close();
    assert_eq!(code, 403, "{text}");
    page.send(&amqp::connection_close_ok());
    page.read_to_end().expect_code(4403);
}

/// As many channels on one connection as it is offered.
#[test]
fn every_channel_can_be_opened() {
    let fixture = Fixture::new();
    let mut page = fixture.login();
    let highest = page.offered.expect("it is logged in").channel_max;
    let all: Vec<u8> = (1..=highest).flat_map(amqp::channel_open).collect();
    page.send(&all);
    let mut opened: Vec<u16> = (1..=highest)
        .map(|_| page.expect_method(amqp::CHANNEL_OPEN_OK).channel)
        .collect();
    opened.sort_unstable();
    assert!(opened.into_iter().eq(1..=highest));
    close(page);
}

/// Heartbeats are between the client and the broker: one that asks for a second gets them.
#[test]
fn heartbeats_come_from_the_broker_itself() {
    let fixture = Fixture::new();
    let login = fixture.rabbitmq.login();
    let tuning = Tuning {
        heartbeat: 1,
        ..login.tuning
    };
    let mut page = Page::open(&fixture.gateway).logged_in(&Login { tuning, ..login });
    for _ in 0..2 {
        assert_eq!(page.read_frame().kind, amqp::HEARTBEAT);
        page.send(&amqp::heartbeat());
    }
}

/// `login = "service"` with a real broker: the page holds no password.
#[test]
fn a_page_without_a_password_is_logged_in_by_the_service() {
    let rabbitmq = RabbitMq::shared();
    let gateway = Gateway::start(&configuration::amqp_with(
        rabbitmq.uri(),
        "login = \"service\"",
    ));
    let direct = Direct::connect(&rabbitmq);
    let queue = direct.queue();
    let login = Login {
        response: b"\0nobody\0nothing".to_vec(),
        vhost: "anywhere".to_owned(),
        ..Login::default()
    };
    // A URI without a vhost leaves the client's own in place, so it must be one that exists.
    let vhost = rabbitmq.login().vhost;
    let mut page = Page::open(&gateway).logged_in(&Login { vhost, ..login });
    page.open_channel(1);
    page.send(&amqp::publish(1, &queue, b"from nobody", FRAME_MAX));
    assert_eq!(direct.take(&queue, 1), [b"from nobody"]);
    direct.delete(&queue);
}

/// `/readyz` with a real broker, for either kind of login.
#[test]
fn readyz_is_200_with_a_real_broker() {
    let rabbitmq = RabbitMq::shared();
    for login in ["client", "service"] {
        let login = format!("login = \"{login}\"");
        let gateway = Gateway::start(&configuration::amqp_with(rabbitmq.uri(), &login));
        let ready = gateway.admin("GET", "/readyz");
        assert_eq!(ready.status, 200, "{ready:?}");
    }
}
