//! What the users file says: who has which password, and whose the tokens are.

use std::collections::HashMap;
use std::collections::HashSet;
use std::fmt;
use std::time::Duration;
use std::time::UNIX_EPOCH;

use humantime_serde::re::humantime;
use serde::Deserialize;
use subtle::ConstantTimeEq;
use toml::Spanned;
use toml::Value;

use super::credentials::check_name;
use super::hash::Cost;
use super::hash::Hash;

/// Everybody who can log in.
pub(super) struct Users {
    hashes: HashMap<String, Hash>,
    nobody: Hash,
    tokens: Vec<Token>,
}

struct Token {
    name: String,
    sha256: [u8; 32],
    /// Since the beginning of 1970; refused from then on.
    expires: Option<Duration>,
}

impl Users {
    /// Reads the text of a users file.
    ///
    /// # Errors
    /// The first fault: text that is not TOML, an unknown key, a name that cannot be sent or that two users have, what
    /// is not a hash or costs too much, a token that is there twice, a file without anybody (which is what an editor
    /// leaves for a moment).
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let file: FileEntry = toml::from_str(text).map_err(|error| Fault::of_toml(&error, text))?;
        if file.users.is_empty() && file.tokens.is_empty() {
            return Err(Fault {
                line: None,
                reason: "has neither [[users]] nor [[tokens]]".to_owned(),
            });
        }
        let hashes = read_users(file.users, text)?;
        Ok(Self {
            nobody: Hash::of_nobody(usual_cost(&hashes)),
            hashes,
            tokens: read_tokens(file.tokens, text)?,
        })
    }

    /// The hash of a user's password, if there is the user.
    pub(super) fn hash_of(&self, name: &str) -> Option<&Hash> {
        self.hashes.get(name)
    }

    /// A hash that no password has, and that costs as much to compare with as those of the users.
    pub(super) fn nobody(&self) -> &Hash {
        &self.nobody
    }

    /// Whose a token with this hash is, if it has not expired. Compares all of them, each in constant time.
    pub(super) fn owner_of(&self, sha256: &[u8; 32], now: Duration) -> Option<&str> {
        let mut found = None;
        for token in &self.tokens {
            if token.sha256[..].ct_eq(&sha256[..]).into() {
                found = Some(token);
            }
        }
        let token = found?;
        let is_over = token.expires.is_some_and(|expires| now >= expires);
        (!is_over).then_some(token.name.as_str())
    }

    /// What is odd, but no error, given the names that may use the service.
    pub(super) fn oddities(&self, allow: &[String]) -> Vec<String> {
        let mut oddities = Vec::new();
        let nobody = self.nobody.cost();
        if self.hashes.values().any(|hash| hash.cost() != nobody) {
            oddities.push(
                "not all hashes have the same m, t and p, so the time of a login tells known users from unknown ones"
                    .to_owned(),
            );
        }
        for name in allow {
            let has_token = self.tokens.iter().any(|token| token.name == *name);
            if !self.hashes.contains_key(name) && !has_token {
                oddities.push(format!("nobody is called {name:?}, a name of allow"));
            }
        }
        oddities
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users")
            .field("hashes", &self.hashes.len())
            .field("tokens", &self.tokens.len())
            .finish_non_exhaustive()
    }
}

/// What is wrong with a users file. `Display` begins with the line, to be put behind the path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    line: Option<usize>,
    reason: String,
}

impl Fault {
    fn at(text: &str, offset: usize, reason: String) -> Self {
        let before = text.as_bytes().iter().take(offset);
        let line = Some(before.filter(|byte| **byte == b'\n').count() + 1);
        Self { line, reason }
    }

    /// Without the lines of the file that TOML's own errors show, and without values, which might be secrets.
    fn of_toml(error: &toml::de::Error, text: &str) -> Self {
        let message = error.message();
        let reason = match message.split_once(", expected ") {
            Some((start, expected)) if start.starts_with("invalid ") => {
                format!("expected {expected}")
            }
            _ => message.to_owned(),
        };
        match error.span() {
            Some(span) => Self::at(text, span.start, reason),
            None => Self { line: None, reason },
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, ":{line}: {}", self.reason),
            None => write!(f, ": {}", self.reason),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    #[serde(default)]
    users: Vec<UserEntry>,
    #[serde(default)]
    tokens: Vec<TokenEntry>,
}

/// Secrets are read as any value, because serde's errors repeat what they did not expect.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserEntry {
    name: Spanned<String>,
    password: Spanned<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenEntry {
    name: Spanned<String>,
    sha256: Value,
    expires: Option<Value>,
}

impl TokenEntry {
    fn read(self) -> Result<Token, String> {
        let name = self.name.into_inner();
        check_name(&name).map_err(|reason| format!("the name {reason}"))?;
        let sha256 = self
            .sha256
            .as_str()
            .and_then(from_hex)
            .ok_or("sha256 is not 64 hexadecimal digits; `smeuse new-token` makes them")?;
        let expires = match self.expires {
            None => None,
            Some(Value::String(text)) => Some(parse_time(&text)?),
            Some(Value::Datetime(time)) => Some(parse_time(&time.to_string())?),
            Some(_) => return Err(NOT_A_TIME.to_owned()),
        };
        Ok(Token {
            name,
            sha256,
            expires,
        })
    }
}

fn read_users(entries: Vec<UserEntry>, text: &str) -> Result<HashMap<String, Hash>, Fault> {
    let mut hashes = HashMap::with_capacity(entries.len());
    for entry in entries {
        let name = entry.name.get_ref();
        let fault =
            |offset, reason: &str| Fault::at(text, offset, format!("user {name:?}: {reason}"));
        let at_name = |reason: &str| fault(entry.name.span().start, &format!("the name {reason}"));
        let at_password =
            |reason: &str| fault(entry.password.span().start, &format!("password {reason}"));
        check_name(name).map_err(|reason| at_name(&reason))?;
        if hashes.contains_key(name) {
            return Err(at_name("is there twice"));
        }
        let hash = entry.password.get_ref().as_str();
        let hash = hash.ok_or_else(|| at_password("is not a text"))?;
        let hash = Hash::parse(hash).map_err(|reason| at_password(&reason))?;
        hashes.insert(entry.name.into_inner(), hash);
    }
    Ok(hashes)
}

fn read_tokens(entries: Vec<TokenEntry>, text: &str) -> Result<Vec<Token>, Fault> {
    let mut seen = HashSet::with_capacity(entries.len());
    let mut tokens = Vec::with_capacity(entries.len());
    for entry in entries {
        let offset = entry.name.span().start;
        let name = entry.name.get_ref().clone();
        let at = |reason: &str| Fault::at(text, offset, format!("token {name:?}: {reason}"));
        let token = entry.read().map_err(|reason| at(&reason))?;
        if !seen.insert(token.sha256) {
            return Err(at("the sha256 is there twice"));
        }
        tokens.push(token);
    }
    Ok(tokens)
}

/// The parameters that most users have.
fn usual_cost(hashes: &HashMap<String, Hash>) -> Cost {
    let mut counts: HashMap<Cost, usize> = HashMap::new();
    for hash in hashes.values() {
        *counts.entry(hash.cost()).or_default() += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map_or(Cost::NEW, |(cost, _)| cost)
}

/// A time in UTC (RFC 3339), or a date, which stands for its first moment. Since the beginning of 1970.
///
/// # Errors
/// `expires` and what it must be.
pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    let is_date = text.len() == "2027-01-31".len();
    let time = if is_date {
        humantime::parse_rfc3339(&format!("{text}T00:00:00Z"))
    } else {
        humantime::parse_rfc3339(text)
    };
    time.ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .ok_or_else(|| NOT_A_TIME.to_owned())
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            let value = char::from(*digit).to_digit(16)?;
            *byte = *byte << 4 | u8::try_from(value).ok()?;
        }
    }
    Some(bytes)
}

const NOT_A_TIME: &str =
    "expires is not a date or a time in UTC, such as 2027-01-31 or 2027-01-31T00:00:00Z";

#[cfg(test)]
mod tests;
