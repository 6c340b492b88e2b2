//! Every session of the process: counted, listed, and reachable by its id.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use actix::Message;
use actix::Recipient;
use tokio::sync::Notify;

use crate::control;
use crate::control::Target;
use crate::downstream::config::Limits;
use crate::drain;
use crate::handshake::Refusal;
use crate::relay::Seen;

/// What the process tells a session.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub enum Control {
    /// Close with 1001 after this time.
    Drain(Duration),
    /// An operator ends the session now.
    End,
}

/// Names a session, uniquely over all gateways for all practical purposes (64 random bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

impl SessionId {
    /// A new id.
    pub fn random() -> Self {
        Self(fastrand::u64(..))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for SessionId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

/// What a session has carried; read by the private listener while it runs.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Payload bytes from the client.
    pub bytes_from_client: AtomicU64,
    /// Payload bytes to the client.
    pub bytes_to_client: AtomicU64,
    /// WebSocket messages from the client.
    pub messages_from_client: AtomicU64,
    /// WebSocket messages to the client.
    pub messages_to_client: AtomicU64,
    /// Who has logged in by AMQP with a login of the client's own; not set where nobody has, or nobody knows who.
    pub amqp_user: OnceLock<Box<str>>,
    /// What was agreed beyond the plain relay of AMQP; not set where nothing was.
    pub agreed: OnceLock<Box<Agreed>>,
    /// What the relay shows of itself; not set before there is one.
    pub relay: OnceLock<Arc<Seen>>,
    stage: AtomicU8,
    /// When data last went either way, in milliseconds from the session's opening.
    moved: AtomicU64,
}

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The handshakes go on.
    Handshake,
    /// The client has yet to log in by AMQP.
    Login,
    /// Data flows.
    Open,
    /// It has a reason to end, and says so.
    Ending,
}

impl Stage {
    const ALL: [Self; 4] = [Self::Handshake, Self::Login, Self::Open, Self::Ending];

    /// What it is called.
    pub fn label(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Login => "login",
            Self::Open => "open",
            Self::Ending => "ending",
        }
    }
}

impl Traffic {
    /// Who the client is: the gateway's own user, else the broker's; empty where nobody asked.
    pub fn user(&self) -> &str {
        let own = self.agreed.get().map(|agreed| agreed.user.as_str());
        let own = own.filter(|user| !user.is_empty());
        own.or_else(|| self.amqp_user.get().map(Box::as_ref))
            .unwrap_or_default()
    }

    /// The session is this far now; it never goes back.
    pub fn reach(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::Relaxed);
    }

    /// How far the session is.
    pub fn stage(&self) -> Stage {
        let stage = usize::from(self.stage.load(Ordering::Relaxed));
        Stage::ALL.get(stage).copied().unwrap_or(Stage::Ending)
    }

    /// Data has gone one way or the other, so long after the session's opening.
    pub fn moves(&self, after: Duration) {
        let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        self.moved.store(after, Ordering::Relaxed);
    }

    /// When data last went either way, from the session's opening on.
    pub fn moved_after(&self) -> Duration {
        Duration::from_millis(self.moved.load(Ordering::Relaxed))
    }

    /// Bytes from and to the client, messages from and to the client.
    pub fn counts(&self) -> [u64; 4] {
        [
            &self.bytes_from_client,
            &self.bytes_to_client,
            &self.messages_from_client,
            &self.messages_to_client,
        ]
        .map(|count| count.load(Ordering::Relaxed))
    }
}

/// What the handshakes of a session came to.
#[derive(Debug, Clone, Default)]
pub struct Agreed {
    /// The subprotocol; empty where there is none.
    pub subprotocol: String,
    /// The names of the extensions, in their order.
    pub extensions: Vec<String>,
    /// Who the client is; empty where nobody asked.
    pub user: String,
}

/// A session as the registry knows it.
#[derive(Debug)]
pub struct Entry {
    /// Where control messages go.
    pub control: Recipient<Control>,
    /// The client's address.
    pub client: IpAddr,
    /// The service's name.
    pub service: Arc<str>,
    /// When the session began.
    pub opened: Instant,
    /// What it has carried.
    pub traffic: Arc<Traffic>,
    /// A backend has ended it, which may take it a moment.
    pub is_ended: AtomicBool,
}

/// Every session of the process.
#[derive(Debug)]
pub struct Sessions {
    limits: Limits,
    handshakes: Mutex<Places>,
    kept: Mutex<Places>,
    admitted: Mutex<Places>,
    entries: Vec<Mutex<Part>>,
    left: Notify,
}

/// A part of the sessions, so that whoever looks at all of them holds up no worker for long.
type Part = HashMap<SessionId, Arc<Entry>>;

#[derive(Debug, Default)]
struct Places {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Places {
    fn of(&self, address: IpAddr) -> usize {
        self.by_address.get(&address).copied().unwrap_or_default()
    }

    fn take(&mut self, address: Option<IpAddr>) {
        self.total += 1;
        if let Some(address) = address {
            *self.by_address.entry(address).or_default() += 1;
        }
    }

    fn give_back(&mut self, address: Option<IpAddr>) {
        self.total = self.total.saturating_sub(1);
        let Some(address) = address else {
            return;
        };
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

/// One admitted session; dropping it makes room for another.
#[derive(Debug)]
pub struct Permit {
    sessions: Arc<Sessions>,
    address: IpAddr,
}

/// One connection whose opening handshake is not finished.
#[derive(Debug)]
#[must_use = "the connection counts only while this lives"]
pub struct Handshake {
    sessions: Arc<Sessions>,
    address: Option<IpAddr>,
}

/// One connection that is kept for further requests.
#[derive(Debug)]
#[must_use = "the connection counts only while this lives"]
pub struct Kept {
    sessions: Arc<Sessions>,
    address: Option<IpAddr>,
}

impl Sessions {
    /// No sessions yet, and at most as many as `limits` says.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            handshakes: Mutex::default(),
            kept: Mutex::default(),
            admitted: Mutex::default(),
            entries: (0..PARTS).map(|_| Mutex::default()).collect(),
            left: Notify::new(),
        }
    }

    /// Counts a connection that has yet to finish its handshake, of a peer named like a client's
    /// address or of a proxy.
    ///
    /// None over twice the limit: between the limit and that, openings are still answered, with the
    /// reason why they are refused. None also where one address has taken its share, so that one host
    /// cannot keep all others out.
    pub fn begin_handshake(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Handshake> {
        let limit = self.limits.handshakes.get();
        let share = (limit / SHARE_OF_ADDRESS).max(limit.saturating_mul(2).min(SMALLEST_SHARE));
        let mut places = lock(&self.handshakes);
        let has_share = address.is_none_or(|address| places.of(address) < share);
        if places.total >= limit.saturating_mul(2) || !has_share {
            return None;
        }
        places.take(address);
        Some(Handshake {
            sessions: Arc::clone(self),
            address,
        })
    }

    /// Counts a connection that is kept for further requests of a peer, named as in
    /// [`begin_handshake`](Self::begin_handshake). None where all places are taken, or the peer's share of them.
    pub fn keep(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Kept> {
        if self.limits.keep_alive.is_zero() {
            return None;
        }
        let limit = self.limits.kept_alive;
        let share = (limit / SHARE_OF_ADDRESS).max(limit.min(SMALLEST_SHARE));
        let mut places = lock(&self.kept);
        let has_share = address.is_none_or(|address| places.of(address) < share);
        if places.total >= limit || !has_share {
            return None;
        }
        places.take(address);
        Some(Kept {
            sessions: Arc::clone(self),
            address,
        })
    }

    /// Admits one session of a client, named by the key of
    /// [`limit_key`](crate::downstream::address::limit_key).
    ///
    /// # Errors
    ///
    /// The limit that is reached.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Permit, Refusal> {
        if lock(&self.handshakes).total > self.limits.handshakes.get() {
            return Err(Refusal::TooManyHandshakes);
        }
        let mut admitted = lock(&self.admitted);
        if admitted.total >= self.limits.sessions.get() {
            return Err(Refusal::TooManySessions);
        }
        if admitted.of(address) >= self.limits.sessions_per_address.get() {
            return Err(Refusal::TooManySessionsFromAddress);
        }
        admitted.take(Some(address));
        Ok(Permit {
            sessions: Arc::clone(self),
            address,
        })
    }

    /// Makes a session known.
    pub fn enter(&self, id: SessionId, entry: Entry) {
        lock(self.part(id)).insert(id, Arc::new(entry));
    }

    /// Forgets a session.
    pub fn leave(&self, id: SessionId) {
        lock(self.part(id)).remove(&id);
    }

    /// Sessions that are admitted now.
    pub fn count(&self) -> usize {
        lock(&self.admitted).total
    }

    /// Every session, in no order, read a part at a time: 50,000 of them keep no worker waiting for more than some
    /// hundred.
    pub fn entries(&self) -> Vec<(SessionId, Arc<Entry>)> {
        let mut entries = Vec::with_capacity(self.count());
        for part in &self.entries {
            let part = lock(part);
            entries.extend(part.iter().map(|(id, entry)| (*id, Arc::clone(entry))));
        }
        entries
    }

    /// Ends one session in an operator's name; says whether there is one of this id.
    pub fn end(&self, id: SessionId) -> bool {
        let entry = lock(self.part(id)).get(&id).cloned();
        if let Some(entry) = &entry {
            tell(entry, Control::End);
        }
        entry.is_some()
    }

    /// Tells every session when to close.
    pub fn drain(&self, watch: &drain::Watch) {
        for (_, entry) in self.entries() {
            if let Some(after) = watch.close_after() {
                tell(&entry, Control::Drain(after));
            }
        }
    }

    fn part(&self, id: SessionId) -> &Mutex<Part> {
        let index = id.0 % self.entries.len() as u64;
        &self.entries[index as usize]
    }

    /// Waits until no session is admitted.
    pub async fn emptied(&self) {
        loop {
            let left = self.left.notified();
            if self.count() == 0 {
                return;
            }
            left.await;
        }
    }
}

/// What commands may do with sessions.
impl control::Sessions for Sessions {
    fn end_all_of(&self, target: &Target) -> usize {
        if let Target::Session(id) = target {
            let Ok(id) = id.parse() else {
                return 0;
            };
            let entry = lock(self.part(id)).get(&id).cloned();
            return usize::from(entry.is_some_and(|entry| end_once(&entry)));
        }
        let is_meant = |entry: &Entry| match target {
            Target::User(user) => entry.traffic.user() == user,
            Target::Service(service) => *entry.service == **service,
            Target::All => true,
            Target::Session(_) => false,
        };
        let entries = self.entries();
        let meant = entries.iter().filter(|(_, entry)| is_meant(entry));
        meant.filter(|(_, entry)| end_once(entry)).count()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut admitted = lock(&self.sessions.admitted);
        admitted.give_back(Some(self.address));
        let empty = admitted.total == 0;
        drop(admitted);
        if empty {
            self.sessions.left.notify_waiters();
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        lock(&self.sessions.kept).give_back(self.address);
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        lock(&self.sessions.handshakes).give_back(self.address);
    }
}

/// Ends a session if no backend has ended it before; says whether it has.
fn end_once(entry: &Entry) -> bool {
    let is_first = !entry.is_ended.swap(true, Ordering::Relaxed);
    if is_first {
        tell(entry, Control::End);
    }
    is_first
}

#[expect(
    clippy::disallowed_methods,
    reason = "an order to end is sent once by the drain, once by backends, and by operators as often as they ask"
)]
fn tell(entry: &Entry, control: Control) {
    entry.control.do_send(control);
}

/// A panic elsewhere leaves counts and entries as they were, so a poisoned lock is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// With 50,000 sessions each part has some 800, which are read in tens of microseconds.
const PARTS: usize = 64;

/// One address may take a fourth of the places for handshakes: many tabs behind one router, and still
/// not everybody's.
const SHARE_OF_ADDRESS: usize = 4;

/// Below this a share is no smaller: a page with 64 sockets must not notice.
const SMALLEST_SHARE: usize = 128;

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    fn sessions(total: usize, per_address: usize, handshakes: usize) -> Arc<Sessions> {
        Arc::new(Sessions::new(Limits {
            sessions: NonZeroUsize::new(total).unwrap(),
            sessions_per_address: NonZeroUsize::new(per_address).unwrap(),
            handshakes: NonZeroUsize::new(handshakes).unwrap(),
            ..Limits::default()
        }))
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn admits_up_to_each_limit_and_again_when_one_leaves() {
        let sessions = sessions(3, 2, 1);
        let first = sessions.admit(address(1)).unwrap();
        let _second = sessions.admit(address(1)).unwrap();
        assert_eq!(
            sessions.admit(address(1)).unwrap_err(),
            Refusal::TooManySessionsFromAddress
        );
        let _third = sessions.admit(address(2)).unwrap();
        assert_eq!(
            sessions.admit(address(3)).unwrap_err(),
            Refusal::TooManySessions
        );
        drop(first);
        assert_eq!(sessions.count(), 2);
        assert!(sessions.admit(address(3)).is_ok());
    }

    #[test]
    fn refuses_while_too_many_handshakes_are_in_progress() {
        let sessions = sessions(3, 3, 1);
        let own = sessions.begin_handshake(Some(address(1))).unwrap();
        assert!(sessions.admit(address(1)).is_ok(), "at the limit");
        let other = sessions.begin_handshake(None).unwrap();
        assert!(sessions.begin_handshake(None).is_none(), "over twice");
        assert_eq!(
            sessions.admit(address(1)).unwrap_err(),
            Refusal::TooManyHandshakes
        );
        drop((own, other));
        assert!(sessions.admit(address(1)).is_ok());
    }

    #[test]
    fn one_address_cannot_take_every_place_of_a_handshake() {
        let sessions = sessions(3, 3, 1000);
        let hers: Vec<_> = (0..1000)
            .map_while(|_| sessions.begin_handshake(Some(address(1))))
            .collect();
        assert_eq!(hers.len(), 1000 / SHARE_OF_ADDRESS);
        assert!(sessions.begin_handshake(Some(address(2))).is_some());
        assert!(sessions.begin_handshake(None).is_some(), "a proxy");
        drop(hers);
        assert!(sessions.begin_handshake(Some(address(1))).is_some());
        assert!(lock(&sessions.handshakes).by_address.is_empty());
    }

    #[test]
    fn connections_are_kept_within_their_own_limit() {
        let sessions = Arc::new(Sessions::new(Limits {
            kept_alive: 2,
            ..Limits::default()
        }));
        let one = sessions.keep(Some(address(1))).unwrap();
        let other = sessions.keep(None).unwrap();
        assert!(sessions.keep(Some(address(2))).is_none());
        drop((one, other));
        assert!(lock(&sessions.kept).by_address.is_empty());
        let none = Arc::new(Sessions::new(Limits {
            kept_alive: 0,
            ..Limits::default()
        }));
        assert!(none.keep(None).is_none());
    }

    #[test]
    fn a_refused_address_leaves_nothing_behind() {
        let sessions = sessions(1, 1, 1);
        drop(sessions.admit(address(1)).unwrap());
        assert!(lock(&sessions.admitted).by_address.is_empty());
    }

    #[test]
    fn an_id_reads_back_as_it_prints() {
        let id = SessionId(0x2a);
        assert_eq!(id.to_string(), "000000000000002a");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("not hex".parse::<SessionId>().is_err());
    }
}
