//! A real RabbitMQ: the one the environment names, or a private node started by `scripts/broker` and stopped when the
//! last test lets it go.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::Weak;

use super::negotiation::Login;

/// The variable with the URI of a broker that tests may use as they like.
const VARIABLE: &str = "SMEUSE_TEST_AMQP_URL";

/// The name of the private node; it also names its folder under `target/`.
const PURPOSE: &str = "integration";

/// A broker that runs as long as somebody holds this.
pub(crate) struct RabbitMq {
    uri: String,
    /// Whether it was started here, and so is ours to stop.
    ours: bool,
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

    /// `amqp://user:password@host:port`, with or without a vhost.
    pub(crate) fn uri(&self) -> &str {
        &self.uri
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
            return Self { uri, ours: false };
        }
        let script = script();
        assert!(
            script.exists(),
            "no RabbitMQ to test with: set {VARIABLE} to its URI (amqp://user:password@host:port), \
             or run `make test`, which starts one"
        );
        let output = Command::new(&script)
            .args(["start", PURPOSE])
            .output()
            .expect("scripts/broker can be started");
        let uri = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(
            output.status.success() && uri.starts_with("amqp://"),
            "scripts/broker could not start RabbitMQ ({}): {uri} {}\nset {VARIABLE} to use another",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Self { uri, ours: true }
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        if self.ours {
            let _ = Command::new(script()).args(["stop", PURPOSE]).status();
        }
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/broker")
}
