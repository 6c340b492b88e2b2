//! The pipeline of one session: starts an actor per agreed extension, sends through them what one of them claims, and
//! keeps everything else out of their mailboxes.
//!
//! The session is at both ends. What it puts in comes out again as a [`Passage`] with its credit, in order, and while
//! something is inside, what follows the same way goes through as well.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use actix::Addr;
use actix::Recipient;

use crate::batch::Batch;
use crate::ending::Ending;
use crate::pipeline::actor::Ended;
use crate::pipeline::actor::LinkActor;
use crate::pipeline::actor::Passage;
use crate::pipeline::actor::Place;
use crate::pipeline::actor::Request;
use crate::pipeline::catalogue::Agreed;
use crate::pipeline::link::Activity;
use crate::pipeline::link::Claims;
use crate::pipeline::link::Content;
use crate::pipeline::link::Data;
use crate::pipeline::metrics::Direction;
use crate::wire::websocket::Opcode;
use crate::wire::websocket::Piece;

/// The agreed extensions of one session, in the order of the agreement.
#[derive(Debug)]
pub struct Pipeline {
    joints: Vec<Joint>,
    activity: Rc<Activity>,
    from_client: Lane,
    to_client: Lane,
    /// A link is gone: nothing can pass any more.
    is_broken: bool,
}

/// A link as the session sees it.
#[derive(Debug)]
struct Joint {
    actor: Addr<LinkActor>,
    claims: Rc<Cell<Claims>>,
}

/// What is under way in one direction.
#[derive(Debug, Default)]
struct Lane {
    /// Passages that were put in and have not come out.
    inside: u32,
    /// Whether the message that is open was claimed: the rest of it is, too.
    message_is_claimed: bool,
}

impl Pipeline {
    /// Starts the actors of `agreed`, on this thread.
    pub fn start(
        agreed: Vec<Agreed>,
        session: &Recipient<Passage>,
        requests: &Recipient<Request>,
    ) -> Self {
        let activity = Rc::new(Activity::new(Instant::now()));
        let contexts: Vec<actix::Context<LinkActor>> =
            agreed.iter().map(|_| actix::Context::new()).collect();
        let addresses: Vec<Addr<LinkActor>> =
            contexts.iter().map(actix::AsyncContext::address).collect();
        let neighbour = |index: Option<usize>| {
            let address = index.and_then(|index| addresses.get(index));
            address.map_or_else(|| session.clone(), |address| address.clone().recipient())
        };
        let mut joints = Vec::with_capacity(agreed.len());
        for (index, (agreed, context)) in agreed.into_iter().zip(contexts).enumerate() {
            let claims = Rc::new(Cell::new(agreed.link.claims()));
            let place = Place {
                claims: Rc::clone(&claims),
                activity: Rc::clone(&activity),
                // The first of the agreement is next to the application (RFC 6455 section 9.1).
                towards_broker: neighbour(index.checked_sub(1)),
                towards_client: neighbour(Some(index + 1)),
                session: requests.clone(),
            };
            let actor = LinkActor::new(agreed.link, agreed.figures, place);
            joints.push(Joint {
                actor: context.run(actor),
                claims,
            });
        }
        Self {
            joints,
            activity,
            from_client: Lane::default(),
            to_client: Lane::default(),
            is_broken: false,
        }
    }

    /// When the client was heard and told something.
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Whether a batch has to go through the links. To be asked once for each, in order; a batch without pieces is one
    /// whole BINARY message.
    pub fn claims(&mut self, direction: Direction, pieces: &[Piece], bytes: &[u8]) -> bool {
        let joints = &self.joints;
        let lane = match direction {
            Direction::FromClient => &mut self.from_client,
            Direction::ToClient => &mut self.to_client,
        };
        let mut is_claimed = lane.inside > 0;
        for joint in joints {
            is_claimed |= joint.claims.get().data == Data::Everything;
        }
        // All that AMQP ever sends, so this is worth a look of its own.
        let has_text = pieces.iter().any(|piece| piece.opcode == Opcode::Text);
        if !has_text && !lane.message_is_claimed {
            return is_claimed;
        }
        let mut at = 0;
        for piece in pieces {
            let end = at + piece.len as usize;
            if piece.first {
                let bytes = bytes.get(at..end).unwrap_or_default();
                lane.message_is_claimed = piece.opcode == Opcode::Text
                    && joints.iter().any(|joint| begins_like(joint, bytes));
            }
            is_claimed |= lane.message_is_claimed;
            if piece.last {
                lane.message_is_claimed = false;
            }
            at = end;
        }
        is_claimed
    }

    /// Whether some link wants to see signs of life.
    pub fn claims_signs_of_life(&self) -> bool {
        self.joints
            .iter()
            .any(|joint| joint.claims.get().signs_of_life)
    }

    /// Sends something through all links; `credit` comes out with it again.
    pub fn put_in(&mut self, direction: Direction, content: Content, credit: usize) {
        let content = match content {
            Content::Data(batch) => Content::Data(with_pieces(batch)),
            sign @ Content::Sign(_) => sign,
        };
        let passage = Passage {
            direction,
            contents: vec![content],
            credit: Some(credit),
        };
        let (first, lane) = match direction {
            Direction::FromClient => (self.joints.last(), &mut self.from_client),
            Direction::ToClient => (self.joints.first(), &mut self.to_client),
        };
        if let Some(joint) = first {
            lane.inside += 1;
            send(&joint.actor, passage);
        }
    }

    /// One passage with credit has come out.
    pub fn came_out(&mut self, direction: Direction) {
        let lane = match direction {
            Direction::FromClient => &mut self.from_client,
            Direction::ToClient => &mut self.to_client,
        };
        lane.inside = lane.inside.saturating_sub(1);
    }

    /// A link is gone, and with it what was inside.
    pub fn break_off(&mut self) {
        self.is_broken = true;
        self.from_client = Lane::default();
        self.to_client = Lane::default();
    }

    /// Whether a link is gone, so that data can neither pass nor go past.
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Whether something is inside.
    pub fn is_busy(&self, direction: Direction) -> bool {
        match direction {
            Direction::FromClient => self.from_client.inside > 0,
            Direction::ToClient => self.to_client.inside > 0,
        }
    }

    /// Ends all links.
    #[expect(clippy::disallowed_methods, reason = "once for each link")]
    pub fn end(&self, ending: &Ending) {
        for joint in &self.joints {
            joint.actor.do_send(Ended(ending.clone()));
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the session has spent credit for data; signs of life are due by the clock"
)]
fn send(actor: &Addr<LinkActor>, passage: Passage) {
    actor.do_send(passage);
}

/// Whether the first bytes of a TEXT message are, or may become, those that a link claims.
fn begins_like(joint: &Joint, bytes: &[u8]) -> bool {
    match joint.claims.get().data {
        Data::TextWithPrefix(prefix) => {
            let known = bytes.len().min(prefix.len());
            bytes[..known] == prefix[..known]
        }
        Data::Nothing | Data::Everything => false,
    }
}

fn with_pieces(mut batch: Batch) -> Batch {
    if batch.pieces.is_empty() {
        batch.pieces.push(Piece {
            len: u32::try_from(batch.len()).unwrap_or(u32::MAX),
            ..Piece::whole(Opcode::Binary)
        });
    }
    batch
}

#[cfg(test)]
mod tests;
