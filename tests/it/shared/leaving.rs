//! Pages that go while something of theirs is on its way: RabbitMQ closes the whole connection over a channel that is
//! closed twice, or heard of after its end.

use std::thread;
use std::time::Duration;

use super::configuration;
use super::expect_one_connection;
use super::neighbour::Neighbour;
use crate::harness::amqp;
use crate::harness::amqp::Builder;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation::Login;
use crate::harness::node::Node;
use crate::harness::page::Page;
use crate::harness::rabbitmq::RabbitMq;

/// Goes `ROUNDS` times right behind `last_words` on channel 1, each time a little later, and insists that the connection
/// and the neighbour bear it.
#[track_caller]
fn go_behind(uri: &str, last_words: &[u8]) -> Gateway {
    // Those who are still leaving have their seats.
    let gateway = Gateway::start(&configuration(uri, "sessions_per_connection = 300"));
    let neighbour = Neighbour::start(&gateway);
    for round in 0..ROUNDS {
        let mut page = Page::open(&gateway).logged_in(&Login::default());
        page.open_channel(1);
        page.send(last_words);
        thread::sleep(STEP * (round % 16));
        match round % 3 {
            0 => page.client.reset(),
            1 => page.client.send_close(1000, ""),
            _ => page.send(&amqp::connection_close(200, "bye")),
        }
    }
    neighbour.expect_progress();
    neighbour.finish();
    gateway.wait_metric("smeuse_sessions", 0.0);
    gateway.wait_metric("smeuse_shared_channels{state=\"closing\"}", 0.0);
    gateway.wait_metric("smeuse_shared_channels{state=\"used\"}", 0.0);
    expect_one_connection(&gateway);
    gateway
}

#[test]
fn a_channel_whose_close_is_on_its_way_is_not_closed_again() {
    let close = Builder::new().short(200).short_string("bye").long(0);
    go_behind(RabbitMq::shared().uri(), &amqp::method(1, (20, 40), &close));
}

#[test]
fn a_channel_that_the_broker_closes_meanwhile_ends_in_order() {
    let to_nowhere = Builder::new()
        .short(0)
        .short_string("smeuse-no-such-exchange")
        .short_string("key")
        .octet(0);
    let header = [&[0, 60, 0, 0][..], &[0; 8], &[0, 0]].concat();
    let publish = [
        amqp::method(1, amqp::PUBLISH, &to_nowhere),
        amqp::frame(amqp::CONTENT_HEADER, 1, &header),
    ]
    .concat();
    go_behind(RabbitMq::shared().uri(), &publish.repeat(20));
}

#[test]
fn a_channel_that_is_just_being_opened_ends_in_order() {
    go_behind(RabbitMq::shared().uri(), &amqp::channel_open(2));
}

/// Whether the answer has come or not: a queue for one session alone does not outlive it.
#[test]
fn a_queue_that_is_just_being_declared_does_not_stay() {
    let node = Node::start();
    let declare = |channel, queue, bits| {
        let arguments = Builder::new()
            .short(0)
            .short_string(queue)
            .octet(bits)
            .table(&[]);
        amqp::method(channel, amqp::QUEUE_DECLARE, &arguments)
    };
    let exclusive = 0b00100;
    let both = [declare(1, "", exclusive), declare(1, "own", exclusive)].concat();
    let gateway = go_behind(node.uri(), &both);
    gateway.wait_metric("smeuse_shared_exclusive_queues", 0.0);
    assert_eq!(
        node.control(&["list_queues", "--silent", "name"]).trim(),
        "",
        "queues that nobody has"
    );
    drop(gateway);
}

/// Enough to go at every moment of the few hundred microseconds that an answer takes.
const ROUNDS: u32 = 240;
const STEP: Duration = Duration::from_micros(70);
