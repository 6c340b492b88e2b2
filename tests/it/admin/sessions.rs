//! The list of sessions: narrowed by user and address, bounded, and what is asked wrongly.

use serde_json::Value;

use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::gateway::Gateway;
use crate::harness::opening::Opening;
use crate::harness::operator::Ask;
use crate::harness::users;

fn list(gateway: &Gateway, query: &str) -> (Vec<Value>, Option<String>) {
    let answer = Ask::new("GET", &format!("/sessions{query}")).send(gateway);
    assert_eq!(answer.status, 200, "{answer:?}");
    let count = answer.header("Smeuse-Sessions").map(str::to_owned);
    let rows = serde_json::from_str(&answer.body).expect("a JSON array");
    (rows, count)
}

#[test]
fn the_list_is_narrowed_and_bounded() {
    let login = users::login(users::USERS, "[\"basic\"]", "");
    let gateway = Gateway::start(&configuration::service("echo", "echo", &["/echo"], &login));
    let open = |user: &str| {
        let opening = Opening::new(gateway.public(), "/echo").with("Authorization", user);
        Client::open_by(&opening, gateway.public())
    };
    let _clients = [open(users::JOE), open(users::JOE), open(users::BOB)];
    for (query, shown, found) in [
        ("", 3, "3"),
        ("?user=joe", 2, "2"),
        ("?user=jo", 0, "0"),
        ("?user=bob&address=127.0.0.1", 1, "1"),
        ("?address=127.0.0.0/8", 3, "3"),
        ("?address=192.0.2.0/24", 0, "0"),
        ("?address=::1", 0, "0"),
        ("?limit=2", 2, "3"),
        ("?user=joe&limit=1", 1, "2"),
        ("?limit=0", 0, "3"),
    ] {
        let (rows, count) = list(&gateway, query);
        assert_eq!(
            (rows.len(), count.as_deref()),
            (shown, Some(found)),
            "{query}"
        );
    }
    let (rows, _) = list(&gateway, "?user=bob");
    assert_eq!(
        (&rows[0]["user"], &rows[0]["stage"]),
        (&"bob".into(), &"open".into())
    );
    for wrong in ["?limit=many", "?limit=-1", "?address=here", "?name=joe"] {
        let answer = Ask::new("GET", &format!("/sessions{wrong}")).send(&gateway);
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.body.starts_with("request_malformed: "), "{answer:?}");
    }
}
