//! The extended handshake of a session: messages of the client's to the [`Extended`] value, and what it says to the
//! client, the checker of credentials, the log and the metrics.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use actix::fut;
use actix::fut::ActorFutureExt;
use actix::fut::WrapFuture;
use actix::AsyncContext;
use actix_http::header::HttpDate;
use tracing::info;
use zeroize::Zeroizing;

use crate::batch::Batch;
use crate::downstream::address;
use crate::downstream::gate::Backend;
use crate::downstream::registry;
use crate::downstream::registry::Agreed;
use crate::downstream::session::limits_before_login;
use crate::downstream::session::Negotiated;
use crate::downstream::session::Session;
use crate::downstream::session::Socket;
use crate::downstream::session::Stage;
use crate::downstream::Gate;
use crate::ending::Ending;
use crate::ending::OneLine;
use crate::handshake;
use crate::handshake::extended::Context;
use crate::handshake::extended::Next;
use crate::handshake::extended::Step;
use crate::handshake::extended::Verdict;
use crate::handshake::login::Credentials;
use crate::handshake::metrics::Which;
use crate::handshake::Agreement;
use crate::handshake::Extended;
use crate::handshake::Refusal;
use crate::pipeline::Pipeline;
use crate::wire::extended::REQUEST_MAX_BYTES;
use crate::wire::websocket::FrameOpcode;
use crate::wire::websocket::Limits;
use crate::wire::websocket::Opcode;
use crate::wire::websocket::Piece;

/// An extended handshake and what belongs to it.
pub(super) struct Extending {
    handshake: Extended,
    /// The message that is coming, as far as it came; there may be a password in it.
    message: Zeroizing<Vec<u8>>,
    began: Instant,
    by: Instant,
    /// Credentials are being checked: it is not the client that is awaited.
    is_checking: bool,
    /// The outcome has been counted.
    is_counted: bool,
    service: Arc<str>,
    gate: Arc<Gate>,
}

impl fmt::Debug for Extending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extending")
            .field("handshake", &self.handshake)
            .finish_non_exhaustive()
    }
}

/// The books of a handshake that came to no outcome are closed here, whatever ended it.
impl Drop for Extending {
    fn drop(&mut self) {
        self.count(|metrics, which, took| metrics.abandoned(which, took));
    }
}

impl Extending {
    fn count(&mut self, outcome: impl FnOnce(&handshake::Metrics, Which, Duration)) {
        if !std::mem::replace(&mut self.is_counted, true) {
            let which = Which::Extended(self.handshake.dialect());
            outcome(&self.gate.handshakes, which, self.began.elapsed());
            for _ in 0..self.handshake.unreadable() {
                self.gate.handshakes.unreadable(&self.service);
            }
        }
    }

    /// When the handshake, or its next step, has to be done.
    pub(super) fn by(&self) -> Instant {
        self.by
    }

    /// What it means that this moment has passed.
    pub(super) fn timeout(&self) -> Ending {
        if self.is_checking {
            Ending::Unavailable("credentials could not be checked in time".to_owned())
        } else {
            Ending::HandshakeTimeout
        }
    }
}

impl<S: Socket> Session<S> {
    /// Begins with what the opening handshake has left to be agreed.
    pub(super) fn begin(&mut self, ctx: &mut actix::Context<Self>) {
        let negotiated = match std::mem::replace(&mut self.stage, Stage::Open(None)) {
            Stage::New(negotiated) => *negotiated,
            stage @ (Stage::Extending(_) | Stage::Open(_)) => {
                self.stage = stage;
                return;
            }
        };
        match negotiated {
            Negotiated::All(agreement) => self.open(agreement, ctx),
            Negotiated::Opening(mut handshake) => {
                let step = self.with_context(|context| handshake.greet(context));
                let began = Instant::now();
                self.stage = Stage::Extending(Box::new(Extending {
                    handshake,
                    message: Zeroizing::default(),
                    began,
                    by: began + self.gate.deadlines.request_deadline,
                    is_checking: false,
                    is_counted: false,
                    service: Arc::clone(&self.gate.names[self.service]),
                    gate: Arc::clone(&self.gate),
                }));
                self.take_step(step, ctx);
            }
        }
    }

    /// Takes payload while the extended handshake goes on.
    pub(super) fn negotiate(
        &mut self,
        mut bytes: &[u8],
        pieces: &[Piece],
        ctx: &mut actix::Context<Self>,
    ) {
        for (index, piece) in pieces.iter().enumerate() {
            if self.phase.ending().is_some() {
                return;
            }
            let Stage::Extending(extending) = &mut self.stage else {
                return;
            };
            let (part, rest) = bytes.split_at(bytes.len().min(piece.len as usize));
            bytes = rest;
            extending.message.extend_from_slice(part);
            // Not even the beginning of a message may come while the answer is awaited.
            if !piece.last && !extending.is_checking {
                continue;
            }
            let message = std::mem::take(&mut extending.message);
            // The client cannot have seen the answer to what it sent in the same breath.
            let is_hasty = extending.is_checking || index + 1 < pieces.len();
            let step = self.advance(|handshake, context| {
                if is_hasty {
                    handshake.too_early()
                } else {
                    handshake.message(&message, context)
                }
            });
            self.take_step(step, ctx);
        }
    }

    fn with_context<T>(&self, f: impl FnOnce(&Context<'_>) -> T) -> T {
        let date = HttpDate::from(SystemTime::now()).to_string();
        let services = self.gate.services.load();
        f(&Context {
            service: &services[self.service],
            login: self.gate.logins[self.service].as_deref(),
            catalogue: &self.gate.catalogue,
            address: address::limit_key(self.client.ip()),
            is_draining: self.gate.drain.is_draining(),
            date: &date,
        })
    }

    fn advance(&mut self, f: impl FnOnce(&mut Extended, &Context<'_>) -> Step) -> Option<Step> {
        let stage = std::mem::replace(&mut self.stage, Stage::Open(None));
        let Stage::Extending(mut extending) = stage else {
            self.stage = stage;
            return None;
        };
        let step = self.with_context(|context| f(&mut extending.handshake, context));
        self.stage = Stage::Extending(extending);
        Some(step)
    }

    fn take_step(&mut self, step: impl Into<Option<Step>>, ctx: &mut actix::Context<Self>) {
        match step.into() {
            None => {}
            Some(Step::Check(credentials)) => self.check(credentials, ctx),
            Some(Step::Send(messages, next)) => {
                for message in messages {
                    self.count_to_client(message.len(), 1);
                    let mut batch = Batch::message(Opcode::Binary, &message);
                    batch.prepend_header(FrameOpcode::Binary, true);
                    self.outbox.push(batch, 0);
                }
                match next {
                    Next::Request => {}
                    Next::Credentials => self.await_credentials(),
                    Next::Data(agreement) => self.agreed(agreement, ctx),
                    Next::End(refusal) => self.refused(refusal),
                }
            }
        }
    }

    fn check(&mut self, credentials: Credentials, ctx: &mut actix::Context<Self>) {
        let Some(login) = self.gate.logins[self.service].clone() else {
            return;
        };
        if let Stage::Extending(extending) = &mut self.stage {
            extending.is_checking = true;
            extending.by = Instant::now() + self.gate.deadlines.login_deadline;
        }
        let (gate, service) = (Arc::clone(&self.gate), self.service);
        let client = self.client.ip();
        let checked = async move { gate.check(service, &login, credentials, client).await };
        let then = |verdict: Verdict, session: &mut Self, ctx: &mut actix::Context<Self>| {
            if session.phase.ending().is_some() {
                return;
            }
            if let Stage::Extending(extending) = &mut session.stage {
                extending.is_checking = false;
            }
            let step = session.advance(|handshake, context| handshake.verdict(verdict, context));
            session.take_step(step, ctx);
            // The socket had its turn before this one, and the next may be seconds off; with something new to do the
            // context goes round again at once.
            ctx.spawn(fut::ready(()));
        };
        ctx.spawn(checked.into_actor(self).map(then));
    }

    fn await_credentials(&mut self) {
        let login_deadline = self.gate.deadlines.login_deadline;
        if let Stage::Extending(extending) = &mut self.stage {
            extending.by = Instant::now() + login_deadline;
            self.gate
                .handshakes
                .challenged(extending.handshake.dialect());
        }
    }

    fn agreed(&mut self, agreement: Agreement, ctx: &mut actix::Context<Self>) {
        if let Stage::Extending(extending) = &mut self.stage {
            extending.count(|metrics, which, took| metrics.accepted(which, took));
        }
        self.decoder
            .set_limits(limits_before_login(&self.gate, self.service));
        self.open(agreement, ctx);
    }

    fn refused(&mut self, refusal: Refusal) {
        info!(
            session = %self.id,
            client = %self.client,
            status = refusal.status(),
            code = refusal.code(),
            detail = %refusal,
            "extended handshake refused"
        );
        let ending = refusal.ending();
        if let Stage::Extending(extending) = &mut self.stage {
            extending.count(|metrics, which, took| metrics.refused(which, &refusal, took));
        }
        self.leave(ending);
    }

    /// All is agreed: data may flow.
    fn open(&mut self, agreement: Agreement, ctx: &mut actix::Context<Self>) {
        self.note_agreement(&agreement);
        let (gate, service) = (&self.gate, self.service);
        self.trials = gate.trials.join(&gate.names[service], &agreement.trials);
        self.timer.expect_login_from(Instant::now());
        self.traffic.reach(registry::Stage::Login);
        let pipeline = (!agreement.extensions.is_empty()).then(|| {
            let (session, requests) = (ctx.address().recipient(), ctx.address().recipient());
            Box::new(Pipeline::start(agreement.extensions, &session, &requests))
        });
        self.stage = Stage::Open(pipeline);
        if let Backend::Echo = self.gate.backends[self.service] {
            self.tell_opened();
        }
    }

    /// One line in the log, and one entry in the list of sessions, where more was agreed than the line that the session
    /// opened with says.
    fn note_agreement(&self, agreement: &Agreement) {
        let was_extended = matches!(self.stage, Stage::Extending(_));
        if !was_extended && agreement.extensions.is_empty() && agreement.principal.is_none() {
            return;
        }
        let names = agreement.extensions.iter();
        let agreed = Agreed {
            subprotocol: agreement.subprotocol.clone().unwrap_or_default(),
            extensions: names.map(|agreed| agreed.answer.name.clone()).collect(),
            user: agreement
                .principal
                .as_ref()
                .map(|principal| principal.name.clone())
                .unwrap_or_default(),
        };
        info!(
            session = %self.id,
            subprotocol = agreed.subprotocol,
            extensions = agreed.extensions.join(", "),
            user = %OneLine(&agreed.user),
            "session agreed"
        );
        let _ = self.traffic.agreed.set(Box::new(agreed));
    }
}

/// What a message may cost while the extended handshake goes on: it is one request, however it is fragmented.
pub(super) const LIMITS: Limits = Limits {
    message_bytes: REQUEST_MAX_BYTES as u64,
    fragments: 1024,
};
