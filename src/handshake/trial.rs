//! Trials: an extension for a share of the clients that offer it, to try it on some first.
//!
//! Who is among them follows from names alone: the same on every gateway and after every restart, and whoever has the
//! extension at ten percent still has it at twenty.

use std::net::IpAddr;

use serde::Deserialize;
use serde::Serialize;
use sha2::Digest;
use sha2::Sha256;

/// One entry of `services.trials`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// The extension.
    pub extension: String,
    /// The share of the clients that get it.
    pub percent: Percent,
}

/// A share, from 0 to 100 percent in steps of a ten-thousandth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Percent {
    per_million: u32,
}

impl TryFrom<f64> for Percent {
    type Error = String;

    fn try_from(percent: f64) -> Result<Self, Self::Error> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(format!("{percent} is not from 0 to 100"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most a million, and not negative"
        )]
        let per_million = (percent * 10_000.0).round() as u32;
        Ok(Self { per_million })
    }
}

impl From<Percent> for f64 {
    fn from(percent: Percent) -> Self {
        Self::from(percent.per_million) / 10_000.0
    }
}

/// Who a trial decides on.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The client's name, where the gateway knows it.
    pub user: Option<&'a str>,
    /// What limits count the client by: its IPv4 address, or the first 64 bits of its IPv6 address.
    pub address: IpAddr,
}

/// The two sides of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The client may have the extension that it offered.
    With,
    /// It is withheld.
    Without,
}

impl Group {
    /// Both.
    pub const ALL: [Self; 2] = [Self::With, Self::Without];

    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::With => "with",
            Self::Without => "without",
        }
    }
}

/// A session's side of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The extension.
    pub extension: String,
    /// The side.
    pub group: Group,
}

impl Trial {
    /// On which side a client is.
    ///
    /// Of the SHA-256 of `EXTENSION`, a line feed, `user` or `address`, a line feed, and the name or the address, the
    /// first four bytes are a number, the highest first; its share of 2^32 is compared with the percentage. This is
    /// not to change: running trials depend on it.
    pub fn group(&self, subject: &Subject<'_>) -> Group {
        let text = match subject.user {
            Some(user) => format!("{}\nuser\n{user}", self.extension),
            None => format!("{}\naddress\n{}", self.extension, subject.address),
        };
        let digest = Sha256::digest(text);
        let number = digest
            .iter()
            .take(4)
            .fold(0, |number, byte| number << 8 | u64::from(*byte));
        // number / 2^32 < per_million / 1000000, without fractions.
        if number * 1_000_000 < u64::from(self.percent.per_million) << 32 {
            Group::With
        } else {
            Group::Without
        }
    }
}

#[cfg(test)]
mod tests;
