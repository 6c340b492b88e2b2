//! Of which kind the queues are that sessions have declared for all, on any connection of the process to the same brokers
//! and vhost: a queue may be used on one connection and replaced on another.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::upstream::shared::QueueKind;

/// What is known of all brokers. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Kinds(Arc<Mutex<HashMap<Place, KindsOfVhost>>>);

/// The brokers of a service, in order of their names, and a vhost of theirs.
type Place = (Vec<String>, String);

impl Kinds {
    /// What is known of a vhost.
    pub(super) fn of(&self, mut brokers: Vec<String>, vhost: &str) -> KindsOfVhost {
        brokers.sort_unstable();
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // As many as there are services at most.
        let kinds = places.entry((brokers, vhost.to_owned()));
        kinds.or_default().clone()
    }
}

/// What is known of one vhost. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct KindsOfVhost(Arc<Mutex<Names>>);

impl KindsOfVhost {
    /// The kind of a queue, if a session has told it.
    pub(super) fn get(&self, queue: &[u8]) -> Option<QueueKind> {
        self.names().get(queue)
    }

    /// Notes the kind of a queue, or that it is not known any more.
    pub(super) fn note(&self, queue: &[u8], kind: Option<QueueKind>) {
        self.names().note(queue, kind);
    }

    /// A declare of this kind is on its way. Another kind than that is not to be believed until the answer is there; gives
    /// the one that was.
    pub(super) fn doubt(&self, queue: &[u8], declared: Option<QueueKind>) -> Option<QueueKind> {
        let mut names = self.names();
        let noted = names.get(queue).filter(|noted| Some(*noted) != declared);
        if noted.is_some() {
            names.note(queue, None);
        }
        noted
    }

    /// The declare has failed: what was known is so still, unless more is known by now.
    pub(super) fn restore(&self, queue: &[u8], noted: QueueKind) {
        let mut names = self.names();
        if names.get(queue).is_none() {
            names.note(queue, Some(noted));
        }
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KindsOfVhost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KindsOfVhost")
            .field(&self.names().kinds.len())
            .finish()
    }
}

/// The books: a value.
#[derive(Default)]
struct Names {
    /// With the turn in which it was noted first.
    kinds: HashMap<Arc<[u8]>, (QueueKind, u64)>,
    /// Names with the turn in which they were noted, the first in front; some may be forgotten since.
    order: VecDeque<(Arc<[u8]>, u64)>,
    turn: u64,
}

impl Names {
    fn get(&self, queue: &[u8]) -> Option<QueueKind> {
        self.kinds.get(queue).map(|(kind, _)| *kind)
    }

    fn note(&mut self, queue: &[u8], kind: Option<QueueKind>) {
        let Some(kind) = kind else {
            self.kinds.remove(queue);
            return;
        };
        if let Some((noted, _)) = self.kinds.get_mut(queue) {
            *noted = kind;
            return;
        }
        self.turn += 1;
        let name: Arc<[u8]> = queue.into();
        self.kinds.insert(Arc::clone(&name), (kind, self.turn));
        self.order.push_back((name, self.turn));
        while self.kinds.len() > KINDS_MAX {
            let Some((oldest, turn)) = self.order.pop_front() else {
                return;
            };
            if self.is_current(&oldest, turn) {
                self.kinds.remove(&oldest);
            }
        }
        if self.order.len() > 2 * KINDS_MAX {
            let mut order = std::mem::take(&mut self.order);
            order.retain(|(name, turn)| self.is_current(name, *turn));
            self.order = order;
        }
    }

    fn is_current(&self, name: &[u8], turn: u64) -> bool {
        self.kinds
            .get(name)
            .is_some_and(|(_, noted)| *noted == turn)
    }
}

/// Names whose kind is kept for a vhost, some megabytes at most. One that was forgotten is as if nobody had declared it.
const KINDS_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSIC: Option<QueueKind> = Some(QueueKind::Classic);
    const STREAM: Option<QueueKind> = Some(QueueKind::Stream);

    #[test]
    fn what_one_connection_learns_counts_on_all_to_the_same_vhost() {
        let kinds = Kinds::default();
        let brokers = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let one = kinds.of(brokers(&["a:1", "b:1"]), "/");
        one.note(b"q", CLASSIC);
        assert_eq!(kinds.of(brokers(&["b:1", "a:1"]), "/").get(b"q"), CLASSIC);
        assert_eq!(kinds.of(brokers(&["a:1", "b:1"]), "other").get(b"q"), None);
        assert_eq!(kinds.of(brokers(&["a:1"]), "/").get(b"q"), None);
    }

    #[test]
    fn a_declare_of_another_kind_casts_doubt_until_it_is_answered() {
        let kinds = KindsOfVhost::default();
        kinds.note(b"q", CLASSIC);
        assert_eq!(kinds.doubt(b"q", CLASSIC), None);
        assert_eq!(kinds.get(b"q"), CLASSIC);
        // It fails.
        assert_eq!(kinds.doubt(b"q", STREAM), CLASSIC);
        assert_eq!(kinds.get(b"q"), None);
        kinds.restore(b"q", QueueKind::Classic);
        assert_eq!(kinds.get(b"q"), CLASSIC);
        // It is accepted before the failure of another is known.
        assert_eq!(kinds.doubt(b"q", None), CLASSIC);
        kinds.note(b"q", STREAM);
        kinds.restore(b"q", QueueKind::Classic);
        assert_eq!(kinds.get(b"q"), STREAM);
    }

    #[test]
    fn kinds_are_kept_up_to_a_number_of_names() {
        let mut names = Names::default();
        let name = |number: usize| format!("queue-{number}").into_bytes();
        for number in 0..=KINDS_MAX {
            names.note(&name(number), Some(QueueKind::Quorum));
        }
        assert_eq!(names.get(&name(0)), None);
        assert_eq!(names.get(&name(1)), Some(QueueKind::Quorum));
        names.note(&name(1), STREAM);
        assert_eq!(names.get(&name(1)), STREAM);
        // Noted, forgotten, noted again: it is the youngest.
        names.note(&name(1), None);
        names.note(&name(1), CLASSIC);
        names.note(b"one more", CLASSIC);
        names.note(b"and another", CLASSIC);
        assert_eq!(names.get(&name(1)), CLASSIC);
        for number in 0..10 * KINDS_MAX {
            names.note(&name(number), CLASSIC);
            names.note(&name(number), None);
        }
        assert!(names.order.len() <= 2 * KINDS_MAX);
        assert!(names.kinds.len() <= KINDS_MAX);
    }
}
