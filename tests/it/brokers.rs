//! Several brokers, some of them down: order and rotation, back-off, the bound on connects, what is told of it.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::harness::amqp;
use crate::harness::broker::Broker;
use crate::harness::broker::Gate;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::AMQP_PATH;
use crate::harness::gateway::Gateway;
use crate::harness::page::Page;
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::wait_until;
use crate::harness::DEADLINE;

/// A broker that closes every socket while `is_down`, and logs clients in otherwise.
fn switched(is_down: &Arc<AtomicBool>) -> Broker {
    let is_down = Arc::clone(is_down);
    Broker::start(move |peer| {
        if is_down.load(Ordering::SeqCst) {
            return Ok(());
        }
        peer.negotiate()?;
        peer.serve()
    })
}

fn down() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(true))
}

/// A session that is not served: it gets 1013.
#[track_caller]
fn expect_1013(gateway: &Gateway) -> String {
    let mut page = Page::open(gateway);
    page.send(amqp::HEADER);
    let end = page.read_to_end();
    end.expect_code(1013);
    end.reason
}

fn outcome(gateway: &Gateway, outcome: &str) -> f64 {
    gateway.metric(&format!(
        "smeuse_upstream_connects_total{{outcome=\"{outcome}\"}}"
    ))
}

/// `broker_order = "rotate"`: every broker gets its part.
#[test]
fn sessions_go_round() {
    let brokers = [Broker::polite(), Broker::polite(), Broker::polite()];
    let uris = brokers.each_ref().map(|broker| broker.uri().to_string());
    let gateway = Gateway::start(&configuration::amqp_to(&uris, "broker_order = \"rotate\""));
    for round in 1..=3 {
        for _ in &brokers {
            Page::login(&gateway).open_channel(1);
        }
        assert_eq!(brokers.each_ref().map(Broker::accepted), [round; 3]);
    }
}

/// `broker_order = "first"`: the others hear nothing while it works.
#[test]
fn the_first_is_asked_while_it_works() {
    let brokers = [Broker::polite(), Broker::polite()];
    let uris = brokers.each_ref().map(|broker| broker.uri().to_string());
    let gateway = Gateway::start(&configuration::amqp_to(&uris, ""));
    for _ in 0..4 {
        Page::login(&gateway).open_channel(1);
    }
    assert_eq!(brokers.each_ref().map(Broker::accepted), [4, 0]);
}

/// A broker that has failed is passed over, named by /readyz and in the metrics, and taken again when it is back.
#[test]
fn a_broker_that_is_down_is_passed_over_and_named() {
    let is_down = down();
    let first = switched(&is_down);
    let second = Broker::polite();
    let name = first.address().to_string();
    let uris = [first.uri().to_string(), second.uri().to_string()];
    let gateway = Gateway::start(&configuration::amqp_to(
        &uris,
        "backoff = \"2s\"\nbackoff_max = \"2s\"",
    ));
    let up = format!("smeuse_broker_up{{broker=\"{name}\"}}");
    assert_eq!(gateway.metric(&up), 1.0);
    let began = Instant::now();
    for _ in 0..5 {
        Page::login(&gateway).open_channel(1);
    }
    // A second at least, which a slow machine may have used up.
    if began.elapsed() < Duration::from_secs(1) {
        assert_eq!((first.accepted(), second.accepted()), (1, 5));
    }
    assert_eq!(gateway.metric(&up), 0.0);
    let line = gateway.log_line("broker down", |line| line["broker"] == *name);
    assert!(
        line["detail"]
            .as_str()
            .is_some_and(|text| text.contains(&name)),
        "{line}"
    );
    let ready = gateway.admin("GET", "/readyz");
    assert_eq!(ready.status, 200);
    assert!(
        ready.body.starts_with("ready\ndown: broker ") && ready.body.contains(&name),
        "{ready:?}"
    );
    is_down.store(false, Ordering::SeqCst);
    wait_until("a session to find it back", DEADLINE, || {
        Page::login(&gateway).open_channel(1);
        gateway.metric(&up) > 0.0
    });
    gateway.log_line("broker up", |line| line["broker"] == *name);
    assert!(
        gateway.metric(&format!(
            "smeuse_broker_backoff_seconds_total{{broker=\"{name}\"}}"
        )) >= 0.9
    );
    assert_eq!(gateway.admin("GET", "/readyz").body, "ready\n");
}

/// Without a session to try it, and where clients log in for themselves, whoever asks for readiness has a broker that is
/// down tried: it is not called down for ever.
#[test]
fn a_broker_that_is_back_is_seen_by_readyz_alone() {
    let is_down = down();
    let first = switched(&is_down);
    let second = Broker::polite();
    let uris = [first.uri().to_string(), second.uri().to_string()];
    let gateway = Gateway::start(&configuration::amqp_to(
        &uris,
        "backoff = \"200ms\"\nbackoff_max = \"200ms\"",
    ));
    Page::login(&gateway).open_channel(1);
    assert!(gateway.admin("GET", "/readyz").body.contains("down: "));
    is_down.store(false, Ordering::SeqCst);
    wait_until("/readyz to be clear", DEADLINE, || {
        gateway.admin("GET", "/readyz").body == "ready\n"
    });
    assert_eq!(
        gateway.metric(&format!(
            "smeuse_broker_up{{broker=\"{}\"}}",
            first.address()
        )),
        1.0
    );
}

/// While the only broker is down it is tried less and less often, however many ask; who would wait too long is told at
/// once, and the others are served as soon as it is back.
#[test]
fn a_broker_in_back_off_is_tried_by_one_at_a_time() {
    let is_down = down();
    let broker = switched(&is_down);
    let gateway = Gateway::start(&configuration::amqp_with(
        broker.uri(),
        "backoff = \"100ms\"\nbackoff_max = \"400ms\"\nconnect_deadline = \"3s\"",
    ));
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| expect_1013(&gateway));
        }
    });
    // Those that came before the first had failed tried with it. Then one at a time: the shortest times are 50, 100 and
    // 200 ms, and 200 ms from then on.
    let elapsed = began.elapsed().as_secs_f64();
    let most = 20.0 + 3.0 + elapsed / 0.2;
    assert!(
        (broker.accepted() as f64) < most,
        "{} in {elapsed} s",
        broker.accepted()
    );
    is_down.store(false, Ordering::SeqCst);
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| Page::login(&gateway).open_channel(1));
        }
    });
    assert_eq!(outcome(&gateway, "connected"), 20.0);
}

/// Nobody waits longer than `connect_deadline` for a back-off to end, and nobody waits for nothing.
#[test]
fn who_would_wait_too_long_is_told_at_once() {
    let broker = switched(&down());
    let gateway = Gateway::start(&configuration::amqp_with(
        broker.uri(),
        "backoff = \"60s\"\nbackoff_max = \"60s\"\nconnect_deadline = \"20s\"",
    ));
    assert!(expect_1013(&gateway).contains("closed the socket"));
    let began = Instant::now();
    let reason = expect_1013(&gateway);
    assert!(reason.contains("failed lately"), "{reason}");
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(broker.accepted(), 1);
    assert_eq!(outcome(&gateway, "backed_off"), 1.0);
}

/// `connects_per_second`: 200 pages at once, and the broker never sees more than the bound.
#[test]
fn a_crowd_is_let_in_at_the_pace_that_is_set() {
    const BOUND: f64 = 80.0;
    let broker = Broker::polite();
    let gateway = Gateway::start(&configuration::amqp_with(
        broker.uri(),
        &format!("connects_per_second = {BOUND}\nconnect_deadline = \"20s\""),
    ));
    let mut clients: Vec<_> = (0..200)
        .map(|_| Client::open(gateway.public(), AMQP_PATH))
        .collect();
    let began = Instant::now();
    for client in &mut clients {
        client.send_binary(amqp::HEADER);
    }
    // Whatever is late here was in time there: by now no more than a second's worth and one for each second gone by.
    wait_until("all to be let in", 2 * DEADLINE, || {
        let accepted = broker.accepted() as f64;
        let most = BOUND * (began.elapsed().as_secs_f64() + 1.0);
        assert!(accepted <= most, "{accepted} of {most}");
        accepted >= 200.0
    });
    assert!(
        began.elapsed() >= Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
}

/// Who would get his turn after `connect_deadline` is told at once; a client that leaves gives its turn to another.
#[test]
fn whose_turn_would_come_too_late_is_told_at_once() {
    let broker = Broker::polite();
    let gateway = Gateway::start(&configuration::amqp_with(
        broker.uri(),
        "connects_per_second = 1\nconnect_deadline = \"1500ms\"",
    ));
    let mut pages: Vec<_> = (0..3).map(|_| Page::open(&gateway)).collect();
    let began = Instant::now();
    for page in &mut pages {
        page.send(amqp::HEADER);
    }
    // One goes at once, one after a second, and one would go after two.
    let paced = "smeuse_upstream_connects_total{outcome=\"paced\"}";
    gateway.wait_metric(paced, 1.0);
    // The broker may be slower than the gateway to see even that one.
    let accepted = broker.accepted();
    if began.elapsed() < Duration::from_millis(900) {
        assert!(accepted <= 1, "{accepted}");
    }
    wait_until("the second to be let in", DEADLINE, || {
        broker.accepted() == 2
    });
    assert!(
        began.elapsed() >= Duration::from_millis(900),
        "{:?}",
        began.elapsed()
    );
    gateway.log_line("session ended", |line| {
        line["reason"] == "unreachable"
            && line["detail"]
                .as_str()
                .is_some_and(|text| text.contains("too many"))
    });
}

/// Whose broker fails before it answers has had his turn: he goes to the next broker before those who wait for their first.
#[test]
fn who_has_waited_for_a_broker_that_fails_does_not_wait_behind_the_crowd() {
    let gate = Gate::default();
    let door = gate.clone();
    let first = Broker::start(move |_| door.pass());
    let second = Broker::polite();
    let uris = [first.uri().to_string(), second.uri().to_string()];
    let gateway = Gateway::start(
        &("[listen]\nworkers = 1\n".to_owned()
            + &configuration::amqp_to(
                &uris,
                "connects_per_second = 1\nconnect_deadline = \"6s\"\nbackoff = \"60s\"\nbackoff_max = \"60s\"",
            )),
    );
    let mut page = Page::open(&gateway);
    let mut crowd: Vec<_> = (0..12).map(|_| Page::open(&gateway)).collect();
    page.send(amqp::HEADER);
    wait_until("the broker to be tried", DEADLINE, || first.accepted() == 1);
    for other in &mut crowd {
        other.send(amqp::HEADER);
    }
    // When the first is told that its turn would come too late, all places that there are in time are taken.
    let paced = "smeuse_upstream_connects_total{outcome=\"paced\"}";
    gateway.wait_metric_until(paced, |count| count >= 1.0);
    gate.open();
    page.expect_method(amqp::START);
    assert_eq!(first.accepted(), 1);
}

/// Two services that name one broker know the same of it.
#[test]
fn services_share_what_is_known_of_a_broker() {
    let broker = switched(&down());
    let settings = "backoff = \"60s\"\nbackoff_max = \"60s\"";
    let other = format!(
        "{}[services.upstream]\nuris = [\"{}\"]\n{settings}\n",
        configuration::service("other", "amqp", &["/other"], ""),
        broker.uri()
    );
    let gateway = Gateway::start(&(configuration::amqp_with(broker.uri(), settings) + &other));
    expect_1013(&gateway);
    let mut client = Client::open(gateway.public(), "/other");
    client.send_binary(amqp::HEADER);
    client.expect_close_and_answer(1013);
    assert_eq!(broker.accepted(), 1);
}

/// A service with a login of its own at a private node and then at these, and a back-off that no test waits for.
fn patient(rabbitmq: &RabbitMq, others: &[&Broker], control: &str) -> Gateway {
    let uri = format!("{}/%2F", rabbitmq.uri());
    let control = control.replace("URI", &uri);
    let mut uris = vec![uri];
    let with_login = |other: &&Broker| format!("amqp://guest:guest@{}/%2F", other.address());
    uris.extend(others.iter().map(with_login));
    let service = configuration::amqp_to(
        &uris,
        "login = \"service\"\nbackoff = \"60s\"\nbackoff_max = \"60s\"",
    );
    Gateway::start(&(control + &service))
}

/// Where the gateway has a login of its own, it finds out by itself that a broker is back, and ends the back-off.
#[test]
fn a_broker_that_is_back_is_found_long_before_its_back_off_ends() {
    let rabbitmq = RabbitMq::private();
    let name = rabbitmq.name().to_owned();
    let gateway = patient(&rabbitmq, &[], "");
    Page::login(&gateway).open_channel(1);
    rabbitmq.kill();
    expect_1013(&gateway);
    gateway.log_line("broker down", |line| line["broker"] == *name);
    rabbitmq.revive();
    gateway.log_line("broker up", |line| line["broker"] == *name);
    Page::login(&gateway).open_channel(1);
    assert_eq!(gateway.log_lines("broker down").len(), 1);
    assert_eq!(gateway.log_lines("broker up").len(), 1);
}

/// A broker that hangs is noticed by the round trips on the connection for events, and no session has to wait for it:
/// not even when its back-off is over, since the gateway tries it by itself.
#[test]
fn a_broker_that_hangs_costs_no_session_its_time() {
    let rabbitmq = RabbitMq::private();
    let other = Broker::polite();
    let name = rabbitmq.name().to_owned();
    let gateway = patient(
        &rabbitmq,
        &[&other],
        "[control]\nuris = [\"URI\"]\nevents_exchange = \"smeuse.events\"\n",
    );
    gateway.log_line("events and commands ready", |_| true);
    rabbitmq.signal("STOP");
    let down = gateway.log_line("broker down", |line| line["broker"] == *name);
    assert!(
        down["detail"]
            .as_str()
            .is_some_and(|text| text.contains("no answer")),
        "{down}"
    );
    // Over a second, in which the back-off of the connection for events (200 ms at first) ends more than once.
    for _ in 0..20 {
        let began = Instant::now();
        Page::login(&gateway).open_channel(1);
        // A session that tried it would have waited half of five seconds.
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "{:?}",
            began.elapsed()
        );
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(other.accepted(), 20);
    rabbitmq.signal("CONT");
    gateway.log_line("broker up", |line| line["broker"] == *name);
    Page::login(&gateway).open_channel(1);
    assert_eq!(other.accepted(), 20);
    wait_until("events to be ready again", 2 * DEADLINE, || {
        gateway.log_lines("events and commands ready").len() == 2
    });
}
