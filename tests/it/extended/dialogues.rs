//! The dialogues that Rust and JavaScript share, over a socket and byte for byte.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::broker::Broker;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::AMQP_PATH;
use crate::harness::extended;
use crate::harness::extended::OPCODES;
use crate::harness::gateway::Gateway;
use crate::harness::opening::Opening;
use crate::harness::users::USERS;
use crate::harness::websocket;
use crate::harness::websocket::BINARY;
use crate::harness::websocket::TEXT;
use crate::harness::CLOSE_DEADLINE;

const VECTORS: &str = include_str!("../../vectors/extended.json");

/// One broker, and a gateway for every configuration that the dialogues ask for.
struct Fixture {
    broker: Broker,
    gateways: BTreeMap<String, Gateway>,
    vectors: Value,
}

impl Fixture {
    fn new() -> Self {
        Self {
            broker: Broker::polite(),
            gateways: BTreeMap::new(),
            vectors: serde_json::from_str(VECTORS).expect("the vectors are JSON"),
        }
    }

    fn dialogues(&self) -> Vec<Value> {
        let dialogues = self.vectors["dialogues"]
            .as_array()
            .expect("a list of dialogues");
        assert!(dialogues.len() >= 35, "{}", dialogues.len());
        dialogues.clone()
    }

    fn named(&self, name: &str) -> Value {
        let mut dialogues = self.dialogues().into_iter();
        dialogues
            .find(|dialogue| dialogue["name"] == name)
            .unwrap_or_else(|| panic!("there is no dialogue {name:?}"))
    }

    /// Holds a dialogue, with each of the client's messages as `send` puts it on the wire, and checks how it ends.
    #[track_caller]
    fn hold(&mut self, dialogue: &Value, send: impl Fn(&mut Client, &[u8])) {
        let lines = text(&dialogue["service"]).replace("USERS", USERS);
        let uri = self.broker.uri().to_string();
        let gateway = self
            .gateways
            .entry(lines.clone())
            .or_insert_with(|| Gateway::start(&configuration::amqp_with_lines(uri, &lines)));
        let name = format!("{}: {}", dialogue["dialect"], dialogue["name"]);
        let mut client = open(gateway, &dialogue["opening"]);
        let mut code = "accepted".to_owned();
        let dialect = text(&dialogue["dialect"]);
        let before = gateway.metrics();
        for message in dialogue["messages"].as_array().expect("messages") {
            let expected = text(&message["text"]);
            if message["from"] == "client" {
                send(&mut client, expected.as_bytes());
                continue;
            }
            let frame = client.read_frame();
            assert!(frame.fin && frame.opcode == BINARY, "{name}: {frame:?}");
            let found = String::from_utf8(frame.payload).expect("UTF-8");
            assert_eq!(
                dated(&found, text(&self.vectors["date"])),
                expected,
                "{name}"
            );
            if let Some((_, body)) = found.split_once("\r\n\r\n") {
                if !body.is_empty() {
                    code = body.split(':').next().unwrap_or_default().to_owned();
                }
            }
        }
        let end = &dialogue["end"];
        if let Some(close) = end["close"].as_u64() {
            let reason = client.expect_close_and_answer(close as u16);
            assert!(reason.len() > 10, "{name}: {reason:?}");
            gateway.log_line("extended handshake refused", |line| {
                line["code"] == code.as_str() || end["status"].is_null()
            });
        } else {
            self.broker_is_reached(&mut client, &end["data"]["extensions"]);
            code = "accepted".to_owned();
        }
        if end["status"].is_null() && end["close"].is_u64() {
            return;
        }
        let gateway = &self.gateways[&lines];
        let series = extended::outcome(dialect, &code);
        gateway.wait_metric(&series, before.value(&series) + 1.0);
    }

    /// Data flows: the protocol header reaches the broker, and its answer the client.
    #[track_caller]
    fn broker_is_reached(&self, client: &mut Client, extensions: &Value) {
        let extensions: Vec<_> = extensions.as_array().expect("extensions").iter().collect();
        let is_numbered = extensions.iter().any(|line| **line == "smeuse-sequence");
        let number = self.broker.accepted();
        let prefix: &[u8] = if is_numbered { b"00000000" } else { b"" };
        client.send_binary(&[prefix, crate::harness::amqp::HEADER].concat());
        assert_eq!(
            self.broker.wait_received(number, 8),
            crate::harness::amqp::HEADER
        );
        let (opcode, payload) = client.read_message();
        assert_eq!(opcode, BINARY);
        let frame = payload.strip_prefix(prefix).expect("a number, if any");
        assert_eq!(frame[..1], [crate::harness::amqp::METHOD], "{frame:?}");
        client.send_close(1000, "");
        assert_eq!(client.read_to_close().code, Some(1000));
        client.expect_end(CLOSE_DEADLINE);
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[track_caller]
fn open(gateway: &Gateway, opening: &Value) -> Client {
    let path = match opening["query"].as_str() {
        Some(query) => format!("{AMQP_PATH}?{query}"),
        None => AMQP_PATH.to_owned(),
    };
    let mut request =
        Opening::new(gateway.public(), &path).subprotocols(text(&opening["protocols"]));
    if let Some(extensions) = opening["extensions"].as_str() {
        request = request.with("Sec-WebSocket-Extensions", extensions);
    }
    Client::open_by(&request, gateway.public())
}

/// The same answer with the date of the vectors; the real one is as long as every HTTP date (RFC 9110 section 5.6.7).
#[track_caller]
fn dated(answer: &str, date: &str) -> String {
    let Some((before, rest)) = answer.split_once("\r\nDate: ") else {
        return answer.to_owned();
    };
    let (found, after) = rest.split_once("\r\n").expect("the line ends");
    assert!(found.len() == 29 && found.ends_with(" GMT"), "{found}");
    format!("{before}\r\nDate: {date}\r\n{after}")
}

/// Every dialogue, with the request as TEXT and as BINARY; behind it data flows, or a Close frame says why not.
#[test]
fn every_dialogue_is_spoken_byte_for_byte() {
    let mut fixture = Fixture::new();
    for dialogue in fixture.dialogues() {
        for opcode in OPCODES {
            fixture.hold(&dialogue, |client, message| {
                client.send(&websocket::frame(opcode, message));
            });
        }
    }
}

/// RFC 6455 section 5.4: a request cut into two frames anywhere is the same request.
#[test]
fn a_request_may_be_cut_anywhere() {
    let mut fixture = Fixture::new();
    let dialogue = fixture.named("a subprotocol and two extensions");
    let request = text(&dialogue["messages"][0]["text"]).to_owned();
    for cut in 0..=request.len() {
        fixture.hold(&dialogue, |client, message| {
            client.send(&extended::fragments(TEXT, message, &[cut]));
        });
    }
}

/// Each byte a frame, and the frames cut by writes of seven bytes.
#[test]
fn a_request_may_come_byte_by_byte() {
    let mut fixture = Fixture::new();
    for name in [
        "all three extensions, in the client's order",
        "wrong credentials once too often",
        "the published JavaScript client",
        "what is not HTTP",
    ] {
        let dialogue = fixture.named(name);
        for opcode in OPCODES {
            fixture.hold(&dialogue, |client, message| {
                let cuts: Vec<_> = (1..message.len()).collect();
                for part in extended::fragments(opcode, message, &cuts).chunks(7) {
                    client.send(part);
                }
            });
        }
    }
}
