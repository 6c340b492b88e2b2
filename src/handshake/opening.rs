//! The opening handshake of RFC 6455 section 4: from the head of a request to what was agreed, or why nothing was.
//!
//! `Sec-WebSocket-Accept` is not made here. It is a function of the key alone, and the HTTP library below the
//! downstream stage has it ready; whoever answers 101 computes it from [`Opening::key`].

use crate::handshake::config::Kind;
use crate::handshake::config::MissingOrigin;
use crate::handshake::config::Negotiation;
use crate::handshake::config::Service;
use crate::handshake::headers::Headers;
use crate::handshake::origin::is_allowed;
use crate::handshake::origin::Authority;
use crate::handshake::refusal::Refusal;
use crate::upstream::config::Secret;
use crate::wire::websocket::header::has_token;
use crate::wire::websocket::header::parse_offers;
use crate::wire::websocket::header::parse_tokens;
use crate::wire::websocket::header::HeaderError;
use crate::wire::websocket::header::Offer;

/// The head of a request, as far as the handshake reads it.
#[derive(Clone, Copy, Debug)]
pub struct OpeningRequest<'a> {
    /// The method as it was sent.
    pub method: &'a str,
    /// The path as it was sent, percent-encoding included, query excluded.
    pub path: &'a str,
    /// The query as it was sent.
    pub query: Option<&'a str>,
    /// Whether the request is HTTP/1.1; older ones cannot be upgraded.
    pub http_1_1: bool,
    /// Whether the gateway itself terminated TLS.
    pub secure: bool,
    /// The header lines.
    pub headers: &'a Headers<'a>,
}

/// What client and gateway agreed on: the answer is 101.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Index of the service in the list that was given to [`negotiate`].
    pub service: usize,
    /// The subprotocol to answer with, spelled as the client spelled it; `None`: no header back.
    pub subprotocol: Option<String>,
    /// The value of `Sec-WebSocket-Key` as it was sent, from which `Sec-WebSocket-Accept` is computed.
    pub key: String,
    /// The extensions the client offered, in its order; none is agreed yet.
    pub offers: Vec<Offer>,
    /// The subprotocols the client offered, in its order, without [`EXTENDED_HANDSHAKE`].
    pub offered: Vec<String>,
    /// The query, which the extended handshake reads.
    pub query: Option<String>,
    /// The value of `Authorization`, where there is one and the service asks for it.
    pub authorization: Option<Secret>,
}

impl Opening {
    /// Whether the extended handshake follows.
    pub fn is_extended(&self) -> bool {
        self.subprotocol.as_deref() == Some(EXTENDED_HANDSHAKE)
    }
}

/// Whether some service answers at this path: such requests belong to the handshake, upgrade or not.
pub fn is_service_path(path: &str, services: &[Service]) -> bool {
    services.iter().any(|service| service.serves(path))
}

/// Reads a request as an opening handshake (RFC 6455 section 4.2.1) and decides what to answer (section 4.2.2).
///
/// # Errors
/// The first of: path, method, upgrade, content, version, key, other headers, origin, extensions, credentials, subprotocol. Limits and
/// draining are not asked here.
pub fn negotiate(request: &OpeningRequest<'_>, services: &[Service]) -> Result<Opening, Refusal> {
    let headers = request.headers;
    let found = services
        .iter()
        .enumerate()
        .find(|(_, service)| service.serves(request.path));
    let Some((index, service)) = found else {
        return Err(Refusal::PathNotFound {
            path: request.path.to_owned(),
        });
    };
    if request.method != "GET" {
        return Err(Refusal::MethodNotAllowed {
            method: request.method.to_owned(),
        });
    }
    check_upgrade(request)?;
    check_no_content(headers)?;
    check_version(headers)?;
    let key = read_key(headers)?;
    let host = read_host(headers)?;
    check_origin(request, service, &host)?;
    let offers =
        parse_offers(texts(headers, EXTENSIONS)?).map_err(|error| malformed(EXTENSIONS, &error))?;
    let offered =
        parse_tokens(texts(headers, PROTOCOL)?).map_err(|error| malformed(PROTOCOL, &error))?;
    let authorization = match service.login {
        Some(_) => single(headers, AUTHORIZATION)?,
        None => None,
    };
    let subprotocol = choose(service, &offered)?.map(str::to_owned);
    let is_own = |token: &String| token != EXTENDED_HANDSHAKE;
    Ok(Opening {
        service: index,
        subprotocol,
        key,
        offers,
        offered: offered.into_iter().filter(is_own).collect(),
        query: request.query.map(str::to_owned),
        authorization: authorization.map(Secret::new),
    })
}

/// The subprotocol to answer with, by what the service says about the way to negotiate.
fn choose<'a>(service: &Service, offered: &'a [String]) -> Result<Option<&'a str>, Refusal> {
    let speaks_extended = service.negotiation != Negotiation::Combined;
    let chosen = choose_subprotocol(service.kind, offered, speaks_extended)?;
    if service.negotiation == Negotiation::Double && chosen != Some(EXTENDED_HANDSHAKE) {
        return Err(Refusal::ExtendedHandshakeRequired);
    }
    Ok(chosen)
}

/// Chooses from the offered subprotocols, in the gateway's order of preference, one that was offered, as it was
/// spelled; `None` if none was offered, which is plain AMQP (or plain echo) without a header back.
///
/// First [`EXTENDED_HANDSHAKE`], if `extended` says that the service speaks it; else it is passed over, because a
/// client that gets it waits for the gateway's second handshake. Then, for AMQP, the first token that begins with
/// `amqp` in any case (libraries say `amqp`, `AMQPWSB10`, `amqp-0-9-1`), and for echo, which does not care what it
/// returns, the first token of all.
///
/// # Errors
/// If something was offered, but nothing that the service speaks.
pub fn choose_subprotocol(
    kind: Kind,
    offered: &[String],
    extended: bool,
) -> Result<Option<&str>, Refusal> {
    if offered.is_empty() {
        return Ok(None);
    }
    let mut tokens = offered.iter().map(String::as_str);
    if extended && tokens.clone().any(|token| token == EXTENDED_HANDSHAKE) {
        return Ok(Some(EXTENDED_HANDSHAKE));
    }
    let chosen = tokens.find(|token| match kind {
        Kind::Amqp => begins_with_amqp(token),
        Kind::Echo => *token != EXTENDED_HANDSHAKE,
    });
    match chosen {
        Some(token) => Ok(Some(token)),
        None => Err(Refusal::SubprotocolNotAcceptable {
            offered: offered.to_vec(),
        }),
    }
}

fn begins_with_amqp(token: &str) -> bool {
    token
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("amqp"))
}

/// RFC 6455 section 4.2.1 items 1, 3 and 4.
fn check_upgrade(request: &OpeningRequest<'_>) -> Result<(), Refusal> {
    let upgrade = texts(request.headers, UPGRADE)?;
    if upgrade.is_empty() {
        return Err(Refusal::UpgradeRequired);
    }
    if !request.http_1_1 {
        return Err(Refusal::UpgradeMalformed {
            reason: "it is not HTTP/1.1",
        });
    }
    if !has_token(upgrade, "websocket") {
        return Err(Refusal::UpgradeMalformed {
            reason: "the header Upgrade does not name websocket",
        });
    }
    if !has_token(texts(request.headers, CONNECTION)?, "upgrade") {
        return Err(Refusal::UpgradeMalformed {
            reason: "the header Connection does not name Upgrade",
        });
    }
    Ok(())
}

/// RFC 6455 section 4.2.1 item 6.
fn check_version(headers: &Headers<'_>) -> Result<(), Refusal> {
    match single(headers, VERSION)? {
        Some("13") => Ok(()),
        version => Err(Refusal::VersionNotSupported {
            version: version.unwrap_or_default().to_owned(),
        }),
    }
}

/// RFC 6455 section 4.2.1 item 5.
fn read_key(headers: &Headers<'_>) -> Result<String, Refusal> {
    let mut lines = headers.lines(KEY);
    let key = lines.next().ok_or(Refusal::KeyMissing)?;
    if lines.next().is_some() {
        return Err(Refusal::KeyMalformed);
    }
    match std::str::from_utf8(key) {
        Ok(key) if is_key(key) => Ok(key.to_owned()),
        Ok(_) | Err(_) => Err(Refusal::KeyMalformed),
    }
}

/// Whether the text is 16 bytes in base64 (RFC 4648 section 4): 22 characters, the last of which has no bit set that
/// belongs to no byte, and the padding.
fn is_key(text: &str) -> bool {
    text.strip_suffix("==").is_some_and(|digits| {
        digits.len() == 22
            && digits.ends_with(['A', 'Q', 'g', 'w'])
            && digits
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
    })
}

/// RFC 9110 section 7.8: frames begin behind the request's content, and an opening has none.
fn check_no_content(headers: &Headers<'_>) -> Result<(), Refusal> {
    let has_length = headers.lines("Content-Length").any(|length| length != b"0");
    if has_length || headers.lines("Transfer-Encoding").next().is_some() {
        return Err(Refusal::UpgradeMalformed {
            reason: "it comes with content",
        });
    }
    Ok(())
}

/// RFC 6455 section 4.2.1 item 2.
fn read_host(headers: &Headers<'_>) -> Result<Authority, Refusal> {
    let Some(host) = single(headers, HOST)? else {
        return Err(Refusal::HeaderMalformed {
            name: HOST,
            reason: "is missing".to_owned(),
        });
    };
    host.parse().map_err(|_| Refusal::HeaderMalformed {
        name: HOST,
        reason: "is not a host and a port".to_owned(),
    })
}

/// RFC 6455 section 4.2.2 item 4.
fn check_origin(
    request: &OpeningRequest<'_>,
    service: &Service,
    host: &Authority,
) -> Result<(), Refusal> {
    let Some(origin) = single(request.headers, ORIGIN)? else {
        return match service.missing_origin {
            MissingOrigin::Allow => Ok(()),
            MissingOrigin::Refuse => Err(Refusal::OriginMissing),
        };
    };
    if !is_allowed(&service.allowed_origins, origin, host, request.secure) {
        return Err(Refusal::OriginNotAllowed {
            origin: origin.to_owned(),
        });
    }
    Ok(())
}

/// All lines of a header as text.
fn texts<'a>(headers: &Headers<'a>, name: &'static str) -> Result<Vec<&'a str>, Refusal> {
    headers
        .lines(name)
        .map(|line| {
            std::str::from_utf8(line).map_err(|_| Refusal::HeaderMalformed {
                name,
                reason: "is not UTF-8 text".to_owned(),
            })
        })
        .collect()
}

/// The one line of a header that may appear once.
fn single<'a>(headers: &Headers<'a>, name: &'static str) -> Result<Option<&'a str>, Refusal> {
    match texts(headers, name)?.as_slice() {
        [] => Ok(None),
        [line] => Ok(Some(line)),
        [_, _, ..] => Err(Refusal::HeaderMalformed {
            name,
            reason: "appears more than once".to_owned(),
        }),
    }
}

fn malformed(name: &'static str, error: &HeaderError) -> Refusal {
    Refusal::HeaderMalformed {
        name,
        reason: format!("is malformed: {error}"),
    }
}

/// The subprotocol that stands for the second handshake, inside the WebSocket, of the published Kaazing clients.
pub const EXTENDED_HANDSHAKE: &str = "x-kaazing-handshake";

const AUTHORIZATION: &str = "Authorization";
const CONNECTION: &str = "Connection";
const EXTENSIONS: &str = "Sec-WebSocket-Extensions";
const HOST: &str = "Host";
const KEY: &str = "Sec-WebSocket-Key";
const ORIGIN: &str = "Origin";
const PROTOCOL: &str = "Sec-WebSocket-Protocol";
const UPGRADE: &str = "Upgrade";
const VERSION: &str = "Sec-WebSocket-Version";

#[cfg(test)]
mod tests;
