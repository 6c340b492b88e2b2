//! The login as a whole: challenges, answers and verdicts.

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use proptest::prelude::*;

use super::hash::cheap;
use super::*;

/// Alice with the password `geheim`, and the dashboard with the token `abc` until the second day of 1970.
fn users() -> String {
    let mut text = format!(
        "[[users]]\nname = \"alice\"\npassword = \"{}\"\n",
        cheap("geheim")
    );
    let expires = Some("1970-01-02");
    text.push_str(&entry::token("dashboard", "abc", expires, Duration::ZERO).unwrap());
    text
}

const ALL: [SchemeName; 3] = [
    SchemeName::ApplicationToken,
    SchemeName::Basic,
    SchemeName::ApplicationBasic,
];

fn login(schemes: &[SchemeName]) -> Login {
    let config = Config {
        schemes: schemes.to_vec(),
        ..Config::new("users.toml")
    };
    Login::new(&config, Users::parse(&users()).unwrap())
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

fn principal(name: &str, scheme: &'static str) -> Principal {
    let name = name.to_owned();
    Principal { name, scheme }
}

#[test]
fn a_login_can_be_shared_between_threads() {
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<Login>();
    is_shared::<Credentials>();
}

#[test]
fn challenges_stand_in_the_order_of_the_schemes() {
    let login = login(&ALL);
    assert_eq!(
        login.challenges(),
        [
            "Application Token realm=\"Smeuse\"",
            "Basic charset=\"UTF-8\", realm=\"Smeuse\"",
            "Application Basic realm=\"Smeuse\""
        ]
    );
    assert_eq!(
        login.challenges_of_opening(),
        ["Basic charset=\"UTF-8\", realm=\"Smeuse\""]
    );
    let login = self::login(&[SchemeName::ApplicationBasic]);
    assert_eq!(login.challenges_of_opening(), [""; 0]);
    assert_eq!(login.attempts().get(), 3);
}

#[test]
fn the_first_scheme_that_knows_the_word_reads_the_answer() {
    let login = login(&ALL);
    let scheme = |text: &str| login.read(text).map(|credentials| credentials.scheme());
    assert_eq!(scheme(&basic("alice:geheim")), Ok("basic"));
    assert_eq!(
        scheme(&format!("application {}", basic("a:b"))),
        Ok("basic")
    );
    assert_eq!(scheme("Token 1:joe:welcome"), Ok("application-token"));
    assert_eq!(scheme("bearer abc"), Ok("application-token"));
    assert_eq!(scheme("Negotiate YTpi"), Err(Unreadable::WrongScheme));
    assert_eq!(scheme("Application"), Err(Unreadable::WrongScheme));
    assert_eq!(
        scheme("Application Application abc"),
        Err(Unreadable::WrongScheme)
    );
    for malformed in ["", " ", "Basic", "Token", "Basic abc", "Token a b"] {
        assert_eq!(scheme(malformed), Err(Unreadable::Malformed), "{malformed}");
    }
}

#[test]
fn a_scheme_that_is_not_offered_is_not_read() {
    let login = login(&[SchemeName::ApplicationToken]);
    assert_eq!(
        login.read(&basic("alice:geheim")).unwrap_err(),
        Unreadable::WrongScheme
    );
    // Nor are credentials verified that another login has read.
    let other = self::login(&ALL).read(&basic("alice:geheim")).unwrap();
    assert_eq!(login.verify(&other), Verdict::Refused);
}

#[test]
fn who_proves_a_name_is_accepted() {
    let login = login(&ALL);
    let verify = |text: &str, now| login.verify_at(&login.read(text).unwrap(), now);
    let now = Duration::ZERO;
    assert_eq!(
        verify(&basic("alice:geheim"), now),
        Verdict::Accepted(principal("alice", "basic"))
    );
    assert_eq!(verify(&basic("alice:falsch"), now), Verdict::Refused);
    assert_eq!(verify(&basic("dashboard:abc"), now), Verdict::Refused);
    assert_eq!(
        verify("Token abc", now),
        Verdict::Accepted(principal("dashboard", "application-token"))
    );
    assert_eq!(verify("Token abd", now), Verdict::Refused);
    let day = Duration::from_secs(24 * 60 * 60);
    assert_eq!(verify("Token abc", day), Verdict::Refused);
    let credentials = login.read("Token abc").unwrap();
    assert_eq!(login.verify(&credentials), Verdict::Refused, "1970 is over");
}

#[test]
fn who_is_not_allowed_is_known_but_forbidden() {
    let mut login = login(&ALL);
    login.allow = Some(vec!["dashboard".to_owned()]);
    let verify = |text: &str| login.verify_at(&login.read(text).unwrap(), Duration::ZERO);
    assert_eq!(
        verify("Token abc"),
        Verdict::Accepted(principal("dashboard", "application-token"))
    );
    assert_eq!(
        verify(&basic("alice:geheim")),
        Verdict::Forbidden(principal("alice", "basic"))
    );
    assert_eq!(verify(&basic("alice:falsch")), Verdict::Refused);
}

#[test]
fn a_login_shows_no_secret() {
    let shown = format!("{:#?}", login(&ALL));
    assert!(shown.contains("Smeuse"), "{shown}");
    assert!(
        !shown.contains("argon2") && !shown.contains("alice"),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn no_text_is_too_much_for_reading(text in "\\PC*", scheme in "(Application )?(Basic|Token|bearer) ?", bytes: Vec<u8>) {
        let login = login(&ALL);
        let _ = login.read(&text);
        let _ = login.read(&format!("{scheme}{text}"));
        let _ = login.read(&format!("{scheme}{}", STANDARD.encode(&bytes)));
        let any: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let _ = login.read(&any);
    }

    #[test]
    fn no_text_is_too_much_for_a_users_file(text in "\\PC*", password in "[$a-z0-9=,+/]*") {
        let _ = Users::parse(&text);
        let _ = hash::Hash::parse(&format!("$argon2id${password}"));
        let _ = users::parse_time(&text);
        let _ = users::parse_time(&password);
    }
}

#[test]
fn what_amqp_brings_is_checked_like_the_rest_and_no_header_asks_for_it() {
    let login = login(&[SchemeName::Amqp, SchemeName::ApplicationBasic]);
    assert_eq!(login.challenges(), ["Application Basic realm=\"Smeuse\""]);
    assert!(login.is_asked_by_amqp());
    let verdict = |name, password| {
        let credentials = login.read_amqp(name, password).unwrap();
        assert!(login.is_dear(&credentials));
        login.verify_at(&credentials, Duration::ZERO)
    };
    assert_eq!(
        verdict("alice", "geheim"),
        Verdict::Accepted(principal("alice", "amqp"))
    );
    assert_eq!(verdict("alice", "wrong"), Verdict::Refused);
    assert_eq!(verdict("mallory", "geheim"), Verdict::Refused);
    assert!(login.read_amqp("a:b", "geheim").is_err());
    // A header is answered by the other scheme, whatever stands first.
    let credentials = login.read(&basic("alice:geheim")).unwrap();
    assert_eq!(credentials.scheme(), "application-basic");
}

#[test]
fn amqp_brings_nothing_where_it_is_not_asked() {
    let login = login(&ALL);
    assert!(!login.is_asked_by_amqp());
    let read = login.read_amqp("alice", "geheim").map(|_| ());
    assert_eq!(read, Err(Unreadable::WrongScheme));
}
