//! Events for backends and commands from them, against a real RabbitMQ and two gateways; alarms; a broker that is
//! killed and comes back.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use serde_json::json;
use serde_json::Value;

use crate::harness::amqp;
use crate::harness::amqp::Builder;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::direct::Direct;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation::Login;
use crate::harness::page::Page;
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::users;
use crate::harness::wait_until;
use crate::harness::DEADLINE;

/// The fields of client properties that ask for connection.blocked.
const TELL_BLOCKED: &[u8] = b"\x0ccapabilitiesF\0\0\0\x15\x12connection.blockedt\x01";

/// Those that ask for connection.close where a login is refused.
const TELL_REFUSED: &[u8] = b"\x0ccapabilitiesF\0\0\0\x1f\x1cauthentication_failure_closet\x01";

/// Names of exchanges that nobody else has.
struct Names {
    events: String,
    commands: String,
}

impl Names {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("smeuse.it-{}-{number}", std::process::id());
        Self {
            events: format!("{name}.events"),
            commands: format!("{name}.commands"),
        }
    }

    /// A gateway with events and commands, once they are ready.
    #[track_caller]
    fn gateway(&self, uri: &str, name: &str, services: &str) -> Gateway {
        let gateway = Gateway::start(&self.configuration(uri, name, services));
        gateway.log_line("events and commands ready", |_| true);
        gateway
    }

    fn configuration(&self, uri: &str, name: &str, services: &str) -> String {
        let Self { events, commands } = self;
        format!(
            "[control]\nuris = [\"{uri}\"]\nname = \"{name}\"\nevents_exchange = \"{events}\"\n\
             commands_exchange = \"{commands}\"\n{services}"
        )
    }

    fn end(&self, direct: &Direct, target: Value, gateways: usize) -> Vec<Value> {
        let mut command = target;
        command["command"] = json!("end");
        direct.ask(&self.commands, &command.to_string(), gateways)
    }
}

/// How many each gateway says it has ended, by the gateways' names.
fn ended(mut replies: Vec<Value>) -> Vec<u64> {
    replies.sort_by_key(|reply| reply["gateway"].to_string());
    let count = |reply: &Value| reply["ended"].as_u64().unwrap_or_else(|| panic!("{reply}"));
    replies.iter().map(count).collect()
}

fn joe(gateway: &Gateway) -> Client {
    let opening = crate::harness::opening::Opening::new(gateway.public(), "/asking")
        .with("Authorization", users::JOE);
    Client::open_by(&opening, gateway.public())
}

fn services(rabbitmq: &RabbitMq) -> String {
    let login = users::login(users::USERS, "[\"basic\"]", "");
    configuration::amqp(rabbitmq.uri())
        + &configuration::echo()
        + &configuration::service("asking", "echo", &["/asking"], &login)
}

/// One message ends a user's sessions on every gateway, and each says how many; so do session, service and all.
#[test]
fn a_command_ends_sessions_on_every_gateway() {
    let rabbitmq = RabbitMq::shared();
    let names = Names::new();
    let services = services(&rabbitmq);
    let gateways = ["g1", "g2"].map(|name| names.gateway(rabbitmq.uri(), name, &services));
    let direct = Direct::connect(&rabbitmq);
    let mut joes = vec![joe(&gateways[0]), joe(&gateways[1]), joe(&gateways[1])];
    let mut other = Client::open(gateways[0].public(), ECHO_PATH);
    let page = || {
        let mut page = Page::open(&gateways[1]).logged_in(&rabbitmq.login());
        page.open_channel(1);
        page
    };
    let (mut first, mut second) = (page(), page());
    assert_eq!(
        ended(names.end(&direct, json!({ "user": "joe" }), 2)),
        [1, 2]
    );
    for joe in &mut joes {
        joe.expect_close_and_answer(4100);
    }
    // The user of a login by AMQP is known as well.
    let list: Value =
        serde_json::from_str(&gateways[1].admin("GET", "/sessions").body).expect("JSON");
    let user = rabbitmq.login().response;
    let user =
        String::from_utf8_lossy(user.split(|byte| *byte == 0).nth(1).expect("a user")).into_owned();
    let of_amqp = |row: &&Value| row["service"] == "amqp";
    let row = list
        .as_array()
        .and_then(|rows| rows.iter().find(of_amqp))
        .expect("a row");
    assert_eq!(row["user"], user.as_str(), "{list}");
    let id = row["id"].clone();
    assert_eq!(
        ended(names.end(&direct, json!({ "session": id }), 2)),
        [0, 1]
    );
    assert_eq!(
        ended(names.end(&direct, json!({ "user": user }), 2)),
        [0, 1]
    );
    for page in [&mut first, &mut second] {
        let (code, _) = page.expect_connection_close();
        assert_eq!(code, 320);
    }
    other.send_binary(b"still there");
    other.read_message();
    let mut asking = joe(&gateways[1]);
    assert_eq!(
        ended(names.end(&direct, json!({ "service": "echo" }), 2)),
        [1, 0]
    );
    other.expect_close_and_answer(4100);
    assert_eq!(ended(names.end(&direct, json!({ "all": true }), 2)), [0, 1]);
    asking.expect_close_and_answer(4100);
    assert_eq!(
        gateways[0].metric("smeuse_commands_total{kind=\"user\",outcome=\"ended\"}"),
        1.0
    );
}

/// A command that cannot be read ends nobody, and whoever sent it is told why.
#[test]
fn a_malformed_command_is_answered_logged_and_counted() {
    let rabbitmq = RabbitMq::shared();
    let names = Names::new();
    let gateway = names.gateway(rabbitmq.uri(), "g1", &configuration::echo());
    let direct = Direct::connect(&rabbitmq);
    let mut client = Client::open(gateway.public(), ECHO_PATH);
    for (body, code) in [
        ("rubbish", "malformed"),
        ("{\"command\":\"end\"}", "target_missing"),
        (
            "{\"command\":\"end\",\"all\":true,\"dry_run\":true}",
            "field_unknown",
        ),
    ] {
        let replies = direct.ask(&names.commands, body, 1);
        assert_eq!(replies[0]["error"], code, "{replies:?}");
        assert_eq!(replies[0]["gateway"], "g1");
        gateway.log_line("command refused", |line| line["code"] == code);
    }
    assert_eq!(
        gateway.metric("smeuse_commands_total{kind=\"unknown\",outcome=\"malformed\"}"),
        3.0
    );
    client.send_binary(b"still there");
    client.read_message();
}

/// What happens to sessions is told, once, in its order, by the keys that the documentation names.
#[test]
fn sessions_refused_logins_and_limits_are_told() {
    let rabbitmq = RabbitMq::shared();
    let names = Names::new();
    let limit = "[limits]\nsessions_per_address = 1\n";
    let gateway = names.gateway(
        rabbitmq.uri(),
        "g1",
        &(limit.to_owned() + &services(&rabbitmq)),
    );
    let direct = Direct::connect(&rabbitmq);
    let all = direct.subscribe(&names.events, "#");
    let echoes = direct.subscribe(&names.events, "session.*.echo");

    let mut client = Client::open(gateway.public(), ECHO_PATH);
    let refused = crate::harness::opening::Opening::new(gateway.public(), ECHO_PATH);
    let mut second = Client::connect(gateway.public());
    second.send(&refused.bytes());
    assert_eq!(second.response().status, 503);
    client.send_binary(b"12345");
    client.read_message();
    client.send_close(1000, "");
    client.read_to_close();
    gateway.wait_nothing_left();
    let wrong = crate::harness::opening::Opening::new(gateway.public(), "/asking")
        .with("Authorization", users::JOE_WRONG);
    let mut client = Client::connect(gateway.public());
    client.send(&wrong.bytes());
    assert_eq!(client.response().status, 401);
    drop(client);
    gateway.wait_nothing_left();
    let login = Login {
        response: b"\0nobody\0nothing".to_vec(),
        properties: Builder::new().long_string(TELL_REFUSED),
        ..rabbitmq.login()
    };
    let mut page = Page::open(&gateway);
    page.send(amqp::HEADER);
    page.read_frame();
    page.send(&crate::harness::negotiation::start_ok(&login));
    page.read_to_end();
    gateway.wait_nothing_left();
    let mut page = Page::open(&gateway).logged_in(&rabbitmq.login());
    page.open_channel(1);
    page.send(&amqp::connection_close(200, "bye"));
    page.expect_method(amqp::CONNECTION_CLOSE_OK);
    page.read_to_end().expect_code(1000);

    let events = direct.take_json(&all, 7);
    let kinds: Vec<_> = events
        .iter()
        .map(|event| event["event"].as_str().unwrap_or_default())
        .collect();
    let expected = [
        "session.opened",
        "limit.hit",
        "session.ended",
        "login.refused",
        "login.refused",
        "session.opened",
        "session.ended",
    ];
    assert_eq!(kinds, expected, "{events:?}");
    for event in &events {
        assert_eq!(
            (&event["version"], &event["gateway"]),
            (&json!(1), &json!("g1"))
        );
        let time = event["time"].as_str().unwrap_or_default();
        assert!(time.len() == 24 && time.ends_with('Z'), "{event}");
        assert_eq!(event["id"].as_str().map(str::len), Some(16));
    }
    let opened = &events[0];
    assert_eq!(
        (&opened["service"], &opened["user"]),
        (&json!("echo"), &json!(""))
    );
    assert!(opened["client"]
        .as_str()
        .is_some_and(|text| text.starts_with("127.0.0.1:")));
    assert_eq!(
        (&events[1]["limit"], &events[1]["count"]),
        (&json!("sessions_per_address"), &json!(1))
    );
    let end = &events[2];
    assert_eq!(
        (&end["session"], &end["by"]),
        (&opened["session"], &json!("client"))
    );
    assert_eq!(
        (&end["reason"], &end["close_code"]),
        (&json!("closed"), &json!(1000))
    );
    assert_eq!(
        (&end["bytes_from_client"], &end["bytes_to_client"]),
        (&json!(5), &json!(5))
    );
    assert!(end["duration_seconds"]
        .as_f64()
        .is_some_and(|seconds| seconds > 0.0));
    assert_eq!(
        (&events[3]["service"], &events[3]["reason"]),
        (&json!("asking"), &json!("wrong"))
    );
    assert_eq!(
        (&events[4]["service"], &events[4]["reason"]),
        (&json!("amqp"), &json!("broker"))
    );
    assert_eq!(events[5]["service"], "amqp");
    assert!(events[5]["user"]
        .as_str()
        .is_some_and(|user| !user.is_empty()));
    assert_eq!(events[6]["reason"], "amqp_closed");
    assert_eq!(direct.take(&echoes, 2).len(), 2);
    gateway.wait_metric("smeuse_events_published_total", 7.0);
    direct.delete(&all);
    direct.delete(&echoes);
}

/// What ends with the process is told before it is gone.
#[test]
fn the_last_sessions_of_a_drain_are_told() {
    let rabbitmq = RabbitMq::shared();
    let names = Names::new();
    let drain = "[drain]\ndeadline = \"100ms\"\nspread = \"0s\"\n";
    let mut gateway = names.gateway(
        rabbitmq.uri(),
        "g1",
        &(drain.to_owned() + &configuration::echo()),
    );
    let direct = Direct::connect(&rabbitmq);
    let ends = direct.subscribe(&names.events, "session.ended.#");
    let mut clients: Vec<_> = (0..20)
        .map(|_| Client::open(gateway.public(), ECHO_PATH))
        .collect();
    gateway.wait_metric("smeuse_sessions{service=\"echo\"}", 20.0);
    gateway.signal("TERM");
    for client in &mut clients {
        client.expect_close_and_answer(1001);
    }
    assert!(gateway.exit_status(2 * DEADLINE).success());
    let ends_told = direct.take_json(&ends, 20);
    assert!(
        ends_told.iter().all(|end| end["reason"] == "drained"),
        "{ends_told:?}"
    );
    direct.delete(&ends);
}

/// With the permissions of docs/operations.md and no more; then the broker is killed: what happens meanwhile is told
/// when it is back, commands are obeyed again, and health, log and metrics say so.
#[test]
fn a_broker_that_is_killed_and_comes_back_misses_nothing() {
    let rabbitmq = RabbitMq::private();
    let names = Names {
        events: "smeuse.events".to_owned(),
        commands: "smeuse.commands".to_owned(),
    };
    rabbitmq.ctl(&["add_user", "smeuse", "secret"]);
    let document = include_str!("../../docs/operations.md");
    let lines = document
        .lines()
        .filter(|line| line.starts_with("rabbitmqctl set_permissions"));
    let of_gateway = lines
        .clone()
        .find(|line| line.contains(" smeuse "))
        .expect("the gateway's line");
    let words: Vec<_> = of_gateway
        .split_whitespace()
        .skip(1)
        .map(|word| word.trim_matches('\''))
        .collect();
    rabbitmq.ctl(&words);
    let uri = rabbitmq.uri().replace("guest:guest", "smeuse:secret");
    let gateway = names.gateway(&uri, "g1", &configuration::echo());
    let name = rabbitmq.name().to_owned();
    let up = format!("smeuse_broker_up{{broker=\"{name}\"}}");
    let events = {
        let direct = Direct::connect(&rabbitmq);
        let events = direct.durable_queue();
        direct.bind(&events, &names.events, "session.#");
        assert_eq!(ended(names.end(&direct, json!({ "all": true }), 1)), [0]);
        events
    };
    rabbitmq.kill();
    gateway.log_line("broker down", |line| line["broker"] == *name);
    gateway.wait_metric(&up, 0.0);
    let mut client = Client::open(gateway.public(), ECHO_PATH);
    client.send_close(1000, "");
    client.read_to_close();
    rabbitmq.revive();
    gateway.log_line("broker up", |line| line["broker"] == *name);
    wait_until(
        "events and commands to be ready again",
        2 * DEADLINE,
        || {
            let ready = |line: &Value| line["message"] == "events and commands ready";
            gateway.log().iter().filter(|line| ready(line)).count() == 2
        },
    );
    gateway.wait_metric(&up, 1.0);
    let direct = Direct::connect(&rabbitmq);
    let told = direct.take_json(&events, 2);
    assert_eq!(
        (&told[0]["event"], &told[1]["event"]),
        (&json!("session.opened"), &json!("session.ended"))
    );
    let mut client = Client::open(gateway.public(), ECHO_PATH);
    assert_eq!(ended(names.end(&direct, json!({ "all": true }), 1)), [1]);
    client.expect_close_and_answer(4100);
}

/// `connection.blocked`: /readyz names the broker and is 503 only if that is asked for; the metric counts; all of it ends
/// with the alarm.
#[test]
fn an_alarm_shows_while_it_lasts() {
    let rabbitmq = RabbitMq::private();
    let names = Names::new();
    let services = configuration::amqp(rabbitmq.uri());
    let strict = "[admin]\nready_while_blocked = false\n";
    let lenient = names.gateway(rabbitmq.uri(), "g1", &services);
    let strict = Gateway::start(&(strict.to_owned() + &services));
    let blocked = format!("smeuse_broker_blocked{{broker=\"{}\"}}", rabbitmq.name());
    let login = Login {
        properties: Builder::new().long_string(TELL_BLOCKED),
        ..rabbitmq.login()
    };
    let mut pages = [&lenient, &strict].map(|gateway| Page::open(gateway).logged_in(&login));
    for page in &mut pages {
        page.open_channel(1);
    }
    rabbitmq.ctl(&["set_vm_memory_high_watermark", "0"]);
    // RabbitMQ tells those who publish.
    for page in &mut pages {
        page.send(&amqp::publish(1, "nowhere", b"x", 4096));
    }
    for gateway in [&lenient, &strict] {
        gateway.wait_metric_until(&blocked, |count| count >= 1.0);
    }
    let ready = lenient.admin("GET", "/readyz");
    assert!(
        ready.body.contains("blocked: broker ") && ready.body.contains(rabbitmq.name()),
        "{ready:?}"
    );
    assert_eq!(ready.status, 200);
    let not_ready = strict.admin("GET", "/readyz");
    assert!(not_ready.body.contains("blocked: broker "), "{not_ready:?}");
    assert_eq!(not_ready.status, 503);
    // Who ends while he is held back counts no longer.
    let [page, _] = pages;
    drop(page);
    lenient.wait_metric("smeuse_sessions{service=\"amqp\"}", 0.0);
    rabbitmq.ctl(&["set_vm_memory_high_watermark", "0.4"]);
    for gateway in [&lenient, &strict] {
        gateway.wait_metric(&blocked, 0.0);
        wait_until("/readyz to be clear", DEADLINE, || {
            gateway.admin("GET", "/readyz").body == "ready\n"
        });
    }
}
