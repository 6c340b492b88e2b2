//! Tokens: secrets too long to be guessed, known to the users file by their hash.

use std::time::Duration;

use sha2::Digest;
use sha2::Sha256;

use super::credentials::check_token;
use super::credentials::Credentials;
use super::credentials::Principal;
use super::credentials::Unreadable;
use super::scheme::quoted;
use super::scheme::Scheme;
use super::users::Users;

/// The scheme. Answered with `Token`, as the published Kaazing clients do, or with `Bearer` (RFC 6750).
#[derive(Debug)]
pub(super) struct Token {
    name: &'static str,
}

impl Token {
    /// Asked for inside the WebSocket.
    pub(super) fn inside(name: &'static str) -> Self {
        Self { name }
    }
}

impl Scheme for Token {
    fn name(&self) -> &'static str {
        self.name
    }

    fn challenge(&self, realm: &str) -> String {
        format!("Application Token realm={}", quoted(realm))
    }

    fn is_asked_in_opening(&self) -> bool {
        false
    }

    fn is_dear(&self) -> bool {
        false
    }

    fn answers_to(&self, word: &str) -> bool {
        ["token", "bearer"]
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known))
    }

    fn read(&self, parameters: &str) -> Result<Credentials, Unreadable> {
        check_token(parameters).map_err(|_| Unreadable::Malformed)?;
        Ok(Credentials::nameless(self.name, parameters))
    }

    fn verify(&self, users: &Users, credentials: &Credentials, now: Duration) -> Option<Principal> {
        let name = users.owner_of(&sha256(credentials.secret()), now)?;
        Some(Principal {
            name: name.to_owned(),
            scheme: self.name,
        })
    }
}

/// What the users file knows of a token. One round of a fast hash is enough, because nobody can try 32 random bytes.
pub(super) fn sha256(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_words_answer_the_challenge() {
        let scheme = Token::inside("application-token");
        assert_eq!(
            scheme.challenge("a \"b\""),
            r#"Application Token realm="a \"b\"""#
        );
        assert!(!scheme.is_asked_in_opening());
        for (word, expected) in [
            ("Token", true),
            ("BEARER", true),
            ("Basic", false),
            ("Tokens", false),
            ("", false),
        ] {
            assert_eq!(scheme.answers_to(word), expected, "{word}");
        }
    }

    #[test]
    fn only_a_token_is_read() {
        let scheme = Token::inside("application-token");
        let credentials = scheme.read("1:joe:welcome").unwrap();
        assert_eq!(credentials.secret(), "1:joe:welcome");
        assert_eq!(credentials.scheme(), "application-token");
        for wrong in ["", "a b", "realm=\"x\", a"] {
            assert_eq!(scheme.read(wrong).unwrap_err(), Unreadable::Malformed);
        }
    }

    /// FIPS 180-4, the example of one block.
    #[test]
    fn the_hash_is_sha_256() {
        assert_eq!(sha256("abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
