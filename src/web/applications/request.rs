//! A request on its way to an origin: which lines go along, what the gateway says of the client, and whether the
//! answer is one that may be rewritten.
//!
//! | the request | [`Task`] | a confirmation is worth ([`validators::Wanted`]) |
//! | --- | --- | --- |
//! | lies below `skip` | `Skip` | the origin's |
//! | names a script of `modules` or `workers` | `Script` | a rewritten one |
//! | asks for a document, or for one of `documents` | `Page`, sure | a rewritten one |
//! | says that it asks for something else | `NoDocument` | the origin's |
//! | does not say, but names HTML | `Page`, sure, if it looks like a document | a rewritten one |
//! | does not say | `Page`, if it looks like a document | either |
//! | sends a form and asks for a document or names HTML | `Page` | either |
//! | sends anything else | `Pass` | the origin's |
//!
//! What becomes of the answer then is decided by its own head ([`super::response::Plan`]).

use std::net::IpAddr;
use std::net::SocketAddr;

use http::header;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;

use crate::downstream::address::limit_key;
use crate::web::applications::config::Application;
use crate::web::applications::failure::Failure;
use crate::web::applications::hop;
use crate::web::applications::loader::Loader;
use crate::web::applications::validators;

/// Who sends a request, as far as the gateway knows.
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    /// The other end of the socket.
    pub peer: SocketAddr,
    /// Whom log lines name: behind a trusted proxy, whom that names.
    pub client: SocketAddr,
    /// Whether what it says of others is believed.
    pub is_trusted: bool,
    /// Whether it came over TLS.
    pub secure: bool,
}

impl Sender {
    /// Whose places a request takes; a proxy speaks for many.
    pub fn address(&self) -> Option<IpAddr> {
        (!self.is_trusted).then(|| limit_key(self.peer.ip()))
    }
}

/// Takes away the operators' cookie of the private listener, which a browser sends to every port of the host.
fn keep_from_origin(headers: &mut HeaderMap) {
    let is_operators = |cookie: &&[u8]| cookie.trim_ascii().starts_with(OPERATORS_COOKIE);
    let has_one = |line: &HeaderValue| {
        line.as_bytes()
            .split(|byte| *byte == b';')
            .any(|cookie| is_operators(&cookie))
    };
    if !headers.get_all(header::COOKIE).iter().any(has_one) {
        return;
    }
    let lines: Vec<HeaderValue> = headers.get_all(header::COOKIE).iter().cloned().collect();
    headers.remove(header::COOKIE);
    for line in lines {
        let cookies = line.as_bytes().split(|byte| *byte == b';');
        let others: Vec<&[u8]> = cookies
            .filter(|cookie| !is_operators(cookie))
            .map(<[u8]>::trim_ascii)
            .collect();
        match HeaderValue::from_bytes(&others.join(&b"; "[..])) {
            Ok(line) if !line.is_empty() => drop(headers.append(header::COOKIE, line)),
            _ => {}
        }
    }
}

/// How the cookies of the private listener begin, the port behind it.
const OPERATORS_COOKIE: &[u8] = b"smeuse-admin-";

/// What may be done to the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Nothing.
    Pass,
    /// Nothing, because the configuration says so; it is counted if it is a page.
    Skip,
    /// Nothing, because the browser does not ask for a document; somebody else may.
    NoDocument,
    /// The library's script goes into a page.
    Page {
        /// Whether the browser says that it asked for a document.
        is_document: bool,
        /// Whether the browser surely keeps what it gets as a page.
        is_sure: bool,
    },
    /// A script gets a line that loads the library.
    Script(Loader),
}

impl Task {
    /// What may be done to the answer to this request.
    pub fn of(application: &Application, method: &Method, path: &str, headers: &HeaderMap) -> Self {
        if application.is_skipped(path) {
            return Self::Skip;
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Self::of_form(headers);
        }
        if Application::is_listed(&application.modules, path) {
            return Self::Script(Loader::Module);
        }
        if Application::is_listed(&application.workers, path) {
            return Self::Script(Loader::Worker);
        }
        if Application::is_listed(&application.documents, path) {
            return Self::Page {
                is_document: true,
                is_sure: true,
            };
        }
        match Asks::read(headers) {
            Asks::Document => Self::Page {
                is_document: true,
                is_sure: true,
            },
            Asks::Other => Self::NoDocument,
            Asks::Unknown { names_html } => Self::Page {
                is_document: false,
                is_sure: names_html,
            },
        }
    }

    /// A form is answered with a page, often enough; no cache has it, so that its conditions are none of the gateway's.
    fn of_form(headers: &HeaderMap) -> Self {
        let is_document = match Asks::read(headers) {
            Asks::Document => true,
            Asks::Unknown { names_html: true } => false,
            Asks::Other | Asks::Unknown { .. } => return Self::Pass,
        };
        Self::Page {
            is_document,
            is_sure: false,
        }
    }

    /// Whether only an answer that the gateway has made counts as one that the browser has.
    pub fn is_sure(self) -> bool {
        matches!(self, Self::Page { is_sure: true, .. } | Self::Script(_))
    }

    fn may_rewrite(self) -> bool {
        matches!(self, Self::Page { .. } | Self::Script(_))
    }
}

/// What a browser says of the use it has for the answer.
enum Asks {
    /// It is to be a page.
    Document,
    /// It is for a script of a page, or a part of it.
    Other,
    /// A browser does not tell over plain HTTP.
    Unknown { names_html: bool },
}

impl Asks {
    fn read(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        match text("sec-fetch-dest") {
            Some(kind) if DOCUMENTS.contains(&kind) => Self::Document,
            // A service worker that fetches what the browser has asked it for.
            Some(_) if text("sec-fetch-mode") == Some("navigate") => Self::Document,
            Some(_) => Self::Other,
            None if text("x-requested-with").is_some() => Self::Other,
            None => Self::Unknown {
                names_html: text("accept").is_some_and(|accept| accept.contains("text/html")),
            },
        }
    }
}

/// The request's head for the origin.
#[derive(Debug)]
pub struct Head {
    /// Its lines.
    pub headers: HeaderMap,
    /// Whether the browser has an answer of the gateway's making, which the origin may confirm.
    pub is_marked: bool,
    /// What the origin is asked in place of a tag that stands for a date.
    pub marked_date: Option<String>,
}

/// Makes the head for the origin.
///
/// `host` is the browser's, `origins_host` the origin's own; `mark` stands for what the gateway does to pages.
///
/// # Errors
///
/// What no proxy may pass on.
pub fn head(
    mut headers: HeaderMap,
    application: &Application,
    task: Task,
    sender: &Sender,
    hosts: Hosts<'_>,
    mark: &str,
) -> Result<Head, Failure> {
    hop::strip(&mut headers).map_err(|hop::NamedByConnection| {
        Failure::HeadRefused("Connection names a line that is for the application")
    })?;
    if hop::is_loop(&headers) {
        return Err(Failure::Loop);
    }
    if headers.get_all(header::CONTENT_LENGTH).iter().count() > 1 {
        return Err(Failure::HeadRefused("two lengths"));
    }
    for name in [header::CONTENT_LENGTH, header::EXPECT, header::HOST] {
        headers.remove(name);
    }
    keep_from_origin(&mut headers);
    say_who(&mut headers, sender, hosts.browsers);
    let host = match application.host_header {
        super::config::HostHeader::Preserve if !hosts.browsers.is_empty() => hosts.browsers,
        _ => hosts.origins,
    };
    let host = HeaderValue::from_str(host).map_err(|_| Failure::HostRefused)?;
    headers.insert(header::HOST, host);
    hop::pass_via(&mut headers, "1.1");
    if task.may_rewrite() {
        accept_only_known_codings(&mut headers);
    }
    let text = |name: HeaderName| {
        let values: Vec<&str> = headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    };
    let none_match = text(header::IF_NONE_MATCH);
    let is_marked = task.may_rewrite() && none_match.as_deref().is_some_and(validators::is_marked);
    let condition = validators::condition(
        none_match.as_deref(),
        text(header::IF_MODIFIED_SINCE).as_deref(),
        mark,
        match task {
            _ if !task.may_rewrite() => validators::Wanted::Origins,
            _ if task.is_sure() => validators::Wanted::Rewritten,
            _ => validators::Wanted::Either,
        },
    );
    // A part of the origin's page does not fit to a page that was rewritten.
    let has_marked_range =
        text(header::IF_RANGE).is_some_and(|value| validators::is_marked(&value));
    if has_marked_range || matches!(task, Task::Script(_)) {
        headers.remove(header::IF_RANGE);
        headers.remove(header::RANGE);
    }
    let marked_date = condition.modified_since.clone().filter(|_| is_marked);
    for (name, value) in [
        (header::IF_NONE_MATCH, condition.none_match),
        (header::IF_MODIFIED_SINCE, condition.modified_since),
    ] {
        match value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            Some(value) => headers.insert(name, value),
            None => headers.remove(name),
        };
    }
    Ok(Head {
        headers,
        is_marked,
        marked_date,
    })
}

/// The two names an origin may be called.
#[derive(Debug, Clone, Copy)]
pub struct Hosts<'a> {
    /// As the browser says; empty if it does not.
    pub browsers: &'a str,
    /// As the configuration says.
    pub origins: &'a str,
}

/// `Forwarded` (RFC 7239) and its older relatives. What a client that is not trusted says of itself is taken out,
/// spelled with underscores too, which some origins read as dashes.
pub fn say_who(headers: &mut HeaderMap, sender: &Sender, host: &str) {
    let names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_claim(name))
        .cloned()
        .collect();
    for name in names {
        let is_kept = sender.is_trusted && !name.as_str().contains('_') && name != "proxy";
        if !is_kept {
            headers.remove(name);
        }
    }
    let address = sender.peer.ip().to_canonical();
    let proto = if sender.secure { "https" } else { "http" };
    let node = match address {
        IpAddr::V4(v4) => format!("{v4}"),
        IpAddr::V6(v6) => format!("\"[{v6}]\""),
    };
    let mut element = format!("for={node};proto={proto}");
    // A host is a token but for its port; quotes cannot be part of one.
    if !host.is_empty() && !host.contains(['"', '\\']) {
        element.push_str(&format!(";host=\"{host}\""));
    }
    append_element(headers, header::FORWARDED, &element);
    append_element(
        headers,
        HeaderName::from_static("x-forwarded-for"),
        &address.to_string(),
    );
    for (name, value) in [("x-forwarded-proto", proto), ("x-forwarded-host", host)] {
        let name = HeaderName::from_static(name);
        if let (false, Ok(value)) = (headers.contains_key(&name), HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
}

fn append_element(headers: &mut HeaderMap, name: HeaderName, element: &str) {
    let before: Vec<String> = headers
        .get_all(&name)
        .iter()
        .filter_map(|value| value.to_str().ok().map(str::to_owned))
        .chain([element.to_owned()])
        .collect();
    if let Ok(value) = HeaderValue::from_str(&before.join(", ")) {
        headers.insert(name, value);
    }
}

/// Whether a line says who the client is, or what it asked for, in a proxy's place.
fn is_claim(name: &HeaderName) -> bool {
    let name = name.as_str().replace('_', "-");
    name.starts_with("x-forwarded") || CLAIMS.contains(&name.as_str())
}

/// Codings that cannot be undone are not asked for.
fn accept_only_known_codings(headers: &mut HeaderMap) {
    let known: Vec<String> = headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|item| {
            let coding = item.split(';').next().unwrap_or_default().trim();
            CODINGS
                .iter()
                .any(|known| known.eq_ignore_ascii_case(coding))
        })
        .map(str::to_owned)
        .collect();
    headers.remove(header::ACCEPT_ENCODING);
    let text = if known.is_empty() {
        "identity".to_owned()
    } else {
        known.join(", ")
    };
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(header::ACCEPT_ENCODING, value);
    }
}

const CODINGS: [&str; 5] = ["gzip", "x-gzip", "br", "zstd", "identity"];

/// What a browser shows as a page of its own (Fetch section 2.2.5).
const DOCUMENTS: [&str; 7] = [
    "document",
    "iframe",
    "frame",
    "embed",
    "object",
    "fencedframe",
    "nested-document",
];

const CLAIMS: [&str; 24] = [
    "forwarded",
    "client-ip",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-remote-ip",
    "x-remote-addr",
    "x-originating-ip",
    "x-original-forwarded-for",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "fastly-client-ip",
    "x-azure-clientip",
    "x-appengine-user-ip",
    "x-envoy-external-address",
    "x-original-url",
    "x-rewrite-url",
    "x-original-host",
    "x-host",
    "x-http-host-override",
    "x-url-scheme",
    "x-scheme",
    "proxy",
];

#[cfg(test)]
mod tests;
