//! The contract of a scheme, and the header's grammar that they share (RFC 9110 section 11).

use std::fmt::Debug;
use std::time::Duration;

use super::credentials::Credentials;
use super::credentials::Principal;
use super::credentials::Unreadable;
use super::users::Users;

/// A way to ask who a client is and to check the answer.
pub(super) trait Scheme: Debug + Send + Sync {
    /// The name in the configuration.
    fn name(&self) -> &'static str;

    /// The value of `WWW-Authenticate`, with this realm, which is printable ASCII.
    fn challenge(&self, realm: &str) -> String;

    /// Whether there is a challenge, in an HTTP response or one of that shape.
    fn is_asked_by_header(&self) -> bool {
        true
    }

    /// Whether clients understand the challenge in a plain HTTP 401.
    fn is_asked_in_opening(&self) -> bool;

    /// Whether [`verify`](Self::verify) takes the time and memory of a password's hash.
    fn is_dear(&self) -> bool;

    /// Whether an `Authorization` that begins with this word is an answer to the challenge.
    fn answers_to(&self, word: &str) -> bool;

    /// Reads what follows the word.
    ///
    /// # Errors
    /// [`Unreadable::Malformed`].
    fn read(&self, parameters: &str) -> Result<Credentials, Unreadable>;

    /// Whose these credentials are; `None` if nobody's. `now` counts from the beginning of 1970. May be expensive, and
    /// takes no less time for a name that is not known.
    fn verify(&self, users: &Users, credentials: &Credentials, now: Duration) -> Option<Principal>;
}

/// Cuts the value of an `Authorization` header into the word of the scheme, without a word `Application` before it,
/// and what follows.
///
/// # Errors
/// [`Unreadable::Malformed`] if there is no word.
pub(super) fn split(authorization: &str) -> Result<(&str, &str), Unreadable> {
    let (word, rest) = cut(authorization.trim_ascii());
    let (word, rest) = if word.eq_ignore_ascii_case("application") && !rest.is_empty() {
        cut(rest)
    } else {
        (word, rest)
    };
    if word.is_empty() {
        return Err(Unreadable::Malformed);
    }
    Ok((word, rest))
}

/// A quoted-string (RFC 9110 section 5.6.4) of printable ASCII.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn cut(text: &str) -> (&str, &str) {
    match text.split_once(' ') {
        Some((word, rest)) => (word, rest.trim_start_matches(' ')),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_word_and_the_rest() {
        for (text, expected) in [
            ("Basic YTpi", ("Basic", "YTpi")),
            ("  basic   YTpi\r", ("basic", "YTpi")),
            ("Application Token x y", ("Token", "x y")),
            ("aPPlication  BASIC", ("BASIC", "")),
            ("Application", ("Application", "")),
            ("Applications x", ("Applications", "x")),
        ] {
            assert_eq!(split(text), Ok(expected), "{text:?}");
        }
        for text in ["", "  ", "\r\n"] {
            assert_eq!(split(text), Err(Unreadable::Malformed), "{text:?}");
        }
    }

    /// RFC 9110 section 5.6.4: quotes and backslashes are escaped.
    #[test]
    fn a_realm_becomes_a_quoted_string() {
        assert_eq!(quoted("Smeuse"), "\"Smeuse\"");
        assert_eq!(quoted(r#"a "b" \c"#), r#""a \"b\" \\c""#);
    }
}
