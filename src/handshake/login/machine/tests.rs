//! Users files as they are found, changed and damaged on a disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use super::*;
use crate::handshake::login::entry;
use crate::handshake::login::hash::cheap;
use crate::handshake::login::Config;
use crate::handshake::login::Login;
use crate::handshake::login::Verdict;

/// A users file of one test alone.
struct UsersFile(PathBuf);

impl UsersFile {
    fn new(text: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("smeuse-users-{}-{count}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn load(&self) -> Result<Login, String> {
        Login::load(&Config::new(&self.0))
    }

    /// The error, with the path replaced by FILE.
    #[track_caller]
    fn fault(&self) -> String {
        let error = self.load().unwrap_err();
        error.replace(&self.0.display().to_string(), "FILE")
    }
}

impl Drop for UsersFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn user(name: &str) -> String {
    let hash = cheap("geheim");
    format!("[[users]]\nname = \"{name}\"\npassword = \"{hash}\"\n")
}

/// Whether alice, and whether bob, can log in.
fn who_can(login: &Login) -> [bool; 2] {
    // alice:geheim, bob:geheim
    ["Basic YWxpY2U6Z2VoZWlt", "Basic Ym9iOmdlaGVpbQ=="].map(|authorization| {
        let credentials = login.read(authorization).unwrap();
        login.verify(&credentials) != Verdict::Refused
    })
}

#[test]
fn a_reload_takes_the_new_users_or_keeps_the_old() {
    let file = UsersFile::new(&user("alice"));
    let login = file.load().unwrap();
    assert_eq!(who_can(&login), [true, false]);
    let cut = &user("bob")[..40];
    for broken in ["", "# nothing yet", cut] {
        fs::write(&file.0, broken).unwrap();
        let error = login.reload().unwrap_err();
        let start = format!("users: {}:", file.0.display());
        assert!(error.starts_with(&start), "{error}");
        assert_eq!(who_can(&login), [true, false], "{broken}");
    }
    fs::write(&file.0, user("bob")).unwrap();
    assert_eq!(login.reload(), Ok(()));
    assert_eq!(who_can(&login), [false, true]);
    fs::remove_file(&file.0).unwrap();
    assert!(login.reload().is_err());
    assert_eq!(who_can(&login), [false, true]);
}

#[test]
fn what_cannot_be_loaded_says_where() {
    let file = UsersFile::new(&user("alice").replace("password", "pasword"));
    assert_eq!(
        file.fault(),
        "users: FILE:3: unknown field `pasword`, expected `name` or `password`"
    );
    fs::write(&file.0, "").unwrap();
    assert_eq!(
        file.fault(),
        "users: FILE: has neither [[users]] nor [[tokens]]"
    );
    fs::write(&file.0, b"# caf\xe9\n").unwrap();
    assert_eq!(file.fault(), "users: FILE: is not UTF-8 text");
    let load = |path: &str| Login::load(&Config::new(path)).unwrap_err();
    assert_eq!(load("/"), "users: /: is not a file");
    let missing = load("/no/such/users.toml");
    let start = "users: /no/such/users.toml: ";
    assert!(missing.starts_with(start), "{missing}");
}

#[test]
fn settings_are_checked_before_the_file() {
    let config = Config {
        realm: String::new(),
        ..Config::new("/no/such/users.toml")
    };
    let error = Login::load(&config).unwrap_err();
    assert!(error.starts_with("realm: "), "{error}");
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let file = UsersFile::new(&user("alice"));
    let open = fs::OpenOptions::new().append(true).open(&file.0).unwrap();
    // Zeros up to the limit are read, and found not to be TOML.
    open.set_len(FILE_MAX).unwrap();
    assert!(
        file.fault().starts_with("users: FILE:4: "),
        "{}",
        file.fault()
    );
    open.set_len(FILE_MAX + 1).unwrap();
    assert_eq!(file.fault(), "users: FILE: has more than 16777216 bytes");
}

#[test]
fn a_file_that_everybody_can_read_is_noticed_and_used() {
    let file = UsersFile::new(&user("alice"));
    for (mode, expected) in [(0o640, false), (0o644, true), (0o604, true), (0o600, false)] {
        fs::set_permissions(&file.0, fs::Permissions::from_mode(mode)).unwrap();
        let is_world_readable = read(&file.0).unwrap().is_world_readable;
        assert_eq!(is_world_readable, expected, "{mode:o}");
        assert!(file.load().is_ok());
    }
}

/// What glibc keeps of memory that it did not map was some ten times the memory of one login, for each thread.
#[test]
fn logins_leave_no_memory_behind() {
    let resident_kib = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let value = line.and_then(|line| line.split_ascii_whitespace().nth(1));
        value.and_then(|value| value.parse::<u64>().ok()).unwrap()
    };
    let file = UsersFile::new(&entry::user("alice", "geheim", &[7; 16]).unwrap());
    let login = file.load().unwrap();
    let before = resident_kib();
    for _ in 0..8 {
        assert_eq!(who_can(&login), [true, false]);
    }
    // Another test hashes with this much memory at the same time.
    let kept = resident_kib().saturating_sub(before);
    assert!(kept < 3 * 19 * 1024, "{kept} KiB");
}

#[test]
fn it_is_later_than_2025() {
    assert!(now() > Duration::from_secs(55 * 365 * 24 * 60 * 60));
}
