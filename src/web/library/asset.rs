//! One thing that is served, and the answer to a request for it.

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::HttpRequest;
use actix_web::HttpResponse;
use base64::prelude::BASE64_STANDARD;
use base64::Engine;
use sha2::Digest;
use sha2::Sha384;

/// What is served at a path.
#[derive(Debug, Clone)]
pub(super) struct Asset {
    pub(super) content: Bytes,
    content_type: &'static str,
    lasts: Lasts,
    /// `sha384-...`, as the attribute `integrity` has it.
    pub(super) integrity: String,
}

/// How long a copy may be used without asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasts {
    /// Not at all: something else may be there.
    UntilAsked,
    /// For ever: the path names the content.
    Always,
}

impl Asset {
    pub(super) fn new(content: impl Into<Bytes>, content_type: &'static str) -> Self {
        let content = content.into();
        let integrity = format!(
            "sha384-{}",
            BASE64_STANDARD.encode(Sha384::digest(&content))
        );
        Self {
            content,
            content_type,
            lasts: Lasts::UntilAsked,
            integrity,
        }
    }

    /// The same at a path that names its content.
    pub(super) fn forever(&self) -> Self {
        Self {
            lasts: Lasts::Always,
            ..self.clone()
        }
    }

    /// The first 16 bytes of the SHA-384, as a path can have them.
    pub(super) fn short_hash(&self) -> String {
        let digest = Sha384::digest(&self.content);
        let digits = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
        digits.collect()
    }

    pub(super) fn answer(&self, request: &HttpRequest) -> HttpResponse {
        // RFC 9110 section 8.8.3.
        let etag = format!("\"{}\"", self.integrity);
        let known = request.headers().get(header::IF_NONE_MATCH);
        let is_known = known
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.split(',').any(|known| is_same(known.trim(), &etag)));
        let mut response = if is_known {
            HttpResponse::NotModified()
        } else {
            HttpResponse::Ok()
        };
        let cache_control = match self.lasts {
            Lasts::UntilAsked => "no-cache",
            Lasts::Always => "public, max-age=31536000, immutable",
        };
        response
            .insert_header((header::ETAG, etag))
            .insert_header((header::CACHE_CONTROL, cache_control))
            .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .insert_header(("Cross-Origin-Resource-Policy", "cross-origin"));
        if is_known {
            return response.finish();
        }
        response
            .content_type(self.content_type)
            .body(self.content.clone())
    }
}

/// RFC 9110 section 13.1.2: compared weakly, because a proxy that compresses makes strong tags weak.
fn is_same(known: &str, etag: &str) -> bool {
    known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag
}

pub(super) const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
pub(super) const JSON: &str = "application/json";
