//! The settings of a service's login.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use super::basic::Basic;
use super::scheme::Scheme;
use super::token::Token;

/// How a service asks its clients who they are, and who may come.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What clients may answer with, in the order of preference; many clients look at the first one only. At least
    /// one, each once.
    #[serde(default = "default_schemes")]
    pub schemes: Vec<SchemeName>,
    /// What the user is told to log in to: printable ASCII, 1 to 200 characters.
    #[serde(default = "default_realm")]
    pub realm: String,
    /// The users file; read again on SIGHUP.
    ///
    /// That it can be used is checked where it is read, by [`Login::load`](super::Login::load).
    pub users: PathBuf,
    /// Names of the users file that may use the service; absent: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
    /// Answers that a client may give before its session is ended; at most 100.
    #[serde(default = "default_attempts")]
    pub attempts: NonZeroU32,
}

impl Config {
    /// The defaults, with this users file.
    pub fn new(users: impl Into<PathBuf>) -> Self {
        Self {
            schemes: default_schemes(),
            realm: default_realm(),
            users: users.into(),
            allow: None,
            attempts: default_attempts(),
        }
    }

    /// Checks what the types alone do not.
    ///
    /// # Errors
    /// `key: reason`, the key relative to the login's table.
    pub fn validate(&self) -> Result<(), String> {
        if self.schemes.is_empty() {
            return Err("schemes: is empty; at least one is needed to ask with".to_owned());
        }
        for (index, scheme) in self.schemes.iter().enumerate() {
            if self.schemes[..index].contains(scheme) {
                return Err(format!("schemes: {:?} is there twice", scheme.as_str()));
            }
        }
        if self.realm.is_empty() || self.realm.len() > REALM_MAX {
            return Err(format!("realm: must have 1 to {REALM_MAX} characters"));
        }
        if !self.realm.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(
                "realm: must be printable ASCII, because a header has no other text".to_owned(),
            );
        }
        if self.users.as_os_str().is_empty() {
            return Err("users: is empty; name the users file".to_owned());
        }
        if self.allow.as_ref().is_some_and(Vec::is_empty) {
            return Err("allow: is empty, so nobody could use the service".to_owned());
        }
        if self.attempts.get() > ATTEMPTS_MAX {
            return Err(format!("attempts: must be at most {ATTEMPTS_MAX}"));
        }
        Ok(())
    }
}

/// A scheme by which clients log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchemeName {
    /// User and password, asked for inside the WebSocket: pages can answer.
    ApplicationBasic,
    /// User and password (RFC 7617), asked for by an HTTP 401 too: programs can answer, pages as their browser likes.
    Basic,
    /// A token, asked for inside the WebSocket.
    ApplicationToken,
    /// User and password in AMQP's own login (connection.start-ok): for clients that know no other. The handshakes then
    /// let clients without credentials through. Only where the gateway is the AMQP server, on shared connections.
    Amqp,
}

impl SchemeName {
    /// The name, as in the configuration.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::ApplicationBasic => "application-basic",
            Self::Basic => "basic",
            Self::ApplicationToken => "application-token",
            Self::Amqp => "amqp",
        }
    }

    /// The scheme itself.
    pub(super) fn scheme(&self) -> Box<dyn Scheme> {
        match self {
            Self::ApplicationBasic => Box::new(Basic::inside(self.as_str())),
            Self::Basic => Box::new(Basic::of_http(self.as_str())),
            Self::ApplicationToken => Box::new(Token::inside(self.as_str())),
            Self::Amqp => Box::new(Basic::of_amqp(self.as_str())),
        }
    }
}

fn default_schemes() -> Vec<SchemeName> {
    vec![SchemeName::ApplicationBasic]
}

fn default_realm() -> String {
    "Smeuse".to_owned()
}

fn default_attempts() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(2)
}

/// A line of a dialogue; a longer one is a mistake.
const REALM_MAX: usize = 200;

/// Each attempt costs a verification; more than this is no typing error any more, but a search.
const ATTEMPTS_MAX: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_users_file_must_be_named() {
        let config: Config = toml::from_str("users = \"users.toml\"").unwrap();
        assert_eq!(config, Config::new("users.toml"));
        assert_eq!(config.schemes, [SchemeName::ApplicationBasic]);
        assert_eq!(
            (config.realm.as_str(), config.attempts.get()),
            ("Smeuse", 3)
        );
        assert_eq!(config.validate(), Ok(()));
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), config);
        let error = toml::from_str::<Config>("").unwrap_err();
        assert_eq!(error.message(), "missing field `users`");
        assert!(toml::from_str::<Config>("users = \"u\"\nuser = 1").is_err());
    }

    #[test]
    fn schemes_have_the_names_they_are_configured_by() {
        let config: Config = toml::from_str(
            "users = \"u\"\nschemes = [\"application-token\", \"basic\", \"application-basic\"]",
        )
        .unwrap();
        let names: Vec<_> = config.schemes.iter().map(SchemeName::as_str).collect();
        assert_eq!(names, ["application-token", "basic", "application-basic"]);
        for scheme in &config.schemes {
            assert_eq!(scheme.scheme().name(), scheme.as_str());
        }
        assert!(toml::from_str::<Config>("users = \"u\"\nschemes = [\"digest\"]").is_err());
        assert!(toml::from_str::<Config>("users = \"u\"\nattempts = 0").is_err());
    }

    #[test]
    fn what_the_types_allow_and_the_rules_do_not() {
        let valid = || Config::new("users.toml");
        let at_the_limits = Config {
            realm: "\"\\ ~".repeat(REALM_MAX / 4),
            attempts: NonZeroU32::new(ATTEMPTS_MAX).unwrap(),
            allow: Some(vec!["alice".to_owned()]),
            ..valid()
        };
        assert_eq!(at_the_limits.validate(), Ok(()));
        let realm = |realm: &str| Config {
            realm: realm.to_owned(),
            ..valid()
        };
        for (wrong, key) in [
            (
                Config {
                    schemes: vec![],
                    ..valid()
                },
                "schemes: ",
            ),
            (
                Config {
                    schemes: vec![
                        SchemeName::Basic,
                        SchemeName::ApplicationToken,
                        SchemeName::Basic,
                    ],
                    ..valid()
                },
                "schemes: \"basic\" ",
            ),
            (realm(""), "realm: "),
            (realm(&"x".repeat(REALM_MAX + 1)), "realm: "),
            (realm("two\r\nlines"), "realm: "),
            (realm("caf\u{e9}"), "realm: "),
            (realm("\u{7f}"), "realm: "),
            (
                Config {
                    users: PathBuf::new(),
                    ..valid()
                },
                "users: ",
            ),
            (
                Config {
                    allow: Some(vec![]),
                    ..valid()
                },
                "allow: ",
            ),
            (
                Config {
                    attempts: NonZeroU32::new(ATTEMPTS_MAX + 1).unwrap(),
                    ..valid()
                },
                "attempts: ",
            ),
        ] {
            let error = wrong.validate().unwrap_err();
            assert!(error.starts_with(key), "{error}");
        }
    }
}
