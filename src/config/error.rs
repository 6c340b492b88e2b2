//! What is wrong with a configuration, where it was set, and why.

use std::error::Error;
use std::fmt;
use std::fmt::Display;

/// A configuration that cannot be used. Its text is one line:
/// `config/smeuse.toml: limits.sesions: unknown key, did you mean "sessions"?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    origin: Option<String>,
    key: Option<String>,
    reason: String,
}

impl ConfigError {
    /// An error in the named file, variable or flag, at a key, both where
    /// they are known. Line breaks in the reason become spaces.
    pub(super) fn new(origin: Option<String>, key: Option<String>, reason: impl Display) -> Self {
        let reason = reason.to_string();
        Self {
            origin,
            key: key.filter(|key| !key.is_empty()),
            reason: reason.split_whitespace().collect::<Vec<_>>().join(" "),
        }
    }

    /// An error from a text `key: reason`, as the stages write it.
    pub(super) fn from_text(origin: Option<String>, text: &str) -> Self {
        match text.split_once(": ") {
            Some((key, reason)) => Self::new(origin, Some(key.to_owned()), reason),
            None => Self::new(origin, None, text),
        }
    }

    /// Where the value was set: the file, `environment NAME` or `flag --name`.
    /// `None` for defaults.
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// The key with its tables, such as `services[0].upstream.uris`.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// What is wrong, without the place.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in [&self.origin, &self.key].into_iter().flatten() {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.reason)
    }
}

impl Error for ConfigError {}
