//! What the AMQP server towards a client costs for each message, without sockets: nanoseconds for
//! publishes and deliveries of a shared connection. `cargo run --release --example server_cost`.

use std::hint::black_box;
use std::time::Instant;

use smeuse::batch::Batch;
use smeuse::relay::server::Output;
use smeuse::relay::server::Params;
use smeuse::relay::server::Pause;
use smeuse::relay::server::Server;
use smeuse::upstream::shared::Access;
use smeuse::upstream::shared::Facts;
use smeuse::upstream::shared::Line;
use smeuse::upstream::shared::Policy;
use smeuse::upstream::shared::QueueKind;

/// A connection whose books are empty.
struct Open;

impl Line for Open {
    fn open_channel(&self, client_channel: u16) -> Option<u16> {
        Some(100 + client_channel)
    }

    fn free_channel(&self, _: u16) {}

    fn queue_access(&self, _: &[u8]) -> Access {
        Access::Free
    }

    fn claim_queue(&self, _: &[u8]) {}

    fn own_queue(&self, _: &[u8]) {}

    fn withdraw_claim(&self, _: &[u8]) {}

    fn queue_deleted(&self, _: &[u8]) {}

    fn queue_kind(&self, _: &[u8]) -> Option<QueueKind> {
        None
    }

    fn note_queue_kind(&self, _: &[u8], _: Option<QueueKind>) {}
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend(channel.to_be_bytes());
    frame.extend((payload.len() as u32).to_be_bytes());
    frame.extend(payload);
    frame.push(0xce);
    frame
}

fn method(channel: u16, class: u16, method: u16, arguments: &[u8]) -> Vec<u8> {
    let number = [class.to_be_bytes(), method.to_be_bytes()].concat();
    frame(1, channel, &[&number, arguments].concat())
}

fn content(begin: Vec<u8>, properties: &[u8], size: usize) -> Vec<u8> {
    let header = [&[0, 60, 0, 0][..], &(size as u64).to_be_bytes(), properties];
    [
        begin,
        frame(2, 1, &header.concat()),
        frame(3, 1, &vec![7; size]),
    ]
    .concat()
}

fn opened() -> (Server, Output) {
    let facts = Facts {
        server_properties: Vec::new(),
        locales: b"en_US".to_vec(),
        version: None,
        frame_max: 131_072,
        channel_max: 100,
        heartbeat: 60,
        broker: String::new(),
        vhost: "/".to_owned(),
        policy: Policy {
            exchange_types: Vec::new(),
            trust_queue_types: true,
            message_bytes: 4 << 20,
            prefetch: u16::MAX,
        },
    };
    let mut out = Output::default();
    let mut server = Server::new(&facts, Params::new(&facts, 0, 0, 0), &mut out);
    let start_ok = [&[0; 4][..], b"\x08EXTERNAL\0\0\0\0\0"].concat();
    give(&mut server, &mut out, &method(0, 10, 11, &start_ok));
    server.login_decided(Ok(()), &mut out);
    let tune_ok = [0, 100, 0, 2, 0, 0, 0, 0];
    give(&mut server, &mut out, &method(0, 10, 31, &tune_ok));
    give(&mut server, &mut out, &method(0, 10, 40, b"\x01/\0\0"));
    server.seated(&mut out);
    give(&mut server, &mut out, &method(1, 20, 10, b"\0"));
    (server, Output::default())
}

fn give(server: &mut Server, out: &mut Output, bytes: &[u8]) {
    let pause = server.from_client(&mut Batch::copied(bytes), Some(&Open), out);
    assert!(!matches!(pause, Pause::Over | Pause::Line));
}

/// Runs `round` on copies of `bytes`, and takes off what copying costs.
fn measure(name: &str, messages: usize, bytes: &[u8], mut round: impl FnMut(Batch)) {
    const ROUNDS: usize = 20_000;
    let mut best = f64::MAX;
    for _ in 0..5 {
        let begin = Instant::now();
        for _ in 0..ROUNDS {
            drop(black_box(Batch::copied(black_box(bytes))));
        }
        let copying = begin.elapsed();
        let begin = Instant::now();
        for _ in 0..ROUNDS {
            round(Batch::copied(black_box(bytes)));
        }
        let spent = begin.elapsed().saturating_sub(copying);
        best = best.min(spent.as_nanos() as f64 / (ROUNDS * messages) as f64);
    }
    say(name, best);
}

#[expect(clippy::print_stdout, reason = "that is what the program is for")]
fn say(name: &str, nanoseconds: f64) {
    println!("{name:44} {nanoseconds:7.1} ns");
}

fn main() {
    const MANY: usize = 200;
    let begin = || method(1, 60, 40, b"\0\0\0\x05queue\0");
    let publish = content(begin(), &[0x10, 0, 1], 100);
    let table: Vec<u8> = (0..5)
        .flat_map(|_| [&b"\x06header"[..], b"S\0\0\0\x05value"].concat())
        .collect();
    let length = (table.len() as u32).to_be_bytes();
    let properties = [&[0xb0, 0][..], b"\x0atext/plain", &length, &table, &[2]].concat();
    let with_headers = content(begin(), &properties, 100);
    let large = content(begin(), &[0x10, 0, 1], 16_000);
    for (name, message, many) in [
        ("publish 100 B", publish.clone(), MANY),
        ("publish 100 B, one per batch", publish, 1),
        ("publish 100 B with 5 headers", with_headers, MANY),
        ("publish 16 kB", large, 4),
    ] {
        let (mut server, mut out) = opened();
        measure(name, many, &message.repeat(many), |mut batch| {
            let pause = server.from_client(&mut batch, Some(&Open), &mut out);
            assert_eq!(pause, Pause::No);
            black_box(out.to_broker.len());
            out.to_broker.clear();
        });
    }
    let (mut server, mut out) = opened();
    let ack = method(1, 60, 80, &[0, 0, 0, 0, 0, 0, 0, 9, 0]);
    measure("ack", MANY, &ack.repeat(MANY), |mut batch| {
        let pause = server.from_client(&mut batch, Some(&Open), &mut out);
        assert_eq!(pause, Pause::No);
        out.to_broker.clear();
    });
    for (name, bits, many) in [
        ("deliver 100 B, acknowledged by the client", 0, MANY),
        ("deliver 100 B, acknowledged by the gateway", 2, MANY),
        ("deliver 100 B, the same, one per batch", 2, 1),
    ] {
        let (mut server, mut out) = opened();
        let consume = [&b"\0\0\x05queue\x08consumer"[..], &[bits], &[0; 4]].concat();
        give(&mut server, &mut out, &method(1, 60, 20, &consume));
        let mut tag = 0_u64;
        let delivery = |tag: u64| {
            let arguments = [&b"\x08consumer"[..], &tag.to_be_bytes(), b"\0\0\x05queue"].concat();
            content(method(1, 60, 60, &arguments), &[0x10, 0, 1], 100)
        };
        let size = delivery(0).len();
        let mut position = 0;
        out = Output::default();
        measure(name, many, &delivery(0).repeat(many), |mut batch| {
            for at in 0..many {
                tag += 1;
                let place = at * size + 11 + 9;
                batch.bytes_mut()[place..place + 8].copy_from_slice(&tag.to_be_bytes());
            }
            server.to_client(batch, &Open, &mut out);
            position += (size * many) as u64;
            // What went before comes on top, and is of no matter.
            server.passed(position + 10_000, &mut out);
            out.to_client.clear();
            out.to_broker.clear();
        });
    }
}
