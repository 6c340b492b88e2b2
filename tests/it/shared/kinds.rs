//! The kind of a queue that another connection of the gateway has replaced.

use super::configuration;
use crate::harness::amqp;
use crate::harness::amqp::Builder;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation::Login;
use crate::harness::page::Page;
use crate::harness::rabbitmq::RabbitMq;

fn declare(page: &mut Page, queue: &str, kind: &str) -> Option<u16> {
    let arguments = Builder::new()
        .short(0)
        .short_string(queue)
        // durable
        .octet(0b10)
        .table(&[("x-queue-type", kind)]);
    page.send(&amqp::method(1, amqp::QUEUE_DECLARE, &arguments));
    let answer = page.read_frame();
    if answer.method() == Some(amqp::QUEUE_DECLARE_OK) {
        return None;
    }
    assert_eq!(answer.method(), Some((20, 40)), "{answer:?}");
    page.send(&amqp::method(1, (20, 41), &Builder::new()));
    page.open_channel(1);
    Some(answer.arguments().short())
}

fn on_queue(page: &mut Page, queue: &str, method: u16) {
    let arguments = Builder::new().short(0).short_string(queue).octet(0);
    page.send(&amqp::method(1, (50, method), &arguments));
}

/// A page on one broker connection purges what it knows as a classic queue. A page on another has put a stream in its
/// place: RabbitMQ would end the whole connection over the purge.
#[test]
fn a_queue_replaced_on_another_connection_costs_nobody_the_connection() {
    let rabbitmq = RabbitMq::shared();
    let configuration = configuration(rabbitmq.uri(), "sessions_per_connection = 1");
    let gateway = Gateway::start(&configuration);
    let page = || {
        let mut page = Page::open(&gateway).logged_in(&Login::default());
        page.open_channel(1);
        page
    };
    let (mut one, mut other) = (page(), page());
    let metrics = gateway.metrics();
    assert_eq!(
        metrics.value("smeuse_shared_connections{state=\"open\"}"),
        2.0
    );
    let queue = format!("smeuse-kinds-{}", std::process::id());
    assert_eq!(declare(&mut one, &queue, "classic"), None);
    on_queue(&mut one, &queue, 30);
    one.expect_method((50, 31));
    // A declare that fails takes no belief from anybody.
    assert_eq!(declare(&mut other, &queue, "stream"), Some(406));
    on_queue(&mut one, &queue, 30);
    one.expect_method((50, 31));
    on_queue(&mut other, &queue, 40);
    other.expect_method((50, 41));
    assert_eq!(declare(&mut other, &queue, "stream"), None);
    on_queue(&mut one, &queue, 30);
    let (code, text) = one.expect_connection_close();
    assert_eq!(code, 540, "{text}");
    assert!(text.contains("not supported by stream queues"), "{text}");
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("smeuse_shared_connections_lost_total"), 0.0);
    on_queue(&mut other, &queue, 40);
    other.expect_method((50, 41));
}
