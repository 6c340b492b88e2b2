//! Every rule of the users file.

use super::*;
use crate::handshake::login::hash::cheap;

const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn user(name: &str) -> String {
    let hash = cheap("geheim");
    format!("[[users]]\nname = \"{name}\"\npassword = \"{hash}\"\n")
}

fn token(rest: &str) -> String {
    format!("[[tokens]]\nname = \"dashboard\"\nsha256 = \"{SHA256}\"\n{rest}\n")
}

#[track_caller]
fn fault(text: &str) -> String {
    let fault = Users::parse(text).unwrap_err().to_string();
    for secret in ["geheim", "$argon2id$v", &SHA256[..8]] {
        assert!(!fault.contains(secret), "{fault}");
    }
    fault
}

#[test]
fn users_and_tokens_are_found() {
    let text = format!("# who\n{}{}{}", user("alice"), token(""), user("b\u{f6}b"));
    let users = Users::parse(&text).unwrap();
    assert!(users
        .hash_of("alice")
        .is_some_and(|hash| hash.matches("geheim")));
    assert!(users.hash_of("b\u{f6}b").is_some());
    assert!(users.hash_of("Alice").is_none());
    let sha256 = from_hex(SHA256).unwrap();
    assert_eq!(users.owner_of(&sha256, Duration::MAX), Some("dashboard"));
    let mut other = sha256;
    other[31] ^= 1;
    assert_eq!(users.owner_of(&other, Duration::ZERO), None);
    assert_eq!(users.oddities(&[]), [""; 0]);
    assert_eq!(format!("{users:?}"), "Users { hashes: 2, tokens: 1, .. }");
}

#[test]
fn a_fault_names_its_line_and_repeats_no_secret() {
    let alice = user("alice");
    for (text, expected) in [
        (
            format!("{alice}\n{alice}"),
            ":6: user \"alice\": the name is there twice",
        ),
        (format!("{alice}mail = \"x\""), ":4: unknown field `mail`"),
        (format!("{alice}[users2]"), ":4: unknown field `users2`"),
        (
            "[[users]]\nname = \"bob\"\npassword = \"geheim\"".to_owned(),
            ":3: user \"bob\": password is not an argon2id hash",
        ),
        (
            "[[users]]\nname = \"bob\"\npassword = 5".to_owned(),
            ":3: user \"bob\": password is not a text",
        ),
        (
            alice.replace("m=8", "m=1048577"),
            ":3: user \"alice\": password is too costly",
        ),
        (
            alice.replace("\"alice\"", "\"a:b\""),
            ":2: user \"a:b\": the name has a colon",
        ),
        (
            alice.replace("\"alice\"", "\"\""),
            ":2: user \"\": the name is empty",
        ),
        (alice.replace("name", "# name"), ":1: missing field `name`"),
        (alice.replace("\"alice\"", "5"), ":2: expected a string"),
        (alice.replace("= \"$", "= $"), ":3: "),
        ("users = \"geheim\"".to_owned(), ":1: expected a sequence"),
        (alice[..alice.len() - 9].to_owned(), ":3: "),
        (
            "[[tokens]]\nname = \"t\"\nsha256 = \"ba7816bf\"".to_owned(),
            ":2: token \"t\": sha256 is not 64 hexadecimal digits",
        ),
        (
            token("").replace("ba78", "ba7x"),
            ":2: token \"dashboard\": sha256 is not 64 hexadecimal digits",
        ),
        (
            token("").replace("ba78", "b\u{e4}8"),
            ":2: token \"dashboard\": sha256 is not 64 hexadecimal digits",
        ),
        (
            format!("{}{}", token(""), token("").replace("dashboard", "other")),
            ":6: token \"other\": the sha256 is there twice",
        ),
        (
            token("").replace("dashboard", "a\\nb"),
            ":2: token \"a\\nb\": the name has control characters",
        ),
        (token("expire = 1"), ":4: unknown field `expire`"),
    ] {
        let fault = fault(&text);
        assert!(fault.starts_with(expected), "{fault:?} is not {expected:?}");
        assert_eq!(fault.lines().count(), 1, "{fault}");
    }
}

/// What an editor that truncates a file before it writes leaves for a moment.
#[test]
fn a_file_without_anybody_is_an_error() {
    for text in ["", "\n# nobody\n", "users = []\ntokens = []"] {
        assert_eq!(fault(text), ": has neither [[users]] nor [[tokens]]");
    }
}

#[test]
fn a_token_is_refused_from_the_moment_it_expires() {
    let sha256 = from_hex(SHA256).unwrap();
    let moment = Duration::from_secs(1_801_353_600);
    for expires in [
        "expires = \"2027-01-31T00:00:00Z\"",
        "expires = \"2027-01-31\"",
        "expires = 2027-01-31T00:00:00Z",
        "expires = 2027-01-31 00:00:00Z",
        "expires = 2027-01-31",
    ] {
        let users = Users::parse(&token(expires)).unwrap();
        let before = moment - Duration::from_nanos(1);
        assert_eq!(
            users.owner_of(&sha256, before),
            Some("dashboard"),
            "{expires}"
        );
        assert_eq!(users.owner_of(&sha256, moment), None, "{expires}");
    }
    for expires in [
        "expires = \"\"",
        "expires = \"tomorrow\"",
        "expires = \"2027-02-29\"",
        "expires = \"2027-01-31T00:00:00\"",
        "expires = \"2027-01-31T00:00:00+01:00\"",
        "expires = \"1969-12-31\"",
        "expires = \"2027-\u{e4}-31\"",
        "expires = 2027-01-31T00:00:00",
        "expires = 00:00:00",
        "expires = 1801353600",
    ] {
        let fault = fault(&token(expires));
        let expected = ":2: token \"dashboard\": expires is not";
        assert!(fault.starts_with(expected), "{fault}");
    }
}

/// Two tokens of one name, so that one can take the other's place without a gap; and a token of a user's name.
#[test]
fn a_name_may_have_several_tokens() {
    let second = token("")
        .replace("ba78", "0000")
        .replace("dashboard", "alice");
    let third = token("").replace("ba78", "1111");
    let text = format!("{}{}{second}{third}", user("alice"), token(""));
    assert!(Users::parse(&text).is_ok());
}

#[test]
fn nobody_costs_what_most_users_cost() {
    let text = |costs: &[u32]| -> String {
        let entry = |(index, cost): (usize, &u32)| {
            user(&format!("user{index}")).replace("m=8", &format!("m={cost}"))
        };
        costs.iter().enumerate().map(entry).collect()
    };
    let users = Users::parse(&text(&[8, 9, 9])).unwrap();
    assert_eq!(
        users.nobody().cost(),
        users.hash_of("user1").unwrap().cost()
    );
    assert_ne!(
        users.nobody().cost(),
        users.hash_of("user0").unwrap().cost()
    );
    assert_eq!(users.oddities(&[]).len(), 1);
    assert!(Users::parse(&text(&[9, 9]))
        .unwrap()
        .oddities(&[])
        .is_empty());
    let users = Users::parse(&token("")).unwrap();
    assert_eq!(users.nobody().cost(), Cost::NEW);
}

#[test]
fn a_name_of_allow_that_nobody_has_is_odd() {
    let users = Users::parse(&format!("{}{}", user("alice"), token(""))).unwrap();
    let allow = ["alice", "dashboard", "bob"].map(str::to_owned);
    assert_eq!(
        users.oddities(&allow),
        ["nobody is called \"bob\", a name of allow"]
    );
}
