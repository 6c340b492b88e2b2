//! Who a client is where the gateway is the AMQP server: asked by AMQP's own login, known from its handshake, or nobody.

use std::io;
use std::sync::mpsc;
use std::time::Duration;
use std::time::SystemTime;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;

use crate::harness::amqp;
use crate::harness::amqp::Builder;
use crate::harness::broker::Broker;
use crate::harness::configuration::amqp_service;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation;
use crate::harness::negotiation::Login;
use crate::harness::page::Page;
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::users;
use crate::harness::users::UsersFile;
use crate::harness::users::SECRETS;
use crate::harness::users::USERS;
use crate::harness::DEADLINE;

const SHARED: &str = "vhost = \"/\"\nlogin = \"service\"\nconnections = \"shared\"";

/// A gateway whose service asks by AMQP, and is an account of its own to the broker.
fn asking(rabbitmq: &RabbitMq, more: &str) -> Gateway {
    let login = users::login(USERS, "[\"amqp\"]", more);
    Gateway::start(&amqp_service(&login, &[rabbitmq.uri()], SHARED))
}

fn plain(user: &str, password: &str) -> Login {
    Login {
        response: format!("\0{user}\0{password}").into_bytes(),
        // Pages name what they like; the service's vhost counts.
        vhost: "no-such-vhost".to_owned(),
        properties: Builder::new().long_string(&telling()),
        ..Login::default()
    }
}

/// Client properties that ask to be told of a refused login: the fields of a table, which has a length like a string.
fn telling() -> Vec<u8> {
    let capability = b"\x1cauthentication_failure_closet\x01";
    let length = (capability.len() as u32).to_be_bytes();
    [&b"\x0ccapabilitiesF"[..], &length, capability].concat()
}

fn outcomes(outcome: &str) -> String {
    format!("smeuse_logins_total{{outcome=\"{outcome}\",service=\"amqp\"}}")
}

/// Sends the first two steps of the negotiation and gives what the gateway says to them.
fn refused(gateway: &Gateway, login: &Login) -> (u16, String) {
    let mut page = Page::open(gateway);
    let [header, start_ok, _] = negotiation::client_steps(login);
    page.send(&header);
    page.expect_method(amqp::START);
    page.send(&start_ok);
    let closed = page.expect_connection_close();
    page.send(&amqp::connection_close_ok());
    page.read_to_end().expect_code(4105);
    closed
}

/// Right ones come in under their name, by either mechanism; nothing of it reaches log or metrics.
#[test]
fn a_client_is_asked_by_amqp_and_known_by_its_name() {
    let rabbitmq = RabbitMq::shared();
    let gateway = asking(&rabbitmq, "");
    let _by_plain = Page::open(&gateway).logged_in(&plain("joe", "welcome"));
    let table = [
        &b"\x05LOGINS\0\0\0\x03bob"[..],
        b"\x08PASSWORDS\0\0\0\x07builder",
    ]
    .concat();
    let _by_amqplain = Page::open(&gateway).logged_in(&Login {
        mechanism: "AMQPLAIN",
        response: table,
        ..plain("", "")
    });
    gateway.wait_metric(&outcomes("accepted"), 2.0);
    let sessions = gateway.admin("GET", "/sessions").body;
    for name in ["\"user\":\"joe\"", "\"user\":\"bob\""] {
        assert!(sessions.contains(name), "{sessions}");
    }
    let shown = format!(
        "{:?} {} {sessions}",
        gateway.log(),
        gateway.admin("GET", "/metrics").body
    );
    for secret in SECRETS {
        assert!(!shown.contains(secret), "{secret} is shown");
    }
}

/// Wrong ones are told in RabbitMQ's words, counted, and have no seat at the broker.
#[test]
fn a_wrong_login_is_refused_in_the_brokers_words() {
    let rabbitmq = RabbitMq::shared();
    let gateway = asking(&rabbitmq, "");
    let text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.";
    for (user, password) in [("joe", "wrong"), ("mallory", "welcome"), ("", "")] {
        let closed = refused(&gateway, &plain(user, password));
        assert_eq!(closed, (403, text.to_owned()), "{user}");
    }
    let external = Login {
        mechanism: "EXTERNAL",
        response: b"joe".to_vec(),
        ..plain("", "")
    };
    let (code, text) = refused(&gateway, &external);
    assert_eq!(code, 403);
    assert!(text.contains("mechanism EXTERNAL"), "{text}");
    assert_eq!(
        gateway.metric("smeuse_shared_sessions_per_connection_count"),
        0.0
    );
}

/// Who may not use the service is refused too, with a code of its own.
#[test]
fn a_known_user_that_may_not_enter_is_forbidden() {
    let rabbitmq = RabbitMq::shared();
    let gateway = asking(&rabbitmq, ", allow = [\"bob\"]");
    let mut page = Page::open(&gateway);
    let [header, start_ok, _] = negotiation::client_steps(&plain("joe", "welcome"));
    page.send(&header);
    page.expect_method(amqp::START);
    page.send(&start_ok);
    assert_eq!(page.expect_connection_close().0, 403);
    page.send(&amqp::connection_close_ok());
    page.read_to_end().expect_code(4106);
}

/// Where nobody asks, whatever a client says of itself is right, EXTERNAL included.
#[test]
fn where_nobody_asks_any_login_will_do() {
    let rabbitmq = RabbitMq::shared();
    let gateway = Gateway::start(&amqp_service("", &[rabbitmq.uri()], SHARED));
    for mechanism in ["PLAIN", "EXTERNAL"] {
        let login = Login {
            mechanism,
            ..plain("nobody", "nothing")
        };
        let mut page = Page::open(&gateway).logged_in(&login);
        page.open_channel(1);
    }
}

/// The account is a token in a file: the broker gets it as the password, and the fresh one before the old one expires.
#[test]
fn a_token_is_the_account_and_is_refreshed_before_it_expires() {
    let file = UsersFile::new(&token(1, Duration::from_secs(3)));
    let (tx, rx) = mpsc::channel();
    let broker = Broker::start(move |peer| {
        let negotiated = peer.negotiate()?;
        tx.send(negotiated.response).map_err(io::Error::other)?;
        loop {
            let frame = peer.read_frame()?;
            if frame.method() == Some((10, 70)) {
                let secret = frame.arguments().long_string();
                peer.send(&amqp::method(0, (10, 71), &Builder::new()))?;
                tx.send(secret).map_err(io::Error::other)?;
            }
        }
    });
    let more = format!("token_file = \"{}\"", file.path());
    let upstream = format!("{SHARED}\n[services.upstream.shared]\n{more}");
    let gateway = Gateway::start(&amqp_service("", &[broker.uri()], &upstream));
    let _page = Page::open(&gateway).logged_in(&plain("nobody", "nothing"));
    let response = rx.recv_timeout(DEADLINE).expect("lapin logs in");
    let first = token(1, Duration::ZERO);
    let signature = first.rsplit('.').next().expect("three parts");
    assert!(response.starts_with(b"\0\0e30."), "the user is empty");
    assert!(response.ends_with(signature.as_bytes()));
    let fresh = token(2, Duration::from_secs(3600));
    file.write(&format!("{fresh}\n"));
    let secret = rx.recv_timeout(DEADLINE).expect("the token is refreshed");
    assert_eq!(secret, fresh.as_bytes());
    assert!(
        !format!("{:?}", gateway.log()).contains(signature),
        "the token is in the log"
    );
}

/// A JSON Web Token, as far as the gateway reads it.
fn token(number: u32, valid_for: Duration) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let expires = now.expect("a clock after 1970") + valid_for;
    let claims = format!("{{\"exp\":{}}}", expires.as_secs());
    let claims = URL_SAFE_NO_PAD.encode(claims);
    format!("e30.{claims}.signature-{number}")
}
