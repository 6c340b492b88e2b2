//! Ending by plan: readiness, new sessions, those that go on, the spread, the second signal, and what
//! SIGHUP reads again.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::harness::broker::Broker;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::gateway::Gateway;
use crate::harness::opening::Opening;
use crate::harness::refusal::expect_refusal;
use crate::harness::wait_for;
use crate::harness::wait_until;
use crate::harness::websocket::BINARY;
use crate::harness::DEADLINE;

fn gateway(deadline: &str, spread: &str) -> Gateway {
    let drain = format!("[drain]\ndeadline = \"{deadline}\"\nspread = \"{spread}\"\n");
    Gateway::start(&(drain + &configuration::echo()))
}

fn open(gateway: &Gateway) -> Client {
    Client::open(gateway.public(), ECHO_PATH)
}

#[track_caller]
fn expect_echo(client: &mut Client) {
    client.send_binary(b"still here");
    client.expect_message(BINARY, b"still here");
}

/// Without sessions there is nothing to wait for.
#[test]
fn without_sessions_a_signal_ends_the_process_at_once() {
    for signal in ["TERM", "INT"] {
        let mut gateway = gateway("60s", "10s");
        gateway.signal(signal);
        assert!(gateway.exit_status(DEADLINE / 2).success(), "SIG{signal}");
        gateway.log_line("draining", |_| true);
        gateway.log_line("drained", |_| true);
    }
}

/// SIGTERM: not ready at once, alive all the same; no new sessions; those that are open go on.
#[test]
fn draining_refuses_new_sessions_and_leaves_those_that_are_open() {
    let mut gateway = gateway("60s", "1s");
    let mut client = open(&gateway);
    assert_eq!(gateway.admin("GET", "/readyz").status, 200);
    assert_eq!(gateway.metric("smeuse_draining"), 0.0);
    gateway.signal("TERM");
    gateway.log_line("draining", |_| true);
    let ready = gateway.admin("GET", "/readyz");
    assert_eq!(ready.status, 503);
    assert!(
        ready.body.contains("draining") || ready.body.contains("shutting down"),
        "{ready:?}"
    );
    assert_eq!(gateway.admin("GET", "/healthz").status, 200);
    assert_eq!(gateway.metric("smeuse_draining"), 1.0);

    let request = Opening::new(gateway.public(), ECHO_PATH).bytes();
    let response = expect_refusal(&gateway, &request, 503, "draining");
    let after = response.header("Retry-After").expect("Retry-After");
    assert!(
        after.parse::<u32>().is_ok_and(|seconds| seconds > 0),
        "Retry-After: {after}"
    );

    expect_echo(&mut client);
    client.send_close(1000, "done by itself");
    assert_eq!(client.read_to_close().code, Some(1000));
    client.expect_end(DEADLINE);
    // With the last session gone there is nothing to wait for any more.
    assert!(gateway.exit_status(DEADLINE / 2).success());
}

/// At the deadline what is left is closed with 1001 and a reason that says to come back, and the process exits 0.
#[test]
fn at_the_deadline_sessions_are_closed_with_1001() {
    let mut gateway = gateway("500ms", "0s");
    let mut client = open(&gateway);
    let started = Instant::now();
    gateway.signal("TERM");
    let closed = client.read_to_close();
    let elapsed = started.elapsed();
    assert_eq!(closed.code, Some(1001));
    assert!(closed.reason.contains("reconnect"), "{closed:?}");
    assert!(
        (Duration::from_millis(400)..Duration::from_secs(3)).contains(&elapsed),
        "{elapsed:?}"
    );
    client.send_close(1001, "");
    client.expect_end(DEADLINE);
    assert!(gateway.exit_status(DEADLINE / 2).success());
    gateway.log_line("drained", |_| true);
}

/// A client that does not answer its Close does not keep the process.
#[test]
fn a_client_that_does_not_answer_does_not_keep_the_process() {
    let drain =
        "[drain]\ndeadline = \"200ms\"\nspread = \"0s\"\n[websocket]\nclose_deadline = \"300ms\"\n";
    let mut gateway = Gateway::start(&(drain.to_owned() + &configuration::echo()));
    let client = open(&gateway);
    gateway.signal("TERM");
    assert!(gateway.exit_status(Duration::from_secs(3)).success());
    drop(client);
}

/// `drain.spread`: the closings come one by one over the last part of the deadline, not all at once.
#[test]
fn closings_are_spread() {
    const SESSIONS: usize = 40;
    let mut gateway = gateway("1500ms", "1s");
    let mut clients: Vec<_> = (0..SESSIONS).map(|_| open(&gateway)).collect();
    gateway.wait_metric("smeuse_sessions{service=\"echo\"}", SESSIONS as f64);
    let started = Instant::now();
    gateway.signal("TERM");
    let threads: Vec<_> = clients
        .drain(..)
        .map(|mut client| {
            thread::spawn(move || {
                let closed = client.read_to_close();
                let at = started.elapsed();
                client.send_close(1001, "");
                (closed.code, at)
            })
        })
        .collect();
    let mut times: Vec<_> = threads
        .into_iter()
        .map(|thread| {
            let (code, at) = thread.join().expect("every client is told");
            assert_eq!(code, Some(1001));
            at
        })
        .collect();
    times.sort();
    let (first, last) = (times[0], times[SESSIONS - 1]);
    assert!(
        first >= Duration::from_millis(450),
        "the first was closed after {first:?}, before the spread began"
    );
    assert!(
        last <= Duration::from_millis(2500),
        "the last was closed after {last:?}"
    );
    // Uniform over 1 s: that 40 of them fall into half of it has a chance of about 2 to the 34th against.
    assert!(
        last - first >= Duration::from_millis(500),
        "all within {:?}",
        last - first
    );
    assert!(gateway.exit_status(DEADLINE / 2).success());
}

/// A second signal ends the process at once.
#[test]
fn a_second_signal_ends_at_once() {
    let mut gateway = gateway("60s", "10s");
    let _client = open(&gateway);
    gateway.signal("TERM");
    gateway.log_line("draining", |_| true);
    gateway.signal("TERM");
    gateway.exit_status(Duration::from_secs(3));
}

/// A file that does not come, as on a network's file system that is away, holds up who reads it, and not the end.
#[test]
fn a_reload_that_hangs_does_not_keep_the_process() {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("it-{}-hangs.token", std::process::id()));
    fs::write(&file, "token-of-the-operators").expect("a token");
    let admin = format!("[admin]\ntoken_file = {file:?}\n");
    let mut gateway = Gateway::start(&(admin + &configuration::echo()));
    fs::remove_file(&file).expect("the token is gone");
    let made = Command::new("mkfifo").arg(&file).status();
    assert!(made.expect("mkfifo can be started").success());
    gateway.signal("HUP");
    // Succeeds when somebody reads, who then waits for what is never written.
    let mut writing = fs::OpenOptions::new();
    writing.write(true).custom_flags(O_NONBLOCK);
    let _writing = wait_for("the token to be read", DEADLINE, || {
        writing.open(&file).ok()
    });
    gateway.signal("TERM");
    assert!(gateway.exit_status(DEADLINE / 2).success());
    assert_eq!(gateway.log_lines("reloaded").len(), 0);
    fs::remove_file(&file).expect("the pipe is gone");
}

/// Of Linux.
const O_NONBLOCK: i32 = 0o4000;

/// Nothing of an AMQP session is lost in a drain that it outlives: publishes and deliveries go on.
#[test]
fn amqp_goes_on_while_draining() {
    use crate::harness::page::Page;
    let broker = Broker::polite();
    let drain = "[drain]\ndeadline = \"60s\"\nspread = \"1s\"\n";
    let mut gateway = Gateway::start(&(drain.to_owned() + &configuration::amqp(broker.uri())));
    let mut page = Page::login(&gateway);
    gateway.signal("TERM");
    gateway.log_line("draining", |_| true);
    for channel in 1..100 {
        page.open_channel(channel);
    }
    page.send(&crate::harness::amqp::connection_close(200, ""));
    page.expect_method(crate::harness::amqp::CONNECTION_CLOSE_OK);
    page.read_to_end().expect_code(1000);
    assert!(gateway.exit_status(DEADLINE / 2).success());
}

/// SIGHUP: the log level of the configuration file is read again.
#[test]
fn sighup_reads_the_log_level_again() {
    let gateway =
        Gateway::start(&("[log]\nlevel = \"info\"\n".to_owned() + &configuration::echo()));
    open(&gateway);
    gateway.log_line("session ended", |_| true);
    let text = "[log]\nlevel = \"warn\"\n".to_owned() + &configuration::echo();
    fs::write(gateway.configuration(), text).expect("the configuration can be replaced");
    gateway.signal("HUP");
    wait_until("sessions to be logged no more", DEADLINE, || {
        let before = gateway.log_lines("session opened").len();
        let closed = gateway.metrics().sum("smeuse_sessions_closed_total");
        open(&gateway);
        wait_until("the session to end", DEADLINE, || {
            gateway.metrics().sum("smeuse_sessions_closed_total") > closed
        });
        gateway.log_lines("session opened").len() == before
    });
    fs::write(
        gateway.configuration(),
        "[log]\nlevel = \"info\"\n".to_owned() + &configuration::echo(),
    )
    .expect("the configuration can be replaced");
    gateway.signal("HUP");
    let before = gateway.log_lines("session opened").len();
    wait_until("sessions to be logged again", DEADLINE, || {
        open(&gateway);
        gateway.log_lines("session opened").len() > before
    });
    let logged = gateway.log_lines("session opened").len() as f64;
    let opened = gateway.metrics().sum("smeuse_sessions_opened_total");
    assert!(logged < opened, "every session was logged");
}
