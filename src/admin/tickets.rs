//! What the private listener knows of browsers that have logged in, and of those that guess: values, which are told the
//! time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;
use std::time::Instant;

use crate::downstream::address::limit_key;

/// The hash of a secret: what is kept of it.
pub type Digest = [u8; 32];

/// Browsers that have logged in, each by the hash of what its cookie says.
#[derive(Debug, Default)]
pub struct Tickets(HashMap<Digest, Instant>);

impl Tickets {
    /// Good from now on, for [`LIFE`]. If there are too many, the one that would end first ends now.
    pub fn add(&mut self, ticket: Digest, now: Instant) {
        self.0.retain(|_, until| *until > now);
        if self.0.len() >= MOST_TICKETS {
            let first = self.0.iter().min_by_key(|(_, until)| **until);
            if let Some(first) = first.map(|(ticket, _)| *ticket) {
                self.0.remove(&first);
            }
        }
        self.0.insert(ticket, now + LIFE);
    }

    /// Whether it is good.
    pub fn has(&self, ticket: &Digest, now: Instant) -> bool {
        self.0.get(ticket).is_some_and(|until| *until > now)
    }

    /// No good from now on.
    pub fn remove(&mut self, ticket: &Digest) {
        self.0.remove(ticket);
    }

    /// None is good any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// Wrong tokens whose answers are being held back, by the address they came from.
#[derive(Debug, Default)]
pub struct Guesses(HashMap<IpAddr, usize>);

impl Guesses {
    /// Whether this address has to wait for answers before it is heard again.
    pub fn has_too_many(&self, address: IpAddr) -> bool {
        let of_address = self.0.get(&limit_key(address)).copied();
        of_address.unwrap_or_default() >= MOST_GUESSES
    }

    /// Whether a guess of this address can be counted: there is room for many addresses, but not for all.
    pub fn has_room_for(&self, address: IpAddr) -> bool {
        self.0.len() < MOST_GUESSERS || self.0.contains_key(&limit_key(address))
    }

    /// One answer more is held back.
    pub fn begin(&mut self, address: IpAddr) {
        *self.0.entry(limit_key(address)).or_default() += 1;
    }

    /// It was given.
    pub fn end(&mut self, address: IpAddr) {
        let address = limit_key(address);
        if let Some(count) = self.0.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&address);
            }
        }
    }
}

/// A working day; whoever stays longer types the token again.
pub const LIFE: Duration = Duration::from_secs(12 * 60 * 60);

/// Browsers that can be logged in at the same time.
const MOST_TICKETS: usize = 64;

/// With one second for each answer, four guesses a second: nothing against a token of 16 characters, and room for a
/// person who mistypes.
const MOST_GUESSES: usize = 4;

/// Addresses whose guesses are counted at the same time.
pub(super) const MOST_GUESSERS: usize = 4096;

#[cfg(test)]
mod tests;
