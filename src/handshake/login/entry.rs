//! New entries of the users file, as text to be appended to it.

use std::fmt::Write;
use std::time::Duration;

use toml::Value;

use super::credentials::check_name;
use super::credentials::check_password;
use super::hash;
use super::token::sha256;
use super::users::parse_time;

/// A `[[users]]` entry. Takes as long as a login.
///
/// # Errors
/// What is wrong with the name or the password, repeating neither.
pub fn user(name: &str, password: &str, salt: &[u8; 16]) -> Result<String, String> {
    check_name(name).map_err(|reason| format!("the name {reason}"))?;
    if password.is_empty() {
        return Err("the password is empty".to_owned());
    }
    check_password(password).map_err(|reason| format!("the password {reason}"))?;
    let name = Value::from(name);
    let hash = hash::make(password, salt)?;
    Ok(format!("[[users]]\nname = {name}\npassword = \"{hash}\"\n"))
}

/// A `[[tokens]]` entry for a token that was made of enough random bytes. `now` counts from the beginning of 1970.
///
/// # Errors
/// What is wrong with the name or with the time it expires at, a past one included.
pub fn token(
    name: &str,
    token: &str,
    expires: Option<&str>,
    now: Duration,
) -> Result<String, String> {
    check_name(name).map_err(|reason| format!("the name {reason}"))?;
    let name = Value::from(name);
    let mut entry = format!("[[tokens]]\nname = {name}\nsha256 = \"");
    for byte in sha256(token) {
        // Writing into a String does not fail.
        let _ = write!(entry, "{byte:02x}");
    }
    entry.push_str("\"\n");
    if let Some(expires) = expires {
        if parse_time(expires)? <= now {
            return Err("expires is past".to_owned());
        }
        let _ = writeln!(entry, "expires = {}", Value::from(expires));
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::super::users::Users;
    use super::*;

    #[test]
    fn a_users_entry_can_be_read_again() {
        let name = "a \"b\" \\ \u{e4}";
        let entry = user(name, "geheim", &[7; 16]).unwrap();
        assert!(
            entry.contains("\npassword = \"$argon2id$v=19$m=19456,t=2,p=1$BwcHBwcHBwcHBwcHBwcHBw$"),
            "{entry}"
        );
        let users = Users::parse(&entry).unwrap();
        let hash = users.hash_of(name).unwrap();
        // With the parameters of new hashes, once; the other tests hash with less.
        assert!(hash.matches("geheim"));
        assert!(!hash.matches("geheim "));
        assert_eq!(hash.cost(), users.nobody().cost());
    }

    #[test]
    fn a_tokens_entry_can_be_read_again() {
        let now = Duration::from_secs(1);
        let entry = token("dashboard", "abc", None, now).unwrap();
        let expected = "[[tokens]]\nname = \"dashboard\"\nsha256 = \"ba7816bf";
        assert!(entry.starts_with(expected), "{entry}");
        let users = Users::parse(&entry).unwrap();
        assert_eq!(users.owner_of(&sha256("abc"), now), Some("dashboard"));
        let entry = token("dashboard", "abc", Some("1970-01-02"), now).unwrap();
        let users = Users::parse(&entry).unwrap();
        let day = Duration::from_secs(24 * 60 * 60);
        let before = day - Duration::from_nanos(1);
        assert_eq!(users.owner_of(&sha256("abc"), before), Some("dashboard"));
        assert_eq!(users.owner_of(&sha256("abc"), day), None);
    }

    #[test]
    fn what_could_not_be_used_is_not_made() {
        let salt = [0; 16];
        for (name, password) in [("", "x"), ("a:b", "x"), ("a", ""), ("a", "x\ny")] {
            assert!(
                user(name, password, &salt).is_err(),
                "{name:?} {password:?}"
            );
        }
        let now = Duration::from_secs(24 * 60 * 60);
        for (name, expires) in [
            ("a:b", None),
            ("a", Some("tomorrow")),
            ("a", Some("1970-01-02")),
        ] {
            assert!(
                token(name, "x", expires, now).is_err(),
                "{name:?} {expires:?}"
            );
        }
    }
}
