//! Endings by the broker.

use std::io;
use std::time::Instant;

use super::expect_forced;
use super::Fixture;
use crate::harness::amqp;
use crate::harness::broker::Broker;
use crate::harness::broker::Gate;
use crate::harness::client::Client;
use crate::harness::configuration::AMQP_PATH;
use crate::harness::ending::expect_ending;
use crate::harness::negotiation;
use crate::harness::page::Page;
use crate::harness::peer::Peer;
use crate::harness::wait_until;
use crate::harness::websocket;
use crate::harness::websocket::BINARY;
use crate::harness::websocket::CLOSE;
use crate::harness::CLOSE_DEADLINE;
use crate::harness::DEADLINE;

/// broker, closed: its connection.close reaches the page with its text, then 4000 and its reply code.
#[test]
fn broker_closed() {
    for code in [320, 402, 403, 530, 541] {
        let broker = Broker::start(move |peer| {
            peer.negotiate()?;
            peer.send(&amqp::deliver(1, 1, b"the last", 131_072))?;
            peer.send(&amqp::connection_close(code, "the broker's own words"))?;
            peer.expect_method(amqp::CONNECTION_CLOSE_OK)?;
            Ok(())
        });
        let fixture = Fixture::with(broker);
        let mut page = Page::login(&fixture.gateway);
        assert_eq!(page.expect_method(amqp::DELIVER).channel, 1);
        page.read_frame();
        page.read_frame();
        assert_eq!(
            page.expect_connection_close(),
            (code, "the broker's own words".to_owned())
        );
        page.send(&amqp::connection_close_ok());
        let end = page.read_to_end();
        end.expect_code(4000 + code);
        assert!(
            end.frames.is_empty(),
            "something came after connection.close: {end:?}"
        );
        assert!(end.reason.contains("the broker's own words"), "{end:?}");
        fixture.expect("broker", "closed", Some(4000 + code));
        assert_eq!(
            fixture.broker.outcome(0),
            Ok(()),
            "the page's close-ok did not reach the broker"
        );
    }
}

/// broker, closed, by one that does not wait for the answer: the page learns the same.
#[test]
fn broker_closed_and_gone() {
    let broker = Broker::start(|peer| {
        peer.negotiate()?;
        peer.send(&amqp::connection_close(320, "killed by an operator"))
    });
    let fixture = Fixture::with(broker);
    let end = Page::login(&fixture.gateway).read_to_end();
    end.expect_code(4320);
    assert_eq!(
        end.connection_close(),
        (320, "killed by an operator".to_owned())
    );
    fixture.expect("broker", "closed", Some(4320));
}

/// broker, closed: libraries send connection.close-ok and a Close frame without a code in one go, and the page still
/// learns the broker's reason, not that it closed itself.
#[test]
fn broker_closed_and_answered_with_a_close_frame() {
    let broker = Broker::start(|peer| {
        peer.negotiate()?;
        peer.send(&amqp::connection_close(530, "the broker's own words"))?;
        peer.expect_method(amqp::CONNECTION_CLOSE_OK)?;
        Ok(())
    });
    let fixture = Fixture::with(broker);
    let mut page = Page::login(&fixture.gateway);
    page.expect_connection_close();
    let answer = [
        websocket::frame(BINARY, &amqp::connection_close_ok()),
        websocket::frame(CLOSE, b""),
    ];
    page.client.send(&answer.concat());
    let end = page.read_to_end();
    end.expect_code(4530);
    assert!(end.reason.contains("the broker's own words"), "{end:?}");
    fixture.expect("broker", "closed", Some(4530));
    assert_eq!(fixture.broker.outcome(0), Ok(()));
}

/// broker, closed, during the login: RabbitMQ refuses a login or a vhost in this way.
#[test]
fn broker_closed_during_the_login() {
    let broker = Broker::start(|peer| {
        peer.expect_header()?;
        peer.send(&negotiation::start("PLAIN"))?;
        peer.expect_method(amqp::START_OK)?;
        peer.send(&amqp::connection_close(403, "ACCESS_REFUSED - no"))?;
        peer.expect_method(amqp::CONNECTION_CLOSE_OK)?;
        Ok(())
    });
    let fixture = Fixture::with(broker);
    let mut page = Page::open(&fixture.gateway);
    page.send(amqp::HEADER);
    page.expect_method(amqp::START);
    page.send(&negotiation::start_ok(&negotiation::Login::default()));
    assert_eq!(page.expect_connection_close().0, 403);
    page.send(&amqp::connection_close_ok());
    page.read_to_end().expect_code(4403);
    fixture.expect("broker", "closed", Some(4403));
}

/// broker, version_refused: its header is relayed, then 1002.
#[test]
fn broker_version_refused() {
    let fixture = Fixture::with(Broker::start(|peer| {
        peer.read_exact(8)?;
        peer.send(amqp::HEADER)
    }));
    let mut client = Client::open(fixture.gateway.public(), AMQP_PATH);
    client.send_binary(b"AMQP\x00\x01\x00\x00");
    client.expect_frame(BINARY, amqp::HEADER);
    assert!(!client.expect_close_and_answer(1002).is_empty());
    fixture.expect("broker", "version_refused", Some(1002));
}

/// A way for a broker to be lost.
type Death = fn(&mut Peer) -> io::Result<()>;

/// broker, lost: by its end, by a reset, in the middle of a frame, by what is not AMQP: connection.close with 320, then
/// 1014, and never half a frame (the page insists on whole ones).
#[test]
fn broker_lost() {
    let deaths: [(&str, Death); 5] = [
        ("end", |_| Ok(())),
        ("reset", Peer::reset),
        ("mid-frame", |peer| {
            peer.send(&amqp::deliver(1, 1, b"never whole", 131_072)[..20])
        }),
        ("wrong end octet", |peer| {
            let mut frame = amqp::channel_open_ok(1);
            *frame.last_mut().expect("an end octet") = 0;
            peer.send(&frame)?;
            peer.read_to_end()
        }),
        ("frame too large", |peer| {
            peer.send(b"\x03\x00\x01\xff\xff\xff\xff")?;
            peer.read_to_end()
        }),
    ];
    for (how, death) in deaths {
        let gate = Gate::default();
        let broker = {
            let gate = gate.clone();
            Broker::start(move |peer| {
                peer.negotiate()?;
                gate.pass()?;
                death(peer)
            })
        };
        let fixture = Fixture::with(broker);
        let mut page = Page::login(&fixture.gateway);
        gate.open();
        let end = page.read_to_end();
        assert_eq!(end.code, Some(1014), "{how}: {end:?}");
        expect_forced(&end, 1014);
        fixture.expect("broker", "lost", Some(1014));
    }
}

/// Whole frames that came before the loss reach the page first.
#[test]
fn what_came_before_the_loss_of_the_broker_reaches_the_page() {
    let fixture = Fixture::with(Broker::start(|peer| {
        peer.negotiate()?;
        for tag in 1..=1000 {
            peer.send(&amqp::deliver(1, tag, &[1; 1000], 131_072))?;
        }
        peer.send(&[1, 0, 1])
    }));
    let mut page = Page::login(&fixture.gateway);
    for _ in 1..=1000 {
        page.expect_method(amqp::DELIVER);
        page.read_frame();
        page.read_frame();
    }
    expect_forced(&page.read_to_end(), 1014);
    fixture.expect("broker", "lost", Some(1014));
}

/// broker, unreachable: 1013.
#[test]
fn broker_unreachable() {
    let fixture = Fixture::new();
    fixture.broker.kill();
    let mut page = Page::open(&fixture.gateway);
    page.send(amqp::HEADER);
    page.read_to_end().expect_code(1013);
    expect_ending(
        &fixture.gateway,
        "amqp",
        "broker",
        "unreachable",
        Some(1013),
    );
}

/// broker, login_timeout: it answered, then stopped in the middle of the login; 1013, never a hang.
#[test]
fn broker_login_timeout() {
    let after_start_ok: Death = |peer| {
        peer.expect_header()?;
        peer.send(&negotiation::start("PLAIN"))?;
        peer.read_to_end()
    };
    let after_open: Death = |peer| {
        peer.expect_header()?;
        peer.send(&negotiation::start("PLAIN"))?;
        peer.expect_method(amqp::START_OK)?;
        peer.send(&negotiation::tune(negotiation::TUNING))?;
        peer.read_to_end()
    };
    for (script, answers) in [(after_start_ok, 1), (after_open, 2)] {
        let fixture = Fixture::with_limits(Broker::start(script));
        let mut page = Page::open(&fixture.gateway);
        for (number, step) in negotiation::client_steps(&negotiation::Login::default())
            .iter()
            .enumerate()
        {
            if number <= answers {
                page.send(step);
            }
            if number < answers {
                page.expect_method([amqp::START, amqp::TUNE][number]);
            }
        }
        let end = page.read_to_end();
        end.expect_code(1013);
        fixture.expect("broker", "login_timeout", Some(1013));
    }
}

/// A broker that dies under many sessions is told to every one of them, and nothing is left.
#[test]
fn a_dead_broker_is_told_to_every_session_at_once() {
    let fixture = Fixture::new();
    let mut pages: Vec<_> = (0..50).map(|_| Page::login(&fixture.gateway)).collect();
    assert_eq!(fixture.gateway.admin("GET", "/readyz").status, 200);
    fixture.broker.kill();
    let started = Instant::now();
    for page in &mut pages {
        expect_forced(&page.read_to_end(), 1014);
    }
    assert!(
        started.elapsed() < CLOSE_DEADLINE,
        "it took {:?}",
        started.elapsed()
    );
    fixture.gateway.wait_nothing_left();
    wait_until("/readyz to say so", DEADLINE, || {
        fixture.gateway.admin("GET", "/readyz").status == 503
    });
}
