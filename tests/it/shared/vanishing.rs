//! Pages that go away at the worst moment.

use super::expect_one_connection;
use super::gateway;
use super::neighbour::Neighbour;
use crate::harness::amqp;
use crate::harness::direct::Direct;
use crate::harness::negotiation::Login;
use crate::harness::page::Page;
use crate::harness::rabbitmq::RabbitMq;

const FRAME_MAX: usize = 131_072;

/// A publish that is cut anywhere by the end of its session never reaches the broker, and nobody notices.
#[test]
fn a_page_that_vanishes_in_the_middle_of_a_publish_leaves_nothing() {
    let rabbitmq = RabbitMq::shared();
    let gateway = gateway(rabbitmq.uri());
    let direct = Direct::connect(&rabbitmq);
    let queue = direct.queue();
    let neighbour = Neighbour::start(&gateway);
    let whole = amqp::publish(1, &queue, &[7; 300_000], FRAME_MAX);
    let cuts = [1, 7, 20, 40, 60, 70, 90, 131_200, 131_280, whole.len() - 1];
    for (number, cut) in cuts.into_iter().enumerate() {
        let mut page = Page::open(&gateway).logged_in(&Login::default());
        page.open_channel(1);
        page.send(&whole[..cut]);
        if number % 2 == 0 {
            page.client.reset();
        } else {
            // In order, but in the middle of a frame.
            page.client.send_close(1000, "");
            page.client.read_to_close();
        }
        neighbour.expect_progress();
    }
    let mut page = Page::open(&gateway).logged_in(&Login::default());
    page.open_channel(1);
    page.send(&amqp::publish(1, &queue, b"whole", FRAME_MAX));
    assert_eq!(direct.take(&queue, 1), [b"whole"]);
    neighbour.finish();
    expect_one_connection(&gateway);
    direct.delete(&queue);
}
