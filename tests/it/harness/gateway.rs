//! The real gateway: the binary as a child process on ports of its own, its log lines and its metrics.

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Child;
use std::process::ChildStdout;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;

use super::http;
use super::http::Response;
use super::metrics::Metrics;
use super::process;
use super::wait_for;
use super::wait_until;
use super::DEADLINE;

/// A running gateway; it is ended when this is dropped, and its log is shown if the test fails.
pub(crate) struct Gateway {
    child: Child,
    configuration: PathBuf,
    log: Arc<Log>,
    public: SocketAddr,
    admin: SocketAddr,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<Value>>,
    ended: AtomicBool,
    grown: Condvar,
}

impl Gateway {
    /// Starts the gateway with this TOML text and waits until both listeners accept.
    #[track_caller]
    pub(crate) fn start(configuration: &str) -> Self {
        Self::start_with_environment(configuration, &[])
    }

    /// The same at an address that is known before.
    #[track_caller]
    pub(crate) fn start_at(configuration: &str, public: SocketAddr) -> Self {
        Self::spawn(configuration, &[], public)
    }

    /// The same with variables of the environment.
    #[track_caller]
    pub(crate) fn start_with_environment(
        configuration: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        Self::spawn(
            configuration,
            environment,
            SocketAddr::from(([127, 0, 0, 1], 0)),
        )
    }

    #[track_caller]
    fn spawn(configuration: &str, environment: &[(&str, &str)], public: SocketAddr) -> Self {
        let path = write_configuration(configuration);
        let mut command = Command::new(env!("CARGO_BIN_EXE_smeuse"));
        command.arg("--config").arg(&path);
        command.args(["--listen", &public.to_string(), "--admin", "127.0.0.1:0"]);
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("SMEUSE__") {
                command.env_remove(key);
            }
        }
        command
            .env_remove("AMQP_URL")
            .env_remove("PORT")
            .env("SMEUSE__LOG__FORMAT", "json");
        command.envs(environment.iter().copied());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let mut child = command.spawn().expect("the binary starts");

        let log = Arc::new(Log::default());
        let stdout = child.stdout.take().expect("stdout is piped");
        let writer = log.clone();
        std::thread::spawn(move || writer.follow(stdout));

        let unspecified = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut gateway = Self {
            child,
            configuration: path,
            log,
            public: unspecified,
            admin: unspecified,
        };
        let listening = gateway.log_line("listening", |_| true);
        gateway.public = address(&listening, "public");
        gateway.admin = address(&listening, "admin");
        gateway
    }

    /// Where WebSockets are opened.
    pub(crate) fn public(&self) -> SocketAddr {
        self.public
    }

    /// Where the private listener is.
    pub(crate) fn private(&self) -> SocketAddr {
        self.admin
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file it was started with, for tests that change it and send SIGHUP.
    pub(crate) fn configuration(&self) -> &PathBuf {
        &self.configuration
    }

    /// Every log line so far.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.log.lock().clone()
    }

    /// Every log line so far with this message.
    pub(crate) fn log_lines(&self, message: &str) -> Vec<Value> {
        self.log()
            .into_iter()
            .filter(|line| line["message"] == message)
            .collect()
    }

    /// Waits for a log line with this message that also satisfies `matches`, past ones included.
    #[track_caller]
    pub(crate) fn log_line(&self, message: &str, matches: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        let mut lines = self.log.lock();
        loop {
            let mut wanted = lines.iter().filter(|line| line["message"] == message);
            if let Some(line) = wanted.find(|line| matches(line)) {
                return line.clone();
            }
            let ended = self.log.ended.load(Ordering::Acquire);
            let left = DEADLINE.checked_sub(started.elapsed()).filter(|_| !ended);
            let Some(left) = left else {
                // A lock that is held while the test fails could not be taken to show the log.
                drop(lines);
                panic!("no such log line: {message:?} (the log has ended: {ended})");
            };
            lines = self.log.wait(lines, left);
        }
    }

    /// One request to the admin listener.
    #[track_caller]
    pub(crate) fn admin(&self, method: &str, path: &str) -> Response {
        http::request(self.admin, method, path).expect("the admin listener answers")
    }

    /// The ids of the sessions, as the admin listener shows them.
    #[track_caller]
    pub(crate) fn session_ids(&self) -> Vec<String> {
        let response = self.admin("GET", "/sessions");
        assert_eq!(response.status, 200, "{response:?}");
        let sessions: Vec<Value> =
            serde_json::from_str(&response.body).expect("/sessions is a JSON array");
        let id = |session: &Value| {
            session["id"]
                .as_str()
                .map_or_else(|| session["id"].to_string(), str::to_owned)
        };
        sessions.iter().map(id).collect()
    }

    /// Ends every session the way an operator does.
    #[track_caller]
    pub(crate) fn end_all_sessions(&self) {
        for id in self.session_ids() {
            assert_eq!(self.admin("DELETE", &format!("/sessions/{id}")).status, 204);
        }
    }

    /// Scrapes `/metrics`.
    #[track_caller]
    pub(crate) fn metrics(&self) -> Metrics {
        let response = self.admin("GET", "/metrics");
        assert_eq!(response.status, 200);
        Metrics::parse(&response.body)
    }

    /// The value of one series now; see [`Metrics::value`].
    #[track_caller]
    pub(crate) fn metric(&self, series: &str) -> f64 {
        self.metrics().value(series)
    }

    /// Waits until one series has this value.
    #[track_caller]
    pub(crate) fn wait_metric(&self, series: &str, value: f64) {
        self.wait_metric_until(series, |now| (now - value).abs() < f64::EPSILON);
    }

    /// Waits until one series satisfies a condition, and gives its value.
    #[track_caller]
    pub(crate) fn wait_metric_until(&self, series: &str, condition: impl Fn(f64) -> bool) -> f64 {
        let mut last = f64::NAN;
        let started = Instant::now();
        loop {
            last = if last.is_nan() {
                self.metric(series)
            } else {
                last
            };
            if condition(last) {
                return last;
            }
            assert!(started.elapsed() < DEADLINE, "{series} stays at {last}");
            std::thread::sleep(Duration::from_millis(5));
            last = self.metric(series);
        }
    }

    /// Waits until no session and no broker socket is left.
    #[track_caller]
    pub(crate) fn wait_nothing_left(&self) {
        wait_until("sessions and broker sockets to be gone", DEADLINE, || {
            let metrics = self.metrics();
            metrics.sum("smeuse_sessions") == 0.0
                && metrics.sum("smeuse_upstream_connections") == 0.0
        });
    }

    /// Resident memory in KiB.
    #[track_caller]
    pub(crate) fn rss_kib(&self) -> u64 {
        process::rss_kib(self.pid()).expect("the gateway is alive")
    }

    pub(crate) fn signal(&self, name: &str) {
        process::signal(self.pid(), name);
    }

    /// Waits for the process to end by itself.
    #[track_caller]
    pub(crate) fn exit_status(&mut self, deadline: Duration) -> ExitStatus {
        let child = &mut self.child;
        wait_for("the gateway to exit", deadline, || {
            child.try_wait().expect("the child can be waited for")
        })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let exited = self.child.try_wait().ok().flatten();
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.configuration);
        if std::thread::panicking() {
            eprintln!("---- the gateway's log (exited by itself: {exited:?}) ----");
            for line in self.log() {
                eprintln!("{line}");
            }
        }
    }
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Vec<Value>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'log>(
        &self,
        lines: MutexGuard<'log, Vec<Value>>,
        time: Duration,
    ) -> MutexGuard<'log, Vec<Value>> {
        self.grown
            .wait_timeout(lines, time)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    fn follow(&self, stdout: ChildStdout) {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let value = serde_json::from_str(&line)
                .unwrap_or_else(|_| serde_json::json!({ "not_json": line }));
            self.lock().push(value);
            self.grown.notify_all();
        }
        self.ended.store(true, Ordering::Release);
        self.grown.notify_all();
    }
}

/// A file of its own per gateway, in Cargo's folder for what integration tests write.
fn write_configuration(text: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("it-{}-{count}.toml", std::process::id()));
    fs::write(&path, text).expect("the configuration can be written");
    path
}

#[track_caller]
fn address(line: &Value, key: &str) -> SocketAddr {
    let text = line[key]
        .as_str()
        .unwrap_or_else(|| panic!("{line} does not name {key}"));
    text.parse()
        .unwrap_or_else(|_| panic!("{text} is no address"))
}
