//! User and password (RFC 7617), asked for by HTTP itself or inside the WebSocket, or given by AMQP.

use std::time::Duration;

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use zeroize::Zeroizing;

use super::credentials::check_name;
use super::credentials::check_password;
use super::credentials::Credentials;
use super::credentials::Principal;
use super::credentials::Unreadable;
use super::credentials::NAME_MAX;
use super::credentials::PASSWORD_MAX;
use super::hash::Hash;
use super::scheme::quoted;
use super::scheme::Scheme;
use super::users::Users;

/// The scheme in one of its places. The answer is the same in all that are asked by a header.
#[derive(Debug)]
pub(super) struct Basic {
    name: &'static str,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Inside,
    Http,
    Amqp,
}

impl Basic {
    /// Asked for inside the WebSocket.
    pub(super) fn inside(name: &'static str) -> Self {
        let place = Place::Inside;
        Self { name, place }
    }

    /// Asked for by an HTTP 401 too.
    pub(super) fn of_http(name: &'static str) -> Self {
        let place = Place::Http;
        Self { name, place }
    }

    /// Not asked for by a header: AMQP's own login brings it.
    pub(super) fn of_amqp(name: &'static str) -> Self {
        let place = Place::Amqp;
        Self { name, place }
    }
}

impl Scheme for Basic {
    fn name(&self) -> &'static str {
        self.name
    }

    /// `charset` (RFC 7617 section 2.1) stands before the realm, because the published Kaazing JavaScript client takes
    /// everything from there to the last quote for the realm. Inside the WebSocket it is left out: neither that client
    /// nor ours looks for it.
    fn challenge(&self, realm: &str) -> String {
        let realm = quoted(realm);
        if self.place == Place::Http {
            format!("Basic charset=\"UTF-8\", realm={realm}")
        } else {
            format!("Application Basic realm={realm}")
        }
    }

    fn is_asked_by_header(&self) -> bool {
        self.place != Place::Amqp
    }

    fn is_asked_in_opening(&self) -> bool {
        self.place == Place::Http
    }

    fn is_dear(&self) -> bool {
        true
    }

    fn answers_to(&self, word: &str) -> bool {
        self.is_asked_by_header() && word.eq_ignore_ascii_case("basic")
    }

    fn read(&self, parameters: &str) -> Result<Credentials, Unreadable> {
        let text = decode(parameters).ok_or(Unreadable::Malformed)?;
        let (name, password) = text.split_once(':').ok_or(Unreadable::Malformed)?;
        // Nobody has no name, but RFC 7617 allows to send none: that is wrong, not malformed.
        if !name.is_empty() {
            check_name(name).map_err(|_| Unreadable::Malformed)?;
        }
        check_password(password).map_err(|_| Unreadable::Malformed)?;
        Ok(Credentials::named(self.name, name, password))
    }

    fn verify(
        &self,
        users: &Users,
        credentials: &Credentials,
        _now: Duration,
    ) -> Option<Principal> {
        is_right(users, credentials, Hash::matches).then(|| Principal {
            name: credentials.name().to_owned(),
            scheme: self.name,
        })
    }
}

/// Whether the password is that of the user. Hashes it in any case, so that the time does not tell whether the user is
/// known.
fn is_right(
    users: &Users,
    credentials: &Credentials,
    matches: impl FnOnce(&Hash, &str) -> bool,
) -> bool {
    let known = users.hash_of(credentials.name());
    let is_match = matches(
        known.unwrap_or_else(|| users.nobody()),
        credentials.secret(),
    );
    is_match && known.is_some()
}

/// The text in the base64. Where it is not UTF-8 it is Latin-1: the published Kaazing JavaScript client cuts every
/// UTF-16 unit to a byte.
fn decode(base64: &str) -> Option<Zeroizing<String>> {
    if base64.len() > BASE64_MAX {
        return None;
    }
    // Of the final size from the start: a buffer that grows leaves copies behind that nobody clears.
    let mut buffer = Zeroizing::new([0; BASE64_MAX / 4 * 3]);
    let length = STANDARD.decode_slice(base64, &mut buffer[..]).ok()?;
    let bytes = &buffer[..length];
    let mut text = Zeroizing::new(String::with_capacity(2 * length));
    match std::str::from_utf8(bytes) {
        Ok(utf8) => text.push_str(utf8),
        Err(_) => text.extend(bytes.iter().map(|byte| char::from(*byte))),
    }
    Some(text)
}

/// The base64 of the longest name, a colon, and the longest password.
const BASE64_MAX: usize = (NAME_MAX + 1 + PASSWORD_MAX).div_ceil(3) * 4;

#[cfg(test)]
mod tests;
