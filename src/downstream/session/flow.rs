//! The data of a session: from the decoder to the relay and from the relay to the outbox, past the extensions or
//! through those that claim it.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Instant;

use actix::Actor;
use actix::AsyncContext;
use actix::Handler;

use crate::batch::Batch;
use crate::batch::Buffer;
use crate::downstream::gate::Backend;
use crate::downstream::phase::Client;
use crate::downstream::session::Relay;
use crate::downstream::session::Session;
use crate::downstream::session::Socket;
use crate::downstream::session::Stage;
use crate::ending::Ending;
use crate::pipeline::link::Content;
use crate::pipeline::link::SignOfLife;
use crate::pipeline::metrics::Direction;
use crate::pipeline::Passage;
use crate::pipeline::Pipeline;
use crate::pipeline::Request;
use crate::relay::connection::Addresses;
use crate::relay::Connection;
use crate::relay::Echo;
use crate::relay::FromClient;
use crate::relay::Tenant;
use crate::relay::Wiring;
use crate::wire::websocket::encoder;
use crate::wire::websocket::encoder::HEADROOM;
use crate::wire::websocket::Control;
use crate::wire::websocket::FrameOpcode;
use crate::wire::websocket::Opcode;
use crate::wire::websocket::Piece;

impl<S> Session<S> {
    pub(super) fn pipeline(&self) -> Option<&Pipeline> {
        match &self.stage {
            Stage::Open(pipeline) => pipeline.as_deref(),
            Stage::New(_) | Stage::Extending(_) => None,
        }
    }

    fn pipeline_mut(&mut self) -> Option<&mut Pipeline> {
        match &mut self.stage {
            Stage::Open(pipeline) => pipeline.as_deref_mut(),
            Stage::New(_) | Stage::Extending(_) => None,
        }
    }

    /// Whether something is inside the extensions.
    pub(super) fn is_passing(&self, direction: Direction) -> bool {
        self.pipeline()
            .is_some_and(|pipeline| pipeline.is_busy(direction))
    }

    /// Tells the extensions that the client was heard. Where they have signs of life of their own, a native Pong says
    /// nothing: the browser sends it, and its page knows nothing of it.
    pub(super) fn note_heard(&self, pieces: &[Piece], controls: &[Control]) {
        let Some(pipeline) = self.pipeline() else {
            return;
        };
        let pongs_count = !pipeline.claims_signs_of_life();
        let counts = |control: &Control| pongs_count || !matches!(control, Control::Pong(_));
        if !pieces.is_empty() || controls.iter().any(counts) {
            pipeline.activity().hears(Instant::now());
        }
    }

    /// Tells the extensions whether the client is read.
    pub(super) fn note_paused(&self, is_paused: bool) {
        if let Some(activity) = self.pipeline().map(Pipeline::activity) {
            match (activity.is_paused(), is_paused) {
                (false, true) => activity.pauses(),
                (true, false) => activity.resumes(Instant::now()),
                (true, true) | (false, false) => {}
            }
        }
    }
}

impl<S: Socket> Session<S> {
    /// Takes `len` bytes of payload: to the extensions if one of them claims some of it, else to the relay.
    pub(super) fn pass_on(
        &mut self,
        buffer: Buffer,
        len: usize,
        pieces: &[Piece],
        ctx: &mut actix::Context<Self>,
    ) {
        if let Some(pipeline) = self.pipeline_mut() {
            if pipeline.claims(Direction::FromClient, pieces, buffer.data(len)) {
                let batch = Batch::of_buffer(buffer, len, pieces.to_vec());
                let cost = batch.cost();
                pipeline.put_in(Direction::FromClient, Content::Data(batch), cost);
                self.from_client.spend(cost);
                return;
            }
        }
        self.relay_data(Batch::of_buffer(buffer, len, Vec::new()), pieces, ctx);
    }

    /// Sends what `pieces` describe to the relay, which is started for the first of them.
    fn relay_data(&mut self, mut batch: Batch, pieces: &[Piece], ctx: &mut actix::Context<Self>) {
        let mut text = false;
        match self.gate.backends[self.service] {
            Backend::Echo => batch.pieces = pieces.to_vec(),
            Backend::Amqp(_) | Backend::Shared(_) => {
                // Where messages begin and end means nothing to AMQP; that they are binary does.
                text = pieces.iter().any(|piece| piece.opcode == Opcode::Text);
                if text {
                    let before_text = pieces
                        .iter()
                        .take_while(|piece| piece.opcode == Opcode::Binary);
                    batch.truncate(before_text.map(|piece| piece.len as usize).sum());
                }
            }
        }
        if !batch.is_empty() || !batch.pieces.is_empty() {
            let may_start = self.phase.ending().is_none() || self.waits.farewell;
            if may_start && matches!(self.relay, Relay::Absent) {
                self.start_relay(ctx);
            }
            if let Relay::Live(_) = self.relay {
                self.from_client.spend(batch.cost());
                self.tell_relay(FromClient::Data(batch));
            }
        }
        if text {
            self.leave(Ending::TextMessage);
            self.heard_out(Client::Ignored);
        }
    }

    fn start_relay(&mut self, ctx: &mut actix::Context<Self>) {
        let wiring = Wiring {
            session: ctx.address().recipient(),
            from_client: Rc::clone(&self.from_client),
            to_client: Rc::clone(&self.to_client),
            place: self.place.clone(),
            seen: Arc::clone(self.traffic.relay.get_or_init(Arc::default)),
        };
        let relay = match &self.gate.backends[self.service] {
            Backend::Echo => Echo::new(wiring).start().recipient(),
            Backend::Amqp(service) => {
                let addresses = Addresses {
                    client: Some(self.client),
                    gateway: self.gateway,
                };
                Connection::new(Arc::clone(service), addresses, wiring)
                    .start()
                    .recipient()
            }
            Backend::Shared(service) => {
                let agreed = self.traffic.agreed.get();
                let user = agreed
                    .map(|agreed| agreed.user.as_str())
                    .filter(|user| !user.is_empty());
                let identity = self.gate.identify(self.service, self.client.ip(), user);
                Tenant::new(Arc::clone(service), identity, wiring)
                    .start()
                    .recipient()
            }
        };
        self.relay = Relay::Live(relay);
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "data is bounded by the credit spent for it; the other messages come once each"
    )]
    pub(super) fn tell_relay(&self, message: FromClient) {
        if let Relay::Live(relay) = &self.relay {
            relay.do_send(message);
        }
    }

    /// Takes what the relay sends: to the extensions if one of them claims some of it, else to the client.
    pub(super) fn data_to_client(&mut self, batch: Batch) {
        let credit = batch.len();
        if let Some(pipeline) = self.pipeline_mut() {
            if pipeline.is_broken() {
                self.to_client.batch_taken();
                self.to_client.return_bytes(credit);
                return;
            }
            if pipeline.claims(Direction::ToClient, &batch.pieces, batch.bytes()) {
                pipeline.put_in(Direction::ToClient, Content::Data(batch), credit);
                return;
            }
        }
        self.to_client.batch_taken();
        self.queue_data(batch, credit);
    }

    /// Queues a batch for the client.
    fn queue_data(&mut self, mut batch: Batch, credit: usize) {
        if self.phase.close_is_queued() {
            self.to_client.return_bytes(credit);
            return;
        }
        if let Some(pipeline) = self.pipeline() {
            pipeline.activity().says(Instant::now());
        }
        let is_whole = match batch.pieces.as_slice() {
            [] => Some(FrameOpcode::Binary),
            [piece] if piece.first && piece.last => Some(opcode(piece)),
            _ => None,
        };
        let messages = batch.pieces.iter().filter(|piece| piece.last).count();
        self.count_to_client(batch.len(), messages.max(usize::from(is_whole.is_some())));
        if let Some(opcode) = is_whole {
            batch.prepend_header(opcode, true);
            self.outbox.push(batch, credit);
            return;
        }
        let mut frames = Vec::with_capacity(batch.len() + HEADROOM * batch.pieces.len());
        for (piece, payload) in batch.parts() {
            push_frame(&mut frames, &piece, payload);
            self.waits.message = !piece.last;
            if piece.last {
                // Right behind the message that was open, before the next one: an extension may have counted them so.
                frames.append(&mut self.waits.behind_message);
            }
        }
        self.outbox.push(Batch::copied(&frames), credit);
    }

    /// Keeps whole messages of an extension's own until the message that is open ends (RFC 6455 section 5.4).
    fn queue_behind_message(&mut self, batch: &Batch) {
        if self.phase.close_is_queued() {
            return;
        }
        let messages = batch.pieces.iter().filter(|piece| piece.last).count();
        self.count_to_client(batch.len(), messages);
        for (piece, payload) in batch.parts() {
            push_frame(&mut self.waits.behind_message, &piece, payload);
        }
        if self.waits.behind_message.len() > BEHIND_MESSAGE_MAX {
            self.leave(Ending::ClientStalled);
        }
    }

    /// Shows the client that the gateway is there, or asks whether it is, by whatever the extensions make of that.
    pub(super) fn sign_of_life(&mut self, sign: SignOfLife) {
        if self.phase.close_is_queued() {
            return;
        }
        if let Some(pipeline) = self.pipeline_mut() {
            if pipeline.is_broken() {
                return;
            }
            if pipeline.claims_signs_of_life() {
                pipeline.put_in(Direction::ToClient, Content::Sign(sign), 0);
                self.to_client.spend(0);
                return;
            }
        }
        self.native_sign(sign);
    }

    fn native_sign(&mut self, sign: SignOfLife) {
        if self.phase.close_is_queued() {
            return;
        }
        self.outbox.push_slice(&match sign {
            SignOfLife::Ping => encoder::ping(b""),
            SignOfLife::Pong => encoder::pong(b""),
        });
    }

    /// Takes what comes out of the extensions on the way from the client.
    fn out_from_client(&mut self, passage: Passage, ctx: &mut actix::Context<Self>) {
        if let Some(credit) = passage.credit {
            self.from_client.batch_taken();
            self.from_client.return_bytes(credit);
        }
        for content in passage.contents {
            if let Content::Data(mut batch) = content {
                let pieces = std::mem::take(&mut batch.pieces);
                self.relay_data(batch, &pieces, ctx);
            }
        }
    }

    /// Takes what comes out of the extensions on the way to the client.
    fn out_to_client(&mut self, passage: Passage) {
        let mut credit = passage.credit.unwrap_or_default();
        for content in passage.contents {
            match content {
                Content::Sign(sign) => self.native_sign(sign),
                Content::Data(batch) if passage.credit.is_none() && self.waits.message => {
                    self.queue_behind_message(&batch);
                }
                Content::Data(batch) => self.queue_data(batch, std::mem::take(&mut credit)),
            }
        }
        self.to_client.return_bytes(credit);
        if passage.credit.is_some() {
            self.to_client.batch_taken();
        }
    }

    /// Adds what a read has brought.
    pub(super) fn count_from_client(&self, bytes: usize, messages: u32) {
        if bytes > 0 || messages > 0 {
            self.traffic.moves(self.timer.opened().elapsed());
        }
        let (bytes, messages) = (bytes as u64, u64::from(messages));
        self.traffic
            .bytes_from_client
            .fetch_add(bytes, Ordering::Relaxed);
        self.traffic
            .messages_from_client
            .fetch_add(messages, Ordering::Relaxed);
        self.gate.metrics.from_client.bytes.inc_by(bytes);
        self.gate.metrics.from_client.messages.inc_by(messages);
    }

    pub(super) fn count_to_client(&self, bytes: usize, messages: usize) {
        self.traffic.moves(self.timer.opened().elapsed());
        let (bytes, messages) = (bytes as u64, messages as u64);
        self.traffic
            .bytes_to_client
            .fetch_add(bytes, Ordering::Relaxed);
        self.traffic
            .messages_to_client
            .fetch_add(messages, Ordering::Relaxed);
        self.gate.metrics.to_client.bytes.inc_by(bytes);
        self.gate.metrics.to_client.messages.inc_by(messages);
    }
}

impl<S: Socket> Handler<Passage> for Session<S> {
    type Result = ();

    fn handle(&mut self, passage: Passage, ctx: &mut Self::Context) {
        let direction = passage.direction;
        let was_put_in = passage.credit.is_some();
        if let (true, Some(pipeline)) = (was_put_in, self.pipeline_mut()) {
            pipeline.came_out(direction);
        }
        match direction {
            Direction::FromClient => self.out_from_client(passage, ctx),
            Direction::ToClient => self.out_to_client(passage),
        }
        self.go_on_waiting();
    }
}

impl<S: Socket> Handler<Request> for Session<S> {
    type Result = ();

    fn handle(&mut self, request: Request, _: &mut Self::Context) {
        match request {
            Request::Sign(sign) => self.sign_of_life(sign),
            Request::End(ending) => {
                self.leave(ending);
                self.heard_out(Client::Ignored);
            }
            Request::Broken => {
                if let Some(pipeline) = self.pipeline_mut() {
                    pipeline.break_off();
                }
                self.leave(Ending::Bug("an extension stopped by itself"));
                self.heard_out(Client::Ignored);
            }
        }
    }
}

fn push_frame(frames: &mut Vec<u8>, piece: &Piece, payload: &[u8]) {
    let (header, header_len) = encoder::header(opcode(piece), piece.last, payload.len());
    frames.extend_from_slice(&header[..header_len]);
    frames.extend_from_slice(payload);
}

/// Bytes of the extensions' own that may wait for the end of a message: thousands of signs of life. A client that lets so
/// many wait does not end its message, or does not read.
const BEHIND_MESSAGE_MAX: usize = 64 * 1024;

fn opcode(piece: &Piece) -> FrameOpcode {
    match (piece.first, piece.opcode) {
        (false, _) => FrameOpcode::Continuation,
        (true, Opcode::Text) => FrameOpcode::Text,
        (true, Opcode::Binary) => FrameOpcode::Binary,
    }
}
