//! Tests of the core with sessions that only listen.

use std::collections::VecDeque;

use actix::Actor;
use actix::Context;
use actix::Handler;
use prometheus::Registry;

use super::*;
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
    Core::new(Rc::new(facts), BASE + 1, 65_536, metrics)
}

fn close(channel: u16) -> Batch {
    let [high, low] = channel.to_be_bytes();
    let frame = [
        1, high, low, 0, 0, 0, 11, 0, 20, 0, 40, 0, 200, 0, 0, 0, 0, 0, 0xce,
    ];
    Batch::copied(&frame)
}

/// The methods that would be written, each with its channel.
fn written(state: &mut State) -> VecDeque<(u16, [u8; 4])> {
    let mut methods = VecDeque::new();
    while let Some(outgoing) = state.next() {
        let mut rest = outgoing.frames.bytes();
        while let Some(frame) = next_frame(&mut rest) {
            let channel = u16::from_be_bytes([frame[1], frame[2]]);
            methods.push_back((channel, *frame[HEADER_SIZE..].first_chunk().unwrap()));
        }
    }
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
        state.send(seat, close(first), 0);
        state.leave(seat);
        assert_eq!(
            written(state),
            [(first, CHANNEL_CLOSE), (second, CHANNEL_CLOSE)]
        );
        assert_eq!(state.seated(), 1);
        state.channel_closed(first);
        state.channel_closed(second);
        assert_eq!(state.seated(), 0);
        assert_eq!(state.slots.counts(), (0, 2, 0));
    });
}

/// Another session's channel.open must not overtake the close-ok, nor may the channel be lost when its session goes.
#[test]
fn a_freed_channel_is_given_out_again_behind_what_was_queued() {
    in_system(|state, seat| {
        let first = state.open_channel(seat, 1).unwrap();
        state.open_channel(seat, 2).unwrap();
        state.free_channel(seat, first);
        state.send(seat, close(0), 0);
        state.release();
        assert_eq!(state.open_channel(seat, 3), None);
        written(state);
        state.release();
        assert_eq!(state.open_channel(seat, 3), Some(first));
        state.free_channel(seat, first);
        state.leave(seat);
        state.abandon(seat);
        written(state);
        state.channel_closed(BASE + 1);
        assert_eq!(state.seated(), 1, "a channel is about to be free");
        state.release();
        assert_eq!(state.seated(), 0);
        assert_eq!(state.slots.counts(), (0, 2, 0));
    });
}
