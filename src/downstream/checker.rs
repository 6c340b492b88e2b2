//! Checking credentials: dear on purpose, so it happens beside the workers' threads, few at a time, with a queue that
//! has an end and a share of it for each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task;
use tokio::time;
use tracing::error;

use crate::handshake::extended::Verdict;
use crate::handshake::login;
use crate::handshake::login::Credentials;
use crate::handshake::Login;

/// The place where credentials are checked; one per process.
#[derive(Debug)]
pub struct Checker {
    places: Arc<Semaphore>,
    /// Those that are being checked, those that wait, and those whose wrong answer is held back, by address.
    present: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Default for Checker {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            // One core is left for the sessions that are open.
            places: Arc::new(Semaphore::new(cores.saturating_sub(1).max(1))),
            present: Arc::default(),
        }
    }
}

impl Checker {
    /// Checks credentials that a client at `address` (as
    /// [`limit_key`](crate::downstream::address::limit_key) names it) has sent.
    ///
    /// [`Verdict::Unavailable`] at once where [`PRESENT_MAX`] others are there already, or [`PRESENT_OF_ADDRESS`] of
    /// this address. [`Verdict::Refused`] comes after [`WRONG_DELAY`], for which the address keeps its place: that is
    /// the limit on guessing, whatever number of sessions it is spread over. `count` hears the verdict at once, and also
    /// where nobody waits for it any more.
    pub async fn check(
        &self,
        login: Arc<Login>,
        credentials: Credentials,
        address: IpAddr,
        count: impl FnOnce(&Verdict) + Send + 'static,
    ) -> Verdict {
        let Some(present) = self.enter(address) else {
            count(&Verdict::Unavailable);
            return Verdict::Unavailable;
        };
        let places = Arc::clone(&self.places);
        // A task of its own, which goes on when nobody waits for it any more: who hangs up has guessed all the same.
        let checked = task::spawn(async move {
            let verdict = if login.is_dear(&credentials) {
                check_dear(places, login, credentials).await
            } else {
                translated(login.verify(&credentials))
            };
            count(&verdict);
            if verdict == Verdict::Refused {
                time::sleep(WRONG_DELAY).await;
            }
            drop(present);
            verdict
        });
        checked.await.unwrap_or(Verdict::Unavailable)
    }

    fn enter(&self, address: IpAddr) -> Option<Present> {
        let mut present = lock(&self.present);
        let total: usize = present.values().sum();
        let of_address = present.get(&address).copied().unwrap_or_default();
        if total >= PRESENT_MAX || of_address >= PRESENT_OF_ADDRESS {
            return None;
        }
        present.insert(address, of_address + 1);
        Some(Present {
            present: Arc::clone(&self.present),
            address,
        })
    }
}

async fn check_dear(
    places: Arc<Semaphore>,
    login: Arc<Login>,
    credentials: Credentials,
) -> Verdict {
    let Ok(place) = places.acquire_owned().await else {
        return Verdict::Unavailable;
    };
    let checked = task::spawn_blocking(move || {
        // Held by the work and not by who waits for it.
        let _place = place;
        login.verify(&credentials)
    });
    match checked.await {
        Ok(verdict) => translated(verdict),
        Err(error) => {
            error!(%error, "credentials could not be checked");
            Verdict::Unavailable
        }
    }
}

fn lock(present: &Mutex<HashMap<IpAddr, usize>>) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    present.lock().unwrap_or_else(PoisonError::into_inner)
}

fn translated(verdict: login::Verdict) -> Verdict {
    match verdict {
        login::Verdict::Accepted(principal) => Verdict::Accepted(principal),
        login::Verdict::Refused => Verdict::Refused,
        login::Verdict::Forbidden(_) => Verdict::Forbidden,
    }
}

struct Present {
    present: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut present = lock(&self.present);
        let left = present.get(&self.address).map_or(0, |count| count - 1);
        if left == 0 {
            present.remove(&self.address);
        } else {
            present.insert(self.address, left);
        }
    }
}

/// Credentials that are checked or wait: a few seconds' work. Who comes later is better off trying again.
const PRESENT_MAX: usize = 64;

/// Of one address, so that it cannot keep all others from logging in; enough for the tabs of a browser that come back
/// together. With [`WRONG_DELAY`] it is also the number of guesses a second.
const PRESENT_OF_ADDRESS: usize = 8;

/// Nobody types a second time within a second.
const WRONG_DELAY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn an_address_has_its_share_and_all_have_a_limit() {
        let checker = Checker::default();
        let mut present: Vec<_> = (0..PRESENT_OF_ADDRESS)
            .map(|_| checker.enter(address(0)).unwrap())
            .collect();
        assert!(checker.enter(address(0)).is_none());
        for other in 1..u8::try_from(PRESENT_MAX / PRESENT_OF_ADDRESS).unwrap() {
            present.extend((0..PRESENT_OF_ADDRESS).map(|_| checker.enter(address(other)).unwrap()));
        }
        assert_eq!(present.len(), PRESENT_MAX);
        assert!(checker.enter(address(99)).is_none());
        present.remove(0);
        drop(checker.enter(address(99)).unwrap());
        drop(present);
        assert!(lock(&checker.present).is_empty());
    }
}
