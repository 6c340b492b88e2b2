//! The extended handshake from a client's side: a request in one message, an answer in another, both like HTTP.

use super::client::Client;
use super::gateway::Gateway;
use super::http;
use super::http::Response;
use super::opening::Opening;
use super::websocket::Frame;
use super::websocket::BINARY;
use super::websocket::CONTINUATION;
use super::websocket::TEXT;

/// The subprotocol by which a client offers it.
pub(crate) const SUBPROTOCOL: &str = "x-kaazing-handshake";

/// "Proceed" of the legacy dialect.
pub(crate) const PROCEED: &[u8] = b"\xef\x83\xbfN";

/// A request that asks for nothing.
pub(crate) const PLAIN_REQUEST: &str = "GET / HTTP/1.1\r\n\r\n";

/// Opens a WebSocket in which the extended handshake is to follow, and says nothing yet.
#[track_caller]
pub(crate) fn begin(gateway: &Gateway, path: &str) -> Client {
    let opening = Opening::new(gateway.public(), path).subprotocols(SUBPROTOCOL);
    let mut client = Client::connect(gateway.public());
    client.send(&opening.bytes());
    let response = client.response();
    assert_eq!(response.status, 101, "{response:?}");
    assert_eq!(
        response.header("Sec-WebSocket-Protocol"),
        Some(SUBPROTOCOL),
        "{response:?}"
    );
    client
}

/// A request with these headers.
pub(crate) fn request(headers: &[(&str, &str)]) -> String {
    let mut text = "GET / HTTP/1.1\r\n".to_owned();
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n"
}

/// Sends a request and reads the answer.
#[track_caller]
pub(crate) fn ask(client: &mut Client, headers: &[(&str, &str)]) -> Response {
    client.send_text(&request(headers));
    answer(client)
}

/// Reads an answer: one BINARY message in one frame, with nothing behind what it announces.
#[track_caller]
pub(crate) fn answer(client: &mut Client) -> Response {
    let frame = client.read_frame();
    assert!(frame.fin && frame.opcode == BINARY, "{frame:?}");
    let mut rest = &frame.payload[..];
    let response = http::read_response(&mut rest).expect("the answer is like HTTP");
    assert!(rest.is_empty(), "{rest:02x?} behind {response:?}");
    response
}

/// Reads an answer and insists on this refusal: status, code and one sentence.
#[track_caller]
pub(crate) fn expect_refusal(client: &mut Client, status: u16, code: &str) -> Response {
    let response = answer(client);
    assert_eq!(response.status, status, "{response:?}");
    let sentence = response.body.strip_prefix(&format!("{code}: "));
    let sentence = sentence.unwrap_or_else(|| panic!("not the code {code} but {response:?}"));
    assert!(
        sentence.len() > 10 && sentence.ends_with('\n') && sentence.matches('\n').count() == 1,
        "no sentence: {response:?}"
    );
    response
}

/// Opens a WebSocket by both handshakes, agrees on exactly what is offered, and gives it with data about to flow.
#[track_caller]
pub(crate) fn open(gateway: &Gateway, path: &str, extensions: &str) -> Client {
    let mut client = begin(gateway, path);
    let response = ask(&mut client, &[("Sec-WebSocket-Extensions", extensions)]);
    assert_eq!(response.status, 101, "{response:?}");
    let agreed = agreed(&response);
    let names: Vec<_> = agreed.iter().map(|line| name(line)).collect();
    let offered: Vec<_> = extensions.split(", ").map(name).collect();
    assert_eq!(names, offered.as_slice(), "{response:?}");
    client
}

/// The same in one handshake, by a client that can set headers.
#[track_caller]
pub(crate) fn open_at_once(gateway: &Gateway, path: &str, extensions: &str) -> Client {
    let opening = Opening::new(gateway.public(), path).with("Sec-WebSocket-Extensions", extensions);
    let mut client = Client::connect(gateway.public());
    client.send(&opening.bytes());
    let response = client.response();
    assert_eq!(response.status, 101, "{response:?}");
    assert_eq!(
        agreed(&response).len(),
        extensions.split(", ").count(),
        "{response:?}"
    );
    client
}

/// The extensions of an answer, in order, each with its parameters.
pub(crate) fn agreed(response: &Response) -> Vec<&str> {
    lines(response, "Sec-WebSocket-Extensions")
}

/// The values of all lines of a header, in order.
pub(crate) fn lines<'response>(response: &'response Response, name: &str) -> Vec<&'response str> {
    let named = response
        .headers
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.as_str()).collect()
}

/// A message cut into frames at these places.
pub(crate) fn fragments(opcode: u8, message: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut from = 0;
    for (index, to) in cuts.iter().copied().chain([message.len()]).enumerate() {
        let opcode = if index == 0 { opcode } else { CONTINUATION };
        let frame = if index == cuts.len() {
            Frame::new(opcode, &message[from..to])
        } else {
            Frame::unfinished(opcode, &message[from..to])
        };
        bytes.extend(frame.encode());
        from = to;
    }
    bytes
}

/// Both ways to send a request.
pub(crate) const OPCODES: [u8; 2] = [TEXT, BINARY];

/// The series that counts extended handshakes of this outcome.
pub(crate) fn outcome(dialect: &str, outcome: &str) -> String {
    format!("smeuse_handshakes_total{{dialect=\"{dialect}\",handshake=\"extended\",outcome=\"{outcome}\"}}")
}

fn name(offer: &str) -> &str {
    offer.split(';').next().unwrap_or_default().trim()
}
