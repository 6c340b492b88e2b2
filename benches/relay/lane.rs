//! A lane: one of the ways to a broker that are measured side by side.

use std::io;
use std::time::Duration;

use crate::client::Account;
use crate::client::Client;
use crate::client::Way;
use crate::process::Process;

/// One way to a broker, and the process in between, if there is one.
pub(crate) struct Lane {
    pub(crate) way: Way,
    pub(crate) account: Account,
    pub(crate) process: Option<Process>,
    /// A real broker keeps messages in a queue; the sink makes them up.
    pub(crate) real: bool,
}

impl Lane {
    /// Opens a session that may take `buffer` bytes with one read.
    pub(crate) fn open(&self, buffer: usize) -> io::Result<Client> {
        Client::open(self.way, &self.account, buffer)
    }

    /// CPU of the process in between; none for the direct lane.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        self.process
            .as_ref()
            .map_or(Ok(Duration::ZERO), Process::cpu)
    }

    /// The most messages of a size to leave in a real broker's queue.
    pub(crate) fn most(&self, size: usize) -> u64 {
        if self.real {
            (REAL_BYTES / size as u64).min(REAL_MESSAGES)
        } else {
            u64::MAX
        }
    }
}

/// No alarm of a real broker shall go off, and none shall be at work for long after the publishing has ended: the sockets
/// between hold far more small publishes than it takes in a second.
const REAL_BYTES: u64 = 16 * 1024 * 1024;
const REAL_MESSAGES: u64 = 20_000;
