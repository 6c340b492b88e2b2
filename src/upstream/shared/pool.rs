//! The shared connections of one service on one worker: who gets a seat where, and when another connection is opened.

use std::cell::Cell;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use actix::Actor;
use actix::Recipient;
use tokio::sync::Notify;

use crate::credit::Window;
use crate::upstream::config;
use crate::upstream::config::Secret;
use crate::upstream::shared::account;
use crate::upstream::shared::account::Account;
use crate::upstream::shared::connection::Connection;
use crate::upstream::shared::core::Core;
use crate::upstream::shared::core::Phase;
use crate::upstream::shared::core::State;
use crate::upstream::shared::kinds::Kinds;
use crate::upstream::shared::kinds::KindsOfVhost;
use crate::upstream::shared::metrics::Metrics;
use crate::upstream::shared::Facts;
use crate::upstream::shared::FromShared;
use crate::upstream::shared::Policy;
use crate::upstream::shared::Seat;
use crate::upstream::shared::SeatError;
use crate::upstream::Upstream;

/// One service's shared connections; each worker thread has some of its own. Clones are the same.
#[derive(Clone)]
pub struct Shared(Arc<Inner>);

/// What all workers know.
pub(super) struct Inner {
    pub(super) upstream: Upstream,
    pub(super) config: config::Shared,
    pub(super) metrics: Metrics,
    pub(super) vhost: String,
    pub(super) kinds: KindsOfVhost,
    key: Key,
    /// Connections that one worker may have.
    most: usize,
}

/// What a connection is opened with: services that agree on all of it share connections.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    names: Vec<String>,
    accounts: Vec<Option<(String, Secret)>>,
    vhost: String,
    tls: Option<config::Tls>,
    proxy_protocol: config::ProxyProtocol,
    shared: config::Shared,
}

impl Shared {
    /// The shared connections to these brokers, divided among so many workers.
    ///
    /// # Errors
    /// `key: reason` if the token cannot be read, the key relative to the upstream's table.
    pub fn new(
        upstream: Upstream,
        config: &config::Config,
        workers: usize,
        kinds: &Kinds,
        metrics: Metrics,
    ) -> Result<Self, String> {
        Self::check_files(config)?;
        let shared = config.shared.clone();
        let vhost = config
            .uris
            .first()
            .and_then(|uri| config.forced_vhost(uri))
            .unwrap_or_else(|| DEFAULT_VHOST.to_owned());
        let names: Vec<String> = config.uris.iter().map(|uri| uri.name()).collect();
        let accounts = config.uris.iter().map(|uri| config.service_login(uri));
        let key = Key {
            names,
            accounts: accounts.collect(),
            vhost: vhost.clone(),
            tls: config.tls.clone(),
            proxy_protocol: config.proxy_protocol,
            shared: shared.clone(),
        };
        Ok(Self(Arc::new(Inner {
            most: (shared.connections.get() / workers.max(1)).max(1),
            upstream,
            config: shared,
            metrics,
            kinds: kinds.of(key.names.clone(), &vhost),
            vhost,
            key,
        })))
    }

    /// Whether the token's file can be read, if one is named.
    ///
    /// # Errors
    /// `key: reason`, the key relative to the upstream's table.
    pub fn check_files(config: &config::Config) -> Result<(), String> {
        match &config.shared.token_file {
            Some(file) => account::read(file)
                .map(drop)
                .map_err(|reason| format!("shared.token_file: {reason}")),
            None => Ok(()),
        }
    }

    /// What the broker says of itself: from an open connection of this worker, else from one that is opened for it.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn facts(&self) -> Result<Rc<Facts>, SeatError> {
        let pool = self.pool();
        loop {
            if let Some(core) = pool.fullest(|_| true) {
                return Ok(core.with(|state| Rc::clone(&state.facts)));
            }
            pool.another().await?;
        }
    }

    /// A seat on a connection of this worker: on the fullest that has one, else on a new one.
    ///
    /// `from_client` gets credit back as the session's frames leave.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn seat(
        &self,
        tenant: Recipient<FromShared>,
        from_client: Rc<Window>,
    ) -> Result<Seat, SeatError> {
        let pool = self.pool();
        loop {
            let most = pool.inner.config.sessions_per_connection.get();
            let has_seat = |state: &State| state.seated() < state.seats().min(most);
            if let Some(core) = pool.fullest(has_seat) {
                let seat = core.with(|state| state.sit(tenant, from_client));
                return Ok(Seat::new(core, seat));
            }
            pool.another().await?;
        }
    }

    fn pool(&self) -> Rc<Pool> {
        POOLS.with_borrow_mut(|pools| {
            // As many as there are services at most.
            if let Some(pool) = pools.iter().find(|pool| pool.inner.key == self.0.key) {
                return Rc::clone(pool);
            }
            let pool = Rc::new(Pool {
                inner: Arc::clone(&self.0),
                connections: RefCell::default(),
                openings: RefCell::default(),
            });
            pools.push(Rc::clone(&pool));
            pool
        })
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&self.0.upstream).finish()
    }
}

thread_local! {
    static POOLS: RefCell<Vec<Rc<Pool>>> = RefCell::default();
}

/// The connections of one worker.
pub(super) struct Pool {
    pub(super) inner: Arc<Inner>,
    connections: RefCell<Vec<Rc<Core>>>,
    openings: RefCell<Vec<Rc<Opening>>>,
}

/// A connection that is being opened, and the sessions that wait for it.
#[derive(Default)]
pub(super) struct Opening {
    waiting: Cell<usize>,
    result: RefCell<Option<Result<(), SeatError>>>,
    changed: Notify,
}

impl Pool {
    /// The open connection with the most sessions, of those that suit; one that the broker holds back only if there is no
    /// other.
    fn fullest(&self, suits: impl Fn(&State) -> bool) -> Option<Rc<Core>> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|core| core.with(|state| state.phase() != Phase::Lost));
        let standing = |core: &Rc<Core>| {
            core.with(|state| {
                let takes = state.phase() == Phase::Open && suits(state);
                takes.then(|| (state.blocked().is_none(), state.seated()))
            })
        };
        let best = connections
            .iter()
            .filter_map(|core| standing(core).map(|standing| (standing, core)));
        best.max_by_key(|(standing, _)| *standing)
            .map(|(_, core)| Rc::clone(core))
    }

    /// Waits for a connection that is being opened; opens one only if those that are on their way have no seat left.
    async fn another(self: &Rc<Self>) -> Result<(), SeatError> {
        let opening = self.opening()?;
        let _waits = Waits::for_(&opening);
        loop {
            let changed = opening.changed.notified();
            if let Some(result) = &*opening.result.borrow() {
                return result.clone();
            }
            changed.await;
        }
    }

    fn opening(self: &Rc<Self>) -> Result<Rc<Opening>, SeatError> {
        let seats = self.inner.config.sessions_per_connection.get();
        let mut openings = self.openings.borrow_mut();
        let roomy = openings
            .iter()
            .find(|opening| opening.waiting.get() < seats);
        if let Some(opening) = roomy {
            return Ok(Rc::clone(opening));
        }
        if self.connections.borrow().len() + openings.len() >= self.inner.most {
            return Err(SeatError::Full(
                "all shared broker connections are full".to_owned(),
            ));
        }
        let opening = Rc::new(Opening::default());
        openings.push(Rc::clone(&opening));
        drop(openings);
        Connection::new(Rc::clone(self), Rc::clone(&opening)).start();
        Ok(opening)
    }

    /// An opening has come to something.
    pub(super) fn opened(&self, opening: &Rc<Opening>, result: Result<Rc<Core>, SeatError>) {
        self.openings
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, opening));
        let result = result.map(|core| self.connections.borrow_mut().push(core));
        opening.result.borrow_mut().get_or_insert(result);
        opening.changed.notify_waiters();
    }

    /// A connection is given out no more.
    pub(super) fn forget(&self, core: &Rc<Core>) {
        self.connections
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, core));
    }

    /// Who the gateway is to this broker.
    pub(super) fn account(&self, login: Option<(String, Secret)>) -> Account {
        let (user, password) = login.unwrap_or_else(|| (String::new(), Secret::new("")));
        let heartbeat = self.inner.config.heartbeat.as_secs();
        Account {
            user,
            password,
            token_file: self.inner.config.token_file.clone(),
            vhost: self.inner.vhost.clone(),
            heartbeat: u16::try_from(heartbeat).unwrap_or(u16::MAX),
        }
    }

    /// What sessions may do.
    pub(super) fn policy(&self) -> Policy {
        let config = &self.inner.config;
        Policy {
            exchange_types: config.exchange_types.clone(),
            trust_queue_types: config.trust_queue_types,
            message_bytes: config.message_bytes,
            prefetch: config.prefetch.get(),
        }
    }
}

/// Counts a session that waits, for as long as it does.
struct Waits<'a>(&'a Opening);

impl<'a> Waits<'a> {
    fn for_(opening: &'a Opening) -> Self {
        opening.waiting.set(opening.waiting.get() + 1);
        Self(opening)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}

/// The vhost where neither the configuration nor the URI names one: RabbitMQ's default.
const DEFAULT_VHOST: &str = "/";
