//! A password as the users file keeps it: a PHC string of argon2id (RFC 9106).

use std::fmt;

use argon2::Algorithm;
use argon2::Argon2;
use argon2::Block;
use argon2::Params;
use argon2::PasswordHash;
use argon2::Version;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use base64::Engine;
use subtle::ConstantTimeEq;
use tracing::error;

/// The hash of one password.
pub(super) struct Hash {
    cost: Cost,
    salt: Box<[u8]>,
    output: Box<[u8]>,
}

impl Hash {
    /// Reads a PHC string: `$argon2id$v=19$m=...,t=...,p=...$salt$hash`.
    ///
    /// # Errors
    /// What is wrong with it, without any of it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with("$argon2id$") {
            return Err("is not an argon2id hash; `smeuse hash-password` makes one".to_owned());
        }
        let phc = PasswordHash::new(text)
            .map_err(|error| format!("is a damaged argon2id hash: {error}"))?;
        if phc.version != Some(Version::V0x13.into()) {
            return Err("is not of argon2's version 19".to_owned());
        }
        let (Some(salt), Some(output)) = (&phc.salt, &phc.hash) else {
            return Err("is a damaged argon2id hash: it ends too early".to_owned());
        };
        if ["m", "t", "p"]
            .iter()
            .any(|name| phc.params.get(*name).is_none())
        {
            return Err("does not name m, t and p".to_owned());
        }
        let params = Params::try_from(&phc)
            .map_err(|error| format!("has parameters that argon2 does not know: {error}"))?;
        Ok(Self {
            cost: Cost::of(&params)?,
            salt: salt.as_ref().into(),
            output: output.as_bytes().into(),
        })
    }

    /// A hash that is no password's, and costs as much to compare with as another one of this cost.
    pub(super) fn of_nobody(cost: Cost) -> Self {
        Self {
            cost,
            salt: [0; SALT_BYTES].into(),
            output: [0; OUTPUT_BYTES].into(),
        }
    }

    /// What a comparison costs.
    pub(super) fn cost(&self) -> Cost {
        self.cost
    }

    /// Whether this is the password. Expensive.
    pub(super) fn matches(&self, password: &str) -> bool {
        let mut output = vec![0; self.output.len()];
        match compute(self.cost, password, &self.salt, &mut output) {
            Ok(()) => output.ct_eq(&self.output).into(),
            Err(error) => {
                error!(detail = %error, "a password cannot be checked, and counts as wrong");
                false
            }
        }
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({:?}, ***)", self.cost)
    }
}

/// What a comparison costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Cost {
    /// Memory in KiB.
    m: u32,
    /// Passes over it.
    t: u32,
    /// Lanes; they are computed one after the other.
    p: u32,
}

impl Cost {
    /// The parameters of new hashes: OWASP's advice for argon2id, the variant of 19 MiB.
    pub(super) const NEW: Self = Self {
        m: 19 * 1024,
        t: 2,
        p: 1,
    };

    fn of(params: &Params) -> Result<Self, String> {
        let cost = Self {
            m: params.m_cost(),
            t: params.t_cost(),
            p: params.p_cost(),
        };
        for (name, value, max) in [
            ("m", cost.m, M_MAX_KIB),
            ("t", cost.t, T_MAX),
            ("p", cost.p, P_MAX),
        ] {
            if value > max {
                return Err(format!("is too costly: {name} is {value}, at most {max}"));
            }
        }
        Ok(cost)
    }
}

/// A new hash of a password, as a PHC string. Expensive.
///
/// # Errors
/// If there is no memory for it.
pub(super) fn make(password: &str, salt: &[u8; SALT_BYTES]) -> Result<String, String> {
    make_with(Cost::NEW, password, salt)
}

fn make_with(cost: Cost, password: &str, salt: &[u8; SALT_BYTES]) -> Result<String, String> {
    let mut output = [0; OUTPUT_BYTES];
    compute(cost, password, salt, &mut output)?;
    let Cost { m, t, p } = cost;
    let salt = STANDARD_NO_PAD.encode(salt);
    let output = STANDARD_NO_PAD.encode(output);
    Ok(format!("$argon2id$v=19$m={m},t={t},p={p}${salt}${output}"))
}

/// Hashes, in memory that goes back to the operating system afterwards.
fn compute(cost: Cost, password: &str, salt: &[u8], output: &mut [u8]) -> Result<(), String> {
    let params = Params::new(cost.m, cost.t, cost.p, Some(output.len()))
        .map_err(|error| error.to_string())?;
    let blocks = params.block_count();
    let mut memory = Vec::new();
    memory
        .try_reserve_exact(blocks.max(MAPPED_BLOCKS))
        .map_err(|error| error.to_string())?;
    memory.resize(blocks, Block::new());
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password.as_bytes(), salt, output, &mut memory[..])
        .map_err(|error| error.to_string())
}

const SALT_BYTES: usize = 16;
const OUTPUT_BYTES: usize = 32;

/// What glibc allocates in a mapping of its own whatever was allocated before (32 MiB, `mallopt(3)`). Below that it
/// comes to take such memory from the heap, and there the alignment of blocks leaves a piece too many: each thread
/// keeps up to eight or eleven times the memory of one hash. Pages that are not written to cost nothing.
const MAPPED_BLOCKS: usize = 33 * 1024 * 1024 / Block::SIZE;

/// What one login may make the gateway allocate.
const M_MAX_KIB: u32 = 1024 * 1024;
/// Passes beyond this take minutes with much memory, and help less than more memory does.
const T_MAX: u32 = 100;
/// Lanes beyond the cores of a common machine only make the guesser's work easier.
const P_MAX: u32 = 16;

/// A hash that costs as little as argon2 allows.
#[cfg(test)]
pub(super) fn cheap(password: &str) -> String {
    make_with(Cost { m: 8, t: 1, p: 1 }, password, b"salt of the test").unwrap()
}

#[cfg(test)]
mod tests;
