//! A RabbitMQ node of a test's own, which it may kill, stop for a while and revive.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use super::process;

/// A private node; it is stopped when this is dropped.
pub(crate) struct Node {
    purpose: String,
    uri: String,
}

impl Node {
    #[track_caller]
    pub(crate) fn start() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let purpose = format!("it-node-{}-{count}", std::process::id());
        let uri = scripted(&["start", &purpose]);
        Self { purpose, uri }
    }

    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    /// Ends it with SIGKILL, and waits until it is gone.
    #[track_caller]
    pub(crate) fn kill(&self) {
        scripted(&["kill", &self.purpose]);
    }

    /// Starts it again on the same port.
    #[track_caller]
    pub(crate) fn revive(&self) {
        scripted(&["revive", &self.purpose]);
    }

    /// Sends it a signal, such as `STOP`.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let state = folder()
            .join(format!("rabbitmq-{}", self.purpose))
            .join("state");
        let state = std::fs::read_to_string(state).expect("scripts/broker keeps a state");
        let pid = state
            .lines()
            .find_map(|line| line.strip_prefix("broker_pid="));
        let pid = pid.and_then(|pid| pid.trim_matches(['\'', '"']).parse().ok());
        process::signal(pid.expect("the id of its process"), name);
    }

    /// Runs `rabbitmqctl`.
    #[track_caller]
    pub(crate) fn control(&self, words: &[&str]) -> String {
        scripted(&[&["ctl", &self.purpose], words].concat())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let stopped = Command::new(script())
            .args(["stop", &self.purpose])
            .status();
        if stopped.is_ok_and(|status| status.success()) {
            let folder = folder().join(format!("rabbitmq-{}", self.purpose));
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

#[track_caller]
fn scripted(words: &[&str]) -> String {
    let output = Command::new(script()).args(words).output();
    let output = output.expect("scripts/broker can be started");
    assert!(
        output.status.success(),
        "scripts/broker {words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/broker")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target")
}
