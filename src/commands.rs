//! The commands that make entries of a users file: what they ask, read and print.

use std::io::stderr;
use std::io::stdin;
use std::io::stdout;
use std::io::BufRead;
use std::io::IsTerminal;
use std::io::Write;
use std::time::SystemTime;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use zeroize::Zeroizing;

use crate::cli::Command;
use crate::handshake::login::entry;

/// Does what the command line asks for instead of a gateway.
///
/// # Errors
/// One sentence: what is wrong with what was given or typed, or with the terminal or the pipe. It repeats no secret.
pub fn run(command: &Command) -> Result<(), String> {
    match command {
        Command::HashPassword { user } => hash_password(user),
        Command::NewToken { name, expires } => new_token(name, expires.as_deref()),
    }
}

fn hash_password(user: &str) -> Result<(), String> {
    let password = if stdin().is_terminal() {
        ask_twice(|prompt| rpassword::prompt_password(prompt).map_err(|error| error.to_string()))
    } else {
        read_line(stdin().lock())
    }?;
    print(&entry::user(user, &password, &random()?)?)
}

fn new_token(name: &str, expires: Option<&str>) -> Result<(), String> {
    let token = Zeroizing::new(URL_SAFE_NO_PAD.encode(random::<TOKEN_BYTES>()?));
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    // First what may fail: a token that nobody admits is of no use.
    print(&entry::token(name, &token, expires, now)?)?;
    writeln!(
        stderr(),
        "The token of {name:?} follows. It is not shown again.\n{}",
        *token
    )
    .map_err(|error| format!("standard error: {error}"))
}

fn ask_twice(
    mut ask: impl FnMut(&str) -> Result<String, String>,
) -> Result<Zeroizing<String>, String> {
    let password = Zeroizing::new(ask("Password: ")?);
    let again = Zeroizing::new(ask("The same again: ")?);
    if password != again {
        return Err("the two passwords differ".to_owned());
    }
    Ok(password)
}

/// The first line, without its end.
fn read_line(source: impl BufRead) -> Result<Zeroizing<String>, String> {
    let mut line = Zeroizing::new(String::with_capacity(LINE_MAX));
    source
        .take(LINE_MAX as u64)
        .read_line(&mut line)
        .map_err(|error| format!("standard input: {error}"))?;
    if line.is_empty() {
        return Err("there is no password on standard input".to_owned());
    }
    if line.ends_with('\n') {
        line.pop();
    }
    if line.ends_with('\r') {
        line.pop();
    }
    Ok(line)
}

/// Bytes from the operating system.
fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random bytes: {error}"))?;
    Ok(bytes)
}

fn print(text: &str) -> Result<(), String> {
    let mut output = stdout();
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .map_err(|error| format!("standard output: {error}"))
}

/// As hard to guess as a key of AES-256.
const TOKEN_BYTES: usize = 32;

/// More than the longest password and its line's end, so that a longer one is refused and not cut.
const LINE_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_without_its_end() {
        for (text, expected) in [
            ("geheim\n", "geheim"),
            ("geheim", "geheim"),
            (" geheim \r\n", " geheim "),
            ("geheim\nsecond\n", "geheim"),
            ("\n", ""),
        ] {
            let line = read_line(text.as_bytes()).unwrap();
            assert_eq!(*line, expected, "{text:?}");
        }
        assert!(read_line(&b""[..]).is_err());
        assert!(read_line(&b"\xff\n"[..]).is_err());
        let endless = read_line("x".repeat(10_000).as_bytes()).unwrap();
        assert_eq!(endless.len(), LINE_MAX, "and is refused for its length");
    }

    #[test]
    fn a_password_is_typed_twice() {
        let ask = |answers: [&str; 2]| {
            let mut answers = answers.into_iter();
            ask_twice(|_| Ok(answers.next().unwrap().to_owned()))
        };
        assert_eq!(*ask(["geheim", "geheim"]).unwrap(), "geheim");
        assert_eq!(
            ask(["geheim", "gehiem"]).unwrap_err(),
            "the two passwords differ"
        );
    }

    #[test]
    fn random_bytes_are_not_the_same_twice() {
        assert_ne!(random::<16>(), random::<16>());
    }
}
