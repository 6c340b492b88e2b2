//! Pages that do not take what comes to them, and their neighbours on the same connection.

use std::time::Duration;

use super::configuration;
use super::expect_one_connection;
use super::neighbour::Neighbour;
use crate::harness::amqp;
use crate::harness::amqp::Builder;
use crate::harness::client::Client;
use crate::harness::configuration::AMQP_PATH;
use crate::harness::direct::Direct;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation::Login;
use crate::harness::opening::Opening;
use crate::harness::page::Page;
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::wait_until_still;

/// Many more than the sockets between hold.
const MESSAGES: u32 = 4_000;
const BODY: [u8; 10_000] = [0x5a; 10_000];
const NO_ACK: u8 = 0b0010;

/// A page with a small receive buffer.
#[track_caller]
fn narrow(gateway: &Gateway) -> Page {
    let opening = Opening::new(gateway.public(), AMQP_PATH).subprotocols("amqp");
    let client = Client::connect_with_small_buffer(gateway.public()).upgraded_by(&opening);
    let mut page = Page::over(client).logged_in(&Login::default());
    page.open_channel(1);
    page
}

#[track_caller]
fn consume(page: &mut Page, queue: &str, bits: u8) {
    let arguments = Builder::new()
        .short(0)
        .short_string(queue)
        .short_string("slow")
        .octet(bits)
        .table(&[]);
    page.send(&amqp::method(1, amqp::CONSUME, &arguments));
}

#[track_caller]
fn filled(direct: &Direct) -> String {
    let queue = direct.queue();
    for _ in 0..MESSAGES {
        direct.publish(&queue, &BODY);
    }
    queue
}

/// The middle and the slowest but one percent of round trips.
fn quantiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    assert!(times.len() > 100, "only {} round trips", times.len());
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// The broker stops sending to a slow page's no-ack consumer, its neighbours' round trips take as long as before, and
/// when it reads again it gets all of them in order.
#[test]
fn a_slow_page_holds_back_its_own_consumer_and_nobody_else() {
    let rabbitmq = RabbitMq::shared();
    let gateway = Gateway::start(&configuration(rabbitmq.uri(), ""));
    let direct = Direct::connect(&rabbitmq);
    let queue = filled(&direct);

    let neighbour = Neighbour::start(&gateway);
    std::thread::sleep(Duration::from_secs(2));
    let alone = quantiles(neighbour.finish());

    let mut page = narrow(&gateway);
    consume(&mut page, &queue, NO_ACK);
    let left = wait_until_still("the broker to stop sending", || {
        direct.waiting(&queue).into()
    });
    assert!(
        left > u64::from(MESSAGES) / 2,
        "the broker sent on: {left} left"
    );
    let neighbour = Neighbour::start(&gateway);
    std::thread::sleep(Duration::from_secs(2));
    let beside = quantiles(neighbour.finish());
    // Of the same order; a neighbour that waited for the slow one would wait for ever.
    let bound = |time: Duration| time * 3 + Duration::from_millis(10);
    assert!(
        beside.0 <= bound(alone.0) && beside.1 <= bound(alone.1),
        "the neighbour's round trips, middle and slowest: {alone:?} alone, {beside:?} beside a slow page"
    );
    assert_eq!(
        u64::from(direct.waiting(&queue)),
        left,
        "the broker has sent more meanwhile"
    );

    page.expect_method(amqp::CONSUME_OK);
    for number in 1..=u64::from(MESSAGES) {
        let deliver = page.expect_method(amqp::DELIVER);
        let mut arguments = deliver.arguments();
        arguments.short_string();
        let tag = u64::from(arguments.long()) << 32 | u64::from(arguments.long());
        assert_eq!(tag, number);
        page.read_frame();
        assert!(page.read_frame().payload == BODY);
    }
    expect_one_connection(&gateway);
    direct.delete(&queue);
}

/// Where the broker cannot be held back, the slow page's session ends with a code of its own, and nobody else's.
#[test]
fn a_slow_page_that_cannot_be_held_back_is_ended() {
    let rabbitmq = RabbitMq::shared();
    // Where it may be a stream, a consumer without acknowledgement that is not turned is refused.
    let gateway = Gateway::start(&configuration(rabbitmq.uri(), "trust_queue_types = true"));
    let direct = Direct::connect(&rabbitmq);
    let neighbour = Neighbour::start(&gateway);
    for transaction in [true, false] {
        let queue = filled(&direct);
        let mut page = narrow(&gateway);
        if transaction {
            page.send(&amqp::method(1, (90, 10), &Builder::new()));
            page.expect_method((90, 11));
        }
        // With acknowledgement and without a prefetch, the broker sends as fast as the connection takes it, too.
        consume(&mut page, &queue, if transaction { NO_ACK } else { 0 });
        let slow = "smeuse_shared_sessions_ended_slow_total";
        gateway.wait_metric_until(slow, |count| count >= f64::from(2 - u8::from(transaction)));
        neighbour.expect_progress();
        let end = loop {
            let received = page.client.try_read_frame();
            match received {
                Ok(frame) if frame.opcode == crate::harness::websocket::CLOSE => {
                    break frame.payload
                }
                Ok(_) => (),
                Err(error) => panic!("no Close frame: {error}"),
            }
        };
        assert_eq!(end.first_chunk(), Some(&4111_u16.to_be_bytes()));
        direct.delete(&queue);
    }
    neighbour.finish();
    expect_one_connection(&gateway);
}
