//! Exclusive queues: the session's own, although the broker sees one connection.

use std::time::Duration;

use super::expect_one_connection;
use super::gateway;
use crate::harness::amqp;
use crate::harness::amqp::Builder;
use crate::harness::direct::Direct;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation::Login;
use crate::harness::page::Page;
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::wait_until;
use crate::harness::DEADLINE;

const EXCLUSIVE: u8 = 0b0100;
const PASSIVE: u8 = 0b0001;

#[track_caller]
fn session(gateway: &Gateway) -> Page {
    let mut page = Page::open(gateway).logged_in(&Login::default());
    page.open_channel(1);
    page
}

fn declare(page: &mut Page, queue: &str, bits: u8) {
    let arguments = Builder::new()
        .short(0)
        .short_string(queue)
        .octet(bits)
        .table(&[]);
    page.send(&amqp::method(1, amqp::QUEUE_DECLARE, &arguments));
}

#[track_caller]
fn declared(page: &mut Page, queue: &str, bits: u8) -> String {
    declare(page, queue, bits);
    let ok = page.expect_method(amqp::QUEUE_DECLARE_OK);
    ok.arguments().short_string()
}

/// Insists that channel 1 is closed with this code, and opens it again.
#[track_caller]
fn expect_channel_close(page: &mut Page, code: u16) -> String {
    let close = page.expect_method((20, 40));
    let mut arguments = close.arguments();
    let found = arguments.short();
    let text = arguments.short_string();
    assert_eq!(found, code, "{text}");
    page.send(&amqp::method(1, (20, 41), &Builder::new()));
    page.open_channel(1);
    text
}

fn name(what: &str) -> String {
    format!("smeuse-exclusive-{what}-{}", std::process::id())
}

/// Passively asks until the queue is gone; nobody announces a deletion.
#[track_caller]
fn wait_gone(page: &mut Page, queue: &str) {
    wait_until("the queue to be gone", DEADLINE, || {
        declare(page, queue, PASSIVE);
        let answer = page.read_frame();
        if answer.method() == Some(amqp::QUEUE_DECLARE_OK) {
            return false;
        }
        let code = answer.arguments().short();
        page.send(&amqp::method(1, (20, 41), &Builder::new()));
        page.open_channel(1);
        code == 404
    });
}

/// Another session is refused while the queue lives; when its session has ended the queue is gone and its name free.
#[test]
fn a_queue_ends_with_its_session_however_that_ends() {
    let rabbitmq = RabbitMq::shared();
    let gateway = gateway(rabbitmq.uri());
    let mut other = session(&gateway);
    for (number, how) in ["closed", "reset", "by an operator"]
        .into_iter()
        .enumerate()
    {
        let queue = name(&format!("ends-{number}"));
        let mut owner = session(&gateway);
        declared(&mut owner, &queue, EXCLUSIVE);
        let server_named = declared(&mut owner, "", EXCLUSIVE);
        for queue in [&queue, &server_named] {
            declare(&mut other, queue, PASSIVE);
            let text = expect_channel_close(&mut other, 405);
            assert!(
                text.starts_with("RESOURCE_LOCKED") && text.contains(queue.as_str()),
                "{text}"
            );
        }
        match how {
            "closed" => {
                owner.send(&amqp::connection_close(200, "bye"));
                owner.expect_method(amqp::CONNECTION_CLOSE_OK);
            }
            "reset" => owner.client.reset(),
            _ => gateway.end_all_sessions(),
        }
        if how == "by an operator" {
            other = session(&gateway);
        }
        for queue in [&queue, &server_named] {
            wait_gone(&mut other, queue);
        }
        assert_eq!(declared(&mut other, &queue, EXCLUSIVE), queue);
        let delete = Builder::new().short(0).short_string(&queue).octet(0);
        other.send(&amqp::method(1, (50, 40), &delete));
        other.expect_method((50, 41));
    }
    gateway.wait_metric("smeuse_shared_exclusive_queues", 0.0);
    expect_one_connection(&gateway);
}

/// A queue that belongs to another connection is refused by the broker itself, in the same words.
#[test]
fn a_queue_of_another_connection_is_refused_in_the_same_words() {
    let rabbitmq = RabbitMq::shared();
    let (one, two) = (gateway(rabbitmq.uri()), gateway(rabbitmq.uri()));
    let queue = name("elsewhere");
    let mut owner = session(&one);
    declared(&mut owner, &queue, EXCLUSIVE);
    let (mut beside, mut elsewhere) = (session(&one), session(&two));
    declare(&mut beside, &queue, EXCLUSIVE);
    declare(&mut elsewhere, &queue, EXCLUSIVE);
    let text = expect_channel_close(&mut beside, 405);
    assert_eq!(text, expect_channel_close(&mut elsewhere, 405));
    drop(owner);
    wait_gone(&mut beside, &queue);
}

/// What a session had not acknowledged is back in the queue as soon as it is gone, for its neighbours too.
#[test]
fn consumers_are_cancelled_and_messages_requeued_at_once() {
    let rabbitmq = RabbitMq::shared();
    let gateway = gateway(rabbitmq.uri());
    let direct = Direct::connect(&rabbitmq);
    let queue = direct.queue();
    for number in 0..10 {
        direct.publish(&queue, &[number]);
    }
    let mut page = session(&gateway);
    let consume = Builder::new()
        .short(0)
        .short_string(&queue)
        .short_string("c")
        .octet(0)
        .table(&[]);
    page.send(&amqp::method(1, amqp::CONSUME, &consume));
    page.expect_method(amqp::CONSUME_OK);
    for _ in 0..10 {
        page.expect_method(amqp::DELIVER);
        page.read_frame();
        page.read_frame();
    }
    let neighbour = session(&gateway);
    page.client.reset();
    wait_until("the messages to be back", Duration::from_secs(5), || {
        direct.waiting(&queue) == 10
    });
    drop(neighbour);
    direct.delete(&queue);
}
