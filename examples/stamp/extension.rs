//! `acme-stamp`: each TEXT message, either way, begins with the time at which it passed the gateway.

use std::time::{SystemTime, UNIX_EPOCH};

use smeuse::batch::{Batch, Draft};
use smeuse::pipeline::link::{Claims, Decision, Extension, Link, Output, Terms};
use smeuse::wire::websocket::header::Offer;
use smeuse::wire::websocket::Opcode;

/// The extension: one for all sessions.
#[derive(Debug)]
pub(crate) struct Stamp;

impl Extension for Stamp {
    fn name(&self) -> &str {
        "acme-stamp"
    }

    fn decide(&self, offer: &Offer, _terms: &Terms<'_>) -> Decision {
        if !offer.params.is_empty() {
            return Decision::Malformed("has no parameters".to_owned());
        }
        Decision::Agreed {
            params: Vec::new(),
            link: Box::new(StampLink),
        }
    }
}

/// The extension in one session.
#[derive(Debug)]
struct StampLink;

impl Link for StampLink {
    fn claims(&self) -> Claims {
        Claims::EVERYTHING
    }

    fn from_client(&mut self, batch: Batch, output: &mut Output) {
        output.pass(stamped(&batch));
    }

    fn to_client(&mut self, batch: Batch, output: &mut Output) {
        output.pass(stamped(&batch));
    }
}

fn stamped(batch: &Batch) -> Batch {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let stamp = format!("{} ", since_1970.unwrap_or_default().as_millis());
    let mut draft = Draft::with_room(batch.len() + stamp.len() * batch.pieces.len());
    for (piece, bytes) in batch.parts() {
        let begins_text = piece.first && piece.opcode == Opcode::Text;
        let stamp = if begins_text { stamp.as_bytes() } else { b"" };
        draft.push(piece, &[stamp, bytes]);
    }
    draft.finish()
}
