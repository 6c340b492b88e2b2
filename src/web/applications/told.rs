//! Answers that had begun and cannot be finished: the browser can only be cut off, so the log says why.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tracing::info;

use crate::web::applications::metrics::Counts;
use crate::web::applications::Application;

/// Who gets an answer: whom the log names.
pub(super) struct Recipient {
    application: Arc<Application>,
    client: SocketAddr,
    path: String,
}

impl Recipient {
    /// The client that asked for this path.
    pub(super) fn new(application: &Arc<Application>, client: SocketAddr, path: &str) -> Self {
        Self {
            application: Arc::clone(application),
            client,
            path: shown(path),
        }
    }

    /// What counts the answer.
    pub(super) fn counts(&self) -> &Counts {
        &self.application.counts
    }

    /// Counts and tells that the answer ends before its end.
    pub(super) fn cut_off(&self, code: &'static str, error: &io::Error) {
        self.counts().failed(code);
        info!(
            application = self.application.config.name,
            client = %self.client,
            path = self.path,
            code,
            detail = %error,
            "answer cut off"
        );
    }
}

/// As much of a path as a log line shows.
pub(super) fn shown(path: &str) -> String {
    path.chars().take(SHOWN).collect()
}

/// Characters of a path in a log line.
const SHOWN: usize = 100;
