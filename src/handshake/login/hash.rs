//! A password as the users file keeps it: a PHC string of argon2id (RFC 9106).

use std::fmt;

use argon2::password_hash::phc::Output;
use argon2::password_hash::phc::ParamsString;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::phc::Salt;
use argon2::Algorithm;
use argon2::Argon2;
use argon2::Params;
use argon2::PasswordHasher;
use argon2::PasswordVerifier;
use argon2::Version;
use argon2::ARGON2ID_IDENT;
use tracing::error;

/// The hash of one password.
pub(super) struct Hash {
    phc: PasswordHash,
    cost: Cost,
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
        if phc.salt.is_none() || phc.hash.is_none() {
            return Err("is a damaged argon2id hash: it ends too early".to_owned());
        }
        if ["m", "t", "p"]
            .iter()
            .any(|name| phc.params.get(*name).is_none())
        {
            return Err("does not name m, t and p".to_owned());
        }
        let params = Params::try_from(&phc)
            .map_err(|error| format!("has parameters that argon2 does not know: {error}"))?;
        let cost = Cost::of(&params);
        cost.check()?;
        Ok(Self { phc, cost })
    }

    /// A hash that is no password's, and costs as much as one with these parameters.
    ///
    /// # Errors
    /// None with parameters of a hash that was read.
    pub(super) fn of_nobody(cost: Cost) -> Result<Self, String> {
        let salt = [0; Salt::RECOMMENDED_LENGTH];
        let output = [0; Params::DEFAULT_OUTPUT_LEN];
        let params = cost.params()?;
        Ok(Self {
            phc: PasswordHash {
                algorithm: ARGON2ID_IDENT,
                version: Some(Version::V0x13.into()),
                params: ParamsString::try_from(&params).map_err(|error| error.to_string())?,
                salt: Some(Salt::new(&salt).map_err(|error| error.to_string())?),
                hash: Some(Output::new(&output).map_err(|error| error.to_string())?),
            },
            cost,
        })
    }

    /// What a comparison costs.
    pub(super) fn cost(&self) -> Cost {
        self.cost
    }

    /// Whether this is the password. Expensive.
    pub(super) fn matches(&self, password: &str) -> bool {
        use argon2::password_hash::Error;
        match Argon2::default().verify_password(password.as_bytes(), &self.phc) {
            Ok(()) => true,
            Err(Error::PasswordInvalid) => false,
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

    fn of(params: &Params) -> Self {
        Self {
            m: params.m_cost(),
            t: params.t_cost(),
            p: params.p_cost(),
        }
    }

    fn params(self) -> Result<Params, String> {
        let output_len = Some(Params::DEFAULT_OUTPUT_LEN);
        Params::new(self.m, self.t, self.p, output_len).map_err(|error| error.to_string())
    }

    fn check(self) -> Result<(), String> {
        for (name, value, max) in [
            ("m", self.m, M_MAX_KIB),
            ("t", self.t, T_MAX),
            ("p", self.p, P_MAX),
        ] {
            if value > max {
                return Err(format!("is too costly: {name} is {value}, at most {max}"));
            }
        }
        Ok(())
    }
}

/// A new hash of a password, as a PHC string. Expensive.
///
/// # Errors
/// If there is no memory for it.
pub(super) fn make(password: &str, salt: &[u8; 16]) -> Result<String, String> {
    make_with(Cost::NEW, password, salt)
}

fn make_with(cost: Cost, password: &str, salt: &[u8; 16]) -> Result<String, String> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.params()?)
        .hash_password_with_salt(password.as_bytes(), salt)
        .map(|hash: PasswordHash| hash.to_string())
        .map_err(|error| error.to_string())
}

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
