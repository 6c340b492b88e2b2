//! Who the gateway is to a broker: user and password, or a token in a file that is read again before it expires.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use lapin::auth::TokenAuthProvider;
use lapin::auth::TokenProvider;
use lapin::types::LongString;
use lapin::uri::AMQPAuthority;
use lapin::uri::AMQPQueryString;
use lapin::uri::AMQPScheme;
use lapin::uri::AMQPUri;
use lapin::uri::AMQPUserInfo;
use lapin::ConnectionProperties;

use crate::upstream::config::Secret;
use crate::upstream::shared::BASE;
use crate::wire::amqp::frame::SMALLEST_FRAME_MAX;

/// What lapin logs in with.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) user: String,
    pub(super) password: Secret,
    pub(super) token_file: Option<PathBuf>,
    pub(super) vhost: String,
    /// Seconds between heartbeats; 0 means none.
    pub(super) heartbeat: u16,
}

impl Account {
    /// What lapin is given in place of a URI: of it the login, the vhost and the limits count.
    pub(super) fn uri(&self) -> AMQPUri {
        AMQPUri {
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: self.user.clone(),
                    password: self.password.expose().to_owned(),
                },
                host: "localhost".to_owned(),
                port: 5672,
            },
            vhost: self.vhost.clone(),
            query: AMQPQueryString {
                // Small, and so lapin's buffers are.
                frame_max: Some(SMALLEST_FRAME_MAX),
                channel_max: Some(BASE - 1),
                heartbeat: Some(self.heartbeat),
                ..AMQPQueryString::default()
            },
        }
    }

    /// What lapin says of itself, and its token if it has one.
    pub(super) fn properties(&self) -> ConnectionProperties {
        let properties =
            ConnectionProperties::default().with_connection_name("smeuse (shared)".into());
        match &self.token_file {
            Some(file) => properties
                .with_auth_provider(TokenAuthProvider::new(TokenFile { file: file.clone() })),
            None => properties,
        }
    }
}

/// A token in a file, which somebody else keeps fresh.
struct TokenFile {
    file: PathBuf,
}

impl TokenProvider for TokenFile {
    /// Two thirds of what the token has left, if it says when it expires; else a few minutes.
    fn valid_for(&self) -> Option<Duration> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let expires = read(&self.file).ok().and_then(|token| expires_at(&token));
        Some(match expires {
            Some(at) => (at.saturating_sub(now) * 2 / 3).max(SHORTEST),
            None => EVERY,
        })
    }

    fn create_token(&self) -> Result<LongString, String> {
        read(&self.file).map(LongString::from)
    }
}

/// The token, without the white space that an editor leaves behind it.
///
/// # Errors
/// Why there is none; without the token.
pub(super) fn read(file: &Path) -> Result<String, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(format!("{}: is empty", file.display()));
    }
    Ok(token.to_owned())
}

/// When a JSON Web Token expires (RFC 7519 section 4.1.4), from the beginning of 1970; none if it is no such token, or does
/// not say.
fn expires_at(token: &str) -> Option<Duration> {
    let claims = token.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    claims["exp"].as_u64().map(Duration::from_secs)
}

/// For tokens that do not say when they expire.
const EVERY: Duration = Duration::from_secs(5 * 60);

/// A file with a token that has expired is not read in a circle.
const SHORTEST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_web_token_says_when_it_expires() {
        let claims = URL_SAFE_NO_PAD.encode(br#"{"sub":"smeuse","exp":1800000000}"#);
        let token = format!("e30.{claims}.sig");
        assert_eq!(expires_at(&token), Some(Duration::from_secs(1_800_000_000)));
        for other in ["opaque", "a.b.c", "e30.e30.x"] {
            assert_eq!(expires_at(other), None, "{other}");
        }
    }

    #[test]
    fn a_token_is_shown_to_nobody() {
        let account = Account {
            user: "u".to_owned(),
            password: Secret::new("geheim"),
            token_file: None,
            vhost: "/".to_owned(),
            heartbeat: 10,
        };
        assert!(!format!("{account:?}").contains("geheim"));
        let query = account.uri().query;
        assert_eq!((query.frame_max, query.channel_max), (Some(4096), Some(7)));
    }
}
