//! The services of a configuration: where on the public listener they are, what they speak, and who may come.

use std::fmt;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::Serialize;

use crate::handshake::login;
use crate::handshake::origin::OriginRule;
use crate::handshake::redirect::Redirect;
use crate::handshake::trial::Trial;
use crate::upstream;
use crate::upstream::config::Connections;
use crate::wire::websocket::header::parse_offers;

/// One `[[services]]` entry of the configuration.
///
/// An entry need only name what differs from the default service, which relays `/ws/amqp`, `/amqp` and `/ws` to a
/// RabbitMQ on this machine for pages of the gateway's own origin and of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Service {
    /// Name in logs and metrics: lower-case letters, digits, `_` and `-`; unique.
    pub name: String,
    /// What the service does with what the client sends.
    pub kind: Kind,
    /// Paths of the public listener at which the service answers, matched whole (see [`same_path`]); each belongs to
    /// one service.
    pub paths: Vec<String>,
    /// Pages that may open a session; one rule that admits the page suffices. Empty: no page at all, only programs.
    pub allowed_origins: Vec<OriginRule>,
    /// What becomes of a request that says nothing about its origin.
    pub missing_origin: MissingOrigin,
    /// In how many handshakes client and gateway agree.
    pub negotiation: Negotiation,
    /// Names of the extensions that clients may use; each a name of the gateway's catalogue.
    pub extensions: Vec<String>,
    /// Those of them without which a client is refused.
    pub require_extensions: Vec<String>,
    /// What `x-kaazing-idle-timeout` tells clients: the time within which the gateway says something. 100 ms to one
    /// day; zero declines the extension.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// What pages with the browser library offer: names from `extensions` or `page_only`, with parameters as in the
    /// header.
    pub page_extensions: Vec<String>,
    /// Those of them without which a page's WebSocket fails if their module cannot be loaded; it goes on without the
    /// others.
    pub page_required: Vec<String>,
    /// Extensions that are a page's alone: clients may use them, and the gateway has no part but to count.
    pub page_only: Vec<String>,
    /// What such pages do where the extended handshake fails to begin.
    pub page_fallback: Fallback,
    /// Extensions that only a share of the clients gets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trials: Vec<Trial>,
    /// Who may use the service; anybody without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<login::Config>,
    /// Where clients are sent instead of being served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// The broker; of no effect where `kind` is `echo`.
    pub upstream: upstream::Config,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            name: "amqp".to_owned(),
            kind: Kind::Amqp,
            paths: ["/ws/amqp", "/amqp", "/ws"].map(str::to_owned).to_vec(),
            allowed_origins: vec![OriginRule::SameOrigin, OriginRule::Loopback],
            missing_origin: MissingOrigin::Allow,
            negotiation: Negotiation::Auto,
            extensions: SHIPPED_EXTENSIONS.map(str::to_owned).to_vec(),
            require_extensions: Vec::new(),
            idle_timeout: Duration::from_secs(30),
            page_extensions: PAGE_EXTENSIONS.map(str::to_owned).to_vec(),
            page_required: Vec::new(),
            page_only: Vec::new(),
            page_fallback: Fallback::Plain,
            trials: Vec::new(),
            login: None,
            redirect: None,
            upstream: upstream::Config::default(),
        }
    }
}

impl Service {
    /// Whether the service answers at this path of a request.
    pub fn serves(&self, path: &str) -> bool {
        self.paths.iter().any(|served| same_path(served, path))
    }

    /// Whether clients may use an extension of this name.
    pub fn permits(&self, extension: &str) -> bool {
        let mut permitted = self.extensions.iter().chain(&self.page_only);
        permitted.any(|name| name == extension)
    }

    /// The same service with what another has to say of extensions, which is all that may change while it runs.
    #[must_use]
    pub fn with_extensions_of(&self, newer: &Self) -> Self {
        Self {
            extensions: newer.extensions.clone(),
            require_extensions: newer.require_extensions.clone(),
            page_extensions: newer.page_extensions.clone(),
            page_required: newer.page_required.clone(),
            page_only: newer.page_only.clone(),
            page_fallback: newer.page_fallback,
            trials: newer.trials.clone(),
            ..self.clone()
        }
    }

    /// Checks what the types alone do not; the upstream checks itself.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    pub fn validate(&self) -> Result<(), String> {
        let name = &self.name;
        if name.len() > NAME_MAX {
            return Err(format!(
                "services: name: has more than {NAME_MAX} characters"
            ));
        }
        if name.is_empty()
            || !name
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
        {
            return Err(format!(
                "services: name: {name:?} is not made of lower-case letters, digits, _ and -"
            ));
        }
        if self.paths.is_empty() {
            return Err(format!(
                "services.{name}.paths: is empty, so nobody could reach the service"
            ));
        }
        for path in &self.paths {
            if path.starts_with(RESERVED) {
                return Err(format!(
                    "services.{name}.paths: {path:?} begins with {RESERVED}, which is the library's"
                ));
            }
            if let Some(fault) = path_fault(path) {
                return Err(format!("services.{name}.paths: {path:?} {fault}"));
            }
        }
        if self.allowed_origins.is_empty() && self.missing_origin == MissingOrigin::Refuse {
            return Err(format!(
                "services.{name}.allowed_origins: is empty while missing_origin is \"refuse\", so nobody could open a session"
            ));
        }
        self.validate_handshake()
            .map_err(|text| format!("services.{name}.{text}"))
    }

    fn validate_extensions(&self) -> Result<(), String> {
        for (key, names) in [
            ("extensions", &self.extensions),
            ("require_extensions", &self.require_extensions),
            ("page_extensions", &self.page_extensions),
            ("page_required", &self.page_required),
            ("page_only", &self.page_only),
        ] {
            let mut earlier = names.iter().enumerate();
            if let Some((_, name)) = earlier.find(|(index, name)| names[..*index].contains(name)) {
                return Err(format!("{key}: {name:?} is there twice"));
            }
        }
        for name in &self.page_only {
            if self.extensions.contains(name) {
                return Err(format!(
                    "page_only: {name:?} is among extensions, which the gateway has a part in"
                ));
            }
        }
        for name in &self.require_extensions {
            if !self.permits(name) {
                return Err(format!(
                    "require_extensions: {name:?} is not among extensions, so nobody could agree on it"
                ));
            }
        }
        self.validate_page()?;
        for (index, trial) in self.trials.iter().enumerate() {
            let name = &trial.extension;
            if !self.permits(name) {
                return Err(format!(
                    "trials: {name:?} is neither among extensions nor page_only"
                ));
            }
            if self.require_extensions.contains(name) {
                return Err(format!(
                    "trials: {name:?} is among require_extensions, so those without it would be refused"
                ));
            }
            let earlier = &self.trials[..index];
            if earlier.iter().any(|trial| trial.extension == *name) {
                return Err(format!("trials: {name:?} is there twice"));
            }
        }
        Ok(())
    }

    fn validate_page(&self) -> Result<(), String> {
        let mut names: Vec<String> = Vec::new();
        for offer in &self.page_extensions {
            let parsed = parse_offers([offer.as_str()]);
            let name = match parsed.as_deref() {
                Ok([offer]) => &offer.name,
                Ok(_) | Err(_) => {
                    return Err(format!("page_extensions: {offer:?} is not one offer"));
                }
            };
            if !self.permits(name) {
                return Err(format!("page_extensions: {name:?} is not among extensions"));
            }
            // A page sees no native Ping or Pong, and would close for want of them.
            let has_signs = self.page_extensions.iter().any(|other| other == PING_PONG);
            if name == IDLE_TIMEOUT && !has_signs {
                return Err(format!(
                    "page_extensions: {IDLE_TIMEOUT:?} needs {PING_PONG:?} beside it"
                ));
            }
            if names.contains(name) {
                return Err(format!("page_extensions: {name:?} is there twice"));
            }
            names.push(name.clone());
        }
        match self.page_required.iter().find(|name| !names.contains(name)) {
            Some(name) => Err(format!(
                "page_required: {name:?} is not among page_extensions"
            )),
            None => Ok(()),
        }
    }

    fn validate_handshake(&self) -> Result<(), String> {
        self.validate_extensions()?;
        let is_off = self.idle_timeout.is_zero();
        if !is_off && !(IDLE_TIMEOUT_MIN..=IDLE_TIMEOUT_MAX).contains(&self.idle_timeout) {
            return Err("idle_timeout: must be zero, or from 100ms to one day".to_owned());
        }
        if is_off
            && self
                .require_extensions
                .iter()
                .any(|name| name == IDLE_TIMEOUT)
        {
            return Err(format!(
                "require_extensions: {IDLE_TIMEOUT:?} is declined while idle_timeout is zero"
            ));
        }
        if let Some(login) = &self.login {
            login.validate().map_err(|text| format!("login.{text}"))?;
            let is_server =
                self.kind == Kind::Amqp && self.upstream.connections == Connections::Shared;
            if login.schemes.contains(&login::SchemeName::Amqp) && !is_server {
                return Err(
                    "login.schemes: \"amqp\" needs upstream.connections = \"shared\", where the gateway is the AMQP server"
                        .to_owned(),
                );
            }
        }
        if let Some(redirect) = &self.redirect {
            redirect
                .validate()
                .map_err(|text| format!("redirect.{text}"))?;
        }
        Ok(())
    }
}

/// The table `[handshake]`: the times of the extended handshake.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Deadlines {
    /// From the opening to the client's first request.
    #[serde(with = "humantime_serde")]
    pub request_deadline: Duration,
    /// From each challenge to the client's answer, and from the answer to its verdict.
    #[serde(with = "humantime_serde")]
    pub login_deadline: Duration,
}

impl Deadlines {
    /// Checks what the types alone do not.
    ///
    /// # Errors
    /// `key: reason`, the key relative to `[handshake]`.
    pub fn validate(&self) -> Result<(), String> {
        for (key, deadline) in [
            ("request_deadline", self.request_deadline),
            ("login_deadline", self.login_deadline),
        ] {
            if deadline.is_zero() {
                return Err(format!("{key}: must be longer than zero"));
            }
            if deadline > DEADLINE_MAX {
                return Err(format!("{key}: must be at most one day"));
            }
        }
        Ok(())
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            request_deadline: Duration::from_secs(5),
            login_deadline: Duration::from_secs(60),
        }
    }
}

/// In how many handshakes client and gateway agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Negotiation {
    /// In two if the client offers the extended handshake, else in one.
    Auto,
    /// In two: a client that does not offer the extended handshake is refused.
    Double,
    /// In one: the extended handshake is passed over.
    Combined,
}

/// What a page does with a WebSocket whose extended handshake fails to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fallback {
    /// It opens a plain one.
    Plain,
    /// It fails.
    Error,
}

/// What a service does with what the client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Relays AMQP 0-9-1 to RabbitMQ.
    Amqp,
    /// Returns every message as it came: to try a deployment without a broker, and for conformance runs.
    Echo,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Amqp => "amqp",
            Self::Echo => "echo",
        })
    }
}

/// What becomes of a request without an `Origin` header. Browsers always send one (RFC 6455 section 4.1 item 8), so
/// such a request comes from a program, which could send any origin it likes: refusing it keeps out programs that
/// mean well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MissingOrigin {
    /// It may open a session.
    Allow,
    /// It is refused with 403.
    Refuse,
}

/// Checks all services, each and against the others.
///
/// # Errors
/// The key and what is wrong with it: no service at all, a name or a path that two services share, or what
/// [`Service::validate`] finds.
pub fn validate_services(services: &[Service]) -> Result<(), String> {
    if services.is_empty() {
        return Err("services: is empty, so there would be nothing to serve".to_owned());
    }
    let mut paths: Vec<(&str, &str)> = Vec::new();
    for (index, service) in services.iter().enumerate() {
        service.validate()?;
        let name = service.name.as_str();
        if services
            .iter()
            .take(index)
            .any(|earlier| earlier.name == name)
        {
            return Err(format!("services: name: two services are called {name:?}"));
        }
        for path in &service.paths {
            if let Some((owner, _)) = paths.iter().find(|(_, earlier)| same_path(earlier, path)) {
                return Err(format!(
                    "services.{name}.paths: {path:?} is already a path of the service {owner:?}"
                ));
            }
            paths.push((name, path));
        }
    }
    Ok(())
}

/// Whether two paths are the same one: segment by segment, percent-encoding undone within the segments.
///
/// So `/ws%2Famqp` is not `/ws/amqp` (RFC 3986 section 2.2: an encoded slash separates nothing), and neither is
/// `/ws/amqp/`.
pub fn same_path(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    let mut others = other.split('/');
    one.split('/').all(|segment| {
        others
            .next()
            .is_some_and(|other| percent_decode_str(segment).eq(percent_decode_str(other)))
    }) && others.next().is_none()
}

/// The extensions of every service that does not say otherwise.
const SHIPPED_EXTENSIONS: [&str; 3] = [PING_PONG, IDLE_TIMEOUT, "smeuse-sequence"];

const PING_PONG: &str = "x-kaazing-ping-pong";
const IDLE_TIMEOUT: &str = "x-kaazing-idle-timeout";

/// Where the browser library is served.
const RESERVED: &str = "/_smeuse/";

/// Those that make a page notice, and be noticed, when it is cut off.
const PAGE_EXTENSIONS: [&str; 2] = [IDLE_TIMEOUT, PING_PONG];

/// Ten messages a second to a silent client; less is a wrong unit.
const IDLE_TIMEOUT_MIN: Duration = Duration::from_millis(100);

/// Room for it in a routing key, which has 255 bytes.
const NAME_MAX: usize = 100;

/// Keeps sums of instants far from overflow, and catches a wrong unit.
const IDLE_TIMEOUT_MAX: Duration = DEADLINE_MAX;
const DEADLINE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

fn path_fault(path: &str) -> Option<&'static str> {
    if !path.starts_with('/') {
        return Some("does not begin with /");
    }
    if path.contains(['?', '#']) {
        return Some("has a query or a fragment");
    }
    if path.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Some("has white space or control characters");
    }
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Some("has a . or .. segment, which browsers resolve before they ask");
    }
    None
}

#[cfg(test)]
mod tests;
