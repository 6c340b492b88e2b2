//! What a Basic answer may look like, and what it is compared with.

use std::cell::Cell;

use super::*;
use crate::handshake::login::hash::cheap;

fn read(base64: &str) -> Result<(String, String), Unreadable> {
    let credentials = Basic::inside("application-basic").read(base64)?;
    assert_eq!(credentials.scheme(), "application-basic");
    Ok((
        credentials.name().to_owned(),
        credentials.secret().to_owned(),
    ))
}

fn read_bytes(bytes: &[u8]) -> Result<(String, String), Unreadable> {
    read(&STANDARD.encode(bytes))
}

fn pair(name: &str, password: &str) -> Result<(String, String), Unreadable> {
    Ok((name.to_owned(), password.to_owned()))
}

#[test]
fn both_places_ask_in_their_own_words() {
    let inside = Basic::inside("application-basic");
    assert_eq!(
        inside.challenge("Smeuse"),
        "Application Basic realm=\"Smeuse\""
    );
    assert!(!inside.is_asked_in_opening());
    let of_http = Basic::of_http("basic");
    assert_eq!(
        of_http.challenge("a\"b"),
        r#"Basic charset="UTF-8", realm="a\"b""#
    );
    assert!(of_http.is_asked_in_opening());
    assert!(inside.answers_to("bASIC") && of_http.answers_to("Basic"));
    assert!(!inside.answers_to("Bearer"));
}

/// RFC 7617 section 2, its example, and section 2.1, the one in UTF-8.
#[test]
fn the_examples_of_the_specification_are_read() {
    assert_eq!(
        read("QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        pair("Aladdin", "open sesame")
    );
    assert_eq!(read("dGVzdDoxMjPCow=="), pair("test", "123\u{a3}"));
    assert_eq!(read("am9lOndlbGNvbWU="), pair("joe", "welcome"));
}

/// RFC 7617 section 2: the name ends at the first colon.
#[test]
fn a_password_may_have_colons() {
    assert_eq!(read_bytes(b"a:b:c:"), pair("a", "b:c:"));
    assert_eq!(read_bytes(b"a:"), pair("a", ""));
    assert_eq!(read_bytes(b":"), pair("", ""));
}

/// The published Kaazing JavaScript client sends the lower byte of each UTF-16 unit.
#[test]
fn what_is_not_utf_8_is_latin_1() {
    assert_eq!(
        read_bytes(b"J\xfcrgen:s\xfc\xdf"),
        pair("J\u{fc}rgen", "s\u{fc}\u{df}")
    );
    assert_eq!(
        read_bytes("J\u{fc}rgen:\u{20ac}".as_bytes()),
        pair("J\u{fc}rgen", "\u{20ac}")
    );
}

#[test]
fn what_is_not_a_pair_in_base64_is_malformed() {
    for wrong in [
        "",
        "=",
        "a",
        "YTpi=",
        "YTpi====",
        "YTpiYw",
        "YTpi Yw==",
        "YTpiYx==",
        "YT-_",
        "YWI=",
        "realm=\"x\"",
    ] {
        assert_eq!(read(wrong), Err(Unreadable::Malformed), "{wrong}");
    }
    for wrong in [&b"a\n:b"[..], b"a:b\0", b"a:\x7f", b"a:\x85\xff"] {
        assert_eq!(read_bytes(wrong), Err(Unreadable::Malformed), "{wrong:?}");
    }
}

#[test]
fn lengths_are_bounded() {
    let name = "n".repeat(NAME_MAX);
    let password = "p".repeat(PASSWORD_MAX);
    let longest = STANDARD.encode(format!("{name}:{password}"));
    assert_eq!(longest.len(), BASE64_MAX);
    assert_eq!(read(&longest), pair(&name, &password));
    for wrong in [
        format!("{name}n:"),
        format!(":{password}p"),
        format!("{name}:{password}ppp"),
        "x".repeat(100_000),
    ] {
        assert_eq!(read_bytes(wrong.as_bytes()), Err(Unreadable::Malformed));
    }
    // Every byte of Latin-1 may become two.
    let latin = [&b"a:"[..], &[0xff; PASSWORD_MAX]].concat();
    assert_eq!(read_bytes(&latin), Err(Unreadable::Malformed));
    let latin = [&b"a:"[..], &[0xff; PASSWORD_MAX / 2]].concat();
    assert_eq!(
        read_bytes(&latin),
        pair("a", &"\u{ff}".repeat(PASSWORD_MAX / 2))
    );
}

fn users() -> Users {
    Users::parse(&format!(
        "[[users]]\nname = \"alice\"\npassword = \"{}\"\n",
        cheap("geheim")
    ))
    .unwrap()
}

#[test]
fn only_the_right_password_of_a_known_user_is_accepted() {
    let scheme = Basic::of_http("basic");
    let verify = |name: &str, password: &str| {
        let credentials = Credentials::named("basic", name, password);
        scheme.verify(&users(), &credentials, Duration::ZERO)
    };
    assert_eq!(
        verify("alice", "geheim"),
        Some(Principal {
            name: "alice".to_owned(),
            scheme: "basic"
        })
    );
    for (name, password) in [
        ("alice", ""),
        ("alice", "Geheim"),
        ("Alice", "geheim"),
        ("bob", "geheim"),
        ("", ""),
    ] {
        assert_eq!(verify(name, password), None, "{name} {password}");
    }
}

/// The time of a login does not tell whether a user is known: one hash of the same cost is computed in either case.
#[test]
fn an_unknown_user_costs_as_much_as_a_known_one() {
    let users = users();
    for (name, is_known) in [("alice", true), ("bob", false)] {
        let cost = Cell::new(None);
        let credentials = Credentials::named("basic", name, "geheim");
        let is_right = is_right(&users, &credentials, |hash, password| {
            assert_eq!(password, "geheim");
            assert_eq!(cost.replace(Some(hash.cost())), None, "one hash only");
            true
        });
        assert_eq!(cost.get(), Some(users.nobody().cost()), "{name}");
        assert_eq!(cost.get(), users.hash_of("alice").map(Hash::cost));
        assert_eq!(is_right, is_known, "even if nobody's hash matched");
    }
}
