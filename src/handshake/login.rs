//! Who a client is: stand-in until the login is merged.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

/// The table `services.login`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Users file.
    pub users: PathBuf,
    /// Attempts.
    pub attempts: NonZeroU32,
}

impl Config {
    /// Checks.
    ///
    /// # Errors
    /// Never.
    pub fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

/// A login.
#[derive(Debug)]
pub struct Login;

/// Credentials.
#[derive(Debug)]
pub struct Credentials;

/// Who.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Name.
    pub name: String,
}

/// Unreadable.
#[derive(Debug)]
pub struct Unreadable;

/// Verdict.
#[derive(Debug)]
pub enum Verdict {
    /// Yes.
    Accepted(Principal),
    /// No.
    Refused,
    /// Not here.
    Forbidden(Principal),
}

impl Login {
    /// Loads.
    ///
    /// # Errors
    /// Never.
    pub fn load(_: &Config) -> Result<Self, String> {
        Ok(Self)
    }

    /// Reloads.
    ///
    /// # Errors
    /// Never.
    pub fn reload(&self) -> Result<(), String> {
        Ok(())
    }

    /// Attempts.
    pub fn attempts(&self) -> u32 {
        3
    }

    /// Challenges.
    pub fn challenges(&self) -> Vec<String> {
        Vec::new()
    }

    /// Challenges of the opening.
    pub fn challenges_of_opening(&self) -> Vec<String> {
        Vec::new()
    }

    /// Reads.
    ///
    /// # Errors
    /// Always.
    pub fn read(&self, _: &str) -> Result<Credentials, Unreadable> {
        Err(Unreadable)
    }

    /// Verifies.
    pub fn verify(&self, _: &Credentials) -> Verdict {
        Verdict::Refused
    }
}
