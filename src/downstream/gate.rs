//! Who may come in: everything the workers share to decide on a request and to start a session.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use actix_http::header::HeaderMap;
use actix_http::RequestHead;
use actix_http::Version;
use arc_swap::ArcSwap;
use tracing::info;
use tracing::warn;

use crate::control::event::What;
use crate::control::Events;
use crate::downstream::address;
use crate::downstream::checker::Checker;
use crate::downstream::config::Proxies;
use crate::downstream::config::WebSocket;
use crate::downstream::registry::Handshake;
use crate::downstream::registry::Kept;
use crate::downstream::registry::Permit;
use crate::downstream::trials;
use crate::downstream::Metrics;
use crate::downstream::Sessions;
use crate::drain;
use crate::handshake;
use crate::handshake::config::Deadlines;
use crate::handshake::config::Negotiation;
use crate::handshake::extended::Verdict;
use crate::handshake::login::Credentials;
use crate::handshake::metrics::InProgress;
use crate::handshake::metrics::Which;
use crate::handshake::opening;
use crate::handshake::redirect;
use crate::handshake::Agreement;
use crate::handshake::Headers;
use crate::handshake::Login;
use crate::handshake::Opening;
use crate::handshake::OpeningRequest;
use crate::handshake::Refusal;
use crate::handshake::Service;
use crate::pipeline::Catalogue;
use crate::relay::connection;
use crate::relay::tenant;

/// What stands behind a service.
#[derive(Debug, Clone)]
pub enum Backend {
    /// RabbitMQ.
    Amqp(Arc<connection::Service>),
    /// RabbitMQ, on connections that sessions share.
    Shared(Arc<tenant::Service>),
    /// The client itself.
    Echo,
}

/// What an opening handshake without the extended one says to a client that is not known.
fn without_credentials(login: &Login, service: &Service, wrong: bool) -> Refusal {
    let challenges = match service.negotiation {
        // There is no other handshake in which the rest could be asked.
        Negotiation::Combined => login.challenges(),
        Negotiation::Auto | Negotiation::Double => login.challenges_of_opening(),
    };
    match (challenges.is_empty(), wrong) {
        (true, false) => Refusal::ExtendedHandshakeRequired,
        (true, true) => Refusal::CredentialsRefused,
        (false, false) => Refusal::CredentialsRequired { challenges },
        (false, true) => Refusal::CredentialsWrong { challenges },
    }
}

/// What every worker shares.
#[derive(Debug)]
pub struct Gate {
    /// The services, in the order of the configuration. What they say of extensions may change, nothing else.
    pub services: ArcSwap<Vec<Service>>,
    /// What the services' trials count.
    pub trials: trials::Metrics,
    /// The name of each service.
    pub names: Vec<Arc<str>>,
    /// Who may use each service, where it asks.
    pub logins: Vec<Option<Arc<Login>>>,
    /// Where credentials are checked.
    pub checker: Checker,
    /// The extensions that services may agree on.
    pub catalogue: Catalogue,
    /// The times of the extended handshake.
    pub deadlines: Deadlines,
    /// What stands behind each service.
    pub backends: Vec<Backend>,
    /// Every session of the process.
    pub sessions: Arc<Sessions>,
    /// Timers and limits of a session.
    pub websocket: WebSocket,
    /// Whose word on addresses is believed.
    pub proxies: Proxies,
    /// Whether the process is finishing.
    pub drain: drain::Watch,
    /// What sessions count.
    pub metrics: Metrics,
    /// Where backends are told of what happens.
    pub events: Events,
    /// What handshakes count.
    pub handshakes: handshake::Metrics,
    /// When a connection that was not heard was last logged.
    pub unheard: OncePerSecond,
}

/// Lets one log line a second through, so that a flood of connections is no flood of lines.
#[derive(Debug, Default)]
pub struct OncePerSecond {
    last: Mutex<Option<Instant>>,
}

impl OncePerSecond {
    fn is_due(&self, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.saturating_duration_since(last).as_secs() >= 1);
        if due {
            *last = Some(now);
        }
        due
    }
}

/// A request that may become a session.
#[derive(Debug)]
pub struct Admission {
    /// What the opening handshake chose.
    pub opening: Opening,
    /// What was agreed with it; none where the extended handshake follows.
    pub agreement: Option<Agreement>,
    /// The client's address; without a port where a proxy told it.
    pub client: SocketAddr,
    /// The session's place among the limits.
    pub permit: Permit,
}

impl Admission {
    fn which(&self) -> Which {
        let is_more = |agreement: &Agreement| {
            !agreement.extensions.is_empty() || agreement.principal.is_some()
        };
        if self.agreement.as_ref().is_some_and(is_more) {
            Which::Combined
        } else {
            Which::Opening
        }
    }
}

/// A connection to the public listener that is no session: one that has yet to finish its opening handshake, or one that
/// is kept for a page's further requests. It is counted while this lives.
#[derive(Debug)]
pub struct Newcomer {
    began: Instant,
    address: Option<IpAddr>,
    answered: AtomicBool,
    closing: AtomicBool,
    gate: Arc<Gate>,
    place: Mutex<Place>,
}

/// Among which connections one counts.
#[derive(Debug)]
#[expect(dead_code, reason = "held until it is dropped")]
enum Place {
    Handshake(Handshake, InProgress),
    Kept(Kept),
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        if !*self.answered.get_mut() {
            self.gate
                .handshakes
                .abandoned(Which::Opening, self.began.elapsed());
        }
    }
}

impl Newcomer {
    /// Notes that a request of the connection is being answered.
    pub fn answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Notes that the answer closes the connection, so that nothing that came behind may become a session (RFC 9112
    /// section 9.6).
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Whether an answer has closed the connection.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Keeps the connection for another request, if there is a place for it; it is no handshake any more.
    pub fn keep(&self) -> bool {
        if self.is_closing() || self.gate.drain.is_draining() {
            return false;
        }
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Place::Handshake(..) = *place {
            let Some(kept) = self.gate.sessions.keep(self.address) else {
                return false;
            };
            *place = Place::Kept(kept);
        }
        true
    }

    /// When the connection was there, its TLS handshake done; now, if this is not its first request.
    pub fn began(&self) -> Instant {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        match *place {
            Place::Handshake(..) => self.began,
            Place::Kept(_) => Instant::now(),
        }
    }
}

impl Gate {
    /// Whether a path is a service's.
    pub fn has(&self, path: &str) -> bool {
        self.services
            .load()
            .iter()
            .any(|service| service.serves(path))
    }

    /// Counts a connection that has yet to finish its opening handshake.
    ///
    /// None when there are so many, in all or from this peer, that this one is not even heard; each is
    /// counted, and one a second is logged.
    pub fn begin_handshake(self: &Arc<Self>, peer: Option<SocketAddr>) -> Option<Newcomer> {
        let began = Instant::now();
        let address = peer.map(|peer| address::limit_key(peer.ip()));
        // Behind a proxy all clients are one peer.
        let address = address.filter(|address| !self.proxies.trusts(*address));
        let Some(place) = self.sessions.begin_handshake(address) else {
            let refusal = Refusal::TooManyHandshakes;
            self.handshakes
                .refused(Which::Opening, &refusal, Duration::ZERO);
            self.metrics.limit_hit("handshakes");
            if self.unheard.is_due(began) {
                warn!(code = refusal.code(), ?peer, "connection closed unheard");
            }
            return None;
        };
        Some(Newcomer {
            began,
            address,
            answered: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            gate: Arc::clone(self),
            place: Mutex::new(Place::Handshake(place, self.handshakes.begin())),
        })
    }

    /// Decides on a request for a WebSocket, counts the outcome and logs a refusal.
    ///
    /// `began` is when the connection came. Takes time only where credentials are to be checked.
    ///
    /// # Errors
    ///
    /// Why there will be no session.
    pub async fn admit(
        self: &Arc<Self>,
        head: &RequestHead,
        secure: bool,
        began: Instant,
    ) -> Result<Admission, Refusal> {
        let headers = headers(&head.headers);
        let client = self.client(head.peer_addr, &headers);
        let outcome = self.decide(head, &headers, secure, client).await;
        let took = began.elapsed();
        match &outcome {
            Ok(admission) => self.handshakes.accepted(admission.which(), took),
            Err(refusal) => self.count_refusal(refusal, head, client, took),
        }
        outcome
    }

    /// Decides on a request that did not come as an upgrade, counts and logs the refusal.
    pub fn refuse(self: &Arc<Self>, head: &RequestHead, secure: bool, began: Instant) -> Refusal {
        let headers = headers(&head.headers);
        let client = self.client(head.peer_addr, &headers);
        let refusal = match self.negotiate(head, &headers, secure) {
            Err(refusal) => refusal,
            Ok(_) => Refusal::UpgradeRequired,
        };
        self.count_refusal(&refusal, head, client, began.elapsed());
        refusal
    }

    fn negotiate(
        &self,
        head: &RequestHead,
        headers: &Headers<'_>,
        secure: bool,
    ) -> Result<Opening, Refusal> {
        let request = OpeningRequest {
            method: head.method.as_str(),
            path: head.uri.path(),
            query: head.uri.query(),
            http_1_1: head.version >= Version::HTTP_11,
            secure,
            headers,
        };
        opening::negotiate(&request, &self.services.load())
    }

    async fn decide(
        self: &Arc<Self>,
        head: &RequestHead,
        headers: &Headers<'_>,
        secure: bool,
        client: SocketAddr,
    ) -> Result<Admission, Refusal> {
        let opening = self.negotiate(head, headers, secure)?;
        if self.drain.is_draining() {
            return Err(Refusal::Draining);
        }
        let permit = self.sessions.admit(address::limit_key(client.ip()))?;
        let agreement = if opening.is_extended() {
            None
        } else {
            Some(self.agree_at_once(&opening, client.ip()).await?)
        };
        Ok(Admission {
            opening,
            agreement,
            client,
            permit,
        })
    }

    /// Agrees on everything in the opening handshake.
    async fn agree_at_once(&self, opening: &Opening, client: IpAddr) -> Result<Agreement, Refusal> {
        let services = self.services.load_full();
        let service = &services[opening.service];
        if let Some(redirect) = &service.redirect {
            let location = redirect.location(opening.query.as_deref())?;
            return Err(Refusal::Redirected {
                location: redirect::over_http(&location),
            });
        }
        let mut principal = None;
        if let Some(login) = &self.logins[opening.service] {
            let authorization = opening.authorization.as_ref();
            let verdict = match authorization.map(|value| login.read(value.expose())) {
                None if login.is_asked_by_amqp() => None,
                None => return Err(without_credentials(login, service, false)),
                Some(Ok(credentials)) => Some(
                    self.check(opening.service, login, credentials, client)
                        .await,
                ),
                Some(Err(_)) => {
                    self.handshakes.unreadable(&self.names[opening.service]);
                    Some(Verdict::Refused)
                }
            };
            principal = match verdict {
                None => None,
                Some(Verdict::Accepted(principal)) => Some(principal),
                Some(Verdict::Refused) => return Err(without_credentials(login, service, true)),
                Some(Verdict::Forbidden) => return Err(Refusal::Forbidden),
                Some(Verdict::Unavailable) => return Err(Refusal::LoginUnavailable),
            };
        }
        let subprotocol = opening.subprotocol.clone();
        Agreement::reach(
            subprotocol,
            &opening.offers,
            principal,
            address::limit_key(client),
            service,
            &self.catalogue,
        )
    }

    /// Checks credentials for a service, and counts what came of it.
    pub async fn check(
        &self,
        service: usize,
        login: &Arc<Login>,
        credentials: Credentials,
        client: IpAddr,
    ) -> Verdict {
        let address = address::limit_key(client);
        let (metrics, name) = (self.handshakes.clone(), Arc::clone(&self.names[service]));
        let events = self.events.clone();
        let count = move |verdict: &Verdict| {
            metrics.logged_in(&name, verdict);
            let reason = match verdict {
                Verdict::Accepted(_) => return,
                Verdict::Refused => "wrong",
                Verdict::Forbidden => "forbidden",
                Verdict::Unavailable => "unavailable",
            };
            events.tell(|| What::LoginRefused {
                service: name,
                client,
                session: None,
                reason,
            });
        };
        self.checker
            .check(Arc::clone(login), credentials, address, count)
            .await
    }

    fn client(&self, peer: Option<SocketAddr>, headers: &Headers<'_>) -> SocketAddr {
        let peer = peer.unwrap_or_else(|| SocketAddr::new(IpAddr::from([0, 0, 0, 0]), 0));
        address::client_address(peer, &self.proxies.trusted, headers)
    }

    fn count_refusal(
        &self,
        refusal: &Refusal,
        head: &RequestHead,
        client: SocketAddr,
        took: Duration,
    ) {
        self.handshakes.refused(which(refusal), refusal, took);
        let limit = match refusal {
            Refusal::TooManySessions => Some("sessions"),
            Refusal::TooManySessionsFromAddress => Some("sessions_per_address"),
            Refusal::TooManyHandshakes => Some("handshakes"),
            _ => None,
        };
        if let Some(limit) = limit {
            self.metrics.limit_hit(limit);
        }
        info!(
            client = %client,
            path = %short(head.uri.path()),
            status = refusal.status(),
            code = refusal.code(),
            detail = %refusal,
            "handshake refused"
        );
    }
}

/// Which handshake a refusal belongs to: what is decided once the opening itself is right, is decided for both in one.
fn which(refusal: &Refusal) -> Which {
    match refusal {
        Refusal::ExtensionMalformed { .. }
        | Refusal::ExtensionRequired { .. }
        | Refusal::CredentialsRequired { .. }
        | Refusal::CredentialsWrong { .. }
        | Refusal::CredentialsRefused
        | Refusal::Forbidden
        | Refusal::LoginUnavailable => Which::Combined,
        _ => Which::Opening,
    }
}

/// The lines of a head, as the handshake and the search for the client's address read them.
pub fn headers(map: &HeaderMap) -> Headers<'_> {
    map.iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect()
}

/// The beginning of a path, enough for a log line.
fn short(path: &str) -> &str {
    let end = path
        .char_indices()
        .nth(100)
        .map_or(path.len(), |(at, _)| at);
    &path[..end]
}
