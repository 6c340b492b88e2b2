//! What a client proves itself with, and who it is then. Neither shows a secret to whoever prints it.

use std::fmt;

use thiserror::Error;
use zeroize::Zeroizing;

/// What a client answered a challenge with: read, and not verified yet. Its memory is cleared when it is dropped.
pub struct Credentials {
    scheme: &'static str,
    name: Zeroizing<String>,
    secret: Zeroizing<String>,
}

impl Credentials {
    /// A name and its password.
    pub(super) fn named(scheme: &'static str, name: &str, secret: &str) -> Self {
        Self {
            scheme,
            name: Zeroizing::new(name.to_owned()),
            secret: Zeroizing::new(secret.to_owned()),
        }
    }

    /// A secret that says by itself whose it is.
    pub(super) fn nameless(scheme: &'static str, secret: &str) -> Self {
        Self::named(scheme, "", secret)
    }

    /// The scheme that reads and verifies these, as it is named in the configuration.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn secret(&self) -> &str {
        &self.secret
    }
}

/// Hides the name too: it is not verified, and people type passwords into the wrong field.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("scheme", &self.scheme)
            .field("name", &format_args!("***"))
            .field("secret", &format_args!("***"))
            .finish()
    }
}

/// Who a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The name in the users file.
    pub name: String,
    /// The scheme by which it was proved, as it is named in the configuration.
    pub scheme: &'static str,
}

/// Why an `Authorization` header holds no credentials. The sentences repeat nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// A scheme that the service does not offer.
    #[error("the scheme of the credentials is not one that this service offers")]
    WrongScheme,
    /// Not what the scheme asks for, or too long.
    #[error("the credentials are malformed")]
    Malformed,
}

/// Checks a name as it stands in the users file and in credentials.
///
/// # Errors
/// What is wrong with it, without the name.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("is empty".to_owned());
    }
    if name.len() > NAME_MAX {
        return Err(format!("has more than {NAME_MAX} bytes"));
    }
    if name.contains(':') {
        return Err("has a colon, which ends the name in HTTP's Basic scheme".to_owned());
    }
    if name.chars().any(char::is_control) {
        return Err("has control characters".to_owned());
    }
    Ok(())
}

/// Checks a password as it may be sent.
///
/// # Errors
/// What is wrong with it, without the password.
pub(super) fn check_password(password: &str) -> Result<(), String> {
    if password.len() > PASSWORD_MAX {
        return Err(format!("has more than {PASSWORD_MAX} bytes"));
    }
    if password.chars().any(char::is_control) {
        return Err("has control characters, which no client can send (RFC 7617)".to_owned());
    }
    Ok(())
}

/// Checks a token as it may be sent: visible ASCII.
///
/// # Errors
/// What is wrong with it, without the token.
pub(super) fn check_token(token: &str) -> Result<(), String> {
    if token.is_empty() || token.len() > TOKEN_MAX {
        return Err(format!("must have 1 to {TOKEN_MAX} characters"));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("has white space or other characters that no header can hold".to_owned());
    }
    Ok(())
}

/// As long as an AMQP short string, in which brokers carry the names of users.
pub(super) const NAME_MAX: usize = 255;

/// Several times what a password manager makes, and little to hash: the time of a verification must be that of its
/// parameters, not of its input.
pub(super) const PASSWORD_MAX: usize = 1024;

/// Room for signed tokens of other systems (a few KiB), and a quarter of the largest request of the extended handshake.
pub(super) const TOKEN_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_shown() {
        let credentials = Credentials::named("basic", "geheim1", "geheim2");
        let shown = format!("{credentials:?} {credentials:#?}");
        assert!(shown.contains("***") && shown.contains("basic"), "{shown}");
        assert!(!shown.contains("geheim"), "{shown}");
    }

    #[test]
    fn names_at_the_limit_and_beyond() {
        for name in ["a", "Al ice@example.com", "\u{e4}", &"x".repeat(NAME_MAX)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "a:b", "a\nb", "\u{85}", &"x".repeat(NAME_MAX + 1)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn passwords_at_the_limit_and_beyond() {
        for password in ["", "a:b c", &"x".repeat(PASSWORD_MAX)] {
            assert_eq!(check_password(password), Ok(()), "{password}");
        }
        for password in ["\0", "a\tb", &"x".repeat(PASSWORD_MAX + 1)] {
            assert!(check_password(password).is_err(), "{password:?}");
        }
    }

    #[test]
    fn tokens_at_the_limit_and_beyond() {
        for token in [
            "x",
            "1:joe:welcome",
            "a.b-c_d~e+f/g==",
            &"x".repeat(TOKEN_MAX),
        ] {
            assert_eq!(check_token(token), Ok(()), "{token}");
        }
        for token in ["", "a b", "a\r", "\u{e9}", &"x".repeat(TOKEN_MAX + 1)] {
            assert!(check_token(token).is_err(), "{token:?}");
        }
    }
}
