//! Users files: the one that the suites share, and files of a test's own.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

/// `joe` with the password `welcome`, `bob` with `builder`, and the token of `dashboard`.
pub(crate) const USERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/users.toml");

/// `Authorization` of joe.
pub(crate) const JOE: &str = "Basic am9lOndlbGNvbWU=";

/// `Authorization` of joe with a password that is not his.
pub(crate) const JOE_WRONG: &str = "Basic am9lOndyb25n";

/// `Authorization` of bob.
pub(crate) const BOB: &str = "Basic Ym9iOmJ1aWxkZXI=";

/// `Authorization` of the dashboard.
pub(crate) const TOKEN: &str = "Token 0123456789abcdef";

/// What must never be seen of those above: passwords and the token, plain and as they were sent.
pub(crate) const SECRETS: [&str; 7] = [
    "welcome",
    "builder",
    "0123456789abcdef",
    "am9lOndlbGNvbWU",
    "am9lOndyb25n",
    "Ym9iOmJ1aWxkZXI",
    "argon2id$v=19",
];

/// The line of a service that asks for a login by these schemes, written as a TOML list, with further keys.
pub(crate) fn login(file: &str, schemes: &str, more: &str) -> String {
    format!("login = {{ users = \"{file}\", schemes = {schemes}{more} }}")
}

/// A users file that goes away with its owner.
pub(crate) struct UsersFile(PathBuf);

impl UsersFile {
    pub(crate) fn new(text: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("it-{}-{count}-users.toml", std::process::id()));
        let file = Self(path);
        file.write(text);
        file
    }

    pub(crate) fn write(&self, text: &str) {
        fs::write(&self.0, text).expect("the users file can be written");
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("the path is UTF-8")
    }
}

impl Drop for UsersFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The `[[users]]` entry of this name in the shared file.
pub(crate) fn entry(name: &str) -> String {
    let text = fs::read_to_string(USERS).expect("the shared file can be read");
    let entries = text.split("\n\n").filter(|entry| entry.starts_with("[["));
    let wanted = format!("name = \"{name}\"");
    let entry = entries.into_iter().find(|entry| entry.contains(&wanted));
    format!("{}\n", entry.expect("the shared file has the entry"))
}

/// An entry whose password nobody knows, and whose check takes about a second: time in which something else can happen.
pub(crate) fn slow_entry(name: &str) -> String {
    format!(
        "[[users]]\nname = \"{name}\"\npassword = \"$argon2id$v=19$m=65536,t=10,p=1$\
         QdTQOuwxHjHi29fEwKImpA$fgl07WIv3wSS7fdGEL9or8c2BJuy/fUTH9kZcE3BEgw\"\n"
    )
}
