//! The settings of a service's brokers (`[services.upstream]`), and the secrets among them, which
//! show themselves to nobody who prints them.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;
use serde::Serializer;

pub use shared::Shared;
pub use uri::BrokerUri;
pub use uri::Scheme;

use crate::upstream::backoff::Terms;

mod shared;
mod uri;

/// The brokers of one service, and how they are reached and logged in to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Brokers. At least one.
    pub uris: Vec<BrokerUri>,
    /// How sessions share broker sockets.
    pub connections: Connections,
    /// The settings of [`Connections::Shared`].
    pub shared: Shared,
    /// Which broker a session tries first.
    pub broker_order: BrokerOrder,
    /// Time for name resolution, TCP, TLS and the broker's first bytes, all URIs together. Longer
    /// than zero, at most one hour.
    #[serde(with = "humantime_serde")]
    pub connect_deadline: Duration,
    /// Connects within any second, over all brokers of the service; 0 means no limit.
    pub connects_per_second: u32,
    /// How long a broker is passed over after a failure; doubled by each further one. Longer than
    /// zero.
    #[serde(with = "humantime_serde")]
    pub backoff: Duration,
    /// How long it is passed over at most. At least `backoff`, at most one hour.
    #[serde(with = "humantime_serde")]
    pub backoff_max: Duration,
    /// Whose login reaches the broker.
    pub login: LoginMode,
    /// The user with [`LoginMode::Service`]; default: that of the URI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The password with [`LoginMode::Service`]; default: that of the URI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// The vhost written into every connection.open, whatever the client asked for; at most 255
    /// bytes. Default: the client's own, or with [`LoginMode::Service`] the URI's if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vhost: Option<String>,
    /// The PROXY protocol towards the broker.
    pub proxy_protocol: ProxyProtocol,
    /// What TLS towards the broker needs beyond the platform's roots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            uris: vec![BrokerUri::local()],
            connections: Connections::default(),
            shared: Shared::default(),
            broker_order: BrokerOrder::default(),
            connect_deadline: Duration::from_secs(5),
            connects_per_second: 200,
            backoff: Duration::from_millis(200),
            backoff_max: Duration::from_secs(10),
            login: LoginMode::default(),
            user: None,
            password: None,
            vhost: None,
            proxy_protocol: ProxyProtocol::default(),
            tls: None,
        }
    }
}

impl Config {
    /// Checks what the types alone do not. That files can be read is checked where they are, by
    /// [`Upstream::new`](crate::upstream::Upstream::new).
    ///
    /// # Errors
    /// `key: reason`, the key relative to the upstream's table.
    pub fn validate(&self) -> Result<(), String> {
        if self.uris.is_empty() {
            return Err("uris: is empty; at least one broker is needed".to_owned());
        }
        if self.connect_deadline.is_zero() {
            return Err("connect_deadline: must be longer than zero".to_owned());
        }
        if self.connect_deadline > DEADLINE_MAX {
            return Err("connect_deadline: must be at most one hour".to_owned());
        }
        if self.backoff.is_zero() {
            return Err("backoff: must be longer than zero".to_owned());
        }
        if self.backoff_max < self.backoff {
            return Err("backoff_max: must be at least backoff".to_owned());
        }
        if self.backoff_max > DEADLINE_MAX {
            return Err("backoff_max: must be at most one hour".to_owned());
        }
        self.shared
            .validate()
            .map_err(|text| format!("shared.{text}"))?;
        if self.connections == Connections::Shared && self.login != LoginMode::Service {
            return Err(
                "connections: \"shared\" needs login = \"service\", because one login serves many clients"
                    .to_owned(),
            );
        }
        self.validate_login()?;
        self.validate_tls()
    }

    /// How long a broker is passed over after failures.
    pub fn backoff_terms(&self) -> Terms {
        Terms {
            first: self.backoff,
            most: self.backoff_max,
        }
    }

    /// The user and the password that the gateway writes into the login at this broker; none if the
    /// client logs in for itself.
    pub fn service_login(&self, uri: &BrokerUri) -> Option<(String, Secret)> {
        match self.login {
            LoginMode::Client => None,
            LoginMode::Service => {
                let (user, password) = self.login_parts(uri);
                Some((user?.to_owned(), password?.clone()))
            }
        }
    }

    /// The vhost that the gateway writes into the connection.open at this broker; none if the
    /// client's own stays.
    pub fn forced_vhost(&self, uri: &BrokerUri) -> Option<String> {
        let of_uri = match self.login {
            LoginMode::Client => None,
            LoginMode::Service => uri.vhost(),
        };
        self.vhost.as_deref().or(of_uri).map(str::to_owned)
    }

    /// Whether a token takes the place of user and password.
    fn has_token(&self) -> bool {
        self.connections == Connections::Shared && self.shared.token_file.is_some()
    }

    fn login_parts<'a>(&'a self, uri: &'a BrokerUri) -> (Option<&'a str>, Option<&'a Secret>) {
        let user = self.user.as_deref().or_else(|| uri.user());
        let password = self.password.as_ref().or_else(|| uri.password());
        (user, password)
    }

    fn validate_login(&self) -> Result<(), String> {
        if self
            .vhost
            .as_ref()
            .is_some_and(|vhost| vhost.len() > SHORT_STRING_MAX)
        {
            return Err(format!("vhost: must have at most {SHORT_STRING_MAX} bytes"));
        }
        match self.login {
            LoginMode::Client => {
                for (key, is_set) in [
                    ("user", self.user.is_some()),
                    ("password", self.password.is_some()),
                ] {
                    if is_set {
                        return Err(format!("{key}: has no effect unless login is \"service\""));
                    }
                }
            }
            LoginMode::Service if self.has_token() => {}
            LoginMode::Service => {
                for uri in &self.uris {
                    let (user, password) = self.login_parts(uri);
                    check_login_part("user", user, uri)?;
                    check_login_part("password", password.map(Secret::expose), uri)?;
                }
            }
        }
        Ok(())
    }

    fn validate_tls(&self) -> Result<(), String> {
        let Some(tls) = &self.tls else {
            return Ok(());
        };
        match (&tls.certificate, &tls.key) {
            (Some(_), None) => {
                return Err("tls.key: is missing; a certificate needs its key".to_owned())
            }
            (None, Some(_)) => {
                return Err("tls.certificate: is missing; a key needs its certificate".to_owned())
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        if !self.uris.iter().any(BrokerUri::is_tls) {
            return Err("tls: has no effect, because no URI begins with amqps://".to_owned());
        }
        Ok(())
    }
}

/// How sessions share broker sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", rename_all = "lowercase")]
pub enum Connections {
    /// One broker socket per session.
    #[default]
    Dedicated,
    /// Many sessions on one broker connection of the service's account.
    Shared,
}

impl TryFrom<String> for Connections {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "dedicated" => Ok(Self::Dedicated),
            "shared" => Ok(Self::Shared),
            _ => Err("connections: must be \"dedicated\" or \"shared\""),
        }
    }
}

/// Which of several brokers a session tries first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BrokerOrder {
    /// The first that is named.
    #[default]
    First,
    /// Another than the one before it.
    Rotate,
}

/// Whose AMQP login reaches the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LoginMode {
    /// The client's own.
    #[default]
    Client,
    /// The gateway writes user, password and vhost.
    Service,
}

/// Which version of the PROXY protocol the broker is sent, so that it learns the browser's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocol {
    /// None.
    #[default]
    Off,
    /// Version 1, a line of text.
    V1,
    /// Version 2, binary.
    V2,
}

/// TLS towards `amqps://` brokers. PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Certificates of the authorities to trust instead of the platform's; read again on SIGHUP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The gateway's own certificate chain, leaf first; with `key`, and read again on SIGHUP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The private key of `certificate` (PKCS #8, PKCS #1 or SEC 1); read again on SIGHUP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The name to ask for (SNI) and to verify, instead of the URI's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

/// A text that is shown as `***` by everything that prints or serializes it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes the text into custody.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

fn check_login_part(key: &str, value: Option<&str>, uri: &BrokerUri) -> Result<(), String> {
    match value {
        None => Err(format!(
            "{key}: is missing; login = \"service\" needs it here or in the URI of {}",
            uri.name()
        )),
        Some(text) if text.contains('\0') => Err(format!(
            "{key}: must not contain a NUL, which ends a field of SASL PLAIN"
        )),
        Some(_) => Ok(()),
    }
}

const MASK: &str = "***";

/// The longest short string of AMQP 0-9-1 (section 4.2.5.3), which is what a vhost is.
const SHORT_STRING_MAX: usize = 255;

/// Keeps sums of instants far from overflow, and catches a wrong unit.
const DEADLINE_MAX: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests;
