//! Every rule with the code, the text, the class and the method of RabbitMQ 3.10.8.

use super::*;

/// What a client on channel 1 sends, what it costs, and what it is told.
type Row = (Vec<u8>, Rule, u16, &'static str, (u16, u16));

fn publish_with(bits: u8, header: Vec<u8>) -> Vec<u8> {
    [method(1, 60, 40, &[0, 0, 0, 1, b'q', bits]), header].concat()
}

fn header_of(class: u16, weight: u16, size: u64, properties: &[u8]) -> Vec<u8> {
    let parts = [
        &class.to_be_bytes()[..],
        &weight.to_be_bytes(),
        &size.to_be_bytes(),
        properties,
    ];
    frame(2, 1, &parts.concat())
}

fn exchange(kind: &str, bits: u8) -> Vec<u8> {
    let arguments = [&[0, 0][..], &short("e"), &short(kind), &[bits], &[0; 4]].concat();
    method(1, 40, 10, &arguments)
}

fn rows() -> Vec<Row> {
    const NO_METHOD: (u16, u16) = (0, 0);
    const PUBLISH: (u16, u16) = (60, 40);
    let expected_header = "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead";
    let expected_body =
        "UNEXPECTED_FRAME - expected content body, got non content body frame instead";
    let expected_method = "UNEXPECTED_FRAME - expected method frame, got non method frame instead";
    let unimplemented = "COMMAND_INVALID - unimplemented method";
    let running = "CHANNEL_ERROR - unexpected method in connection state running";
    let properties = |bytes: &[u8]| publish_with(0, header_of(60, 0, 1, bytes));
    let fields = |fields: &[u8]| properties(&[&[0x20, 0][..], &long(fields)].concat());
    vec![
        (
            publish_with(2, header(1, 0)),
            Rule::Immediate,
            540,
            "NOT_IMPLEMENTED - immediate=true",
            PUBLISH,
        ),
        (
            method(1, 20, 20, &[0]),
            Rule::Flow,
            540,
            "NOT_IMPLEMENTED - active=false",
            (20, 20),
        ),
        (
            method(1, 60, 110, &[0]),
            Rule::Recover,
            540,
            "NOT_IMPLEMENTED - requeue=false",
            (60, 110),
        ),
        (
            method(1, 60, 100, &[0xfe]),
            Rule::Recover,
            540,
            "NOT_IMPLEMENTED - requeue=false",
            (60, 100),
        ),
        (
            method(1, 60, 10, &[0, 0, 0, 5, 0, 1, 0]),
            Rule::PrefetchSize,
            540,
            "NOT_IMPLEMENTED - prefetch_size!=0 (5)",
            (60, 10),
        ),
        (
            [consume(1, "q", "t", 0), consume(1, "n", "t", 0)].concat(),
            Rule::ConsumerTag,
            530,
            "NOT_ALLOWED - attempt to reuse consumer tag 't'",
            (60, 20),
        ),
        (
            exchange("x-nothing", 0),
            Rule::ExchangeType,
            503,
            "COMMAND_INVALID - unknown exchange type 'x-nothing'",
            (40, 10),
        ),
        (
            exchange("Direct", 0b1_0010),
            Rule::ExchangeType,
            503,
            "COMMAND_INVALID - unknown exchange type 'Direct'",
            (40, 10),
        ),
        (
            exchange("", 0),
            Rule::ExchangeType,
            503,
            "COMMAND_INVALID - invalid exchange type ''",
            (40, 10),
        ),
        // Content.
        (
            header(1, 0),
            Rule::ContentSequence,
            505,
            expected_method,
            NO_METHOD,
        ),
        (
            frame(3, 1, b"x"),
            Rule::ContentSequence,
            505,
            expected_method,
            NO_METHOD,
        ),
        (
            header(2, 0),
            Rule::ContentSequence,
            505,
            expected_method,
            NO_METHOD,
        ),
        (
            publish_with(0, frame(3, 1, b"x")),
            Rule::ContentSequence,
            505,
            expected_header,
            PUBLISH,
        ),
        (
            publish_with(0, method(1, 90, 10, b"")),
            Rule::ContentSequence,
            505,
            expected_header,
            PUBLISH,
        ),
        (
            publish_with(0, header_of(60, 1, 0, &[0, 0])),
            Rule::ContentSequence,
            505,
            expected_header,
            PUBLISH,
        ),
        (
            publish_with(0, header_of(50, 0, 0, &[0, 0])),
            Rule::ContentSequence,
            505,
            "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead",
            PUBLISH,
        ),
        (
            publish_with(0, [header(1, 5), header(1, 5)].concat()),
            Rule::ContentSequence,
            505,
            expected_body,
            PUBLISH,
        ),
        (
            publish_with(0, [header(1, 5), method(1, 90, 10, b"")].concat()),
            Rule::ContentSequence,
            505,
            expected_body,
            PUBLISH,
        ),
        (
            publish_with(0, [header(1, 1), frame(3, 1, b"xx")].concat()),
            Rule::ContentSequence,
            505,
            expected_body,
            PUBLISH,
        ),
        (
            publish_with(0, [header(1, 0), frame(3, 1, b"")].concat()),
            Rule::ContentSequence,
            505,
            expected_method,
            NO_METHOD,
        ),
        (
            properties(b""),
            Rule::Properties,
            541,
            "INTERNAL_ERROR",
            NO_METHOD,
        ),
        (
            properties(b"\x80\0"),
            Rule::Properties,
            541,
            "INTERNAL_ERROR",
            NO_METHOD,
        ),
        (
            properties(b"\x80\0\x05ab"),
            Rule::Properties,
            541,
            "INTERNAL_ERROR",
            NO_METHOD,
        ),
        (
            properties(b"\0\0z"),
            Rule::Properties,
            541,
            "INTERNAL_ERROR",
            NO_METHOD,
        ),
        (
            properties(b"\0\x01\0\0"),
            Rule::Properties,
            541,
            "INTERNAL_ERROR",
            NO_METHOD,
        ),
        (
            fields(b"\x01aq"),
            Rule::Properties,
            541,
            "INTERNAL_ERROR",
            NO_METHOD,
        ),
        (
            fields(b"\x01af\x7f\xc0\0\0"),
            Rule::Properties,
            541,
            "INTERNAL_ERROR",
            NO_METHOD,
        ),
        // Frames.
        (
            publish_with(0, frame(2, 1, b"\0<\0")),
            Rule::Frame,
            501,
            "FRAME_ERROR - type 2, all octets = <<0,60,0>>: unknown_frame",
            NO_METHOD,
        ),
        (
            frame(1, 1, b"\0<"),
            Rule::Frame,
            501,
            "FRAME_ERROR - type 1, all octets = <<0,60>>: unknown_frame",
            NO_METHOD,
        ),
        (
            frame(8, 0, b"x"),
            Rule::Frame,
            501,
            "FRAME_ERROR - type 8, all octets = <<\"x\">>: unknown_frame",
            NO_METHOD,
        ),
        (
            frame(8, 1, b""),
            Rule::Frame,
            505,
            "UNEXPECTED_FRAME - type 8, all octets = <<>>",
            NO_METHOD,
        ),
        (
            frame(3, 0, b"x"),
            Rule::Frame,
            505,
            "UNEXPECTED_FRAME - type 3, all octets = <<\"x\">>",
            NO_METHOD,
        ),
        (
            [&frame(3, 1, b"hello")[..12], b"A"].concat(),
            Rule::Frame,
            501,
            "FRAME_ERROR - type 3, all octets = <<\"hello\">>: {invalid_frame_end_marker,65}",
            NO_METHOD,
        ),
        (
            frame(3, 1, &[0; FRAME_MAX as usize]),
            Rule::Frame,
            501,
            "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,8192,8184}",
            NO_METHOD,
        ),
        // Arguments.
        (
            method(1, 60, 10, &[0; 8]),
            Rule::Arguments,
            501,
            "FRAME_ERROR - cannot decode <<0,0,0,0,0,0,0,0>>",
            (60, 10),
        ),
        (
            method(9, 50, 10, &[0]),
            Rule::Arguments,
            501,
            "FRAME_ERROR - cannot decode <<0>>",
            (50, 10),
        ),
        (
            method(1, 60, 40, &[0]),
            Rule::Arguments,
            501,
            "FRAME_ERROR - cannot decode <<0>>",
            (60, 40),
        ),
        (
            method(1, 50, 30, b"\0\0\x01\xff\0"),
            Rule::Arguments,
            501,
            "FRAME_ERROR - Malformed UTF-8 in shortstr",
            NO_METHOD,
        ),
        (
            declare(1, "q", 0, b"\x01aq"),
            Rule::Arguments,
            541,
            "INTERNAL_ERROR",
            NO_METHOD,
        ),
        (
            method(0, 10, 40, &[0]),
            Rule::Arguments,
            541,
            "INTERNAL_ERROR",
            NO_METHOD,
        ),
        (
            method(0, 10, 50, b"\0\xc8\x01\xff\0\0\0\0"),
            Rule::Arguments,
            501,
            "FRAME_ERROR - Malformed UTF-8 in shortstr",
            (10, 50),
        ),
        // Methods that are not the client's, or not there.
        (
            method(1, 60, 99, b""),
            Rule::UnknownMethod,
            503,
            "COMMAND_INVALID - unknown method 60.99",
            (60, 99),
        ),
        (
            method(9, 77, 1, b""),
            Rule::UnknownMethod,
            503,
            "COMMAND_INVALID - unknown method 77.1",
            (77, 1),
        ),
        (
            method(1, 20, 21, &[1]),
            Rule::UnexpectedMethod,
            503,
            unimplemented,
            (20, 21),
        ),
        (
            method(1, 20, 41, b""),
            Rule::UnexpectedMethod,
            503,
            unimplemented,
            (20, 41),
        ),
        (
            method(1, 60, 31, &short("t")),
            Rule::UnexpectedMethod,
            503,
            unimplemented,
            (60, 31),
        ),
        (
            declare_ok(1, "q"),
            Rule::UnexpectedMethod,
            503,
            unimplemented,
            (50, 11),
        ),
        (
            method(1, 10, 51, b""),
            Rule::UnexpectedMethod,
            503,
            unimplemented,
            (10, 51),
        ),
        (
            method(0, 10, 51, b""),
            Rule::UnexpectedMethod,
            504,
            running,
            (10, 51),
        ),
        (
            method(0, 20, 10, b"\0"),
            Rule::UnexpectedMethod,
            504,
            running,
            (20, 10),
        ),
        (
            method(0, 10, 61, b""),
            Rule::UnexpectedMethod,
            504,
            running,
            (10, 61),
        ),
        // Values RabbitMQ fails over.
        (
            declare(1, "q", 0, &text_field("x-queue-master-locator", "nowhere")),
            Rule::ArgumentValue,
            541,
            "INTERNAL_ERROR",
            NO_METHOD,
        ),
        (
            declare(1, "", 0, &text_field("x-queue-type", "turbo")),
            Rule::ArgumentValue,
            541,
            "INTERNAL_ERROR",
            NO_METHOD,
        ),
        (
            declare(1, "q", 0, b"\x16x-queue-master-locatorV"),
            Rule::ArgumentValue,
            541,
            "INTERNAL_ERROR",
            NO_METHOD,
        ),
        (
            declare(
                1,
                "q",
                2,
                &[
                    text_field("x-queue-type", "stream"),
                    text_field("x-max-age", ""),
                ]
                .concat(),
            ),
            Rule::ArgumentValue,
            541,
            "INTERNAL_ERROR",
            NO_METHOD,
        ),
        (
            fields(b"\x01aD\0\0\0\0\0"),
            Rule::ArgumentValue,
            541,
            "INTERNAL_ERROR",
            NO_METHOD,
        ),
    ]
}

#[test]
fn every_row_costs_the_connection_and_nothing_of_it_reaches_the_broker() {
    for (sent, rule, code, text, class_method) in rows() {
        let mut bench = Bench::channel();
        let expected = (code, text.to_owned(), class_method);
        assert_eq!(bench.costs_connection(&sent, rule), expected, "{text}");
        let (to_broker, to_client) = bench.take();
        // What is whole before the fault goes on.
        let whole = match rule {
            Rule::ConsumerTag => 1,
            Rule::ContentSequence if sent.ends_with(&frame(3, 1, b"")) => 2,
            _ => 0,
        };
        assert_eq!(split(&to_broker).len(), whole, "{text}");
        assert!(to_client.is_empty());
    }
}

#[test]
fn every_row_is_found_however_it_is_cut() {
    for (sent, rule, code, text, class_method) in rows() {
        let mut bench = Bench::channel();
        let over = sent.iter().any(|byte| bench.send(&[*byte]) == Pause::Over);
        assert!(over, "{text}");
        let violation = bench.out.violation.expect("a violation");
        assert_eq!(violation.reply_code.0, code);
        assert_eq!(
            (&*violation.text, violation.class_method),
            (text, class_method)
        );
        assert_eq!(bench.out.refusals, [rule]);
    }
}

#[test]
fn what_looks_alike_and_is_allowed_goes_on() {
    let mut bench = Bench::channel();
    let allowed = [
        method(1, 20, 20, &[1]),
        method(1, 60, 110, &[1]),
        exchange("x-nothing", 1),
        exchange("topic", 0xe0),
        declare(
            1,
            "q",
            2,
            &[
                text_field("x-queue-type", "stream"),
                text_field("x-max-age", "1D"),
            ]
            .concat(),
        ),
        declare(1, "q", 2, &text_field("x-max-age", "D")),
        declare(
            1,
            "q",
            2,
            &[
                text_field("x-queue-type", "quorum"),
                text_field("x-queue-master-locator", "x"),
            ]
            .concat(),
        ),
        method(1, 85, 10, &[0xfe]),
        method(1, 30, 10, b"\x05/data\x1f"),
        cancel(1, "nobody", 0),
        consume(1, "q", "t", 0),
    ];
    for frame in allowed {
        let mut expected = frame.clone();
        expected[2] = 100;
        bench.relays(&frame, &[expected]);
    }
    // The same tag on another channel.
    bench.open_channel(2);
    bench.relays(&consume(2, "q", "t", 0), &[consume(101, "q", "t", 0)]);
    // Any bytes as a routing key.
    let begin = method(1, 60, 40, b"\0\0\0\x02\xff\xfe\0");
    let sent = content(1, begin, b"x", 100);
    assert_eq!(bench.send(&sent), Pause::No);
    assert_eq!(split(&bench.take().0).len(), 3);
}

#[test]
fn a_message_that_is_too_large_costs_the_channel() {
    let mut bench = Bench::channel();
    let sent = publish_with(0, header(1, MESSAGE_MAX as u64 + 1));
    let text = "PRECONDITION_FAILED - message size 20001 is larger than configured max size 20000";
    let found = bench.costs_channel(&sent, Rule::MessageSize);
    assert_eq!(found, (406, text.to_owned(), (60, 40)));
    let mut bench = Bench::channel();
    let body = vec![1; MESSAGE_MAX];
    bench.relays(&publish(1, &body), &split(&publish(100, &body)));
}

#[test]
fn a_consumer_with_credit_or_an_odd_place_in_a_stream_costs_the_connection() {
    let with = |field: &[u8]| {
        let arguments = [&[0, 0][..], &short("q"), &short("t"), &[0], &long(field)].concat();
        method(1, 60, 20, &arguments)
    };
    let rows = [
        (text_field("x-credit", "a"), false),
        (text_field("x-stream-offset", "middle"), false),
        (
            [short("x-stream-offset"), b"t\x01".to_vec()].concat(),
            false,
        ),
        (text_field("x-stream-offset", "first"), true),
        (text_field("x-stream-offset", "5m"), true),
        (
            [short("x-stream-offset"), b"l".to_vec(), vec![0; 8]].concat(),
            true,
        ),
    ];
    for (field, allowed) in rows {
        let mut bench = Bench::channel();
        if allowed {
            assert_eq!(bench.send(&with(&field)), Pause::No);
        } else {
            let found = bench.costs_connection(&with(&field), Rule::ArgumentValue);
            assert_eq!(found, (541, "INTERNAL_ERROR".to_owned(), (0, 0)));
        }
    }
    let mut bench = Bench::channel();
    let classic = QueueKind::Classic;
    bench.line.kinds.borrow_mut().insert(b"q".to_vec(), classic);
    assert_eq!(
        bench.send(&with(&text_field("x-stream-offset", "middle"))),
        Pause::No
    );
}

#[test]
fn requests_without_an_answer_have_a_bound() {
    let mut bench = Bench::channel();
    let many = qos(1, 1, false).repeat(1000);
    let mut sent = 0;
    let violation = loop {
        let pause = bench.send(&many);
        bench.take();
        sent += 1000;
        if pause == Pause::Over {
            break bench.out.violation.take();
        }
        assert!(sent < 100_000);
    };
    assert_eq!(violation.map(|violation| violation.reply_code.0), Some(506));
    assert_eq!(bench.out.refusals, [Rule::Bookkeeping]);
}
