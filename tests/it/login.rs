//! The AMQP negotiation as the gateway takes part in it: logins passed through or written, vhosts,
//! and the tune.

use crate::harness::amqp;
use crate::harness::amqp::Builder;
use crate::harness::broker::Broker;
use crate::harness::configuration;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation::Login;
use crate::harness::negotiation::Tuning;
use crate::harness::negotiation::TUNING;
use crate::harness::page::Page;
use crate::harness::peer::Negotiated;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;

use crate::harness::DEADLINE;

const SERVICE: &str =
    "login = \"service\"\nuser = \"gateway-user\"\npassword = \"gateway-secret\"\nvhost = \"/own\"";

/// A broker that tells how each client logged in.
fn telling_broker(mechanisms: &'static str, offered: Tuning) -> (Broker, Receiver<Negotiated>) {
    let (tx, rx) = mpsc::channel();
    let broker = Broker::start(move |peer| {
        let negotiated = peer.negotiate_with(mechanisms, offered)?;
        let _ = tx.send(negotiated);
        peer.serve()
    });
    (broker, rx)
}

#[track_caller]
fn told(rx: &Receiver<Negotiated>) -> Negotiated {
    rx.recv_timeout(DEADLINE)
        .expect("the broker logs somebody in")
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// `login = "client"`: what the client says is what the broker hears, byte for byte.
#[test]
fn a_clients_login_passes_through() {
    let (_broker, rx) = telling_broker("PLAIN AMQPLAIN", TUNING);
    let gateway = Gateway::start(&configuration::amqp(_broker.uri()));
    let login = Login {
        response: b"\0somebody\0s3cret".to_vec(),
        vhost: "/theirs".to_owned(),
        ..Login::default()
    };
    Page::open(&gateway).logged_in(&login);
    let negotiated = told(&rx);
    assert_eq!(negotiated.mechanism, "PLAIN");
    assert_eq!(negotiated.response, b"\0somebody\0s3cret");
    assert_eq!(negotiated.vhost, "/theirs");
    assert_eq!(negotiated.tuning, TUNING);
}

/// With the client's own login, a user in the URI is not used.
#[test]
fn the_uris_user_is_not_used_for_a_clients_login() {
    let (broker, rx) = telling_broker("PLAIN", TUNING);
    let uri = format!("amqp://uri-user:uri-secret@{}/uri-vhost", broker.address());
    let gateway = Gateway::start(&configuration::amqp(uri));
    Page::login(&gateway);
    let negotiated = told(&rx);
    assert_eq!(negotiated.response, b"\0guest\0guest");
    assert_eq!(negotiated.vhost, "/");
}

/// `login = "service"`: the client may answer PLAIN or AMQPLAIN with whatever it has; the broker hears PLAIN with the
/// service's user, and the service's vhost. Neither side learns the other's password, nor does the log.
#[test]
fn a_services_login_is_written_for_the_clients() {
    let (broker, rx) = telling_broker("AMQPLAIN PLAIN", TUNING);
    let gateway = Gateway::start(&configuration::amqp_with(broker.uri(), SERVICE));
    let amqplain = Builder::new().table(&[("LOGIN", "page-user"), ("PASSWORD", "page-secret")]);
    // AMQPLAIN's response is a table without the length that a table argument has.
    let amqplain = amqplain.0[4..].to_vec();
    let logins = [
        ("PLAIN", b"\0page-user\0page-secret".to_vec()),
        ("AMQPLAIN", amqplain),
        ("PLAIN", Vec::new()),
    ];
    let count = logins.len();
    for (mechanism, response) in logins {
        let mut page = Page::open(&gateway).logged_in(&Login {
            mechanism,
            response,
            ..Login::default()
        });
        let negotiated = told(&rx);
        assert_eq!(negotiated.mechanism, "PLAIN");
        assert_eq!(negotiated.response, b"\0gateway-user\0gateway-secret");
        assert_eq!(negotiated.vhost, "/own");
        page.open_channel(1);
    }
    for number in 0..count {
        let received = broker.received(number);
        assert!(
            !contains(&received, b"page-secret") && !contains(&received, b"page-user"),
            "{number}"
        );
        assert!(
            contains(&received, b"a scripted page"),
            "the client's properties were lost"
        );
    }
    for line in gateway.log() {
        let line = line.to_string();
        assert!(
            !line.contains("gateway-secret") && !line.contains("page-secret"),
            "{line}"
        );
    }
}

/// The page is offered what it may answer, whatever the broker offered.
#[test]
fn with_a_services_login_plain_and_amqplain_are_offered() {
    let (broker, _rx) = telling_broker("EXTERNAL PLAIN", TUNING);
    let gateway = Gateway::start(&configuration::amqp_with(broker.uri(), SERVICE));
    let mut page = Page::open(&gateway);
    page.send(amqp::HEADER);
    let start = page.expect_method(amqp::START);
    let mut arguments = start.arguments();
    arguments.octet();
    arguments.octet();
    let properties = arguments.long_string();
    assert!(
        contains(&properties, b"a scripted broker"),
        "the broker's properties were lost"
    );
    let mechanisms = String::from_utf8(arguments.long_string()).expect("ASCII");
    let mut mechanisms: Vec<_> = mechanisms.split(' ').collect();
    mechanisms.sort_unstable();
    assert_eq!(mechanisms, ["AMQPLAIN", "PLAIN"]);
}

/// User, password and vhost may come from the URI, percent-decoded.
#[test]
fn a_services_login_may_stand_in_the_uri() {
    let (broker, rx) = telling_broker("PLAIN", TUNING);
    let uri = format!("amqp://us%40er:p%2Fw%3A@{}/v%2Fh", broker.address());
    let gateway = Gateway::start(&configuration::amqp_with(uri, "login = \"service\""));
    Page::login(&gateway);
    let negotiated = told(&rx);
    assert_eq!(negotiated.response, b"\0us@er\0p/w:");
    assert_eq!(negotiated.vhost, "v/h");
}

/// `vhost` alone: the login is the client's, the vhost is not.
#[test]
fn a_vhost_may_be_written_into_a_clients_login() {
    let (broker, rx) = telling_broker("PLAIN", TUNING);
    let gateway = Gateway::start(&configuration::amqp_with(
        broker.uri(),
        "vhost = \"forced\"",
    ));
    Page::open(&gateway).logged_in(&Login {
        vhost: "/wished".to_owned(),
        ..Login::default()
    });
    let negotiated = told(&rx);
    assert_eq!(negotiated.response, b"\0guest\0guest");
    assert_eq!(negotiated.vhost, "forced");
}

/// `amqp.frame_max` and `amqp.channel_max`: the smaller of ours and the broker's is offered; 0 of the broker is no
/// limit. The heartbeat is not ours to change.
#[test]
fn the_tune_offers_the_smaller_of_each() {
    let ours = "[amqp]\nframe_max = 65536\nchannel_max = 100\n";
    let cases = [
        (
            TUNING,
            Tuning {
                channel_max: 100,
                frame_max: 65_536,
                heartbeat: 60,
            },
        ),
        (
            Tuning {
                channel_max: 0,
                frame_max: 0,
                heartbeat: 0,
            },
            Tuning {
                channel_max: 100,
                frame_max: 65_536,
                heartbeat: 0,
            },
        ),
        (
            Tuning {
                channel_max: 50,
                frame_max: 8192,
                heartbeat: 10,
            },
            Tuning {
                channel_max: 50,
                frame_max: 8192,
                heartbeat: 10,
            },
        ),
        (
            Tuning {
                channel_max: 50,
                frame_max: 131_072,
                heartbeat: 580,
            },
            Tuning {
                channel_max: 50,
                frame_max: 65_536,
                heartbeat: 580,
            },
        ),
    ];
    for (brokers, expected) in cases {
        let (broker, rx) = telling_broker("PLAIN", brokers);
        let gateway = Gateway::start(&(ours.to_owned() + &configuration::amqp(broker.uri())));
        let page = Page::open(&gateway).logged_in(&Login {
            tuning: expected,
            ..Login::default()
        });
        assert_eq!(page.offered, Some(expected));
        assert_eq!(told(&rx).tuning, expected);
    }
}

/// A client that asks for more than it was offered is in error, whatever the broker would have allowed.
#[test]
fn a_tune_ok_beyond_the_offer_is_a_violation() {
    use crate::harness::negotiation::start_ok;
    use crate::harness::negotiation::tune_ok;
    let (broker, _rx) = telling_broker("PLAIN", TUNING);
    let ours = "[amqp]\nframe_max = 8192\nchannel_max = 10\n";
    let gateway = Gateway::start(&(ours.to_owned() + &configuration::amqp(broker.uri())));
    let offered = Tuning {
        channel_max: 10,
        frame_max: 8192,
        heartbeat: 60,
    };
    for asked in [
        Tuning {
            channel_max: 11,
            ..offered
        },
        Tuning {
            frame_max: 8193,
            ..offered
        },
        Tuning {
            frame_max: 100,
            ..offered
        },
    ] {
        let mut page = Page::open(&gateway);
        page.send(amqp::HEADER);
        page.expect_method(amqp::START);
        page.send(&start_ok(&Login::default()));
        page.expect_method(amqp::TUNE);
        page.send(&tune_ok(asked));
        let end = page.read_to_end();
        assert!(matches!(end.code, Some(4501..=4530)), "{asked:?}: {end:?}");
        assert!(!end.reason.is_empty());
    }
}

/// Heartbeats pass through, both ways.
#[test]
fn heartbeats_pass_both_ways() {
    let broker = Broker::start(|peer| {
        peer.negotiate()?;
        for _ in 0..3 {
            peer.send(&amqp::heartbeat())?;
            let frame = peer.read_frame()?;
            if frame.kind != amqp::HEARTBEAT {
                return Err(std::io::Error::other("not a heartbeat"));
            }
        }
        peer.serve()
    });
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let mut page = Page::login(&gateway);
    for _ in 0..3 {
        assert_eq!(page.read_frame().kind, amqp::HEARTBEAT);
        page.send(&amqp::heartbeat());
    }
    page.open_channel(1);
}
