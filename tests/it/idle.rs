//! What an idle session costs: both sockets open, AMQP logged in, nothing to do.

use crate::harness::amqp;
use crate::harness::broker::Broker;
use crate::harness::configuration;
use crate::harness::gateway::Gateway;
use crate::harness::page::Page;

const SESSIONS: usize = 2000;

/// What is allowed per session, with both sockets.
const ALLOWED_BYTES: u64 = 8 * 1000;

/// This process holds four descriptors per session: a socket and its second handle on either side.
const DESCRIPTORS_PER_SESSION: usize = 5;

/// The memory of 2,000 idle sessions, after one that was busy; fewer where descriptors do not suffice.
#[test]
fn an_idle_session_costs_little_memory() {
    let broker = Broker::polite();
    let gateway = Gateway::start(&format!(
        "[limits]\nsessions_per_address = 5000\n{}",
        configuration::amqp(broker.uri())
    ));
    let sessions = affordable(SESSIONS);
    for _ in 0..20 {
        Page::login(&gateway).open_channel(1);
    }
    gateway.wait_nothing_left();
    let before = gateway.rss_kib();
    let mut pages: Vec<_> = (0..sessions).map(|_| Page::login(&gateway)).collect();
    gateway.wait_metric("smeuse_sessions{service=\"amqp\"}", sessions as f64);
    gateway.wait_metric("smeuse_upstream_connections", sessions as f64);
    let grown = gateway.rss_kib().saturating_sub(before) * 1024 / sessions as u64;
    eprintln!("{grown} bytes per idle session");
    assert!(
        grown < ALLOWED_BYTES,
        "{grown} bytes per idle session, {ALLOWED_BYTES} are allowed"
    );
    for page in pages.iter_mut().step_by(100) {
        page.open_channel(1);
    }
    drop(pages);
    gateway.wait_nothing_left();
    broker.wait_all_ended();
}

/// A session that once carried large bodies both ways gives their buffers back when it is idle.
#[test]
fn a_session_that_was_busy_costs_no_more_than_an_idle_one() {
    const BODY: usize = 100_000;
    let sessions = affordable(300);
    let broker = Broker::start(|peer| {
        peer.negotiate()?;
        peer.expect_method(amqp::CHANNEL_OPEN)?;
        peer.send(&amqp::deliver(1, 1, &[1; BODY], 131_072))?;
        peer.serve()
    });
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let login = || {
        let mut page = Page::login(&gateway);
        page.open_channel_without_answer(1);
        page.expect_method(amqp::DELIVER);
        page.read_frame();
        page.read_frame();
        page.send(&amqp::publish(1, "q", &[2; BODY], 131_072));
        page.open_channel(2);
        page
    };
    for _ in 0..50 {
        login();
    }
    gateway.wait_nothing_left();
    let before = gateway.rss_kib();
    let pages: Vec<_> = (0..sessions).map(|_| login()).collect();
    let grown = gateway.rss_kib().saturating_sub(before) * 1024 / sessions as u64;
    eprintln!("{grown} bytes per session that was busy");
    // Fewer sessions than above, so what allocators keep for all of them weighs more.
    let allowed = ALLOWED_BYTES + 1024 * 1024 / sessions as u64;
    assert!(
        grown < allowed,
        "{grown} bytes per session, {allowed} are allowed"
    );
    drop(pages);
    gateway.wait_nothing_left();
}

/// As many sessions as wished, or as the descriptors of this process suffice for.
fn affordable(wished: usize) -> usize {
    let sessions = wished.min(descriptor_limit().saturating_sub(200) / DESCRIPTORS_PER_SESSION);
    assert!(
        sessions >= 100,
        "ulimit -n is too low to say anything about idle sessions"
    );
    sessions
}

/// The limit of open descriptors of this process, which the gateway inherits.
fn descriptor_limit() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(3)
        .and_then(|limit| limit.parse().ok())
        .unwrap_or(1024)
}
