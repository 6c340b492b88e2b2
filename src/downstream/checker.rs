//! Checking credentials: dear on purpose, so it happens beside the workers' threads, few at a time, and with a queue
//! that has an end.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task;
use tracing::error;

use crate::handshake::extended::Verdict;
use crate::handshake::login;
use crate::handshake::login::Credentials;
use crate::handshake::Login;

/// The place where credentials are checked; one per process.
#[derive(Debug)]
pub struct Checker {
    places: Arc<Semaphore>,
    /// Those that are being checked, and those that wait.
    present: AtomicUsize,
}

impl Default for Checker {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            // One core is left for the sessions that are open.
            places: Arc::new(Semaphore::new(cores.saturating_sub(1).max(1))),
            present: AtomicUsize::new(0),
        }
    }
}

impl Checker {
    /// Checks credentials. [`Verdict::Unavailable`] at once where [`PRESENT_MAX`] others are there already.
    pub async fn check(&self, login: Arc<Login>, credentials: Credentials) -> Verdict {
        let Some(_present) = self.enter() else {
            return Verdict::Unavailable;
        };
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
            return Verdict::Unavailable;
        };
        let checked = task::spawn_blocking(move || {
            // Held by the work and not by who waits for it: a client that leaves does not make room for the next one.
            let _place = place;
            login.verify(&credentials)
        });
        match checked.await {
            Ok(login::Verdict::Accepted(principal)) => Verdict::Accepted(principal),
            Ok(login::Verdict::Refused) => Verdict::Refused,
            Ok(login::Verdict::Forbidden(_)) => Verdict::Forbidden,
            Err(error) => {
                error!(%error, "credentials could not be checked");
                Verdict::Unavailable
            }
        }
    }

    fn enter(&self) -> Option<Present<'_>> {
        let present = Present(&self.present);
        (self.present.fetch_add(1, Ordering::Relaxed) < PRESENT_MAX).then_some(present)
    }
}

struct Present<'a>(&'a AtomicUsize);

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Credentials that are checked or wait: a few seconds' work. Who comes later is better off trying again.
const PRESENT_MAX: usize = 64;
