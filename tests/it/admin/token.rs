//! The token of the admin listener: asked for everywhere but by probes, shown by programs in a header and by browsers in
//! a form, read again on SIGHUP.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::gateway::Gateway;
use crate::harness::operator::Ask;
use crate::harness::operator::Viewer;
use crate::harness::operator::LIVE;
use crate::harness::wait_until;
use crate::harness::DEADLINE;

const TOKEN: &str = "token-of-the-operators";

/// A token in a file of its own, and the gateway that asks for it.
struct Asking {
    file: PathBuf,
    gateway: Gateway,
}

impl Asking {
    fn start(name: &str) -> Self {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("it-{}-{name}.token", std::process::id()));
        fs::write(&file, format!("{TOKEN}\n")).expect("the token can be written");
        let admin = format!("[admin]\ntoken_file = {file:?}\n");
        let gateway = Gateway::start(&(admin + &configuration::echo()));
        Self { file, gateway }
    }

    fn refusals(&self, reason: &str) -> f64 {
        let page = Ask::new("GET", "/metrics")
            .bearer(TOKEN)
            .send(&self.gateway);
        let metrics = crate::harness::metrics::Metrics::parse(&page.body);
        metrics.value(&format!(
            "smeuse_admin_refusals_total{{reason=\"{reason}\"}}"
        ))
    }

    /// Logs in as a browser does, and gives its cookie.
    fn cookie(&self) -> String {
        let own = format!("http://{}", self.gateway.private());
        let form = Ask::new("POST", "/login").with("Origin", &own);
        let answer = form
            .form(&format!("user=operator&token={TOKEN}"))
            .send(&self.gateway);
        assert_eq!(answer.status, 303, "{answer:?}");
        assert_eq!(answer.header("Location"), Some("/"));
        let cookie = answer.header("Set-Cookie").expect("a cookie");
        let mut parts = cookie.split("; ");
        let pair = parts.next().expect("name and value").to_owned();
        let attributes: Vec<_> = parts.collect();
        assert_eq!(
            attributes,
            ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"]
        );
        let port = self.gateway.private().port();
        let value = pair.strip_prefix(&format!("smeuse-admin-{port}="));
        let value = value.expect("a name of its own for each port");
        assert!(value.len() == 64 && !value.contains(TOKEN), "{value}");
        pair
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

#[test]
fn everything_but_the_probes_asks_for_the_token() {
    let asking = Asking::start("asks");
    let gateway = &asking.gateway;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(Ask::new("GET", path).send(gateway).status, 200, "{path}");
    }
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/live"),
        ("GET", "/live/live.js"),
        ("GET", LIVE),
        ("GET", "/metrics"),
        ("GET", "/sessions"),
        ("DELETE", "/sessions/0000000000000000"),
        ("POST", "/logout"),
        ("GET", "/nowhere"),
    ] {
        let answer = Ask::new(method, path).send(gateway);
        assert_eq!(answer.status, 401, "{method} {path}");
        let challenge = answer.header("WWW-Authenticate");
        assert_eq!(challenge, Some("Bearer realm=\"smeuse\""), "{path}");
        let known = Ask::new(method, path).bearer(TOKEN).send(gateway);
        assert_ne!(known.status, 401, "{method} {path}");
    }
    assert_eq!(asking.refusals("credentials_required"), 9.0);
    let mut page = Client::connect(gateway.private());
    page.send(&Viewer::opening(gateway).bytes());
    assert_eq!(page.response().status, 401);
    let bearer = format!("Bearer {TOKEN}");
    let opening = Viewer::opening(gateway).with("Authorization", &bearer);
    Viewer::open_by(gateway, &opening).read();
    // Not a page's doing, whatever it calls itself.
    let elsewhere = Ask::new("GET", "/metrics").with("Host", "metrics.example");
    assert_eq!(elsewhere.bearer(TOKEN).send(gateway).status, 200);
}

#[test]
fn a_wrong_token_is_answered_late_and_counted_and_never_shown() {
    let asking = Asking::start("wrong");
    let started = Instant::now();
    let wrong = Ask::new("GET", "/metrics").bearer("token-of-somebody-else");
    assert_eq!(wrong.send(&asking.gateway).status, 401);
    assert!(started.elapsed() >= Duration::from_millis(950));
    let form = Ask::new("POST", "/login").form("token=token-of-somebody-else");
    let form = form.send(&asking.gateway);
    assert_eq!(form.status, 401);
    assert!(form.body.contains("role=\"alert\""), "{form:?}");
    assert!(form.header("Set-Cookie").is_none());
    asking.gateway.log_line("operator login refused", |line| {
        line["operator"] == "127.0.0.1"
    });
    assert_eq!(asking.refusals("credentials_wrong"), 2.0);
    asking.cookie();
    let shown = format!("{:?}{}", asking.gateway.log(), form.body);
    for secret in [TOKEN, "token-of-somebody-else"] {
        assert!(!shown.contains(secret), "{secret} is shown");
    }
}

/// Who guesses from one address waits, and is not heard meanwhile.
#[test]
fn guessing_is_slow() {
    let asking = Asking::start("guess");
    let gateway = &asking.gateway;
    let statuses: Vec<u16> = thread::scope(|scope| {
        let guess = |number: usize| {
            move || {
                let guess = format!("token-number-{number:08}");
                Ask::new("GET", "/sessions")
                    .bearer(&guess)
                    .send(gateway)
                    .status
            }
        };
        let guesses: Vec<_> = (0..12).map(|number| scope.spawn(guess(number))).collect();
        guesses
            .into_iter()
            .map(|guess| guess.join().expect("an answer"))
            .collect()
    });
    let count = |status: u16| statuses.iter().filter(|other| **other == status).count();
    assert_eq!(count(401) + count(429), 12, "{statuses:?}");
    assert!(count(429) >= 1, "{statuses:?}");
    let right = || {
        Ask::new("GET", "/sessions")
            .bearer(TOKEN)
            .send(gateway)
            .status
    };
    wait_until("the right token to be heard again", DEADLINE, || {
        right() == 200
    });
    assert_eq!(asking.refusals("too_many_guesses"), count(429) as f64);
}

/// A browser shows the token once, in a form, and has a cookie from then on, until it logs out.
#[test]
fn a_browser_logs_in_by_a_form_and_out_again() {
    let asking = Asking::start("form");
    let gateway = &asking.gateway;
    let page = Ask::new("GET", "/").send(gateway);
    assert_eq!(page.status, 401);
    assert!(page.body.contains("action=\"/login\""), "{page:?}");
    let policy = page.header("Content-Security-Policy").expect("a policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );

    let cookie = asking.cookie();
    let with_cookie = |path: &str| Ask::new("GET", path).with("Cookie", &format!("a=b; {cookie}"));
    for path in ["/", "/live/live.js", "/sessions", "/metrics"] {
        assert_eq!(with_cookie(path).send(gateway).status, 200, "{path}");
    }
    // The cookie is not the token, and the token is no cookie.
    let value = cookie.split_once('=').expect("a pair").1;
    assert_eq!(
        Ask::new("GET", "/sessions")
            .bearer(value)
            .send(gateway)
            .status,
        401
    );
    // Under a name that is not ours a cookie opens nothing: it would be a page of that name that asks.
    assert_eq!(
        with_cookie("/sessions")
            .with("Host", "evil.example")
            .send(gateway)
            .status,
        421
    );

    let opening = Viewer::opening(gateway).with("Cookie", &cookie);
    let mut viewer = Viewer::open_by(gateway, &opening);
    let push = viewer.read();
    assert_eq!(push["own"]["start"]["has_login"], true);
    viewer.take(&push);
    let out = Ask::new("POST", "/logout")
        .with("Cookie", &cookie)
        .send(gateway);
    assert_eq!(out.status, 303);
    assert_eq!(with_cookie("/sessions").send(gateway).status, 401);
    let closed = viewer.0.read_to_close();
    assert_eq!(closed.code, Some(4401), "{closed:?}");
}

/// A file that is no token, or a name that is none, is refused at the start with its key.
#[test]
fn what_cannot_be_a_token_or_a_name_is_refused_at_the_start() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let short = folder.join(format!("it-{}-short.token", std::process::id()));
    fs::write(&short, "fifteen-letters\n").expect("the token can be written");
    let short = short.to_str().expect("UTF-8");
    for (variable, value, key) in [
        ("SMEUSE__ADMIN__TOKEN_FILE", short, "admin.token_file"),
        (
            "SMEUSE__ADMIN__TOKEN_FILE",
            "/nowhere/token",
            "admin.token_file",
        ),
        (
            "SMEUSE__ADMIN__HOSTS",
            "['http://ops.example.com']",
            "admin.hosts",
        ),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smeuse"));
        let command = command
            .current_dir(&folder)
            .arg("--check")
            .env(variable, value);
        let output = command.output().expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{value}");
        assert!(
            said.contains(key) && !said.contains("fifteen-letters"),
            "{said}"
        );
    }
    let _ = fs::remove_file(short);
}

/// SIGHUP: another token ends what the last one opened; a file that is no token changes nothing.
#[test]
fn another_token_is_read_on_sighup() {
    let asking = Asking::start("reload");
    let gateway = &asking.gateway;
    let cookie = asking.cookie();
    let status = |token: &str| {
        Ask::new("GET", "/sessions")
            .bearer(token)
            .send(gateway)
            .status
    };
    let status_of_cookie = || {
        let ask = Ask::new("GET", "/sessions").with("Cookie", &cookie);
        ask.send(gateway).status
    };
    fs::write(&asking.file, "short").expect("written");
    gateway.signal("HUP");
    let failed = gateway.log_line("reload failed, the old setting stays", |_| true);
    let detail = failed["detail"].as_str().expect("a reason");
    assert!(detail.contains("admin.token_file: "), "{detail}");
    assert_eq!((status(TOKEN), status_of_cookie()), (200, 200));

    let opening = Viewer::opening(gateway).with("Cookie", &cookie);
    let mut viewer = Viewer::open_by(gateway, &opening);
    viewer.read();
    fs::write(&asking.file, "another-token-of-operators").expect("written");
    gateway.signal("HUP");
    gateway.log_line("reloaded", |_| true);
    assert_eq!((status(TOKEN), status_of_cookie()), (401, 401));
    assert_eq!(status("another-token-of-operators"), 200);
    assert_eq!(viewer.0.read_to_close().code, Some(4401));
}
