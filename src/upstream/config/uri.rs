//! The URI of a broker, by the AMQP URI specification of RabbitMQ, without what belongs to the
//! client (heartbeat, limits) or to other settings (TLS files).

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::str::FromStr;

use lapin::uri::AMQPScheme;
use lapin::uri::AMQPUri;
use percent_encoding::percent_decode_str;
use percent_encoding::utf8_percent_encode;
use percent_encoding::NON_ALPHANUMERIC;
use serde::Deserialize;
use serde::Serialize;
use serde::Serializer;

use crate::upstream::config::Secret;
use crate::upstream::config::MASK;
use crate::upstream::config::SHORT_STRING_MAX;

/// Where a broker is and how one logs in there. Printed and serialized with its password masked.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct BrokerUri {
    scheme: Scheme,
    host: String,
    port: u16,
    user: Option<String>,
    password: Option<Secret>,
    vhost: Option<String>,
}

impl BrokerUri {
    /// RabbitMQ on this machine at its usual port.
    pub(super) fn local() -> Self {
        Self {
            scheme: Scheme::Amqp,
            host: "127.0.0.1".to_owned(),
            port: Scheme::Amqp.default_port(),
            user: None,
            password: None,
            vhost: None,
        }
    }

    /// The same with this vhost, if the URI has none.
    pub fn or_vhost(mut self, vhost: &str) -> Self {
        self.vhost.get_or_insert_with(|| vhost.to_owned());
        self
    }

    /// Whether TLS is spoken with it.
    pub fn is_tls(&self) -> bool {
        self.scheme == Scheme::Amqps
    }

    /// Its name or address; IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The user, if the URI names one.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The password, if the URI has one; it may be empty.
    pub fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    /// The vhost, if the URI has one: `amqp://h` has none, `amqp://h/` has the empty one,
    /// `amqp://h/%2F` has `/`.
    pub fn vhost(&self) -> Option<&str> {
        self.vhost.as_deref()
    }

    /// `host:port`, as logs and error texts name the broker.
    pub fn name(&self) -> String {
        if self.host.contains(':') {
            return format!("[{}]:{}", self.host, self.port);
        }
        format!("{}:{}", self.host, self.port)
    }
}

impl FromStr for BrokerUri {
    type Err = String;

    /// Reads what lapin's parser reads, and what it passes over: an IPv6 host (it would connect to
    /// `localhost`), and whether user, password and vhost were there at all (it fills in `guest`
    /// and `/`). No error text quotes the URI, which may hold a password.
    fn from_str(text: &str) -> Result<Self, String> {
        if text
            .bytes()
            .any(|byte| byte.is_ascii_control() || byte == b' ')
        {
            return fault("contains a space or a control character");
        }
        let parts = Parts::of(text)?;
        check_query(parts.query)?;
        let parsed: AMQPUri = text.parse().map_err(|error: String| describe(&error))?;
        let scheme = match parsed.scheme {
            AMQPScheme::AMQP => Scheme::Amqp,
            AMQPScheme::AMQPS => Scheme::Amqps,
        };
        if parsed.authority.port == 0 {
            return fault("has port 0");
        }
        Ok(Self {
            scheme,
            host: host(parts.host, parsed.authority.host)?,
            port: parsed.authority.port,
            user: parts
                .user
                .filter(|user| !user.is_empty())
                .map(decode)
                .transpose()?,
            password: parts.password.map(decode).transpose()?.map(Secret::new),
            vhost: parts.path.map(vhost).transpose()?,
        })
    }
}

impl TryFrom<String> for BrokerUri {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for BrokerUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.name())?;
        if self.user.is_some() || self.password.is_some() {
            f.write_str(&encode(self.user.as_deref().unwrap_or_default()))?;
            if self.password.is_some() {
                write!(f, ":{MASK}")?;
            }
            f.write_str("@")?;
        }
        f.write_str(&self.name())?;
        match &self.vhost {
            Some(vhost) => write!(f, "/{}", encode(vhost)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for BrokerUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for BrokerUri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The scheme of a broker's URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `amqp`: TCP.
    Amqp,
    /// `amqps`: TLS over TCP.
    Amqps,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Amqp => "amqp",
            Self::Amqps => "amqps",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Amqp => 5672,
            Self::Amqps => 5671,
        }
    }
}

/// A URI's text, cut where RFC 3986 section 3 cuts it, nothing decoded.
struct Parts<'a> {
    user: Option<&'a str>,
    password: Option<&'a str>,
    /// With brackets, without port.
    host: &'a str,
    path: Option<&'a str>,
    query: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Self, String> {
        let rest = match text.split_once("://") {
            Some((scheme, rest))
                if ["amqp", "amqps"]
                    .iter()
                    .any(|known| scheme.eq_ignore_ascii_case(known)) =>
            {
                rest
            }
            Some(_) | None => return fault("must begin with amqp:// or amqps://"),
        };
        if rest.contains('#') {
            return fault("contains a #; in a user, password or vhost write %23");
        }
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, Some(path)),
            None => (rest, None),
        };
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, authority),
        };
        let (user, password) = match login.map(|login| login.split_once(':').ok_or(login)) {
            Some(Ok((user, password))) => (Some(user), Some(password)),
            Some(Err(user)) => (Some(user), None),
            None => (None, None),
        };
        let host = match host.rfind(']') {
            Some(end) => host.get(..=end).unwrap_or(host),
            None => host.split(':').next().unwrap_or(host),
        };
        Ok(Self {
            user,
            password,
            host,
            path,
            query,
        })
    }
}

/// The host: lapin's unless it is an IPv6 address, which lapin does not read.
fn host(text: &str, parsed: String) -> Result<String, String> {
    if let Some(address) = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
    {
        return match address.parse::<Ipv6Addr>() {
            Ok(address) => Ok(address.to_string()),
            Err(_) => fault("has no IPv6 address between its brackets"),
        };
    }
    if text.is_empty() {
        return fault("names no host");
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if parsed.len() > HOST_MAX || !parsed.bytes().all(is_name) {
        return fault("has a host that is neither a name nor an address");
    }
    Ok(match parsed.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => parsed,
    })
}

/// The one segment of the path. A second one, or an `@`, is a password that was not encoded rather
/// than a vhost.
fn vhost(path: &str) -> Result<String, String> {
    if path.contains('/') {
        return fault("has a / too many; in a user, password or vhost write %2F");
    }
    if path.contains('@') {
        return fault("has an @ behind a /; in a user, password or vhost write %40 and %2F");
    }
    let vhost = decode(path)?;
    if vhost.len() > SHORT_STRING_MAX {
        return fault("has a vhost of more than 255 bytes");
    }
    Ok(vhost)
}

/// No query key is understood; each known one is told where it belongs.
fn check_query(query: Option<&str>) -> Result<(), String> {
    let Some(query) = query else {
        return Ok(());
    };
    if query.contains('@') {
        return fault("has an @ behind a ?; in a user, password or vhost write %40 and %3F");
    }
    let Some(pair) = query.split('&').find(|pair| !pair.is_empty()) else {
        return Ok(());
    };
    let key = pair.split('=').next().unwrap_or(pair);
    let instead = match key {
        "heartbeat" | "auth_mechanism" => "that is between the client and the broker",
        "channel_max" | "frame_max" => "set it in the table [amqp]",
        "connection_timeout" => "set connect_deadline instead",
        "cacertfile"
        | "certfile"
        | "keyfile"
        | "server_name_indication"
        | "verify"
        | "fail_if_no_peer_cert"
        | "depth"
        | "password" => "set ca, certificate, key and server_name in the table tls instead",
        _ => "nothing behind the ? is understood",
    };
    fault(&format!("has the query key {key:?}: {instead}"))
}

fn decode(text: &str) -> Result<String, String> {
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => fault("is not UTF-8 when it is decoded"),
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The parser's words, unless they quote what they were given.
fn describe(error: &str) -> String {
    if error.contains('\'') || error.contains("://") {
        return "the URI is malformed".to_owned();
    }
    format!("the URI is malformed: {error}")
}

fn fault<T>(what: &str) -> Result<T, String> {
    Err(format!("the URI {what}"))
}

/// The longest name of the DNS (RFC 1035 section 2.3.4).
const HOST_MAX: usize = 253;
