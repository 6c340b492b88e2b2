//! Who a client is: the schemes by which a service asks, the credentials that answer, and the users file that decides.
//! A value; all that it asks of the machine is in `machine.rs`.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use arc_swap::ArcSwap;
use tracing::warn;

pub use config::Config;
pub use config::SchemeName;
pub use credentials::Credentials;
pub use credentials::Principal;
pub use credentials::Unreadable;

use scheme::Scheme;
use users::Users;

mod basic;
mod config;
mod credentials;
pub mod entry;
mod hash;
mod machine;
mod scheme;
mod token;
mod users;

/// The login of one service.
///
/// `read` and `challenges` cost nothing worth mention. [`verify`](Self::verify) takes tens of milliseconds of a
/// processor and tens of MiB of memory, so it belongs on a thread that may block, and few at a time.
#[derive(Debug)]
pub struct Login {
    schemes: Vec<Box<dyn Scheme>>,
    realm: String,
    file: PathBuf,
    allow: Option<Vec<String>>,
    attempts: NonZeroU32,
    users: ArcSwap<Users>,
}

impl Login {
    /// Reads the users file. What is odd in it but no error is logged as a warning.
    ///
    /// # Errors
    /// `key: reason`: what [`Config::validate`] finds, or `users: ` with the file, the line where it is known, and what
    /// is wrong there. Hashes are never part of it.
    pub fn load(config: &Config) -> Result<Self, String> {
        config.validate()?;
        let users = load_users(config.users.clone(), config.allow.as_deref())?;
        Ok(Self::new(config, users))
    }

    fn new(config: &Config, users: Users) -> Self {
        Self {
            schemes: config.schemes.iter().map(SchemeName::scheme).collect(),
            realm: config.realm.clone(),
            file: config.users.clone(),
            allow: config.allow.clone(),
            attempts: config.attempts,
            users: ArcSwap::from_pointee(users),
        }
    }

    /// Reads the users file again. Who is logged in stays so.
    ///
    /// # Errors
    /// As [`load`](Self::load); the old users stay.
    pub fn reload(&self) -> Result<(), String> {
        let users = load_users(self.file.clone(), self.allow.as_deref())?;
        self.users.store(users.into());
        Ok(())
    }

    /// How many answers to a challenge a client may give before its session is ended.
    pub fn attempts(&self) -> NonZeroU32 {
        self.attempts
    }

    /// A value of `WWW-Authenticate` for each scheme, in their order.
    ///
    /// Every one has a realm: the published Kaazing JavaScript client leaves the line's CR in the name of a scheme
    /// without parameters.
    pub fn challenges(&self) -> Vec<String> {
        self.challenges_where(|_| true)
    }

    /// Of [`challenges`](Self::challenges) those that a plain HTTP 401 can ask: who answers the others does so inside
    /// the WebSocket only. Empty if there is none.
    pub fn challenges_of_opening(&self) -> Vec<String> {
        self.challenges_where(|scheme| scheme.is_asked_in_opening())
    }

    /// Reads the value of an `Authorization` header: the scheme in any case, with or without the word `Application`
    /// before it.
    ///
    /// # Errors
    /// If the service does not offer the scheme, or what follows it is not what the scheme asks for.
    pub fn read(&self, authorization: &str) -> Result<Credentials, Unreadable> {
        let (word, parameters) = scheme::split(authorization)?;
        self.schemes
            .iter()
            .find(|scheme| scheme.answers_to(word))
            .ok_or(Unreadable::WrongScheme)?
            .read(parameters)
    }

    /// Whether clients may also log in by AMQP, for which the handshakes let them through without credentials.
    pub fn is_asked_by_amqp(&self) -> bool {
        self.schemes.iter().any(|scheme| scheme.name() == AMQP)
    }

    /// The user and the password that AMQP's own login has brought.
    ///
    /// # Errors
    /// If the service does not offer that, or nobody can have this name or password.
    pub fn read_amqp(&self, name: &str, password: &str) -> Result<Credentials, Unreadable> {
        if !self.is_asked_by_amqp() {
            return Err(Unreadable::WrongScheme);
        }
        credentials::check_name(name).map_err(|_| Unreadable::Malformed)?;
        credentials::check_password(password).map_err(|_| Unreadable::Malformed)?;
        Ok(Credentials::named(AMQP, name, password))
    }

    /// Whether [`verify`](Self::verify) is expensive for these credentials.
    pub fn is_dear(&self, credentials: &Credentials) -> bool {
        let mut schemes = self.schemes.iter();
        schemes.any(|scheme| scheme.name() == credentials.scheme() && scheme.is_dear())
    }

    /// Decides about credentials, now. Expensive; see [`Login`].
    pub fn verify(&self, credentials: &Credentials) -> Verdict {
        self.verify_at(credentials, machine::now())
    }

    /// Decides about credentials at a time, counted from the beginning of 1970 (UTC). Expensive; see [`Login`].
    pub fn verify_at(&self, credentials: &Credentials, now: Duration) -> Verdict {
        let users = self.users.load_full();
        let principal = self
            .schemes
            .iter()
            .find(|scheme| scheme.name() == credentials.scheme())
            .and_then(|scheme| scheme.verify(&users, credentials, now));
        match principal {
            None => Verdict::Refused,
            Some(principal) if self.may_enter(&principal) => Verdict::Accepted(principal),
            Some(principal) => Verdict::Forbidden(principal),
        }
    }

    fn may_enter(&self, principal: &Principal) -> bool {
        self.allow
            .as_ref()
            .is_none_or(|names| names.contains(&principal.name))
    }

    fn challenges_where(&self, wanted: impl Fn(&dyn Scheme) -> bool) -> Vec<String> {
        self.schemes
            .iter()
            .filter(|scheme| scheme.is_asked_by_header() && wanted(scheme.as_ref()))
            .map(|scheme| scheme.challenge(&self.realm))
            .collect()
    }
}

/// The scheme that no header asks for.
const AMQP: &str = SchemeName::Amqp.as_str();

/// What becomes of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The client is this one, and may use the service.
    Accepted(Principal),
    /// The credentials are wrong, or expired. Whether the name is known is not told.
    Refused,
    /// The client is this one, but the service is not for it.
    Forbidden(Principal),
}

fn load_users(file: PathBuf, allow: Option<&[String]>) -> Result<Users, String> {
    let at = |reason: &dyn std::fmt::Display| format!("users: {}{reason}", file.display());
    let text = machine::read(&file).map_err(|reason| at(&format_args!(": {reason}")))?;
    let users = Users::parse(&text.text).map_err(|fault| at(&fault))?;
    let mut oddities = users.oddities(allow.unwrap_or_default());
    if text.is_world_readable {
        oddities.push("every user of this machine can read it".to_owned());
    }
    for oddity in oddities {
        warn!(file = %file.display(), "users file: {oddity}");
    }
    Ok(users)
}

#[cfg(test)]
mod tests;
