//! What is asked of an application: the head of a request, as it came.

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;

use crate::web::applications::failure::Failure;
use crate::web::applications::path;
use crate::web::applications::request::Sender;

/// What is known of a request without its body.
pub struct Asked {
    /// Its method.
    pub method: Method,
    /// Path and query, as they came.
    pub target: String,
    /// Its lines.
    pub headers: HeaderMap,
    /// Its host, from the line or from the target.
    pub host: String,
    /// Who sends it.
    pub sender: Sender,
}

impl Asked {
    /// Reads the head of a request.
    ///
    /// # Errors
    ///
    /// A head that can be read in two ways.
    pub fn read(head: &actix_web::dev::RequestHead, sender: Sender) -> Result<Self, Failure> {
        let path = head.uri.path();
        if path::is_treacherous(path) {
            return Err(Failure::PathRefused);
        }
        let mut headers = HeaderMap::with_capacity(head.headers.len());
        for (name, value) in head.headers.iter() {
            let line = HeaderName::from_bytes(name.as_str().as_bytes())
                .ok()
                .zip(HeaderValue::from_bytes(value.as_bytes()).ok());
            let Some((name, value)) = line else {
                return Err(Failure::HeadRefused("a line that is not HTTP"));
            };
            headers.append(name, value);
        }
        let host = match headers.get(http::header::HOST) {
            None => String::new(),
            Some(host) => host.to_str().map_err(|_| Failure::HostRefused)?.to_owned(),
        };
        let is_host = || !host.contains('@') && host.parse::<http::uri::Authority>().is_ok();
        if !host.is_empty() && !is_host() {
            return Err(Failure::HostRefused);
        }
        // RFC 9112 section 3.2.2 lets a request name its host twice.
        let other = head.uri.authority().map(|authority| authority.as_str());
        if other.is_some_and(|other| !other.eq_ignore_ascii_case(&host)) {
            return Err(Failure::HostRefused);
        }
        let method = Method::from_bytes(head.method.as_str().as_bytes())
            .map_err(|_| Failure::MethodRefused)?;
        if matches!(method, Method::TRACE | Method::CONNECT) {
            return Err(Failure::MethodRefused);
        }
        let target = match head.uri.path_and_query() {
            Some(target) => target.as_str().to_owned(),
            None => path.to_owned(),
        };
        Ok(Self {
            method,
            target,
            headers,
            host,
            sender,
        })
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// What a head says of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// There is none.
    None,
    /// So many bytes.
    Known(u64),
    /// Its own framing says where it ends.
    Unknown,
}

impl Length {
    /// The length of the body to send; the outer none for no body.
    pub fn of_body(self) -> Option<Option<u64>> {
        match self {
            Self::None | Self::Known(0) => None,
            Self::Known(length) => Some(Some(length)),
            Self::Unknown => Some(None),
        }
    }
}

/// The length that a head tells.
pub fn length(headers: &HeaderMap) -> Length {
    if headers.contains_key(http::header::TRANSFER_ENCODING) {
        return Length::Unknown;
    }
    headers
        .get(http::header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map_or(Length::None, Length::Known)
}
