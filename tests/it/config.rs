//! Configuration from outside: what the binary makes of files, variables and flags, what it prints, and how it exits.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use smeuse::config::Settings;

/// What a process said until it ended.
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// A folder to work in, without the configuration that the repository has in its own.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("config-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder can be made");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        let folder = path.parent().expect("it is in the folder");
        fs::create_dir_all(folder).expect("a folder can be made");
        fs::write(path, text).expect("a file can be written");
    }

    /// Starts the gateway in this folder with nothing in its environment but these variables.
    fn start(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_smeuse"))
            .current_dir(&self.0)
            .args(arguments)
            .env_clear()
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts")
    }

    /// Runs the gateway until it ends by itself.
    #[track_caller]
    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
        let mut child = self.start(arguments, variables);
        let stdout = collect(child.stdout.take().expect("it is piped"));
        let stderr = collect(child.stderr.take().expect("it is piped"));
        let code = wait(&mut child);
        Outcome {
            code,
            stdout: stdout.join().expect("it is text"),
            stderr: stderr.join().expect("it is text"),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_contract_is_the_default() {
    let folder = Folder::new();
    let without = folder.run(&["--print-config"], &[]);
    assert_eq!((without.code, without.stderr.as_str()), (Some(0), ""));
    folder.write(
        "config/smeuse.toml",
        include_str!("../../config/smeuse.toml"),
    );
    let with = folder.run(&["--print-config"], &[]);
    assert_eq!((with.code, &with.stdout), (Some(0), &without.stdout));
    assert_eq!(Some(without.stdout), Settings::default().to_toml().ok());
}

#[test]
fn check_says_that_a_valid_configuration_is_valid() {
    let outcome = Folder::new().run(&["--check"], &[]);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (Some(0), "configuration is valid\n")
    );
    assert_eq!(outcome.stderr, "");
}

#[test]
fn what_is_printed_can_be_given_back_and_shows_no_secret() {
    let folder = Folder::new();
    let variables = [
        ("AMQP_URL", "amqps://user:geheim1@broker.example"),
        ("PORT", "8080"),
        ("SMEUSE__SERVICES__0__UPSTREAM__LOGIN", "service"),
        ("SMEUSE__SERVICES__0__UPSTREAM__PASSWORD", "geheim2"),
        ("SMEUSE__SERVICES__1__NAME", "echo"),
        ("SMEUSE__SERVICES__1__KIND", "echo"),
        ("SMEUSE__SERVICES__1__PATHS__0", "/echo"),
    ];
    let printed = folder.run(&["--print-config", "--log", "debug"], &variables);
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    for expected in [
        "\"0.0.0.0:8080\"",
        "level = \"debug\"",
        "user:***@broker.example",
        "password = \"***\"",
        "\"/echo\"",
    ] {
        assert!(
            printed.stdout.contains(expected),
            "{expected} in {}",
            printed.stdout
        );
    }
    assert!(!printed.stdout.contains("geheim"), "{}", printed.stdout);
    for name in ["config/smeuse.toml", "elsewhere.toml"] {
        folder.write(name, &printed.stdout);
    }
    assert_eq!(folder.run(&["--print-config"], &[]).stdout, printed.stdout);
    assert_eq!(
        folder
            .run(&["--print-config", "--config", "elsewhere.toml"], &[])
            .stdout,
        printed.stdout
    );
}

#[test]
fn the_named_file_takes_the_place_of_the_usual_one() {
    let folder = Folder::new();
    folder.write(
        "config/smeuse.toml",
        "[limits]\nsessions = 1\nhandshakes = 1\n",
    );
    folder.write("other.yaml", "limits:\n  sessions: 2\n");
    folder.write("other.json", "{\"limits\": {\"sessions\": 3}}");
    for (arguments, sessions, handshakes) in [
        (vec!["--print-config"], 1, 1),
        (vec!["--print-config", "--config", "other.yaml"], 2, 5000),
        (vec!["--print-config", "--config=other.json"], 3, 5000),
    ] {
        let printed = folder.run(&arguments, &[]).stdout;
        assert!(
            printed.contains(&format!("\nsessions = {sessions}\n")),
            "{printed}"
        );
        assert!(
            printed.contains(&format!("\nhandshakes = {handshakes}\n")),
            "{printed}"
        );
    }
}

/// One line on standard error, nothing on standard output, and exit code 64, whatever is asked for.
#[test]
fn a_wrong_configuration_ends_with_64_and_says_where_it_is_wrong() {
    let folder = Folder::new();
    folder.write("config/smeuse.toml", "[limits]\nsesions = 1\n");
    folder.write("good.toml", "");
    let expected =
        "smeuse: config/smeuse.toml: limits.sesions: unknown key, did you mean \"sessions\"?\n";
    for arguments in [vec![], vec!["--check"], vec!["--print-config"]] {
        let outcome = folder.run(&arguments, &[]);
        assert_eq!(
            (
                outcome.code,
                outcome.stdout.as_str(),
                outcome.stderr.as_str()
            ),
            (Some(64), "", expected)
        );
    }
    for (arguments, variables, start) in [
        (
            vec!["--config", "missing.toml"],
            vec![],
            "smeuse: missing.toml: ",
        ),
        (
            vec!["--config", "good.toml"],
            vec![("SMEUSE__LOG__FORMAT", "xml")],
            "smeuse: environment SMEUSE__LOG__FORMAT: log.format: ",
        ),
        (
            vec!["--config", "good.toml"],
            vec![("PORT", "x")],
            "smeuse: environment PORT: listen.address: ",
        ),
        (
            vec!["--config", "good.toml", "--listen", "here"],
            vec![],
            "smeuse: flag --listen: listen.address: ",
        ),
        (
            vec!["--config", "good.toml", "--upstream", "http://h"],
            vec![],
            "smeuse: flag --upstream: services[0].upstream.uris[0]: ",
        ),
    ] {
        let outcome = folder.run(&arguments, &variables);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (Some(64), ""),
            "{arguments:?}"
        );
        assert!(outcome.stderr.starts_with(start), "{}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    }
}

#[test]
fn wrong_flags_end_with_64_and_questions_with_0() {
    let folder = Folder::new();
    for arguments in [
        vec!["--bogus"],
        vec!["--config"],
        vec!["--check", "--print-config"],
        vec!["word"],
    ] {
        let outcome = folder.run(&arguments, &[]);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (Some(64), ""),
            "{arguments:?}"
        );
        assert!(outcome.stderr.starts_with("error: "), "{}", outcome.stderr);
    }
    let version = folder.run(&["--version"], &[]);
    assert_eq!(
        (version.code, version.stdout),
        (Some(0), format!("smeuse {}\n", env!("CARGO_PKG_VERSION")))
    );
    let help = folder.run(&["--help"], &[]);
    assert_eq!(help.code, Some(0));
    for flag in [
        "--config",
        "--listen",
        "--admin",
        "--upstream",
        "--log",
        "--check",
        "--print-config",
    ] {
        assert!(help.stdout.contains(flag), "{flag} in {}", help.stdout);
    }
}

#[test]
fn check_reads_the_tls_files() {
    let folder = Folder::new();
    let mine = rcgen::generate_simple_self_signed(["localhost".to_owned()])
        .expect("a certificate can be made");
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()])
        .expect("a certificate can be made");
    folder.write("mine.crt", &mine.cert.pem());
    folder.write("mine.key", &mine.signing_key.serialize_pem());
    folder.write("other.key", &other.signing_key.serialize_pem());
    folder.write("empty.key", "");
    for (certificate, key, wrong) in [
        ("mine.crt", "mine.key", None),
        ("missing.crt", "mine.key", Some("listen.tls.certificate: ")),
        ("mine.key", "mine.key", Some("listen.tls.certificate: ")),
        ("mine.crt", "empty.key", Some("listen.tls.key: ")),
        ("mine.crt", "other.key", Some("listen.tls.key: ")),
    ] {
        folder.write(
            "tls.toml",
            &format!("[listen]\ntls = {{ certificate = {certificate:?}, key = {key:?} }}\n"),
        );
        let outcome = folder.run(&["--config", "tls.toml", "--check"], &[]);
        match wrong {
            None => assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), "")),
            Some(place) => {
                assert_eq!(outcome.code, Some(64), "{certificate} {key}");
                assert!(
                    outcome
                        .stderr
                        .starts_with(&format!("smeuse: tls.toml: {place}")),
                    "{}",
                    outcome.stderr
                );
            }
        }
        let printed = folder.run(&["--config", "tls.toml", "--print-config"], &[]);
        assert_eq!(
            printed.code,
            Some(0),
            "the settings of another machine can be looked at: {}",
            printed.stderr
        );
    }
}

#[test]
fn a_failed_start_ends_with_1() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port can be had");
    let address = taken.local_addr().expect("it has an address").to_string();
    let outcome = Folder::new().run(&["--listen", &address, "--admin", "127.0.0.1:0"], &[]);
    assert_eq!(
        outcome.code,
        Some(1),
        "{} {}",
        outcome.stdout,
        outcome.stderr
    );
    assert!(outcome.stderr.contains(&address), "{}", outcome.stderr);
}

#[test]
fn a_closed_standard_output_is_no_reason_to_fail() {
    let folder = Folder::new();
    for arguments in [["--check"], ["--print-config"], ["--help"]] {
        let mut child = folder.start(&arguments, &[]);
        drop(child.stdout.take());
        let stderr = collect(child.stderr.take().expect("it is piped"));
        assert_eq!(wait(&mut child), Some(0), "{arguments:?}");
        assert_eq!(stderr.join().expect("it is text"), "", "{arguments:?}");
    }
}

/// Ends the child if it does not end by itself.
#[track_caller]
fn wait(child: &mut Child) -> Option<i32> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            return status.code();
        }
        if started.elapsed() > DEADLINE {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the process goes on");
        }
        thread::sleep(POLL);
    }
}

fn collect(mut source: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        source.read_to_string(&mut text).expect("it is text");
        text
    })
}

/// Generous, because suites share a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(3);
