//! Users of the gateway's own: what they become at the broker, what happens to them when the users file changes, and
//! what is counted and never told.

use std::io;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::thread;

use crate::harness::amqp::Builder;
use crate::harness::broker::Broker;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::AMQP_PATH;
use crate::harness::extended;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation::Login;
use crate::harness::page::Page;
use crate::harness::peer::Negotiated;
use crate::harness::users;
use crate::harness::users::UsersFile;
use crate::harness::users::BOB;
use crate::harness::users::JOE;
use crate::harness::users::JOE_WRONG;
use crate::harness::users::SECRETS;
use crate::harness::users::TOKEN;
use crate::harness::users::USERS;
use crate::harness::wait_until;
use crate::harness::DEADLINE;

/// What the broker is to be told, whoever the page says it is.
const SERVICE: &str =
    "login = \"service\"\nuser = \"gateway-user\"\npassword = \"gateway-secret\"\nvhost = \"/own\"";

/// A broker that tells how each client logged in.
fn telling_broker() -> (Broker, Receiver<Negotiated>) {
    let (tx, rx) = mpsc::channel();
    let broker = Broker::start(move |peer| {
        let negotiated = peer.negotiate()?;
        tx.send(negotiated).map_err(io::Error::other)?;
        peer.serve()
    });
    (broker, rx)
}

fn gateway(broker: &Broker, file: &str, more: &str) -> Gateway {
    let schemes = "[\"application-basic\", \"application-token\"]";
    let login = users::login(file, schemes, more);
    let service = configuration::amqp_service(&login, &[broker.uri()], SERVICE);
    Gateway::start(&service)
}

fn logins(outcome: &str) -> String {
    format!("smeuse_logins_total{{outcome=\"{outcome}\",service=\"amqp\"}}")
}

fn challenges(dialect: &str) -> String {
    format!("smeuse_challenges_total{{dialect=\"{dialect}\"}}")
}

/// Gives these credentials at once and reads the answer.
#[track_caller]
fn give(gateway: &Gateway, credentials: &str) -> (Client, u16) {
    let mut client = extended::begin(gateway, AMQP_PATH);
    let response = extended::ask(&mut client, &[("Authorization", credentials)]);
    (client, response.status)
}

/// Nobody's secret is in the log, nor on the page of metrics.
#[track_caller]
fn expect_no_secret(gateway: &Gateway) {
    let log: Vec<_> = gateway.log().iter().map(ToString::to_string).collect();
    let text = log.join("\n") + &gateway.admin("GET", "/metrics").body;
    assert!(text.contains("session agreed"), "{text}");
    for secret in SECRETS.into_iter().chain(["gateway-secret", "page-secret"]) {
        assert!(!text.contains(secret), "{secret} was told:\n{text}");
    }
}

/// Whatever the page says in its AMQP login, the broker hears the service's account and vhost.
#[test]
fn a_user_of_the_gateway_is_the_services_user_at_the_broker() {
    let (broker, rx) = telling_broker();
    let gateway = gateway(&broker, USERS, "");
    let amqplain = Builder::new().table(&[("LOGIN", "page-user"), ("PASSWORD", "page-secret")]);
    let logins = [
        ("PLAIN", b"\0page-user\0page-secret".to_vec()),
        ("PLAIN", Vec::new()),
        ("PLAIN", b"\xff\0\0\0\xfe".to_vec()),
        ("AMQPLAIN", amqplain.0[4..].to_vec()),
        ("AMQPLAIN", b"\x05LOGINno table at all".to_vec()),
    ];
    for (credentials, (mechanism, response)) in [JOE, TOKEN].iter().cycle().zip(logins) {
        let (client, status) = give(&gateway, credentials);
        assert_eq!(status, 101);
        let mut page = Page::over(client).logged_in(&Login {
            mechanism,
            response,
            vhost: "/wished".to_owned(),
            ..Login::default()
        });
        let negotiated = rx.recv_timeout(DEADLINE).expect("the broker logs in");
        assert_eq!(negotiated.mechanism, "PLAIN");
        assert_eq!(negotiated.response, b"\0gateway-user\0gateway-secret");
        assert_eq!(negotiated.vhost, "/own");
        page.open_channel(1);
    }
    expect_no_secret(&gateway);
}

/// The log names the user, once, in the line that says what was agreed on.
#[test]
fn the_log_says_who_came() {
    let (broker, _rx) = telling_broker();
    let gateway = gateway(&broker, USERS, "");
    for (credentials, name) in [(JOE, "joe"), (TOKEN, "dashboard")] {
        assert_eq!(give(&gateway, credentials).1, 101);
        let line = gateway.log_line("session agreed", |line| line["user"] == name);
        assert!(line["session"].is_string(), "{line}");
    }
    expect_no_secret(&gateway);
}

/// SIGHUP reads the users file again: who is new can come in, who is gone cannot, and who is in stays.
#[test]
fn sighup_reads_the_users_again() {
    let (broker, _rx) = telling_broker();
    let file = UsersFile::new(&users::entry("joe"));
    let gateway = gateway(&broker, file.path(), "");
    let (joe, status) = give(&gateway, JOE);
    assert_eq!(status, 101);
    assert_eq!(give(&gateway, BOB).1, 401);
    file.write(&users::entry("bob"));
    gateway.signal("HUP");
    gateway.log_line("reloaded", |_| true);
    assert_eq!(give(&gateway, BOB).1, 101);
    assert_eq!(give(&gateway, JOE).1, 401);
    let mut page = Page::over(joe).logged_in(&Login::default());
    page.open_channel(1);
    expect_no_secret(&gateway);
}

/// A file that cannot be read, or is nobody's, changes nothing, and the log names it.
#[test]
fn a_broken_users_file_changes_nothing() {
    let (broker, _rx) = telling_broker();
    let file = UsersFile::new(&users::entry("joe"));
    let gateway = gateway(&broker, file.path(), "");
    let broken = [
        "",
        "[[users]\n",
        "[[users]]\nname = \"joe\"\npassword = \"welcome\"\n",
        "[[users]]\nname = \"joe\"\npasword = \"welcome\"\n",
    ];
    for (count, text) in broken.into_iter().enumerate() {
        file.write(text);
        gateway.signal("HUP");
        let message = "reload failed, the old setting stays";
        wait_until("the failure to be logged", DEADLINE, || {
            gateway.log_lines(message).len() > count
        });
        let lines = gateway.log_lines(message);
        let detail = lines[count]["detail"].as_str().expect("a detail");
        assert!(detail.contains(file.path()), "{detail}");
        assert!(!detail.contains("welcome"), "{detail}");
        assert_eq!(give(&gateway, JOE).1, 101);
    }
    assert!(gateway.log_lines("reloaded").is_empty());
    expect_no_secret(&gateway);
}

/// `login.attempts` answers to a challenge, and the next one is the last word: 403, and 4105.
#[test]
fn attempts_are_bounded_and_counted() {
    let (broker, _rx) = telling_broker();
    let gateway = gateway(&broker, USERS, ", attempts = 3");
    let mut client = extended::begin(&gateway, AMQP_PATH);
    assert_eq!(extended::ask(&mut client, &[]).status, 401);
    for _ in 0..2 {
        let response = extended::ask(&mut client, &[("Authorization", JOE_WRONG)]);
        assert_eq!(response.status, 401, "{response:?}");
    }
    client.send_text(&extended::request(&[("Authorization", JOE_WRONG)]));
    extended::expect_refusal(&mut client, 403, "credentials_refused");
    assert!(!client.expect_close_and_answer(4105).is_empty());
    gateway.wait_nothing_left();

    let metrics = gateway.metrics();
    assert_eq!(metrics.value(&challenges("specification")), 3.0);
    assert_eq!(metrics.value(&challenges("legacy")), 0.0);
    assert_eq!(metrics.value(&logins("wrong")), 3.0);
    let series = extended::outcome("specification", "credentials_refused");
    assert_eq!(metrics.value(&series), 1.0);
    let ended =
        "smeuse_sessions_closed_total{service=\"amqp\",by=\"client\",reason=\"login_refused\"}";
    assert_eq!(metrics.value(ended), 1.0);
    assert_eq!(broker.accepted(), 0);
}

/// Each outcome is counted, and shown from the start.
#[test]
fn logins_are_counted_by_outcome() {
    let (broker, _rx) = telling_broker();
    let gateway = gateway(&broker, USERS, ", allow = [\"joe\"]");
    let page = gateway.admin("GET", "/metrics").body;
    for outcome in ["accepted", "wrong", "forbidden", "unavailable"] {
        assert!(
            page.contains(&format!("{} 0", logins(outcome))),
            "{outcome}"
        );
    }
    assert_eq!(give(&gateway, JOE).1, 101);
    assert_eq!(give(&gateway, JOE_WRONG).1, 401);
    let (mut client, status) = give(&gateway, BOB);
    assert_eq!(status, 403);
    assert!(!client.expect_close_and_answer(4106).is_empty());
    // What cannot be read is not checked.
    assert_eq!(give(&gateway, "Basic !").1, 401);
    let metrics = gateway.metrics();
    for (outcome, count) in [("accepted", 1.0), ("wrong", 1.0), ("forbidden", 1.0)] {
        assert_eq!(metrics.value(&logins(outcome)), count, "{outcome}");
    }
    assert_eq!(metrics.value(&challenges("specification")), 2.0);
    expect_no_secret(&gateway);
}

/// So many at once that they cannot be checked soon: 503 and 1013 for those, and nobody else is held up.
#[test]
fn a_flood_of_credentials_is_turned_away_and_holds_nobody_up() {
    const CLIENTS: usize = 80;
    let file = UsersFile::new(&(users::entry("joe") + &users::slow_entry("slow")));
    let (broker, _rx) = telling_broker();
    let login = users::login(file.path(), "[\"application-basic\"]", "");
    let service = configuration::amqp_service(&login, &[broker.uri()], SERVICE);
    let gateway = Gateway::start(&(service + &configuration::echo()));
    let mut flood: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut client = extended::begin(&gateway, AMQP_PATH);
            client.send_text(&extended::request(&[("Authorization", "Basic c2xvdzp4")]));
            client
        })
        .collect();
    gateway.wait_metric_until(&logins("unavailable"), |count| count >= 1.0);
    let neighbour = thread::spawn({
        let address = gateway.public();
        move || {
            let mut client = Client::open(address, configuration::ECHO_PATH);
            client.send_text("neighbour");
            client.read_message()
        }
    });
    neighbour.join().expect("a neighbour is served");
    let mut last = flood.pop().expect("the last client");
    let response = extended::expect_refusal(&mut last, 503, "login_unavailable");
    assert!(response.header("Retry-After").is_some(), "{response:?}");
    last.expect_close_and_answer(1013);
}

/// The live list says who it is and what was agreed; while the handshake goes on, nothing yet.
#[test]
fn the_live_list_says_who_came() {
    let (broker, _rx) = telling_broker();
    let gateway = gateway(&broker, USERS, "");
    let mut client = extended::begin(&gateway, AMQP_PATH);
    let list = || -> serde_json::Value {
        serde_json::from_str(&gateway.admin("GET", "/sessions").body).expect("JSON")
    };
    assert_eq!(list()[0]["user"], "", "{}", list());
    let offer = ("Sec-WebSocket-Extensions", "smeuse-sequence, acme");
    let protocol = ("Sec-WebSocket-Protocol", "amqp");
    let response = extended::ask(&mut client, &[offer, protocol, ("Authorization", JOE)]);
    assert_eq!(response.status, 101, "{response:?}");
    let entry = &list()[0];
    assert_eq!(entry["user"], "joe", "{entry}");
    assert_eq!(entry["subprotocol"], "amqp", "{entry}");
    assert_eq!(
        entry["extensions"],
        serde_json::json!(["smeuse-sequence"]),
        "{entry}"
    );
}
