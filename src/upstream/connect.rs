//! From a service's list of brokers to one socket that speaks, all within one deadline.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::Weak;
use std::time::Instant;

use tokio::time::sleep_until;

use crate::upstream::backoff::Standing;
use crate::upstream::brokers::Broker;
use crate::upstream::brokers::Brokers;
use crate::upstream::config::BrokerOrder;
use crate::upstream::config::BrokerUri;
use crate::upstream::config::Config;
use crate::upstream::config::Secret;
use crate::upstream::dial::fair_part;
use crate::upstream::dial::Ask;
use crate::upstream::dial::Dialer;
use crate::upstream::error::ConnectError;
use crate::upstream::error::Failure;
use crate::upstream::evidence::Evidence;
use crate::upstream::metrics::Metrics;
use crate::upstream::order::Choice;
use crate::upstream::order::Tour;
use crate::upstream::pace;
use crate::upstream::pace::Pace;
use crate::upstream::pace::Ticket;
use crate::upstream::socket::Socket;
use crate::upstream::watch::Way;

/// The brokers of one service. Clones share everything.
#[derive(Clone)]
pub struct Upstream(Arc<Shared>);

pub(super) struct Shared {
    config: Config,
    dialer: Dialer,
    /// What all services know of the brokers.
    all: Brokers,
    /// The brokers of this service, in the order of its URIs.
    brokers: Vec<Arc<Broker>>,
    /// Counts the tours of all sessions, for the order.
    tours: AtomicUsize,
    /// None where there is no bound.
    pace: Option<Mutex<Pace>>,
    evidence: Evidence,
}

impl Upstream {
    /// The brokers of this configuration, which is valid, if no other service names one of them.
    /// Reads the TLS files.
    ///
    /// # Errors
    /// `key: reason` if a file cannot be read or does not hold what it should, the key relative to
    /// the upstream's table.
    pub fn new(config: &Config, metrics: Metrics) -> Result<Self, String> {
        Self::among(&Brokers::new(metrics), config)
    }

    /// The same, sharing with others what is known of the brokers.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn among(all: &Brokers, config: &Config) -> Result<Self, String> {
        let per_second = config.connects_per_second;
        let upstream = Self(Arc::new(Shared {
            dialer: Dialer::new(config)?,
            brokers: config
                .uris
                .iter()
                .map(|uri| all.named(&uri.name()))
                .collect(),
            all: all.clone(),
            tours: AtomicUsize::new(0),
            pace: (per_second > 0).then(|| Mutex::new(Pace::new(per_second))),
            config: config.clone(),
            evidence: Evidence::default(),
        }));
        for (index, broker) in upstream.0.brokers.iter().enumerate() {
            if upstream.account(index).is_some() {
                broker.watch_by(Way::new(Arc::downgrade(&upstream.0), index));
            }
        }
        Ok(upstream)
    }

    pub(super) fn from_weak(shared: &Weak<Shared>) -> Option<Self> {
        shared.upgrade().map(Self)
    }

    /// Reads the TLS files again, for the sockets to come.
    ///
    /// # Errors
    /// As [`Self::new`]; then everything stays as it was.
    pub fn reload(&self) -> Result<(), String> {
        self.0.dialer.reload()
    }

    /// When the certificate that is shown to brokers expires, in seconds since 1970; none if none is.
    pub fn certificate_expiry(&self) -> Option<i64> {
        self.0.dialer.certificate_expiry()
    }

    /// Opens a socket for a session to the first broker that answers `protocol_header`.
    ///
    /// Each URI gets a fair part of what remains of the deadline, and so does each address a name
    /// has: one that hangs cannot eat the time of the next. A broker that has failed lately is
    /// passed over while there is another, and waited for if there is none; each connect waits for
    /// its turn. `client` and `gateway` are the two ends of the client's own socket, for the PROXY
    /// protocol.
    ///
    /// # Errors
    /// Why the last broker failed, if all did.
    pub async fn connect(
        &self,
        protocol_header: [u8; 8],
        client: Option<SocketAddr>,
        gateway: Option<SocketAddr>,
    ) -> Result<Connected, ConnectError> {
        let began = Instant::now();
        let ask = Ask {
            protocol_header: Some(protocol_header),
            client,
            gateway,
        };
        let metrics = self.0.all.metrics();
        // Boxed, so that the caller's own future stays small.
        let answered = Box::pin(self.find_broker(ask)).await;
        metrics.waited(began);
        let Answered {
            mut socket,
            first,
            uri,
        } = answered?;
        socket.count(metrics.count_socket());
        let config = &self.0.config;
        let login = config.service_login(uri);
        if login.is_none() {
            // With a login of its own the service needs more of the broker than an answer.
            self.0.evidence.record(Instant::now());
        }
        Ok(Connected {
            socket,
            first,
            broker: uri.name(),
            login,
            vhost: config.forced_vhost(uri),
        })
    }

    /// Takes note that an open connection to a broker (its [`BrokerUri::name`]) was lost without
    /// anybody's wish: sessions to come go to another at once.
    ///
    /// Not for what a client can bring about, such as the end of its own dedicated connection.
    pub fn note_lost(&self, broker: &str) {
        let terms = self.0.config.backoff_terms();
        self.0
            .all
            .named(broker)
            .failed(terms, &format!("broker {broker} lost a connection"));
    }

    /// Takes note that a connection is held back by its broker (connection.blocked), or no longer:
    /// once it is not any more, or has ended. [`Blocked`] does both.
    pub fn note_blocked(&self, broker: &str, is_blocked: bool) {
        self.0.all.named(broker).note_blocked(is_blocked);
    }

    /// The brokers of this service, in the order of its URIs.
    pub fn brokers(&self) -> &[Arc<Broker>] {
        &self.0.brokers
    }

    /// A connection of the gateway's own was lost.
    pub(super) fn lost_own(&self, broker: &Arc<Broker>, detail: &str) {
        broker.failed(self.0.config.backoff_terms(), detail);
    }

    pub(super) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(super) fn evidence(&self) -> &Evidence {
        &self.0.evidence
    }

    /// Goes through the brokers as a session does, each attempt counted.
    async fn find_broker(&self, ask: Ask) -> Result<Answered<'_>, ConnectError> {
        let shared = &*self.0;
        let metrics = shared.all.metrics();
        let end = tokio::time::Instant::now() + shared.config.connect_deadline;
        let mut tour = self.tour();
        let mut has_turn = false;
        let mut has_had_turns = false;
        let mut failed = None;
        loop {
            let sooner = shared.all.sooner();
            let now = Instant::now();
            let standing = |index: usize| shared.brokers[index].standing(now);
            // Where the gateway finds out by itself, no session need try a broker that is down if there is another.
            let cautious = |index: usize| match standing(index) {
                Standing::Due if shared.brokers[index].is_watched() => Standing::Until(now),
                standing => standing,
            };
            let choice = match tour.next(cautious) {
                Choice::Wait { .. } => tour.next(standing),
                choice => choice,
            };
            match choice {
                Choice::None => break,
                Choice::Wait {
                    index,
                    until,
                    is_on_trial,
                } => {
                    let is_too_late = until >= end.into_std() && !is_on_trial;
                    if is_too_late || now >= end.into_std() {
                        if failed.is_none() {
                            failed = Some(self.not_tried(index, Failure::BackedOff));
                        }
                        break;
                    }
                    has_turn = false;
                    tokio::select! {
                        () = sleep_until(end.min(until.into())) => {}
                        () = sooner => {}
                    }
                }
                Choice::Try(index) => {
                    if !has_turn {
                        if !self.take_turn(has_had_turns, end).await {
                            failed = Some(self.not_tried(index, Failure::Paced));
                            break;
                        }
                        (has_turn, has_had_turns) = (true, true);
                        // Somebody may have found out meanwhile that the broker is down.
                        continue;
                    }
                    has_turn = false;
                    let part = fair_part(end, tour.left());
                    tour.has_tried(index);
                    let attempt = metrics.attempt();
                    let broker = &shared.brokers[index];
                    tracing::debug!(broker = broker.name(), "connect begins");
                    let trial = broker.begin(shared.config.backoff_terms());
                    match self.dial(index, &ask, part).await {
                        Ok(answered) => {
                            attempt.connected();
                            trial.succeeded();
                            return Ok(answered);
                        }
                        Err(failure) => {
                            attempt.failed(failure.outcome());
                            let name = broker.name().to_owned();
                            let error = ConnectError::new(name, failure, tour.tried());
                            trial.failed(&error.sentence());
                            failed = Some(error);
                        }
                    }
                }
            }
        }
        shared.evidence.discard();
        Err(failed.unwrap_or_else(nobody))
    }

    /// Tries every broker until one does what is asked, without regard to back-offs and the pace:
    /// for probes, which are few. What comes of it counts as for sessions, apart from metrics.
    pub(super) async fn try_brokers(&self, ask: Ask) -> Result<Answered<'_>, ConnectError> {
        let shared = &*self.0;
        let end = tokio::time::Instant::now() + shared.config.connect_deadline;
        let mut tour = self.tour();
        let mut failed = None;
        loop {
            let now = Instant::now();
            let standing = |index: usize| shared.brokers[index].standing(now);
            let Some(index) = tour.next_at_any_rate(standing) else {
                break;
            };
            let part = fair_part(end, tour.left());
            tour.has_tried(index);
            match self.dial(index, &ask, part).await {
                Ok(answered) => return Ok(answered),
                Err(failure) => {
                    let broker = &shared.brokers[index];
                    let error = ConnectError::new(broker.name().to_owned(), failure, tour.tried());
                    broker.failed(shared.config.backoff_terms(), &error.sentence());
                    failed = Some(error);
                }
            }
        }
        shared.evidence.discard();
        Err(failed.unwrap_or_else(nobody))
    }

    pub(super) async fn dial(
        &self,
        index: usize,
        ask: &Ask,
        end: tokio::time::Instant,
    ) -> Result<Answered<'_>, Failure> {
        let uri = &self.0.config.uris[index];
        match self.0.dialer.dial(uri, ask, end).await {
            Ok((socket, first)) => Ok(Answered { socket, first, uri }),
            Err(failure) => {
                // The session logs the end that comes of it; the detail is for who looks closer.
                let outcome = failure.outcome();
                tracing::debug!(broker = uri.name(), outcome, ?failure, "broker not reached");
                Err(failure)
            }
        }
    }

    pub(super) fn tour(&self) -> Tour {
        let first = match self.0.config.broker_order {
            BrokerOrder::First => 0,
            BrokerOrder::Rotate => self.0.tours.fetch_add(1, Ordering::Relaxed),
        };
        Tour::new(self.0.brokers.len(), first)
    }

    /// Waits for a turn, before all others if it `returns` from one that led to nothing; false if it would come too late.
    async fn take_turn(&self, returns: bool, end: tokio::time::Instant) -> bool {
        let Some(pace) = &self.0.pace else {
            return true;
        };
        let now = Instant::now();
        // A turn that leaves no time to dial would only make a healthy broker look like one that hangs. One that comes
        // at once takes no time away.
        let latest = end - self.0.config.connect_deadline / LEAST_TO_DIAL;
        let latest = latest.into_std().max(now);
        let Ok(ticket) = lock(pace).join(returns, now, latest) else {
            return false;
        };
        let place = Place { pace, ticket };
        loop {
            let turn = lock(place.pace).ask(place.ticket, Instant::now());
            match turn {
                pace::Turn::Now => return true,
                pace::Turn::At(at) if at > latest => return false,
                pace::Turn::At(at) => sleep_until(at.into()).await,
            }
        }
    }

    fn not_tried(&self, index: usize, failure: Failure) -> ConnectError {
        self.0.all.metrics().not_tried(failure.outcome());
        ConnectError::new(self.0.brokers[index].name().to_owned(), failure, 1)
    }
}

/// A valid configuration names a broker, so this is never said.
pub(super) fn nobody() -> ConnectError {
    ConnectError::new("(none)".to_owned(), Failure::Refused, 0)
}

/// A place among those who wait for a turn; dropped, however that comes about, it is free.
struct Place<'a> {
    pace: &'a Mutex<Pace>,
    ticket: Ticket,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(self.pace).leave(self.ticket);
    }
}

/// This part of the deadline is left at least to a session that has waited for its turn.
const LEAST_TO_DIAL: u32 = 5;

/// A pace is never left half written.
fn lock(pace: &Mutex<Pace>) -> std::sync::MutexGuard<'_, Pace> {
    pace.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection that its broker holds back; dropped when it no longer does, or when the connection
/// has ended.
#[derive(Debug)]
pub struct Blocked {
    upstream: Upstream,
    broker: String,
}

impl Blocked {
    /// The broker, by its [`BrokerUri::name`], has said connection.blocked.
    pub fn new(upstream: Upstream, broker: String) -> Self {
        upstream.note_blocked(&broker, true);
        Self { upstream, broker }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.upstream.note_blocked(&self.broker, false);
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upstream")
            .field(&self.0.config.uris)
            .finish()
    }
}

/// A broker that has answered the client's protocol header.
#[derive(Debug)]
pub struct Connected {
    /// The socket, behind the bytes in `first`.
    pub socket: Socket,
    /// What the broker has sent so far, at least one byte: the beginning of connection.start, or a
    /// protocol header of the version it wants.
    pub first: Vec<u8>,
    /// The broker as `host:port`.
    pub broker: String,
    /// User and password to write into the client's login.
    pub login: Option<(String, Secret)>,
    /// The vhost to write into the client's connection.open.
    pub vhost: Option<String>,
}

/// A broker that did what was asked.
pub(super) struct Answered<'a> {
    pub(super) socket: Socket,
    pub(super) first: Vec<u8>,
    pub(super) uri: &'a BrokerUri,
}
