//! Whose pages may open a session: origins (RFC 6454), and the rules of a service that admit them.

use std::fmt;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::Deserialize;
use serde::Serialize;
use thiserror::Error;

/// Whether any of the rules admits a request with this `Origin` header.
///
/// `secure` says that the gateway itself terminated TLS. A header that is no origin (`null`, which sandboxed pages and
/// some files send, or anything malformed) is admitted by [`OriginRule::Any`] only.
pub fn is_allowed(rules: &[OriginRule], header: &str, host: &Authority, secure: bool) -> bool {
    let origin = header.parse().ok();
    rules
        .iter()
        .any(|rule| rule.admits(origin.as_ref(), host, secure))
}

/// One entry of a service's `allowed_origins`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum OriginRule {
    /// `*`: every page, those without an origin of their own (`null`) included.
    Any,
    /// `same-origin`: pages that came from the host and port which the request's `Host` header names.
    ///
    /// The scheme is not compared unless the gateway itself terminates TLS: behind a proxy that does, a page is
    /// `https` while the gateway sees plain HTTP, and a port that is not written is then the default one of the page's
    /// own scheme. A proxy that rewrites `Host` hides what the page sees; name its origin exactly in that case. What
    /// protects a gateway in a private network from a foreign name that resolves to its address (DNS rebinding) is an
    /// exact rule, not this one.
    SameOrigin,
    /// `loopback`: pages that came by http or https from `localhost`, `*.localhost`, `127.0.0.0/8` or `[::1]`, at any
    /// port: those of the machine the browser runs on.
    Loopback,
    /// `https://example.com`: pages of exactly this origin.
    Exact(Origin),
    /// `https://*.example.com`: pages of every host below this one, at any depth, but not of the host itself.
    Subdomains(Origin),
}

impl OriginRule {
    /// Whether this rule admits a page of this origin; `None` is a page that has none of its own.
    pub fn admits(&self, origin: Option<&Origin>, host: &Authority, secure: bool) -> bool {
        if *self == Self::Any {
            return true;
        }
        let Some(origin) = origin else {
            return false;
        };
        match self {
            Self::Any => true,
            Self::SameOrigin => origin.is_at(host) && (!secure || origin.scheme == "https"),
            Self::Loopback => origin.is_loopback(),
            Self::Exact(allowed) => origin == allowed,
            Self::Subdomains(parent) => origin.is_below(parent),
        }
    }
}

impl FromStr for OriginRule {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let refuse = |fault| OriginError {
            text: text.to_owned(),
            fault,
        };
        match text {
            "*" => return Ok(Self::Any),
            "same-origin" => return Ok(Self::SameOrigin),
            "loopback" => return Ok(Self::Loopback),
            "null" => return Err(refuse(OriginFault::Null)),
            _ => {}
        }
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| refuse(OriginFault::NoScheme))?;
        if matches!(scheme.to_ascii_lowercase().as_str(), "ws" | "wss") {
            return Err(refuse(OriginFault::WebSocketScheme));
        }
        let Some(rest) = rest.strip_prefix("*.") else {
            return text.parse().map(Self::Exact);
        };
        let parent: Origin = format!("{scheme}://{rest}")
            .parse()
            .map_err(|error: OriginError| refuse(error.fault))?;
        if parent.authority.host.is_empty() {
            return Err(refuse(OriginFault::NoHost));
        }
        if parent.authority.host.starts_with('[')
            || parent.authority.host.parse::<Ipv4Addr>().is_ok()
        {
            return Err(refuse(OriginFault::AddressBelow));
        }
        Ok(Self::Subdomains(parent))
    }
}

impl fmt::Display for OriginRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::SameOrigin => f.write_str("same-origin"),
            Self::Loopback => f.write_str("loopback"),
            Self::Exact(origin) => origin.fmt(f),
            Self::Subdomains(Origin { scheme, authority }) => write!(f, "{scheme}://*.{authority}"),
        }
    }
}

impl TryFrom<String> for OriginRule {
    type Error = OriginError;

    fn try_from(text: String) -> Result<Self, OriginError> {
        text.parse()
    }
}

impl From<OriginRule> for String {
    fn from(rule: OriginRule) -> Self {
        rule.to_string()
    }
}

/// An origin as a page has it: scheme, host and port (RFC 6454 section 4), in one spelling, so that equal origins are
/// equal values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// In lower case: `https`, `http`, or what an application shell has (`capacitor`, `chrome-extension`, `file`).
    pub scheme: String,
    /// The port is `None` where it is the scheme's default one.
    pub authority: Authority,
}

impl Origin {
    fn is_web(&self) -> bool {
        default_port(&self.scheme).is_some()
    }

    fn is_at(&self, host: &Authority) -> bool {
        let default = default_port(&self.scheme);
        self.is_web()
            && self.authority.host == host.host
            && self.authority.port.or(default) == host.port.or(default)
    }

    fn is_loopback(&self) -> bool {
        let host = self.authority.host.as_str();
        self.is_web()
            && (host == "localhost"
                || host.ends_with(".localhost")
                || host == "[::1]"
                || host
                    .parse()
                    .is_ok_and(|address: Ipv4Addr| address.is_loopback()))
    }

    fn is_below(&self, parent: &Self) -> bool {
        let below = self
            .authority
            .host
            .strip_suffix(parent.authority.host.as_str());
        // Something must stand before the dot.
        below
            .and_then(|below| below.strip_suffix('.'))
            .is_some_and(|labels| !labels.is_empty())
            && self.scheme == parent.scheme
            && self.authority.port == parent.authority.port
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let refuse = |fault| OriginError {
            text: text.to_owned(),
            fault,
        };
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| refuse(OriginFault::NoScheme))?;
        if !is_scheme(scheme) {
            return Err(refuse(OriginFault::SchemeInvalid));
        }
        let scheme = scheme.to_ascii_lowercase();
        let mut authority = parse_authority(rest).map_err(refuse)?;
        let default = default_port(&scheme);
        if authority.host.is_empty() && (default.is_some() || authority.port.is_some()) {
            return Err(refuse(OriginFault::NoHost));
        }
        if authority.port == default {
            authority.port = None;
        }
        Ok(Self { scheme, authority })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

/// Host and port as a `Host` header has them (RFC 7230 section 5.4), in one spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority {
    /// A name in lower case, an IPv4 address, or an IPv6 address in brackets in its shortest form.
    pub host: String,
    /// The port, if one was written.
    pub port: Option<u16>,
}

impl FromStr for Authority {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let refuse = |fault| OriginError {
            text: text.to_owned(),
            fault,
        };
        let authority = parse_authority(text).map_err(refuse)?;
        if authority.host.is_empty() {
            return Err(refuse(OriginFault::NoHost));
        }
        Ok(authority)
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

/// Why a text is no origin, no rule or no authority: the text, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text} {fault}")]
pub struct OriginError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub fault: OriginFault,
}

/// What is wrong with an origin, as the rest of a sentence that begins with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OriginFault {
    /// Neither a keyword nor anything with a scheme.
    #[error("is neither *, same-origin, loopback nor an origin such as https://example.com")]
    NoScheme,
    /// `null` as a rule.
    #[error(
        "cannot be allowed by itself, because every sandboxed page sends it; only * admits it"
    )]
    Null,
    /// `ws` or `wss` as a rule's scheme: the session's, not the page's.
    #[error("has the scheme of a WebSocket, which no page has; write http:// or https://")]
    WebSocketScheme,
    /// A scheme with characters that none has.
    #[error("has a malformed scheme")]
    SchemeInvalid,
    /// Nothing where the host should be.
    #[error("has no host")]
    NoHost,
    /// A slash after the authority; an origin ends before it, even if nothing follows.
    #[error("has a path")]
    HasPath,
    /// A query or a fragment.
    #[error("has a query or a fragment")]
    HasQuery,
    /// A user before the host.
    #[error("has a user name")]
    HasUser,
    /// An international name as people read it, which browsers do not send.
    #[error("has letters outside ASCII; write the host in its xn-- form")]
    NotAscii,
    /// A star that is not the whole first label.
    #[error(
        "has a * that does not stand for the first part of the host, as in https://*.example.com"
    )]
    StarMisplaced,
    /// Hosts below an address.
    #[error("asks for hosts below an address, which has none")]
    AddressBelow,
    /// A host with a character that none has.
    #[error("has a host with characters that no host has")]
    HostInvalid,
    /// Brackets around anything but an IPv6 address.
    #[error("has brackets around what is not an IPv6 address")]
    AddressInvalid,
    /// A port outside 1 to 65535.
    #[error("has a port that is not a number from 1 to 65535")]
    PortInvalid,
}

/// `host [ ":" [ port ] ]`; the host may be empty here.
fn parse_authority(text: &str) -> Result<Authority, OriginFault> {
    if text.contains(['/', '\\']) {
        return Err(OriginFault::HasPath);
    }
    if text.contains(['?', '#']) {
        return Err(OriginFault::HasQuery);
    }
    if text.contains('@') {
        return Err(OriginFault::HasUser);
    }
    if !text.is_ascii() {
        return Err(OriginFault::NotAscii);
    }
    let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
        let (address, rest) = bracketed
            .split_once(']')
            .ok_or(OriginFault::AddressInvalid)?;
        let address: Ipv6Addr = address.parse().map_err(|_| OriginFault::AddressInvalid)?;
        (format!("[{address}]"), rest)
    } else {
        let end = text.find(':').unwrap_or(text.len());
        let (host, rest) = text.split_at(end);
        if host.contains('*') {
            return Err(OriginFault::StarMisplaced);
        }
        if !host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
        {
            return Err(OriginFault::HostInvalid);
        }
        (host.to_ascii_lowercase(), rest)
    };
    Ok(Authority {
        host,
        port: parse_port(port)?,
    })
}

/// What follows the host: nothing, `:`, or `:` and a number.
fn parse_port(text: &str) -> Result<Option<u16>, OriginFault> {
    if text.is_empty() || text == ":" {
        return Ok(None);
    }
    let digits = text.strip_prefix(':').ok_or(OriginFault::HostInvalid)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(OriginFault::PortInvalid);
    }
    match digits.parse() {
        Ok(port) if port != 0 => Ok(Some(port)),
        Ok(_) | Err(_) => Err(OriginFault::PortInvalid),
    }
}

/// RFC 3986 section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
