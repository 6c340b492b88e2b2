//! `smeuse hash-password` and `smeuse new-token`: what they print, that the gateway takes it, and how they fail.

use std::fs;
use std::io::Write;
use std::num::NonZeroU32;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use smeuse::handshake::login::Config;
use smeuse::handshake::login::Login;
use smeuse::handshake::login::SchemeName;
use smeuse::handshake::login::Verdict;

/// What a command said until it ended. Both end by themselves: one reads no more than what is piped in here, the
/// other nothing.
#[derive(Debug)]
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

#[track_caller]
fn run(arguments: &[&str], input: &[u8]) -> Outcome {
    let mut child = Command::new(env!("CARGO_BIN_EXE_smeuse"))
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A command that has found a mistake before may be gone.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("it is text"),
        stderr: String::from_utf8(output.stderr).expect("it is text"),
    }
}

#[track_caller]
fn succeed(arguments: &[&str], input: &[u8]) -> Outcome {
    let outcome = run(arguments, input);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    outcome
}

/// A users file that is gone afterwards.
struct UsersFile(PathBuf);

impl UsersFile {
    fn new(text: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("users-{}-{count}.toml", std::process::id()));
        fs::write(&path, text).expect("a file can be written");
        Self(path)
    }

    fn login(&self) -> Login {
        Login::load(&Config {
            schemes: vec![SchemeName::ApplicationBasic, SchemeName::ApplicationToken],
            realm: "Smeuse".to_owned(),
            users: self.0.clone(),
            allow: None,
            attempts: NonZeroU32::MIN,
        })
        .expect("the commands' output is a users file")
    }
}

impl Drop for UsersFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn name_of(login: &Login, authorization: &str) -> Option<String> {
    let credentials = login.read(authorization).expect("it can be read");
    match login.verify(&credentials) {
        Verdict::Accepted(principal) => Some(principal.name),
        Verdict::Refused | Verdict::Forbidden(_) => None,
    }
}

#[test]
fn the_entries_admit_who_has_the_password_or_the_token() {
    let password = succeed(&["hash-password", "--user", "joe"], b"welcome\n");
    assert!(
        password
            .stdout
            .starts_with("[[users]]\nname = \"joe\"\npassword = \"$argon2id$v=19$m=19456,t=2,p=1$"),
        "{password:?}"
    );
    assert_eq!(password.stderr, "");
    let arguments = ["new-token", "--name", "a \"b\"", "--expires", "9999-12-31"];
    let token = succeed(&arguments, b"");
    let expected = "[[tokens]]\nname = 'a \"b\"'\nsha256 = \"";
    assert!(token.stdout.starts_with(expected), "{}", token.stdout);
    assert!(token.stdout.ends_with("\nexpires = \"9999-12-31\"\n"));
    let (sentence, secret) = token.stderr.trim_end().split_once('\n').expect("two lines");
    assert!(sentence.ends_with("It is not shown again."), "{sentence}");
    assert_eq!(secret.len(), 43, "32 bytes");
    assert!(!token.stdout.contains(secret));

    // As an operator appends them, one after the other.
    let file = UsersFile::new(&format!("{}{}", password.stdout, token.stdout));
    let login = file.login();
    let joe = name_of(&login, "Basic am9lOndlbGNvbWU=");
    assert_eq!(joe.as_deref(), Some("joe"));
    assert_eq!(name_of(&login, "Basic am9lOldlbGNvbWU="), None);
    let owner = name_of(&login, &format!("Token {secret}"));
    assert_eq!(owner.as_deref(), Some("a \"b\""));
    assert_eq!(name_of(&login, &format!("Token {secret}x")), None);
}

#[test]
fn names_may_be_left_out() {
    let password = succeed(&["hash-password"], b"welcome");
    assert!(password.stdout.contains("\nname = \"user\"\n"));
    let token = succeed(&["new-token"], b"");
    assert!(token.stdout.contains("\nname = \"token\"\n"));
    assert!(!token.stdout.contains("expires"));
}

#[test]
fn no_two_entries_are_alike() {
    let make = || succeed(&["hash-password"], b"welcome\n").stdout;
    assert_ne!(make(), make(), "each has a salt of its own");
    let make = || succeed(&["new-token"], b"").stderr;
    assert_ne!(make(), make());
}

/// One line on standard error that repeats no password, nothing on standard output, exit code 64.
#[test]
fn what_cannot_be_used_is_refused() {
    let long = "geheim".repeat(200);
    for (arguments, input, expected) in [
        (&["hash-password"][..], "", "there is no password"),
        (&["hash-password"], "\n", "the password is empty"),
        (
            &["hash-password"],
            "geheim\tx\n",
            "the password has control",
        ),
        (
            &["hash-password"],
            long.as_str(),
            "the password has more than",
        ),
        (
            &["hash-password", "--user", "a:b"],
            "geheim\n",
            "the name has a colon",
        ),
        (
            &["hash-password", "--user", ""],
            "geheim\n",
            "the name is empty",
        ),
        (&["new-token", "--name", "a\nb"], "", "the name has control"),
        (
            &["new-token", "--expires", "soon"],
            "",
            "expires is not a date",
        ),
        (
            &["new-token", "--expires", "2020-01-01"],
            "",
            "expires is past",
        ),
    ] {
        let outcome = run(arguments, input.as_bytes());
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(64), ""));
        let expected = format!("smeuse: {expected}");
        assert!(outcome.stderr.starts_with(&expected), "{}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
        assert!(!outcome.stderr.contains("geheim"), "{}", outcome.stderr);
    }
}

#[test]
fn commands_take_no_flags_of_the_gateway_and_explain_themselves() {
    for arguments in [
        &["--check", "new-token"][..],
        &["new-token", "--check"],
        &["hash-password", "geheim"],
    ] {
        let outcome = run(arguments, b"");
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(64), ""));
        assert!(outcome.stderr.starts_with("error: "), "{}", outcome.stderr);
    }
    let help = succeed(&["--help"], b"").stdout;
    for command in ["hash-password", "new-token"] {
        assert!(help.contains(command), "{help}");
    }
    let help = succeed(&["new-token", "--help"], b"").stdout;
    assert!(
        help.contains("--name") && help.contains("--expires"),
        "{help}"
    );
}
