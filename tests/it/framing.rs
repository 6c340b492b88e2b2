//! RFC 6455 section 5: frames from the client, legal and not, at an `echo` service.

use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::gateway::Gateway;
use crate::harness::websocket;
use crate::harness::websocket::Frame;
use crate::harness::websocket::Length;
use crate::harness::websocket::BINARY;
use crate::harness::websocket::CLOSE;
use crate::harness::websocket::CONTINUATION;
use crate::harness::websocket::PING;
use crate::harness::websocket::PONG;
use crate::harness::websocket::TEXT;

/// A short deadline for the closing handshake keeps the tests short; it must hold all the same.
fn gateway() -> Gateway {
    Gateway::start(&format!(
        "[websocket]\nclose_deadline = \"500ms\"\n{}",
        configuration::echo()
    ))
}

fn open(gateway: &Gateway) -> Client {
    Client::open(gateway.public(), ECHO_PATH)
}

/// Sends these bytes and insists on a Close with this code, a reason, and the socket's end.
#[track_caller]
fn expect_failure(gateway: &Gateway, bytes: &[u8], code: u16, reason: &str) {
    let ended = format!(
        "smeuse_sessions_closed_total{{service=\"echo\",by=\"client\",reason=\"{reason}\"}}"
    );
    let before = gateway.metric(&ended);
    let mut client = open(gateway);
    client.send(bytes);
    let text = client.expect_close(code);
    assert!(!text.is_empty(), "a Close frame without reason");
    gateway.wait_metric(&ended, before + 1.0);
}

#[track_caller]
fn expect_protocol_error(gateway: &Gateway, frame: &Frame) {
    expect_failure(gateway, &frame.encode(), 1002, "protocol_error");
}

/// 5.2: payloads of every form of length come back whole.
#[test]
fn every_form_of_length_comes_back() {
    let gateway = gateway();
    let mut client = open(&gateway);
    for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_537, 1_000_000] {
        let payload: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        for opcode in [BINARY, TEXT] {
            let payload: Vec<u8> = payload.iter().map(|byte| byte & 0x7f).collect();
            client.send(&websocket::frame(opcode, &payload));
            client.expect_message(opcode, &payload);
        }
    }
}

/// 5.3: every mask is undone, the zero mask too, and where the payload begins within the socket's reads is no matter.
#[test]
fn every_mask_is_undone() {
    let gateway = gateway();
    let mut client = open(&gateway);
    for (number, mask) in [[0; 4], [0xff; 4], [1, 2, 3, 4], [0, 0, 0, 0x80]]
        .into_iter()
        .enumerate()
    {
        for length in 0..40 {
            let payload: Vec<u8> = (0..length)
                .map(|index: u8| index.wrapping_mul(7) + number as u8)
                .collect();
            let bytes = Frame {
                mask: Some(mask),
                ..Frame::new(BINARY, &payload)
            }
            .encode();
            let cut = bytes.len() / 2;
            client.send(&bytes[..cut]);
            client.send(&bytes[cut..]);
            client.expect_message(BINARY, &payload);
        }
    }
}

/// A frame may come byte by byte.
#[test]
fn a_frame_may_come_byte_by_byte() {
    let gateway = gateway();
    let mut client = open(&gateway);
    for byte in websocket::frame(BINARY, &[0x55; 300]) {
        client.send(&[byte]);
    }
    client.expect_message(BINARY, &[0x55; 300]);
}

/// 5.1: a client's frames are masked, whatever they are.
#[test]
fn a_frame_without_mask_is_a_protocol_error() {
    let gateway = gateway();
    for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
        expect_protocol_error(
            &gateway,
            &Frame {
                mask: None,
                ..Frame::new(opcode, b"")
            },
        );
        expect_protocol_error(
            &gateway,
            &Frame {
                mask: None,
                ..Frame::new(opcode, b"\x03\xe8")
            },
        );
    }
}

/// 5.2: reserved bits are zero unless an extension gives them a meaning.
#[test]
fn a_reserved_bit_is_a_protocol_error() {
    let gateway = gateway();
    for rsv in 1..8 {
        expect_protocol_error(
            &gateway,
            &Frame {
                rsv,
                ..Frame::new(BINARY, b"x")
            },
        );
    }
    expect_protocol_error(
        &gateway,
        &Frame {
            rsv: 4,
            ..Frame::new(PING, b"x")
        },
    );
}

/// 5.2: opcodes 3 to 7 and 11 to 15 are reserved.
#[test]
fn a_reserved_opcode_is_a_protocol_error() {
    let gateway = gateway();
    for opcode in (3..8).chain(11..16) {
        expect_protocol_error(&gateway, &Frame::new(opcode, b"x"));
    }
}

/// 5.2: the shortest form of the length that fits must be used.
#[test]
fn a_length_that_is_not_minimal_is_a_protocol_error() {
    let gateway = gateway();
    for (length, payload) in [
        (Length::Wide16, 0),
        (Length::Wide16, 125),
        (Length::Wide64, 125),
        (Length::Wide64, 65_535),
    ] {
        let payload = vec![b'x'; payload];
        expect_protocol_error(
            &gateway,
            &Frame {
                length,
                ..Frame::new(BINARY, &payload)
            },
        );
    }
}

/// 5.2: the most significant bit of a 64-bit length is zero.
#[test]
fn a_length_beyond_63_bits_is_a_protocol_error() {
    let gateway = gateway();
    for announced in [1 << 63, u64::MAX] {
        let length = Length::Announced(announced);
        expect_protocol_error(
            &gateway,
            &Frame {
                length,
                ..Frame::new(BINARY, b"")
            },
        );
    }
}

/// 5.5: a control frame has at most 125 bytes and is not fragmented.
#[test]
fn a_long_or_fragmented_control_frame_is_a_protocol_error() {
    let gateway = gateway();
    for opcode in [CLOSE, PING, PONG] {
        expect_protocol_error(&gateway, &Frame::new(opcode, &[b'x'; 126]));
        expect_protocol_error(&gateway, &Frame::unfinished(opcode, b""));
    }
}

/// 5.4: a continuation continues something.
#[test]
fn a_continuation_of_nothing_is_a_protocol_error() {
    let gateway = gateway();
    expect_protocol_error(&gateway, &Frame::new(CONTINUATION, b"x"));
    expect_protocol_error(&gateway, &Frame::unfinished(CONTINUATION, b"x"));
}

/// 5.4: a message is continued before the next begins.
#[test]
fn a_message_within_a_message_is_a_protocol_error() {
    let gateway = gateway();
    for opcode in [TEXT, BINARY] {
        let mut client = open(&gateway);
        client.send(
            &[
                Frame::unfinished(BINARY, b"one").encode(),
                websocket::frame(opcode, b"two"),
            ]
            .concat(),
        );
        let closed = client.read_to_close();
        assert_eq!(closed.code, Some(1002), "{closed:?}");
        assert!(
            closed.before.iter().all(|frame| frame.payload == b"one"),
            "{closed:?}"
        );
    }
}

/// 5.5.2: a Ping is answered with its own payload, up to the longest.
#[test]
fn a_ping_is_answered_with_its_payload() {
    let gateway = gateway();
    let mut client = open(&gateway);
    for length in [0, 1, 124, 125] {
        let payload = vec![0xfe; length];
        client.send(&websocket::frame(PING, &payload));
        client.expect_frame(PONG, &payload);
    }
}

/// 5.4: control frames may come between the fragments of a message, and do not change it.
#[test]
fn a_ping_between_fragments_is_answered() {
    let gateway = gateway();
    let mut client = open(&gateway);
    client.send(&Frame::unfinished(TEXT, b"be").encode());
    client.send(&websocket::frame(PING, b"1"));
    client.send(&Frame::unfinished(CONTINUATION, b"tw").encode());
    client.send(&websocket::frame(PING, b"2"));
    client.send(&websocket::frame(CONTINUATION, b"een"));
    let mut pongs = Vec::new();
    let mut text = Vec::new();
    while text != b"between" {
        let frame = client.read_frame();
        match frame.opcode {
            PONG => pongs.push(frame.payload),
            TEXT | CONTINUATION => text.extend(frame.payload),
            _ => panic!("{frame:?}"),
        }
    }
    // A Pong for the latest Ping may stand for the earlier ones (5.5.3).
    assert_eq!(
        pongs.last().map(Vec::as_slice),
        Some(b"2".as_slice()),
        "{pongs:?}"
    );
}

/// 5.5.3: a Pong that nobody asked for is passed over.
#[test]
fn an_unsolicited_pong_is_passed_over() {
    let gateway = gateway();
    let mut client = open(&gateway);
    client.send(&websocket::frame(PONG, b"nobody asked"));
    client.send_binary(b"x");
    client.expect_message(BINARY, b"x");
}

/// Frames of any kind in one packet are taken in order.
#[test]
fn many_frames_in_one_packet_are_taken_in_order() {
    let gateway = gateway();
    let mut client = open(&gateway);
    let bytes: Vec<u8> = (0_u16..5000)
        .flat_map(|number| websocket::frame(BINARY, &number.to_be_bytes()))
        .collect();
    client.send(&bytes);
    for number in 0_u16..5000 {
        client.expect_message(BINARY, &number.to_be_bytes());
    }
}

/// 7.1.7: after a violation nothing more is taken, and the Close frame reaches a client that goes on sending.
#[test]
fn a_close_after_a_violation_reaches_a_client_that_goes_on_sending() {
    let gateway = gateway();
    let mut client = open(&gateway);
    client.send(&Frame::new(3, b"x").encode());
    // The gateway may end the socket while this is under way; what it said before must still be there.
    let _ = client.try_send(&websocket::frame(BINARY, &vec![0; 256 * 1024]));
    let closed = client.read_to_close();
    assert_eq!(closed.code, Some(1002), "{closed:?}");
    assert!(closed.before.is_empty(), "{closed:?}");
}

/// What came before a violation is answered before the Close frame.
#[test]
fn messages_before_a_violation_come_back_first() {
    let gateway = gateway();
    let mut client = open(&gateway);
    let mut bytes: Vec<u8> = (0..100)
        .flat_map(|number| websocket::frame(BINARY, &[number]))
        .collect();
    bytes.extend(Frame::new(3, b"x").encode());
    client.send(&bytes);
    let closed = client.read_to_close();
    assert_eq!(closed.code, Some(1002));
    let echoed: Vec<_> = closed
        .before
        .iter()
        .map(|frame| frame.payload.as_slice())
        .collect();
    let sent: Vec<_> = (0..100).map(|number| vec![number]).collect();
    assert_eq!(echoed, sent);
}
