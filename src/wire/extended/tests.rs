//! Tests of requests and responses of the extended handshake, as text.

use proptest::prelude::*;

use super::*;

fn error(text: &str) -> RequestError {
    Request::parse(text.as_bytes()).expect_err(text)
}

#[test]
fn the_request_of_the_published_javascript_client_is_read() {
    let text = "GET /amqp HTTP/1.1\r\nWebSocket-Protocol: \r\nSec-WebSocket-Protocol: \r\n\
                Sec-WebSocket-Extensions: x-kaazing-idle-timeout,x-kaazing-ping-pong\r\n\r\n";
    assert_eq!(text.len(), 140);
    let request = Request::parse(text.as_bytes()).unwrap();
    assert_eq!(request.target, Some("/amqp"));
    assert_eq!(request.lines("sec-websocket-protocol"), [""]);
    assert_eq!(
        request.lines("SEC-WEBSOCKET-EXTENSIONS"),
        ["x-kaazing-idle-timeout,x-kaazing-ping-pong"]
    );
    assert_eq!(request.names().count(), 3);
}

#[test]
fn the_request_line_may_be_missing_and_lines_may_end_with_lf() {
    let request = Request::parse(b"authorization:\tBasic x  \na: \n\n").unwrap();
    assert_eq!(request.target, None);
    assert_eq!(request.lines("Authorization"), ["Basic x"]);
    assert_eq!(request.lines("A"), [""]);
    assert_eq!(Request::parse(b"\r\n").unwrap().names().count(), 0);
}

#[test]
fn what_is_no_request_says_why() {
    for (text, expected) in [
        ("", RequestError::Empty),
        ("AMQP\0\0\x09\x01", RequestError::NotHttp),
        ("hello\r\n\r\n", RequestError::NotHttp),
        ("GET /amqp HTTP/1.1", RequestError::NotHttp),
        ("GET  /amqp HTTP/1.1\r\n\r\n", RequestError::NotHttp),
        ("GET amqp HTTP/1.1\r\n\r\n", RequestError::NotHttp),
        ("GET http://h/ HTTP/1.1\r\n\r\n", RequestError::NotHttp),
        ("GET / HTTP/1.1 x\r\n\r\n", RequestError::NotHttp),
        ("POST /amqp HTTP/1.1\r\n\r\n", RequestError::Method),
        ("get /amqp HTTP/1.1\r\n\r\n", RequestError::Method),
        ("GET /amqp HTTP/1.0\r\n\r\n", RequestError::Version),
        ("GET /amqp HTTP/2\r\n\r\n", RequestError::Version),
        ("GET / HTTP/1.1\r\nA: b\r\n", RequestError::NoEnd),
        ("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", RequestError::Folded),
        ("GET / HTTP/1.1\r\nA b\r\n\r\n", RequestError::NotHeader),
        ("GET / HTTP/1.1\r\nA : b\r\n\r\n", RequestError::NotHeader),
        ("GET / HTTP/1.1\r\n: b\r\n\r\n", RequestError::NotHeader),
        (
            "GET / HTTP/1.1\r\nA: \0\r\n\r\n",
            RequestError::ControlCharacter,
        ),
        (
            "GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n",
            RequestError::ControlCharacter,
        ),
        ("GET / HTTP/1.1\r\n\r\nx", RequestError::Content),
        (
            "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            RequestError::Content,
        ),
    ] {
        assert_eq!(error(text), expected, "{text:?}");
    }
    assert_eq!(
        Request::parse(b"GET /\xff HTTP/1.1\r\n\r\n"),
        Err(RequestError::NotText)
    );
}

#[test]
fn lines_and_bytes_have_limits() {
    let lines = |count| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert!(Request::parse(lines(MAX_LINES).as_bytes()).is_ok());
    assert_eq!(error(&lines(MAX_LINES + 1)), RequestError::TooManyLines);
    let bytes = |count: usize| format!("A: {}\r\n\r\n", "b".repeat(count - 7));
    assert!(Request::parse(bytes(REQUEST_MAX_BYTES).as_bytes()).is_ok());
    assert_eq!(error(&bytes(REQUEST_MAX_BYTES + 1)), RequestError::TooLong);
}

#[test]
fn responses_have_the_lengths_that_the_kaazing_gateway_had() {
    let agreed = |extensions: &[&str]| {
        let mut headers = vec![
            ("Connection", "Upgrade".to_owned()),
            ("Date", "Thu, 01 Jan 2015 00:00:00 GMT".to_owned()),
            (
                "Sec-WebSocket-Accept",
                "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned(),
            ),
        ];
        headers.extend(
            extensions
                .iter()
                .map(|e| ("Sec-WebSocket-Extensions", (*e).to_owned())),
        );
        headers.push(("Server", "Kaazing Gateway".to_owned()));
        headers.push(("Upgrade", "websocket".to_owned()));
        let response = Response {
            status: 101,
            headers,
            body: None,
        };
        response.encode().len()
    };
    assert_eq!(agreed(&[]), 201);
    assert_eq!(agreed(&["x-kaazing-ping-pong; 01010102"]), 258);
    assert_eq!(agreed(&["x-kaazing-idle-timeout; timeout=2000"]), 265);
    assert_eq!(agreed(&["x-kaazing-idle-timeout; timeout=123000"]), 267);
    let both = [
        "x-kaazing-idle-timeout; timeout=2000",
        "x-kaazing-ping-pong; 01010102",
    ];
    assert_eq!(agreed(&both), 322);
}

#[test]
fn a_value_cannot_forge_a_line_and_the_last_one_is_left_open() {
    let response = Response {
        status: 302,
        headers: vec![("Location", "ws://h/\r\nX: y".to_owned())],
        body: None,
    };
    assert_eq!(
        response.encode(),
        b"HTTP/1.1 302 Found\r\nLocation: ws://h/X: y\r\n\r\n"
    );
    assert_eq!(
        response.encode_with_last("Sec-WebSocket-Protocol", "amqp"),
        b"HTTP/1.1 302 Found\r\nLocation: ws://h/X: y\r\nSec-WebSocket-Protocol: amqp"
    );
}

#[test]
fn the_legacy_dialect_is_asked_for_by_its_parameter() {
    for (query, legacy) in [
        (None, false),
        (Some(""), false),
        (Some(".kl=Y"), true),
        (Some("a=b&.kl=Y"), true),
        (Some(".kl=Y&a=b"), true),
        (Some(".kl=N"), false),
        (Some("x.kl=Y"), false),
        (Some(".kl=YES"), false),
    ] {
        assert_eq!(is_legacy(query), legacy, "{query:?}");
    }
    assert_eq!(redirect("ws://h/?.kl=Y"), b"\xEF\x83\xBFRws://h/?.kl=Y");
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Request::parse(&bytes);
    }

    #[test]
    fn what_is_written_is_read(
        target in proptest::option::of("/[a-z0-9/?=&.%]{0,20}"),
        headers in proptest::collection::vec(("[A-Za-z-]{1,20}", "[!-~]([ -~]{0,20}[!-~])?"), 0..10),
    ) {
        let mut text = String::new();
        if let Some(target) = &target {
            text.push_str(&format!("GET {target} HTTP/1.1\r\n"));
        }
        for (name, value) in &headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let request = Request::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(request.target, target.as_deref());
        let lines: Vec<(String, String)> = request.lines.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        prop_assert_eq!(lines, headers);
    }
}
