//! Why a request for an application was not answered by the application.

use std::fmt;

/// What the browser is told, with a code that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The path could mean another one to the origin.
    PathRefused,
    /// The host is none, or the request names two.
    HostRefused,
    /// Header lines that no proxy may pass on.
    HeadRefused(&'static str),
    /// TRACE and CONNECT.
    MethodRefused,
    /// The body breaks its own framing.
    BodyMalformed,
    /// The body is larger than `body_bytes`.
    BodyTooLarge,
    /// The body stood still for `body_pause`, or came too slowly on the whole.
    BodyTimeout,
    /// The request has passed too many gateways like this one.
    Loop,
    /// As many requests as allowed are under way.
    Busy,
    /// As many WebSockets as allowed are open, or none is allowed.
    TooManyTunnels,
    /// The gateway is finishing.
    Draining,
    /// An upgrade to something that is no WebSocket.
    UpgradeRefused,
    /// No connection to the origin.
    OriginUnreachable(String),
    /// The origin did not answer in time.
    OriginTimeout(&'static str),
    /// What the origin sent is not HTTP.
    OriginMalformed(String),
    /// The origin closed the connection without an answer.
    OriginClosed(String),
}

impl Failure {
    /// The status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::PathRefused
            | Self::HostRefused
            | Self::HeadRefused(_)
            | Self::BodyMalformed
            | Self::UpgradeRefused => 400,
            Self::MethodRefused => 405,
            Self::BodyTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::OriginUnreachable(_) | Self::OriginMalformed(_) | Self::OriginClosed(_) => 502,
            Self::Busy | Self::TooManyTunnels | Self::Draining => 503,
            Self::OriginTimeout(_) => 504,
            Self::Loop => 508,
        }
    }

    /// Stays the same whatever the text says.
    pub fn code(&self) -> &'static str {
        match self {
            Self::PathRefused => "path_refused",
            Self::HostRefused => "host_refused",
            Self::HeadRefused(_) => "head_refused",
            Self::MethodRefused => "method_refused",
            Self::BodyMalformed => "body_malformed",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::Loop => "loop_detected",
            Self::Busy => "application_busy",
            Self::TooManyTunnels => "too_many_websockets",
            Self::Draining => "draining",
            Self::UpgradeRefused => "upgrade_refused",
            Self::OriginUnreachable(_) => "origin_unreachable",
            Self::OriginTimeout(_) => "origin_timeout",
            Self::OriginMalformed(_) => "origin_malformed",
            Self::OriginClosed(_) => "origin_closed",
        }
    }

    /// What the browser reads; nothing of the inside is in it.
    pub fn body(&self) -> String {
        let text = match self {
            Self::PathRefused => "the path has dot segments or control characters",
            Self::HostRefused => "the host is none, or the request names two",
            Self::HeadRefused(text) => text,
            Self::MethodRefused => "this method is not passed on",
            Self::BodyMalformed => "the body breaks its own framing",
            Self::BodyTooLarge => "the body is too large",
            Self::BodyTimeout => "the body came too slowly",
            Self::Loop => "the request goes round in circles",
            Self::Busy => "too many requests are under way",
            Self::TooManyTunnels => "no further WebSocket is passed on",
            Self::Draining => "the gateway is finishing",
            Self::UpgradeRefused => "this upgrade is not passed on",
            Self::OriginUnreachable(_) => "the application cannot be reached",
            Self::OriginTimeout(_) => "the application did not answer in time",
            Self::OriginMalformed(_) => "the application's answer is not HTTP",
            Self::OriginClosed(_) => "the application closed without an answer",
        };
        format!("{}: {text}\n", self.code())
    }

    /// Whether it is worth trying again in a moment.
    pub fn is_passing(&self) -> bool {
        matches!(self.status(), 502..=504)
    }

    /// The code of every failure.
    pub const CODES: [&str; 16] = [
        "path_refused",
        "host_refused",
        "head_refused",
        "method_refused",
        "body_malformed",
        "body_too_large",
        "body_timeout",
        "loop_detected",
        "application_busy",
        "too_many_websockets",
        "draining",
        "upgrade_refused",
        "origin_unreachable",
        "origin_timeout",
        "origin_malformed",
        "origin_closed",
    ];
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OriginUnreachable(detail)
            | Self::OriginMalformed(detail)
            | Self::OriginClosed(detail) => f.write_str(detail),
            Self::OriginTimeout(what) => f.write_str(what),
            other => f.write_str(other.body().trim_end()),
        }
    }
}
