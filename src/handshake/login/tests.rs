//! The login as a whole: challenges, answers, verdicts, and files that change.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use proptest::prelude::*;

use super::hash::cheap;
use super::*;

/// A users file of this test alone.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("smeuse-users-{}-{count}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn config(&self, schemes: &[SchemeName]) -> Config {
        Config {
            schemes: schemes.to_vec(),
            ..Config::new(&self.0)
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

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
    Login::load(&File::new(&users()).config(schemes)).unwrap()
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
    let file = File::new(&users());
    let config = Config {
        allow: Some(vec!["dashboard".to_owned()]),
        ..file.config(&ALL)
    };
    let login = Login::load(&config).unwrap();
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
fn a_reload_takes_the_new_users_or_keeps_the_old() {
    let file = File::new(&users());
    let login = Login::load(&file.config(&ALL)).unwrap();
    let verify = |pair: &str| login.verify(&login.read(&basic(pair)).unwrap());
    let alice = Verdict::Accepted(principal("alice", "basic"));
    let cut = &users()[..40];
    for broken in ["", "# nothing yet", cut] {
        fs::write(&file.0, broken).unwrap();
        let error = login.reload().unwrap_err();
        assert!(
            error.starts_with(&format!("users: {}:", file.0.display())),
            "{error}"
        );
        assert_eq!(verify("alice:geheim"), alice, "{broken}");
    }
    fs::write(&file.0, users().replace("alice", "bob")).unwrap();
    assert_eq!(login.reload(), Ok(()));
    assert_eq!(verify("alice:geheim"), Verdict::Refused);
    assert_eq!(
        verify("bob:geheim"),
        Verdict::Accepted(principal("bob", "basic"))
    );
    fs::remove_file(&file.0).unwrap();
    assert!(login.reload().is_err());
    assert_ne!(verify("bob:geheim"), Verdict::Refused);
}

#[test]
fn what_cannot_be_loaded_says_where() {
    let load = |text: &str| {
        let file = File::new(text);
        let error = Login::load(&file.config(&ALL)).unwrap_err();
        error.replace(&file.0.display().to_string(), "FILE")
    };
    assert_eq!(
        load(&users().replace("sha256", "sha1")),
        "users: FILE:6: unknown field `sha1`, expected one of `name`, `sha256`, `expires`"
    );
    assert_eq!(
        load(""),
        "users: FILE: has neither [[users]] nor [[tokens]]"
    );
    let load = |path: &Path| Login::load(&Config::new(path)).unwrap_err();
    assert_eq!(load(Path::new("/")), "users: /: is not a file");
    let missing = load(Path::new("/no/such/users.toml"));
    assert!(
        missing.starts_with("users: /no/such/users.toml: "),
        "{missing}"
    );
    let config = Config {
        realm: String::new(),
        ..Config::new("/")
    };
    assert!(Login::load(&config).is_err_and(|error| error.starts_with("realm: ")));
}

#[test]
fn bytes_that_are_no_text_are_told() {
    let file = File::new("");
    fs::write(&file.0, b"# caf\xe9\n").unwrap();
    assert_eq!(machine::read(&file.0).unwrap_err(), "is not UTF-8 text");
}

#[test]
fn a_file_that_everybody_can_read_is_noticed() {
    let file = File::new(&users());
    for (mode, expected) in [(0o640, false), (0o644, true), (0o604, true), (0o600, false)] {
        fs::set_permissions(&file.0, fs::Permissions::from_mode(mode)).unwrap();
        let is_world_readable = machine::read(&file.0).unwrap().is_world_readable;
        assert_eq!(is_world_readable, expected, "{mode:o}");
        assert!(Login::load(&file.config(&ALL)).is_ok());
    }
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
