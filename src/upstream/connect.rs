//! From a service's list of brokers to one socket that speaks, all within one deadline.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

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
use crate::upstream::socket::Socket;

/// The brokers of one service. Clones share everything.
#[derive(Clone)]
pub struct Upstream(Arc<Shared>);

struct Shared {
    config: Config,
    dialer: Dialer,
    metrics: Metrics,
    evidence: Evidence,
}

impl Upstream {
    /// The brokers of this configuration, which is valid. Reads the TLS files.
    ///
    /// # Errors
    /// `key: reason` if a file cannot be read or does not hold what it should, the key relative to
    /// the upstream's table.
    pub fn new(config: &Config, metrics: Metrics) -> Result<Self, String> {
        Ok(Self(Arc::new(Shared {
            dialer: Dialer::new(config)?,
            config: config.clone(),
            metrics,
            evidence: Evidence::default(),
        })))
    }

    /// Reads the TLS files again, for the sockets to come.
    ///
    /// # Errors
    /// As [`Self::new`]; then everything stays as it was.
    pub fn reload(&self) -> Result<(), String> {
        self.0.dialer.reload()
    }

    /// Opens a socket for a session to the first broker that answers `protocol_header`.
    ///
    /// Each URI gets a fair part of what remains of the deadline, and so does each address a name
    /// has: one that hangs cannot eat the time of the next. `client` and `gateway` are the two ends
    /// of the client's own socket, for the PROXY protocol.
    ///
    /// # Errors
    /// Why the last broker failed, if all did.
    pub async fn connect(
        &self,
        protocol_header: [u8; 8],
        client: Option<SocketAddr>,
        gateway: Option<SocketAddr>,
    ) -> Result<Connected, ConnectError> {
        let Shared {
            config, metrics, ..
        } = &*self.0;
        let began = Instant::now();
        let ask = Ask {
            protocol_header: Some(protocol_header),
            client,
            gateway,
        };
        // Boxed, so that the caller's own future stays small.
        let answered = Box::pin(self.try_brokers(ask, Some(metrics))).await;
        metrics.waited(began);
        let Answered {
            mut socket,
            first,
            uri,
        } = answered?;
        socket.count(metrics.count_socket());
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

    /// Takes note that an open connection to a broker (its [`BrokerUri::name`]) was lost without anybody's wish.
    pub fn note_lost(&self, _broker: &str) {}

    /// Takes note that a broker holds publishers back (connection.blocked), or no longer does.
    pub fn note_blocked(&self, _broker: &str, _is_blocked: bool) {}

    pub(super) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(super) fn evidence(&self) -> &Evidence {
        &self.0.evidence
    }

    /// Tries the brokers in order, counting each attempt if `metrics` are given.
    pub(super) async fn try_brokers(
        &self,
        ask: Ask,
        metrics: Option<&Metrics>,
    ) -> Result<Answered<'_>, ConnectError> {
        let Shared { config, dialer, .. } = &*self.0;
        let end = tokio::time::Instant::now() + config.connect_deadline;
        let mut failed = None;
        for (tried, uri) in config.uris.iter().enumerate() {
            let attempt = metrics.map(Metrics::attempt);
            let part = fair_part(end, config.uris.len() - tried);
            match dialer.dial(uri, &ask, part).await {
                Ok((socket, first)) => {
                    if let Some(attempt) = attempt {
                        attempt.connected();
                    }
                    return Ok(Answered { socket, first, uri });
                }
                Err(failure) => {
                    let outcome = failure.outcome();
                    if let Some(attempt) = attempt {
                        attempt.failed(outcome);
                    }
                    // The session logs the end that comes of it; the detail is for who looks closer.
                    tracing::debug!(broker = uri.name(), outcome, ?failure, "broker not reached");
                    failed = Some(ConnectError::new(uri.name(), failure, tried + 1));
                }
            }
        }
        self.0.evidence.discard();
        // A valid configuration names a broker, so this is never made up.
        Err(failed.unwrap_or_else(|| ConnectError::new("(none)".to_owned(), Failure::Refused, 0)))
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
