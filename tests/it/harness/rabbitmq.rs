//! A real RabbitMQ: the one the environment names, or a private node started by `scripts/broker` and stopped when the
//! last test lets it go.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::Weak;

use super::negotiation::Login;

/// The variable with the URI of a broker that tests may use as they like.
const VARIABLE: &str = "SMEUSE_TEST_AMQP_URL";

/// A broker that runs as long as somebody holds this.
pub(crate) struct RabbitMq {
    uri: String,
    /// What `scripts/broker` knows it by, if it was started here and so is ours to stop.
    purpose: Option<String>,
}

impl RabbitMq {
    /// The broker all tests of this process share.
    ///
    /// # Panics
    /// There is none and none can be started; says how to run one.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<RabbitMq>> = Mutex::new(Weak::new());
        let mut shared = SHARED
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(broker) = shared.upgrade() {
            return broker;
        }
        let broker = Arc::new(Self::find_or_start());
        *shared = Arc::downgrade(&broker);
        broker
    }

    /// A node that no other test uses, whatever the environment names: to be administered, killed and revived.
    pub(crate) fn private() -> Self {
        Self::start()
    }

    /// `rabbitmqctl` on a private node.
    #[track_caller]
    pub(crate) fn ctl(&self, arguments: &[&str]) {
        self.script("ctl", arguments);
    }

    /// SIGKILL for a private node.
    #[track_caller]
    pub(crate) fn kill(&self) {
        self.script("kill", &[]);
    }

    /// Starts a private node again that was killed, at the same address and with the data it had.
    #[track_caller]
    pub(crate) fn revive(&self) {
        self.script("revive", &[]);
    }

    /// A signal for a private node, such as STOP, after which its sockets take bytes and nobody answers.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let purpose = self.purpose.as_deref().expect("a private node");
        let state = package()
            .join("target")
            .join(format!("rabbitmq-{purpose}"))
            .join("state");
        let state = fs::read_to_string(state).expect("the node's state");
        let pid = state
            .lines()
            .find_map(|line| line.strip_prefix("broker_pid="))
            .and_then(|pid| pid.parse().ok());
        super::process::signal(pid.expect("the node's process"), name);
    }

    #[track_caller]
    fn script(&self, command: &str, arguments: &[&str]) {
        let purpose = self.purpose.as_deref().expect("a private node");
        let output = Command::new(script())
            .args([command, purpose])
            .args(arguments)
            .output()
            .expect("scripts/broker can be started");
        assert!(
            output.status.success(),
            "{command} {arguments:?}: {output:?}"
        );
    }

    /// `host:port`, as the gateway names it.
    pub(crate) fn name(&self) -> &str {
        let rest = self.uri.rsplit_once('@').map_or("", |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default()
    }

    /// `amqp://user:password@host:port`, with or without a vhost.
    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    /// `host:port` of the URI.
    pub(crate) fn address(&self) -> &str {
        let rest = self.uri.split_once("://").map_or("", |(_, rest)| rest);
        let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        rest.split_once('/').map_or(rest, |(host, _)| host)
    }

    /// The URI's login, for a client that logs in itself; RabbitMQ's default user where the URI names none.
    pub(crate) fn login(&self) -> Login {
        let rest = self.uri.split_once("://").map_or("", |(_, rest)| rest);
        let (user, password) = rest
            .split_once('@')
            .and_then(|(account, _)| account.split_once(':'))
            .unwrap_or(("guest", "guest"));
        let vhost = rest
            .split_once('/')
            .map(|(_, vhost)| vhost)
            .filter(|vhost| !vhost.is_empty());
        let vhost = vhost.unwrap_or("/").replace("%2f", "/").replace("%2F", "/");
        Login {
            response: format!("\0{user}\0{password}").into_bytes(),
            vhost,
            ..Login::default()
        }
    }

    fn find_or_start() -> Self {
        if let Ok(uri) = std::env::var(VARIABLE) {
            return Self { uri, purpose: None };
        }
        Self::start()
    }

    fn start() -> Self {
        let script = script();
        let purpose = new_purpose();
        assert!(
            script.exists(),
            "no RabbitMQ to test with: set {VARIABLE} to its URI (amqp://user:password@host:port), \
             or run `make test`, which starts one"
        );
        let output = Command::new(&script)
            .args(["start", &purpose])
            .output()
            .expect("scripts/broker can be started");
        let uri = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(
            output.status.success() && uri.starts_with("amqp://"),
            "scripts/broker could not start RabbitMQ ({}): {uri} {}\nset {VARIABLE} to use another",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Self {
            uri,
            purpose: Some(purpose),
        }
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        let Some(purpose) = &self.purpose else {
            return;
        };
        let stopped = Command::new(script()).args(["stop", purpose]).status();
        // What is left of a node that could not be stopped may say why.
        if stopped.is_ok_and(|status| status.success()) {
            let folder = package().join("target").join(format!("rabbitmq-{purpose}"));
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// Names a private node and its folder. Never the same twice: test processes may run side by side, and a node may
/// still be stopping when the next one starts.
fn new_purpose() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("integration-{}-{count}", std::process::id())
}

fn script() -> PathBuf {
    package().join("scripts/broker")
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
