//! Trials: an extension for a share of the clients, the same clients in both handshakes and on every gateway.

use std::fs;

use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::extended;
use crate::harness::gateway::Gateway;
use crate::harness::opening::Opening;
use crate::harness::users;
use crate::harness::users::BOB;
use crate::harness::users::JOE;
use crate::harness::users::USERS;
use crate::harness::wait_until;
use crate::harness::websocket::TEXT;
use crate::harness::DEADLINE;

const SEQUENCE: &str = "smeuse-sequence";
const IDLE_TIMEOUT: &str = "x-kaazing-idle-timeout";

fn trial(percent: f64) -> String {
    format!("trials = [{{ extension = \"smeuse-sequence\", percent = {percent} }}]")
}

fn gateway(lines: &str) -> Gateway {
    let proxies = "[proxies]\ntrusted = [\"127.0.0.1\"]\n";
    Gateway::start(&(proxies.to_owned() + &configuration::echo_with_lines(lines)))
}

fn series(name: &str, group: &str, more: &str) -> String {
    // Labels in the order of the page.
    let mut labels = vec![
        format!("extension=\"{SEQUENCE}\""),
        format!("group=\"{group}\""),
        "service=\"echo\"".to_owned(),
    ];
    labels.extend(
        more.split(',')
            .filter(|label| !label.is_empty())
            .map(str::to_owned),
    );
    labels.sort();
    format!("{name}{{{}}}", labels.join(","))
}

/// Opens as a client behind a proxy, in one handshake, and says whether the extension was agreed.
#[track_caller]
fn from_address(gateway: &Gateway, address: &str) -> (Client, bool) {
    let opening = Opening::new(gateway.public(), ECHO_PATH)
        .with("X-Forwarded-For", address)
        .with("Sec-WebSocket-Extensions", SEQUENCE);
    let mut client = Client::connect(gateway.public());
    client.send(&opening.bytes());
    let response = client.response();
    assert_eq!(response.status, 101, "{response:?}");
    let has = extended::agreed(&response) == [SEQUENCE];
    (client, has)
}

/// By `sha256sum` of "smeuse-sequence", "address" and the address: see the page on extensions.
#[test]
fn a_client_that_is_not_known_counts_by_its_address() {
    for (address, percent) in ADDRESSES {
        for (percent, is_in) in [(percent, false), (percent + 0.01, true)] {
            let gateway = gateway(&trial(percent));
            let (_client, has) = from_address(&gateway, address);
            assert_eq!(has, is_in, "{address} at {percent} percent");
            let group = if is_in { "with" } else { "without" };
            let sessions = series("smeuse_trial_sessions_total", group, "");
            assert_eq!(gateway.metric(&sessions), 1.0);
            let outcome = if is_in { "agreed" } else { "declined" };
            let offers = format!(
                "smeuse_extension_offers_total{{extension=\"{SEQUENCE}\",outcome=\"{outcome}\"}}"
            );
            assert_eq!(gateway.metric(&offers), 1.0);
        }
    }
}

const ADDRESSES: [(&str, f64); 2] = [("192.0.2.7", 58.38), ("2001:db8:0:7::1", 55.39)];

/// A user is on one side whatever the address and whichever the handshake, and both sides are told apart: how many, how
/// they ended, how long they took and what they carried.
#[test]
fn users_on_both_sides_are_told_apart() {
    let login = users::login(USERS, "[\"application-basic\"]", "");
    let lines = format!("{login}\n{}", trial(30.0));
    let gateway = gateway(&lines);
    // joe is at 12.98 percent, bob at 45.63.
    for (credentials, is_in, group) in [(JOE, true, "with"), (BOB, false, "without")] {
        let mut client = extended::begin(&gateway, ECHO_PATH);
        let headers = [
            ("Sec-WebSocket-Extensions", SEQUENCE),
            ("Authorization", credentials),
        ];
        let answer = extended::ask(&mut client, &headers);
        assert_eq!(answer.status, 101, "{answer:?}");
        assert_eq!(!extended::agreed(&answer).is_empty(), is_in, "{answer:?}");
        let opening = Opening::new(gateway.public(), ECHO_PATH)
            .with("X-Forwarded-For", "198.51.100.9")
            .with("Authorization", credentials)
            .with("Sec-WebSocket-Extensions", SEQUENCE);
        let mut other = Client::connect(gateway.public());
        other.send(&opening.bytes());
        let response = other.response();
        assert_eq!(
            !extended::agreed(&response).is_empty(),
            is_in,
            "{response:?}"
        );

        assert_eq!(
            gateway.metric(&series("smeuse_trial_sessions", group, "")),
            2.0
        );
        let text = "00000000hello";
        client.send_text(text);
        client.expect_message(TEXT, text.as_bytes());
        client.send_close(1000, "");
        client.expect_close(1000);
        let closed = series(
            "smeuse_trial_sessions_closed_total",
            group,
            "by=\"client\",reason=\"closed\"",
        );
        wait_until("the session to be counted", DEADLINE, || {
            gateway.metrics().sum("smeuse_trial_sessions_closed_total") > 0.0
        });
        gateway.wait_metric(&closed, 1.0);
        gateway.wait_metric(&series("smeuse_trial_sessions", group, ""), 1.0);
        let duration = series("smeuse_trial_session_duration_seconds_count", group, "");
        assert_eq!(gateway.metric(&duration), 1.0);
        // The request and the answer of the extended handshake are payload, too.
        let address = client.local_address().to_string();
        let ended = gateway.log_line("session ended", |line| line["client"] == address.as_str());
        for direction in ["from_client", "to_client"] {
            let carried = ended[format!("bytes_{direction}")].as_f64().expect("bytes");
            assert!(carried > text.len() as f64, "{ended}");
            let label = format!("direction=\"{direction}\"");
            let bytes = series("smeuse_trial_bytes_total", group, &label);
            assert_eq!(gateway.metric(&bytes), carried, "{direction}");
        }
        other.send_close(1000, "");
        other.expect_close(1000);
        gateway.wait_metric(&closed, 2.0);
    }
    // Who does not offer it is on neither side.
    let mut client = extended::begin(&gateway, ECHO_PATH);
    let answer = extended::ask(&mut client, &[("Authorization", JOE)]);
    assert_eq!(answer.status, 101);
    for group in ["with", "without"] {
        let sessions = series("smeuse_trial_sessions_total", group, "");
        assert_eq!(gateway.metric(&sessions), 2.0, "{group}");
    }
}

/// A side counts what is offered. So both have those whose offer the extension itself declines, and nothing but the trial
/// tells them apart.
#[test]
fn an_offer_that_the_extension_declines_counts_on_either_side() {
    for (percent, group) in [(100.0, "with"), (0.0, "without")] {
        let trial = trial(percent).replace(SEQUENCE, IDLE_TIMEOUT);
        let gateway = gateway(&format!("idle_timeout = \"0s\"\n{trial}"));
        let mut client = extended::begin(&gateway, ECHO_PATH);
        let offer = [("Sec-WebSocket-Extensions", IDLE_TIMEOUT)];
        let answer = extended::ask(&mut client, &offer);
        assert_eq!(extended::agreed(&answer), Vec::<String>::new());
        for name in ["smeuse_trial_sessions_total", "smeuse_trial_sessions"] {
            let series = series(name, group, "").replace(SEQUENCE, IDLE_TIMEOUT);
            assert_eq!(gateway.metric(&series), 1.0, "{series}");
            assert_eq!(gateway.metrics().sum(name), 1.0);
        }
    }
}

/// A percentage changes without a restart, and sessions keep what they have.
#[test]
fn a_percentage_may_change() {
    let gateway = gateway(&trial(0.0));
    let (mut without, has) = from_address(&gateway, "192.0.2.7");
    assert!(!has);
    let text = fs::read_to_string(gateway.configuration()).expect("a configuration");
    let all = text.replace(&trial(0.0), &trial(100.0));
    assert_ne!(text, all);
    fs::write(gateway.configuration(), all).expect("a configuration");
    gateway.signal("HUP");
    wait_until("the trial to be everybody's", DEADLINE, || {
        from_address(&gateway, "192.0.2.7").1
    });
    without.send_text("no number");
    without.expect_message(TEXT, b"no number");
}
