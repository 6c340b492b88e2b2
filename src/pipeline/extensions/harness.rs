//! Drives a link as the chain does: messages cut at any place go in, and what comes out is put together again and held
//! to the promises of pieces. The only clock of these tests is started here.

use std::time::Duration;
use std::time::Instant;

use crate::batch::Batch;
use crate::batch::Draft;
use crate::pipeline::link::Activity;
use crate::pipeline::link::Claims;
use crate::pipeline::link::Content;
use crate::pipeline::link::Decision;
use crate::pipeline::link::Extension;
use crate::pipeline::link::Failure;
use crate::pipeline::link::Link;
use crate::pipeline::link::Output;
use crate::pipeline::link::SignOfLife;
use crate::pipeline::link::Terms;
use crate::pipeline::metrics::Direction;
use crate::wire::websocket::header::Offer;
use crate::wire::websocket::Opcode;
use crate::wire::websocket::Piece;

/// One WebSocket message.
pub(super) type Message = (Opcode, Vec<u8>);

pub(super) fn text(payload: impl AsRef<[u8]>) -> Message {
    (Opcode::Text, payload.as_ref().to_vec())
}

pub(super) fn binary(payload: impl AsRef<[u8]>) -> Message {
    (Opcode::Binary, payload.as_ref().to_vec())
}

pub(super) const WAYS: [Direction; 2] = [Direction::FromClient, Direction::ToClient];

/// A place in a list of messages: the message, and the byte in front of which to cut. In front of the first byte and
/// behind the last, a piece without bytes is cut off.
pub(super) type Cut = (usize, usize);

/// Every place to cut.
pub(super) fn places(messages: &[Message]) -> Vec<Cut> {
    let places = messages.iter().enumerate();
    places
        .flat_map(|(index, (_, payload))| (0..=payload.len()).map(move |offset| (index, offset)))
        .collect()
}

/// No cut, every single one, and every pair, the same place twice included.
pub(super) fn pairs(messages: &[Message]) -> Vec<Vec<Cut>> {
    let places = places(messages);
    let mut pairs = vec![Vec::new()];
    for (index, &first) in places.iter().enumerate() {
        pairs.push(vec![first]);
        pairs.extend(places[index..].iter().map(|&second| vec![first, second]));
    }
    pairs
}

/// The messages as batches: each cut ends a piece, and with it the batch if reads do it (`apart`) and not fragments.
pub(super) fn batches(messages: &[Message], cuts: &[Cut], apart: bool) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut draft = Draft::with_room(0);
    for (index, (opcode, payload)) in messages.iter().enumerate() {
        let mut ends: Vec<usize> = cuts
            .iter()
            .filter(|(message, _)| *message == index)
            .map(|(_, offset)| *offset)
            .collect();
        ends.sort_unstable();
        ends.push(payload.len());
        let mut start = 0;
        for (number, &end) in ends.iter().enumerate() {
            let piece = Piece {
                first: number == 0,
                last: number == ends.len() - 1,
                ..Piece::whole(*opcode)
            };
            draft.push(piece, &[&payload[start..end]]);
            start = end;
            if apart && !piece.last {
                batches.push(std::mem::replace(&mut draft, Draft::with_room(0)).finish());
            }
        }
    }
    batches.push(draft.finish());
    batches.retain(|batch| !batch.pieces.is_empty());
    batches
}

/// Messages put together from pieces.
#[derive(Debug, Default)]
pub(super) struct Joined {
    pub(super) messages: Vec<Message>,
    /// The message under way.
    pub(super) open: Option<(Piece, Vec<u8>)>,
}

impl Joined {
    fn add(&mut self, batch: &Batch) {
        assert!(!batch.pieces.is_empty(), "a batch without pieces");
        let described: usize = batch.pieces.iter().map(|piece| piece.len as usize).sum();
        assert_eq!(described, batch.len(), "pieces describe all bytes");
        for (piece, bytes) in batch.parts() {
            assert_eq!(piece.first, self.open.is_none(), "{piece:?}");
            let (begun, payload) = self.open.get_or_insert_with(|| (piece, Vec::new()));
            assert_eq!((begun.opcode, begun.rsv1), (piece.opcode, piece.rsv1));
            payload.extend_from_slice(bytes);
            if piece.last {
                let message = self.open.take().map(|(piece, bytes)| (piece.opcode, bytes));
                self.messages.extend(message);
            }
        }
    }

    /// All bytes that have come out.
    pub(super) fn bytes(&self) -> usize {
        let whole: usize = self.messages.iter().map(|(_, bytes)| bytes.len()).sum();
        whole + self.open.as_ref().map_or(0, |(_, bytes)| bytes.len())
    }
}

/// A link with what it has done so far.
#[derive(Debug)]
pub(super) struct Driver {
    link: Box<dyn Link>,
    pub(super) now: Instant,
    pub(super) activity: Activity,
    pub(super) from_client: Joined,
    pub(super) to_client: Joined,
    /// The link's own messages, which wait for the end of one that is open.
    own: Vec<Batch>,
    pub(super) wanted: Option<SignOfLife>,
    pub(super) controls: Vec<(Direction, &'static str)>,
    pub(super) round_trips: Vec<Duration>,
    pub(super) failure: Option<Failure>,
}

impl Driver {
    pub(super) fn new(link: Box<dyn Link>) -> Self {
        let now = Instant::now();
        Self {
            link,
            now,
            activity: Activity::new(now),
            from_client: Joined::default(),
            to_client: Joined::default(),
            own: Vec::new(),
            wanted: None,
            controls: Vec::new(),
            round_trips: Vec::new(),
            failure: None,
        }
    }

    /// The link that a bare offer leads to.
    pub(super) fn agreed(extension: &dyn Extension) -> Self {
        match decide(extension, &[], Duration::from_secs(30)) {
            Decision::Agreed { link, .. } => Self::new(link),
            Decision::Declined | Decision::Malformed(_) => panic!("not agreed"),
        }
    }

    pub(super) fn claims(&self) -> Claims {
        self.link.claims()
    }

    /// Hands the link a batch and returns how much it passed on, as batches.
    pub(super) fn give(&mut self, way: Direction, batch: Batch) -> Vec<Batch> {
        assert_eq!(self.failure, None, "a failed link is handed nothing");
        let mut output = Output::at(self.now);
        match way {
            Direction::FromClient => self.link.from_client(batch, &mut output),
            Direction::ToClient => self.link.to_client(batch, &mut output),
        }
        self.take(way, output)
    }

    /// Hands over batches until the link fails.
    pub(super) fn give_all(&mut self, way: Direction, batches: Vec<Batch>) {
        for batch in batches {
            if self.failure.is_none() {
                self.give(way, batch);
            }
        }
    }

    pub(super) fn sign(&mut self, sign: SignOfLife) {
        let mut output = Output::at(self.now);
        self.link.sign_of_life(sign, &mut output);
        self.take(Direction::ToClient, output);
    }

    /// Lets the link do what is due, and returns when it wants to be called again.
    pub(super) fn tick(&mut self) -> Option<Instant> {
        assert_eq!(self.failure, None, "a failed link is not called");
        let mut output = Output::at(self.now);
        let next = self.link.time_passed(self.now, &self.activity, &mut output);
        self.take(Direction::ToClient, output);
        next
    }

    fn take(&mut self, way: Direction, output: Output) -> Vec<Batch> {
        let mut passed = Vec::new();
        for content in output.passed {
            match content {
                Content::Data(batch) => passed.push(batch),
                Content::Sign(sign) => panic!("{sign:?} passed on"),
            }
        }
        let joined = match way {
            Direction::FromClient => &mut self.from_client,
            Direction::ToClient => &mut self.to_client,
        };
        passed.iter().for_each(|batch| joined.add(batch));
        self.own.extend(output.to_client);
        if self.to_client.open.is_none() {
            let own = std::mem::take(&mut self.own);
            own.iter().for_each(|batch| self.to_client.add(batch));
        }
        self.wanted = output.wanted;
        self.controls.extend(output.controls);
        self.round_trips.extend(output.round_trip);
        self.failure = output.failure;
        passed
    }
}

/// The extension's answer to an offer with these parameters.
pub(super) fn decide(
    extension: &dyn Extension,
    params: &[(&str, Option<&str>)],
    idle_timeout: Duration,
) -> Decision {
    let offer = Offer {
        name: extension.name().to_owned(),
        params: params
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)))
            .collect(),
    };
    let terms = Terms {
        service: "amqp",
        idle_timeout,
    };
    extension.decide(&offer, &terms)
}

/// Asserts that no parameter is taken in an offer.
pub(super) fn assert_bare_offers_only(extension: &dyn Extension) {
    for params in [
        [("01010102", None)],
        [("timeout", Some("1000"))],
        [("a", None)],
    ] {
        let decision = decide(extension, &params, Duration::from_secs(30));
        assert!(matches!(decision, Decision::Malformed(_)), "{params:?}");
    }
}
