//! Backends end sessions that share broker connections: by id, user, service, all, on two gateways, and hear of it.

use serde_json::json;
use serde_json::Value;

use crate::harness::amqp;
use crate::harness::amqp::Builder;
use crate::harness::configuration;
use crate::harness::direct::Direct;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation::Login;
use crate::harness::page::Page;
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::users;

use super::neighbour::exclusive_queue;

/// A gateway with two services, which share connections as they have the same account; each asks who the client is by
/// AMQP's own login.
#[track_caller]
fn gateway(rabbitmq: &RabbitMq, name: &str, exchanges: &str) -> Gateway {
    let uri = rabbitmq.uri();
    let login = users::login(users::USERS, "[\"amqp\"]", "");
    let upstream = format!(
        "[services.upstream]\nuris = [\"{uri}\"]\nvhost = \"/\"\nlogin = \"service\"\nconnections = \"shared\"\n"
    );
    let service =
        |name: &str, path: &str| configuration::service(name, "amqp", &[path], &login) + &upstream;
    let text = format!(
        "[listen]\nworkers = 1\n[control]\nuris = [\"{uri}\"]\nname = \"{name}\"\n{exchanges}\n{}{}",
        service("chat", "/chat"),
        service("news", "/news"),
    );
    let gateway = Gateway::start(&text);
    gateway.log_line("events and commands ready", |_| true);
    gateway
}

/// A page with an exclusive queue and a consumer.
#[track_caller]
fn page(gateway: &Gateway, path: &str, user: &str, password: &str) -> Page {
    let login = Login {
        response: format!("\0{user}\0{password}").into_bytes(),
        properties: Builder::new().table(&[("product", "a page")]),
        ..Login::default()
    };
    let mut page = Page::open_at(gateway.public(), path).logged_in(&login);
    page.open_channel(1);
    exclusive_queue(&mut page);
    page
}

/// Insists that an operator has ended it.
#[track_caller]
fn expect_ended(page: &mut Page) {
    let (code, text) = page.expect_connection_close();
    assert_eq!(code, 320, "{text}");
    page.send(&amqp::connection_close_ok());
    page.read_to_end().expect_code(4100);
}

/// Insists that it goes on as if nothing had been.
#[track_caller]
fn expect_working(page: &mut Page) {
    page.send(&amqp::channel_open(2));
    page.expect_method(amqp::CHANNEL_OPEN_OK);
    page.send(&amqp::method(
        2,
        (20, 40),
        &Builder::new().short(200).short_string("").short(0).short(0),
    ));
    page.expect_method((20, 41));
}

#[test]
fn commands_end_sessions_on_shared_connections_and_nobody_else() {
    let rabbitmq = RabbitMq::shared();
    let name = format!("smeuse.it-shared-{}", std::process::id());
    let (events, commands) = (format!("{name}.events"), format!("{name}.commands"));
    let exchanges = format!("events_exchange = \"{events}\"\ncommands_exchange = \"{commands}\"");
    let gateways = ["g1", "g2"].map(|name| gateway(&rabbitmq, name, &exchanges));
    let direct = Direct::connect(&rabbitmq);
    let all = direct.subscribe(&events, "session.#");
    let end = |target: Value| {
        let mut command = target;
        command["command"] = json!("end");
        let mut replies = direct.ask(&commands, &command.to_string(), 2);
        replies.sort_by_key(|reply| reply["gateway"].to_string());
        let ended = |reply: &Value| reply["ended"].as_u64().unwrap_or_else(|| panic!("{reply}"));
        replies.iter().map(ended).collect::<Vec<_>>()
    };
    let mut joes = [
        page(&gateways[0], "/chat", "joe", "welcome"),
        page(&gateways[0], "/news", "joe", "welcome"),
        page(&gateways[1], "/chat", "joe", "welcome"),
    ];
    let mut bobs = [
        page(&gateways[0], "/chat", "bob", "builder"),
        page(&gateways[1], "/chat", "bob", "builder"),
        page(&gateways[1], "/news", "bob", "builder"),
    ];
    let mut opened = direct.take_json(&all, 6);
    opened.sort_by_key(|event| (event["user"].to_string(), event["gateway"].to_string()));
    let users: Vec<_> = opened.iter().map(|event| event["user"].clone()).collect();
    assert_eq!(users, ["bob", "bob", "bob", "joe", "joe", "joe"]);
    for gateway in &gateways {
        super::expect_one_connection(gateway);
    }

    // By user: on both gateways, and on those that stay nothing is noticed.
    assert_eq!(end(json!({ "user": "joe" })), [2, 1]);
    joes.iter_mut().for_each(expect_ended);
    bobs.iter_mut().for_each(expect_working);
    // By id, as the event has told it.
    let first = opened.iter().find(|event| event["user"] == "bob");
    assert_eq!(
        end(json!({ "session": first.expect("bob")["session"] })),
        [1, 0]
    );
    expect_ended(&mut bobs[0]);
    // By service.
    assert_eq!(end(json!({ "service": "news" })), [0, 1]);
    expect_ended(&mut bobs[2]);
    expect_working(&mut bobs[1]);
    let mut other = page(&gateways[0], "/news", "joe", "welcome");
    // All; who was ended before counts no more.
    assert_eq!(end(json!({ "all": true })), [1, 1]);
    expect_ended(&mut bobs[1]);
    expect_ended(&mut other);
    assert_eq!(end(json!({ "all": true })), [0, 0]);

    let told = direct.take_json(&all, 8);
    let ends: Vec<_> = told
        .iter()
        .filter(|event| event["event"] == "session.ended")
        .collect();
    assert_eq!(ends.len(), 7, "{told:?}");
    for end in ends {
        assert_eq!(
            (&end["by"], &end["reason"], &end["close_code"]),
            (&json!("operator"), &json!("ended"), &json!(4100))
        );
        assert!(end["user"] == "joe" || end["user"] == "bob", "{end}");
        assert!(
            end["service"] == "chat" || end["service"] == "news",
            "{end}"
        );
    }
    for gateway in &gateways {
        // Channels and exclusive queues went with their sessions, the connection did not.
        gateway.wait_metric("smeuse_shared_channels{state=\"used\"}", 0.0);
        gateway.wait_metric("smeuse_shared_channels{state=\"closing\"}", 0.0);
        gateway.wait_metric("smeuse_shared_exclusive_queues", 0.0);
        super::expect_one_connection(gateway);
        let bys = "smeuse_sessions_closed_total{by=\"operator\",reason=\"ended\",service=\"chat\"}";
        assert!(gateway.metric(bys) >= 1.0);
    }
    direct.delete(&all);
    for exchange in [&events, &commands] {
        direct.delete_exchange(exchange);
    }
}
