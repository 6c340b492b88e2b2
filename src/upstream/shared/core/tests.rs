//! Tests of the core with sessions that only listen.

use actix::Actor;
use actix::Context;
use actix::Handler;
use prometheus::Registry;

use super::*;
use crate::upstream::shared::slots::Heard;
use crate::upstream::shared::slots::Slot;
use crate::upstream::shared::slots::CHANNEL_CLOSE;
use crate::upstream::shared::slots::CHANNEL_CLOSE_OK;
use crate::upstream::shared::slots::CHANNEL_OPEN;
use crate::upstream::shared::slots::CHANNEL_OPEN_OK;
use crate::upstream::shared::Policy;
use crate::upstream::shared::BASE;

struct Listener;

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Handler<FromShared> for Listener {
    type Result = ();

    fn handle(&mut self, _: FromShared, _: &mut Self::Context) {}
}

fn core() -> Core {
    let facts = Facts {
        server_properties: Vec::new(),
        locales: Vec::new(),
        version: None,
        frame_max: 131_072,
        channel_max: 10,
        heartbeat: 60,
        broker: "broker".to_owned(),
        vhost: "/".to_owned(),
        policy: Policy {
            exchange_types: Vec::new(),
            trust_queue_types: false,
            message_bytes: 4096,
            prefetch: 10,
        },
    };
    let metrics = Metrics::register(&Registry::new()).unwrap();
    Core::new(
        Rc::new(facts),
        BASE + 1,
        65_536,
        KindsOfVhost::default(),
        metrics,
    )
}

/// A method without arguments: nobody looks at them here.
fn frame(channel: u16, method: MethodId) -> Batch {
    let header = FrameHeader {
        kind: FrameKind::METHOD,
        channel,
        size: 4,
    };
    Batch::copied(&[&header.encode()[..], &method.encode(), &[0xce]].concat())
}

fn send(state: &mut State, seat: usize, channel: u16, methods: &[MethodId]) {
    for method in methods {
        state.send(seat, frame(channel, *method), 0);
    }
}

/// The broker says this on a channel, as the crossing would tell it.
fn hear(state: &mut State, seat: usize, channel: u16, method: MethodId) {
    if state.slots.heard(channel, method) == Heard::Stray {
        return;
    }
    if let Slot::Closing { .. } = state.slots.get(channel) {
        state.heard_late(seat, channel, method);
    }
}

/// The methods that would be written, each with its channel.
fn written(state: &mut State) -> Vec<(u16, MethodId)> {
    let mut methods = Vec::new();
    while let Some(outgoing) = state.next() {
        let mut rest = outgoing.frames.bytes();
        while let Ok(header) = FrameHeader::decode(rest) {
            let method = MethodId::decode(&rest[HEADER_SIZE..]).unwrap();
            methods.push((header.channel, method));
            rest = &rest[header.size as usize + OVERHEAD..];
        }
    }
    state.release();
    methods
}

fn in_system(test: impl FnOnce(&mut State, usize)) {
    actix::System::new().block_on(async {
        let core = core();
        let listener = Listener.start().recipient();
        core.with(|state| {
            let seat = state.sit(listener, Rc::new(Window::new(1000)));
            test(state, seat);
        });
    });
}

/// RabbitMQ closes the whole connection over a second channel.close.
#[test]
fn a_channel_that_its_session_has_closed_is_not_closed_again_when_it_leaves() {
    in_system(|state, seat| {
        let first = state.open_channel(seat, 1).unwrap();
        let second = state.open_channel(seat, 2).unwrap();
        send(state, seat, second, &[CHANNEL_OPEN]);
        send(state, seat, first, &[CHANNEL_OPEN, CHANNEL_CLOSE]);
        state.leave(seat);
        assert_eq!(
            written(state),
            [
                (second, CHANNEL_OPEN),
                (first, CHANNEL_OPEN),
                (first, CHANNEL_CLOSE),
                (second, CHANNEL_CLOSE)
            ]
        );
        assert_eq!(state.seated(), 1);
        for channel in [first, second] {
            hear(state, seat, channel, CHANNEL_OPEN_OK);
            hear(state, seat, channel, CHANNEL_CLOSE_OK);
        }
        assert_eq!(state.seated(), 0);
        assert_eq!(state.slots.counts(), (0, 2, 0));
    });
}

/// RabbitMQ closes the whole connection over what comes behind a channel.close-ok.
#[test]
fn what_a_session_has_sent_is_not_overtaken_by_close_ok() {
    in_system(|state, seat| {
        let channel = state.open_channel(seat, 1).unwrap();
        let publish = MethodId::BASIC_PUBLISH;
        send(state, seat, channel, &[CHANNEL_OPEN, publish]);
        hear(state, seat, channel, CHANNEL_OPEN_OK);
        state.leave(seat);
        hear(state, seat, channel, CHANNEL_CLOSE);
        assert_eq!(state.seated(), 1, "what it has sent is still queued");
        assert_eq!(
            written(state),
            [
                (channel, CHANNEL_OPEN),
                (channel, publish),
                (channel, CHANNEL_CLOSE),
                (channel, CHANNEL_CLOSE_OK)
            ]
        );
        assert_eq!(state.seated(), 0);
    });
}

/// RabbitMQ never answers channel.open on a channel that it has closed and heard no close-ok for.
#[test]
fn a_session_that_goes_before_it_has_heard_of_a_close_owes_close_ok() {
    in_system(|state, seat| {
        let channel = state.open_channel(seat, 1).unwrap();
        send(state, seat, channel, &[CHANNEL_OPEN]);
        written(state);
        hear(state, seat, channel, CHANNEL_OPEN_OK);
        hear(state, seat, channel, CHANNEL_CLOSE);
        state.abandon(seat);
        assert_eq!(written(state), [(channel, CHANNEL_CLOSE_OK)]);
        assert_eq!(state.seated(), 0);
        assert_eq!(state.slots.counts(), (0, 2, 0));
    });
}

/// RabbitMQ closes a channel twice where one method fails behind another, and the connection over a second close-ok.
#[test]
fn a_second_close_of_the_broker_is_not_confirmed() {
    in_system(|state, seat| {
        let first = state.open_channel(seat, 1).unwrap();
        let second = state.open_channel(seat, 2).unwrap();
        send(state, seat, first, &[CHANNEL_OPEN]);
        send(state, seat, second, &[CHANNEL_OPEN]);
        hear(state, seat, first, CHANNEL_OPEN_OK);
        hear(state, seat, second, CHANNEL_OPEN_OK);
        hear(state, seat, first, CHANNEL_CLOSE);
        send(state, seat, first, &[CHANNEL_CLOSE_OK]);
        state.free_channel(seat, first);
        hear(state, seat, first, CHANNEL_CLOSE);
        assert_eq!(
            written(state),
            [
                (first, CHANNEL_OPEN),
                (second, CHANNEL_OPEN),
                (first, CHANNEL_CLOSE_OK)
            ]
        );
        // The number is another's by now, whose channel is not open yet.
        state.release();
        let again = state.open_channel(seat, 3).unwrap();
        assert_eq!(again, first);
        send(state, seat, again, &[CHANNEL_OPEN]);
        hear(state, seat, again, CHANNEL_CLOSE);
        state.leave(seat);
        assert_eq!(
            written(state),
            [
                (again, CHANNEL_OPEN),
                (second, CHANNEL_CLOSE),
                (again, CHANNEL_CLOSE)
            ]
        );
    });
}

/// Another session's channel.open must not overtake the close-ok, nor may the channel be lost when its session goes.
#[test]
fn a_freed_channel_is_given_out_again_behind_what_was_queued() {
    in_system(|state, seat| {
        let first = state.open_channel(seat, 1).unwrap();
        let second = state.open_channel(seat, 2).unwrap();
        send(state, seat, second, &[CHANNEL_OPEN]);
        state.free_channel(seat, first);
        state.release();
        assert_eq!(state.open_channel(seat, 3), None);
        written(state);
        assert_eq!(state.open_channel(seat, 3), Some(first));
        state.free_channel(seat, first);
        state.leave(seat);
        state.abandon(seat);
        hear(state, seat, second, CHANNEL_OPEN_OK);
        hear(state, seat, second, CHANNEL_CLOSE_OK);
        assert_eq!(state.seated(), 1, "what it has sent is still queued");
        written(state);
        assert_eq!(state.seated(), 0);
        assert_eq!(state.slots.counts(), (0, 2, 0));
    });
}

/// A broker with few channels carries few sessions, whatever the configuration allows.
#[test]
fn a_connection_has_seats_for_whom_it_has_channels() {
    in_system(|state, _| {
        let facts = Facts {
            channel_max: 1,
            ..(*state.facts).clone()
        };
        state.facts = Rc::new(facts);
        assert_eq!(state.seats(), 2);
    });
}
