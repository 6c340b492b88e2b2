//! Every way the gateway refuses a handshake, with its status, stable code, sentence and headers. In the opening
//! handshake there is no WebSocket to close, so this is all that a client learns; in the extended handshake a refusal
//! is followed by the Close frame of its [`Ending`].

use std::fmt;

use thiserror::Error;

use crate::ending::Ending;
use crate::wire::extended::RequestError;

/// Why no session was opened. `Display` is one plain sentence, safe to print: what came from the client is cut to
/// 100 characters and escaped.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// There is an `Upgrade` header, but the two headers do not ask for a WebSocket (RFC 6455 section 4.2.1 items 3, 4).
    #[error("the request asks for an upgrade, but {reason}")]
    UpgradeMalformed {
        /// The rest of the sentence.
        reason: &'static str,
    },
    /// A header is missing, repeated or outside its grammar.
    #[error("the header {name} {}", Shown(.reason))]
    HeaderMalformed {
        /// The header's name.
        name: &'static str,
        /// The rest of the sentence.
        reason: String,
    },
    /// No `Sec-WebSocket-Key` (RFC 6455 section 4.2.1 item 5).
    #[error("the header Sec-WebSocket-Key is missing")]
    KeyMissing,
    /// A `Sec-WebSocket-Key` that is not 16 bytes in base64, or more than one of them.
    #[error("the header Sec-WebSocket-Key is not one value of 16 bytes in base64")]
    KeyMalformed,
    /// Subprotocols were offered, and the service speaks none of them. An answer without one would only make the
    /// browser fail the WebSocket without a reason.
    #[error("none of the offered subprotocols is spoken here: \"{}\"", Shown(&.offered.join(", ")))]
    SubprotocolNotAcceptable {
        /// What was offered.
        offered: Vec<String>,
    },
    /// The page's origin is not among the service's `allowed_origins` (RFC 6455 section 4.2.2 item 4).
    #[error("pages of the origin \"{}\" may not open a session here", Shown(.origin))]
    OriginNotAllowed {
        /// The origin as it was sent.
        origin: String,
    },
    /// The request names no origin, and the service asks for one.
    #[error("the header Origin is missing, and this service asks for it")]
    OriginMissing,
    /// No service has this path.
    #[error("there is no service at the path \"{}\"", Shown(.path))]
    PathNotFound {
        /// The path as it was sent, without its query.
        path: String,
    },
    /// A method other than GET (RFC 6455 section 4.2.1 item 1).
    #[error("the method \"{}\" opens no WebSocket; GET does", Shown(.method))]
    MethodNotAllowed {
        /// The method as it was sent.
        method: String,
    },
    /// A plain request at the path of a service.
    #[error("this path serves WebSockets only; the request does not ask for an upgrade")]
    UpgradeRequired,
    /// Another version than 13, or none (RFC 6455 section 4.2.1 item 6, section 4.4).
    #[error("the WebSocket version \"{}\" is not spoken here; 13 is", Shown(.version))]
    VersionNotSupported {
        /// The version as it was sent; empty where there was none.
        version: String,
    },
    /// A request of the extended handshake that cannot be read.
    #[error("the request {0}")]
    RequestMalformed(RequestError),
    /// A header in a request of the extended handshake that has no place there.
    #[error("the header {} has no place in the extended handshake", Shown(.name))]
    HeaderOutOfPlace {
        /// The header's name.
        name: String,
    },
    /// A message of the client's that came before the extended handshake was complete.
    #[error("a message came before the extended handshake was complete")]
    MessageTooEarly,
    /// The same extension in the opening and in the extended handshake.
    #[error("the extension {} is offered in both handshakes", Shown(.name))]
    ExtensionOfferedTwice {
        /// The extension's name.
        name: String,
    },
    /// An offer that breaks the extension's own rules.
    #[error("the extension {name} {}", Shown(.reason))]
    ExtensionMalformed {
        /// The extension's name.
        name: String,
        /// The rest of the sentence.
        reason: String,
    },
    /// The client does not offer an extension that the service requires, or not in a way that can be agreed on.
    #[error("this service requires the extension {name}, and the client did not agree on it")]
    ExtensionRequired {
        /// The extension's name.
        name: String,
    },
    /// The service requires the extended handshake, or credentials that only it can ask for.
    #[error("this service asks for the extended handshake (subprotocol x-kaazing-handshake)")]
    ExtendedHandshakeRequired,
    /// The service requires credentials, and there are none, or none that it reads.
    #[error("this service asks for credentials")]
    CredentialsRequired {
        /// The value of each `WWW-Authenticate`.
        challenges: Vec<String>,
    },
    /// The credentials are wrong; others may be tried.
    #[error("the credentials are wrong")]
    CredentialsWrong {
        /// The value of each `WWW-Authenticate`.
        challenges: Vec<String>,
    },
    /// The credentials are wrong once too often.
    #[error("the credentials are wrong, and were tried as often as they may")]
    CredentialsRefused,
    /// The credentials are right, but not for this service.
    #[error("these credentials are not for this service")]
    Forbidden,
    /// Too many credentials wait to be checked.
    #[error("credentials cannot be checked now; try again in a moment")]
    LoginUnavailable,
    /// The configuration sends clients elsewhere.
    #[error("the service is at another place: {}", Shown(.location))]
    Redirected {
        /// The other place: an absolute `ws:` or `wss:` URL.
        location: String,
    },
    /// The client was sent elsewhere too often.
    #[error("the client was sent from place to place too often")]
    TooManyRedirects,
    /// The gateway is finishing.
    #[error("the gateway is shutting down; try again in a moment")]
    Draining,
    /// `limits.sessions` is reached.
    #[error("the gateway carries as many sessions as it may; try again later")]
    TooManySessions,
    /// `limits.sessions_per_address` is reached.
    #[error("this address has as many sessions open as it may")]
    TooManySessionsFromAddress,
    /// `limits.handshakes` is reached.
    #[error("too many handshakes are in progress; try again in a moment")]
    TooManyHandshakes,
}

impl Refusal {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::UpgradeMalformed { .. }
            | Self::HeaderMalformed { .. }
            | Self::KeyMissing
            | Self::KeyMalformed
            | Self::SubprotocolNotAcceptable { .. }
            | Self::RequestMalformed(_)
            | Self::HeaderOutOfPlace { .. }
            | Self::MessageTooEarly
            | Self::ExtensionOfferedTwice { .. }
            | Self::ExtensionMalformed { .. } => 400,
            Self::CredentialsRequired { .. } | Self::CredentialsWrong { .. } => 401,
            Self::OriginNotAllowed { .. }
            | Self::OriginMissing
            | Self::ExtendedHandshakeRequired
            | Self::CredentialsRefused
            | Self::Forbidden => 403,
            Self::PathNotFound { .. } | Self::ExtensionRequired { .. } => 404,
            Self::Redirected { .. } => 302,
            Self::MethodNotAllowed { .. } => 405,
            Self::UpgradeRequired | Self::VersionNotSupported { .. } => 426,
            Self::LoginUnavailable
            | Self::TooManyRedirects
            | Self::Draining
            | Self::TooManySessions
            | Self::TooManySessionsFromAddress
            | Self::TooManyHandshakes => 503,
        }
    }

    /// The stable code, one of [`ALL_CODES`]: first word of the body, and label of the metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UpgradeMalformed { .. } => "upgrade_malformed",
            Self::HeaderMalformed { .. } => "header_malformed",
            Self::KeyMissing => "key_missing",
            Self::KeyMalformed => "key_malformed",
            Self::SubprotocolNotAcceptable { .. } => "subprotocol_not_acceptable",
            Self::OriginNotAllowed { .. } => "origin_not_allowed",
            Self::OriginMissing => "origin_missing",
            Self::PathNotFound { .. } => "path_not_found",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::UpgradeRequired => "upgrade_required",
            Self::VersionNotSupported { .. } => "version_not_supported",
            Self::RequestMalformed(_) => "request_malformed",
            Self::HeaderOutOfPlace { .. } => "header_out_of_place",
            Self::MessageTooEarly => "message_too_early",
            Self::ExtensionOfferedTwice { .. } => "extension_offered_twice",
            Self::ExtensionMalformed { .. } => "extension_malformed",
            Self::ExtensionRequired { .. } => "extension_required",
            Self::ExtendedHandshakeRequired => "extended_handshake_required",
            Self::CredentialsRequired { .. } => "credentials_required",
            Self::CredentialsWrong { .. } => "credentials_wrong",
            Self::CredentialsRefused => "credentials_refused",
            Self::Forbidden => "forbidden",
            Self::LoginUnavailable => "login_unavailable",
            Self::Redirected { .. } => "redirected",
            Self::TooManyRedirects => "too_many_redirects",
            Self::Draining => "draining",
            Self::TooManySessions => "too_many_sessions",
            Self::TooManySessionsFromAddress => "too_many_sessions_from_address",
            Self::TooManyHandshakes => "too_many_handshakes",
        }
    }

    /// The headers this refusal has beyond those that every one has (`Connection: close`, type and length).
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::MethodNotAllowed { .. } => vec![("Allow", "GET".to_owned())],
            Self::UpgradeRequired | Self::VersionNotSupported { .. } => {
                vec![
                    ("Upgrade", "websocket".to_owned()),
                    ("Sec-WebSocket-Version", "13".to_owned()),
                ]
            }
            Self::CredentialsRequired { challenges } | Self::CredentialsWrong { challenges } => {
                let lines = challenges.iter().cloned();
                lines.map(|value| ("WWW-Authenticate", value)).collect()
            }
            Self::Redirected { location } => vec![("Location", location.clone())],
            Self::Draining | Self::TooManyHandshakes | Self::LoginUnavailable => {
                vec![("Retry-After", RETRY_SOON_SECONDS.to_string())]
            }
            Self::TooManySessions | Self::TooManySessionsFromAddress => {
                vec![("Retry-After", RETRY_LATER_SECONDS.to_string())]
            }
            Self::UpgradeMalformed { .. }
            | Self::HeaderMalformed { .. }
            | Self::KeyMissing
            | Self::KeyMalformed
            | Self::SubprotocolNotAcceptable { .. }
            | Self::OriginNotAllowed { .. }
            | Self::OriginMissing
            | Self::PathNotFound { .. }
            | Self::RequestMalformed(_)
            | Self::HeaderOutOfPlace { .. }
            | Self::MessageTooEarly
            | Self::ExtensionOfferedTwice { .. }
            | Self::ExtensionMalformed { .. }
            | Self::ExtensionRequired { .. }
            | Self::ExtendedHandshakeRequired
            | Self::CredentialsRefused
            | Self::Forbidden
            | Self::TooManyRedirects => Vec::new(),
        }
    }

    /// What becomes of a session whose extended handshake is refused.
    pub fn ending(&self) -> Ending {
        match self {
            Self::CredentialsRequired { .. }
            | Self::CredentialsWrong { .. }
            | Self::CredentialsRefused => Ending::LoginRefused(self.to_string()),
            Self::Forbidden | Self::OriginNotAllowed { .. } | Self::OriginMissing => {
                Ending::Forbidden(self.to_string())
            }
            Self::ExtensionRequired { .. } | Self::ExtendedHandshakeRequired => {
                Ending::ExtensionRequired(self.to_string())
            }
            Self::Redirected { .. } => Ending::Redirected,
            Self::Draining => Ending::Drained,
            Self::LoginUnavailable
            | Self::TooManyRedirects
            | Self::TooManySessions
            | Self::TooManySessionsFromAddress
            | Self::TooManyHandshakes => Ending::Unavailable(self.to_string()),
            Self::UpgradeMalformed { .. }
            | Self::HeaderMalformed { .. }
            | Self::KeyMissing
            | Self::KeyMalformed
            | Self::SubprotocolNotAcceptable { .. }
            | Self::PathNotFound { .. }
            | Self::MethodNotAllowed { .. }
            | Self::UpgradeRequired
            | Self::VersionNotSupported { .. }
            | Self::RequestMalformed(_)
            | Self::HeaderOutOfPlace { .. }
            | Self::MessageTooEarly
            | Self::ExtensionOfferedTwice { .. }
            | Self::ExtensionMalformed { .. } => Ending::HandshakeMalformed(self.to_string()),
        }
    }

    /// The body, `text/plain; charset=utf-8`: code and sentence on one line.
    pub fn body(&self) -> String {
        format!("{}: {self}\n", self.code())
    }
}

/// Text of the client's, fit to be printed: at most [`SHOWN_CHARS`] characters, and what is not printable escaped, so
/// that no line of a log or of a body can be forged.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        for c in chars.by_ref().take(SHOWN_CHARS) {
            match c {
                '\'' | '"' | '\\' => write!(f, "{c}")?,
                other => write!(f, "{}", other.escape_debug())?,
            }
        }
        if chars.next().is_some() {
            f.write_str("...")?;
        }
        Ok(())
    }
}

/// Every code, in the order of [`Refusal`].
pub const ALL_CODES: [&str; 29] = [
    "upgrade_malformed",
    "header_malformed",
    "key_missing",
    "key_malformed",
    "subprotocol_not_acceptable",
    "origin_not_allowed",
    "origin_missing",
    "path_not_found",
    "method_not_allowed",
    "upgrade_required",
    "version_not_supported",
    "request_malformed",
    "header_out_of_place",
    "message_too_early",
    "extension_offered_twice",
    "extension_malformed",
    "extension_required",
    "extended_handshake_required",
    "credentials_required",
    "credentials_wrong",
    "credentials_refused",
    "forbidden",
    "login_unavailable",
    "redirected",
    "too_many_redirects",
    "draining",
    "too_many_sessions",
    "too_many_sessions_from_address",
    "too_many_handshakes",
];

/// Enough to recognise one's own path or origin; a request line may have kilobytes.
const SHOWN_CHARS: usize = 100;

/// When draining, a load balancer has noticed or the next process has started by then; handshakes last no longer than
/// `limits.request_head`, 5 s by default.
const RETRY_SOON_SECONDS: u32 = 5;

/// Sessions last minutes to days: asking more often would only cost both sides.
const RETRY_LATER_SECONDS: u32 = 30;

#[cfg(test)]
mod tests;
