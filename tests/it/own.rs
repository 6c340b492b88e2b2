//! The gateway's own connections: what they tell of a broker's health, and what they must not; commands while the broker
//! has an alarm.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::harness::amqp;
use crate::harness::amqp::Builder;
use crate::harness::amqp::Frame;
use crate::harness::amqp::Method;
use crate::harness::broker::Broker;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::direct::Direct;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation;
use crate::harness::negotiation::TUNING;
use crate::harness::page::Page;
use crate::harness::peer::Peer;
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::wait_until;
use crate::harness::DEADLINE;

const QOS: Method = (60, 10);
const BLOCKED: Method = (10, 60);
const UNBLOCKED: Method = (10, 61);

/// The user of `[control]`; pages are somebody else.
const CONTROL: &str = "control";

fn control(uri: &str, keys: &str) -> String {
    format!("[control]\nuris = [\"{uri}\"]\nname = \"g1\"\n{keys}\n")
}

fn up(broker: &Broker) -> String {
    format!("smeuse_broker_up{{broker=\"{}\"}}", broker.address())
}

/// Insists that nothing is known against any broker.
#[track_caller]
fn expect_nothing_against(gateway: &Gateway, broker: &Broker) {
    assert_eq!(gateway.metric(&up(broker)), 1.0);
    assert_eq!(gateway.log_lines("broker down").len(), 0);
    assert_eq!(gateway.admin("GET", "/readyz").body, "ready\n");
    Page::login(gateway).open_channel(1);
}

/// A broker that logs pages in, and does `with_control` once the gateway's own user has sent its login.
fn guarded(with_control: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static) -> Broker {
    Broker::start(move |peer| {
        peer.expect_header()?;
        peer.send(&negotiation::start("PLAIN"))?;
        let start_ok = peer.expect_method(amqp::START_OK)?;
        let mut arguments = start_ok.arguments();
        arguments.long_string();
        arguments.short_string();
        if String::from_utf8_lossy(&arguments.long_string()).contains(CONTROL) {
            return with_control(peer);
        }
        peer.send(&negotiation::tune(TUNING))?;
        peer.expect_method(amqp::TUNE_OK)?;
        peer.expect_method(amqp::OPEN)?;
        peer.send(&negotiation::open_ok())?;
        peer.serve()
    })
}

/// `[control]` may speak TLS to a broker that has none: sessions fare well, and so does what is said of the broker.
#[test]
fn wrong_tls_of_control_is_not_the_brokers_fault() {
    let broker = Broker::polite();
    let uri = format!("amqps://guest:guest@{}/%2F", broker.address());
    let gateway = Gateway::start(
        &(control(&uri, "events_exchange = \"e\"") + &configuration::amqp(broker.uri())),
    );
    wait_until("several attempts", 2 * DEADLINE, || broker.accepted() >= 3);
    gateway.log_line("events and commands interrupted", |_| true);
    expect_nothing_against(&gateway, &broker);
}

/// A login that the broker fails to judge (541), whatever is wrong with that user or vhost.
#[test]
fn a_fault_at_the_login_of_control_is_not_held_against_the_broker() {
    let broker = guarded(|peer| {
        peer.send(&amqp::connection_close(541, "INTERNAL_ERROR"))?;
        peer.read_to_end()
    });
    let uri = format!("amqp://{CONTROL}:secret@{}/%2F", broker.address());
    let gateway = Gateway::start(
        &(control(&uri, "commands_exchange = \"c\"") + &configuration::amqp(broker.uri())),
    );
    wait_until("several attempts", 2 * DEADLINE, || broker.accepted() >= 4);
    let line = gateway.log_line("events and commands interrupted", |_| true);
    let detail = line["detail"].as_str().unwrap_or_default();
    assert!(
        detail.contains("did not let the gateway itself in") && detail.contains("INTERNAL"),
        "{line}"
    );
    expect_nothing_against(&gateway, &broker);
}

/// A login that nobody answers: the broker speaks AMQP, so it is not the broker that hangs.
#[test]
fn a_login_of_control_that_hangs_is_not_held_against_the_broker() {
    let broker = guarded(Peer::read_to_end);
    let uri = format!("amqp://{CONTROL}:secret@{}/%2F", broker.address());
    let gateway = Gateway::start(
        &(control(&uri, "events_exchange = \"e\"") + &configuration::amqp(broker.uri())),
    );
    gateway.log_line("events and commands interrupted", |_| true);
    expect_nothing_against(&gateway, &broker);
}

/// Where the gateway cannot find out by itself that a broker is back, since its login never works there, sessions are
/// not kept away from it: one of them tries it when its back-off is over, though another broker works.
#[test]
fn a_watch_that_cannot_log_in_keeps_nobody_away() {
    let is_down = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&is_down);
    let first = Broker::start(move |peer| {
        if switch.load(Ordering::SeqCst) {
            return Ok(());
        }
        peer.negotiate()?;
        peer.serve()
    });
    let second = Broker::polite();
    let uri = format!("amqps://guest:guest@{}/%2F", first.address());
    let uris = [first.uri().to_string(), second.uri().to_string()];
    let service = configuration::amqp_to(&uris, "backoff = \"300ms\"\nbackoff_max = \"300ms\"");
    let gateway = Gateway::start(&(control(&uri, "events_exchange = \"e\"") + &service));
    Page::login(&gateway).open_channel(1);
    assert_eq!(gateway.metric(&up(&first)), 0.0);
    is_down.store(false, Ordering::SeqCst);
    wait_until("a session to find it back", 2 * DEADLINE, || {
        Page::login(&gateway).open_channel(1);
        gateway.metric(&up(&first)) > 0.0
    });
}

/// An operator who closes the gateway's own connections says nothing of the broker; they are made again.
#[test]
fn a_connection_that_an_operator_closes_is_not_held_against_the_broker() {
    let rabbitmq = RabbitMq::private();
    let uri = format!("{}/%2F", rabbitmq.uri());
    let keys = "events_exchange = \"smeuse.events\"\ncommands_exchange = \"smeuse.commands\"";
    let gateway = Gateway::start(&(control(&uri, keys) + &configuration::amqp(rabbitmq.uri())));
    gateway.log_line("events and commands ready", |_| true);
    rabbitmq.ctl(&["close_all_connections", "maintenance"]);
    wait_until("both to be made again", 2 * DEADLINE, || {
        gateway.log_lines("events and commands ready").len() >= 2
    });
    assert_eq!(gateway.log_lines("broker down").len(), 0);
    Page::open(&gateway)
        .logged_in(&rabbitmq.login())
        .open_channel(1);
}

/// Answers what the gateway asks for when it sets events up, except `qos`, which is done by `answer`.
fn set_up_events(
    peer: &mut Peer,
    answer: &impl Fn(&mut Peer, &Frame) -> io::Result<()>,
) -> io::Result<()> {
    peer.negotiate()?;
    loop {
        let frame = peer.read_frame()?;
        let Some((class, method)) = frame.method() else {
            continue;
        };
        let ok = |arguments: Builder| amqp::method(frame.channel, (class, method + 1), &arguments);
        match (class, method) {
            QOS => answer(peer, &frame)?,
            amqp::CHANNEL_OPEN => peer.send(&amqp::channel_open_ok(frame.channel))?,
            amqp::CONNECTION_CLOSE => return peer.send(&amqp::connection_close_ok()),
            // exchange.declare and confirm.select.
            (40 | 85, 10) => peer.send(&ok(Builder::new()))?,
            _ => (),
        }
    }
}

/// An alarm that begins while a question of the gateway's is on its way: it is not answered before the alarm is over, and
/// that is no sign of a broker that hangs.
#[test]
fn an_alarm_during_a_round_trip_does_not_look_like_a_broker_that_hangs() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let broker = Broker::start(move |peer| {
        set_up_events(peer, &|peer, question| {
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                let reason = Builder::new().short_string("low on memory");
                peer.send(&amqp::method(0, BLOCKED, &reason))?;
                // Longer than an answer may take.
                thread::sleep(Duration::from_secs(4));
                peer.send(&amqp::method(0, UNBLOCKED, &Builder::new()))?;
            }
            peer.send(&amqp::method(question.channel, (60, 11), &Builder::new()))
        })
    });
    let uri = format!("amqp://guest:guest@{}/%2F", broker.address());
    let gateway =
        Gateway::start(&(control(&uri, "events_exchange = \"e\"") + &configuration::echo()));
    let blocked = format!(
        "smeuse_broker_blocked_seconds_total{{broker=\"{}\"}}",
        broker.address()
    );
    wait_until("a second question", 2 * DEADLINE, || {
        asked.load(Ordering::SeqCst) >= 2
    });
    assert_eq!(gateway.log_lines("broker down").len(), 0);
    assert_eq!(broker.accepted(), 1);
    let seconds = gateway.metric(&blocked);
    assert!((3.0..8.0).contains(&seconds), "{seconds}");
}

/// While the broker holds publishers back, commands are obeyed as they come; the replies follow when the alarm is over.
#[test]
fn commands_are_obeyed_during_an_alarm() {
    let rabbitmq = RabbitMq::private();
    let keys = "events_exchange = \"smeuse.events\"\ncommands_exchange = \"smeuse.commands\"";
    let gateway = Gateway::start(
        &(control(rabbitmq.uri(), keys) + configuration::PATIENT + &configuration::echo()),
    );
    gateway.log_line("events and commands ready", |_| true);
    let listener = Direct::connect(&rabbitmq);
    let replies = listener.queue();
    let blocked = format!("smeuse_broker_blocked{{broker=\"{}\"}}", rabbitmq.name());
    rabbitmq.ctl(&["set_vm_memory_high_watermark", "0"]);
    let mut clients: Vec<_> = (0..3)
        .map(|_| Client::open(gateway.public(), ECHO_PATH))
        .collect();
    // RabbitMQ holds back who publishes, beginning with his second message.
    gateway.wait_metric_until(&blocked, |count| count >= 1.0);
    let sessions: serde_json::Value =
        serde_json::from_str(&gateway.admin("GET", "/sessions").body).expect("JSON");
    // From within the broker, as by its management interface: AMQP's publishers are all held back.
    let publish = |row: &serde_json::Value| {
        let command = json!({ "command": "end", "session": row["id"] });
        let command = command.to_string().replace('"', "\\\"");
        format!(
            "rabbit_basic:publish(rabbit_misc:r(<<\"/\">>, exchange, <<\"smeuse.commands\">>), <<>>, \
             [{{reply_to, <<\"{replies}\">>}}], <<\"{command}\">>)"
        )
    };
    let rows = sessions.as_array().expect("a list");
    let publishes: Vec<_> = rows.iter().map(publish).collect();
    rabbitmq.ctl(&["eval", &format!("{}.", publishes.join(", "))]);
    let ended = "smeuse_commands_total{kind=\"session\",outcome=\"ended\"}";
    gateway.wait_metric(ended, 3.0);
    for client in &mut clients {
        client.expect_close_and_answer(4100);
    }
    assert!(gateway.metric(&blocked) >= 1.0, "the alarm is over");
    let sent = "smeuse_command_replies_total{outcome=\"sent\"}";
    rabbitmq.ctl(&["set_vm_memory_high_watermark", "0.4"]);
    gateway.wait_metric(&blocked, 0.0);
    gateway.wait_metric(sent, 3.0);
    for reply in listener.take_json(&replies, 3) {
        assert_eq!(
            (&reply["gateway"], &reply["ended"]),
            (&json!("g1"), &json!(1))
        );
    }
}

/// Who deletes the exchange of commands does not make the gateway deaf for ever: it is there again before long.
#[test]
fn an_exchange_of_commands_that_is_deleted_is_made_again() {
    let rabbitmq = RabbitMq::private();
    let gateway = Gateway::start(
        &(control(rabbitmq.uri(), "commands_exchange = \"smeuse.commands\"")
            + &configuration::echo()),
    );
    gateway.log_line("events and commands ready", |_| true);
    let direct = Direct::connect(&rabbitmq);
    direct.delete_exchange("smeuse.commands");
    wait_until("commands to be ready again", 3 * DEADLINE, || {
        gateway.log_lines("events and commands ready").len() == 2
    });
    let mut client = Client::open(gateway.public(), ECHO_PATH);
    let replies = direct.ask("smeuse.commands", r#"{"command":"end","all":true}"#, 1);
    assert_eq!(replies[0]["ended"], 1, "{replies:?}");
    client.expect_close_and_answer(4100);
    assert_eq!(gateway.log_lines("broker down").len(), 0);
}
