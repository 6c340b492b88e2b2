//! Who a client of a shared connection is: known from its handshake, or asked for by AMQP's own login.

use std::fmt;
use std::future::ready;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use crate::relay::server::ClientLogin;
use crate::relay::server::Mechanism;

/// What is known of a client before AMQP begins.
#[derive(Clone)]
pub enum Identity {
    /// Nobody asks.
    Anybody,
    /// Its handshake has told who it is; what AMQP says of it does not count.
    Known(String),
    /// AMQP's own login decides.
    Ask(Rc<dyn Doorkeeper>),
}

/// Decides on a login that AMQP has brought.
pub trait Doorkeeper {
    /// What comes of a user and a password. Whoever lets go of the future has tried all the same.
    fn check(&self, user: &str, password: &str) -> Pin<Box<dyn Future<Output = Verdict>>>;
}

/// What comes of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The client may go on; its name, if it has one.
    Accepted(Option<String>),
    /// User or password are wrong.
    Refused,
    /// They are right, and not for this service.
    Forbidden,
    /// They could not be checked.
    Unavailable,
}

impl Identity {
    /// Decides on what connection.start-ok has brought.
    pub(super) fn check(&self, login: &ClientLogin) -> Pin<Box<dyn Future<Output = Verdict>>> {
        let verdict = match self {
            Self::Anybody => Verdict::Accepted(None),
            Self::Known(user) => Verdict::Accepted(Some(user.clone())),
            // EXTERNAL says that the client is known from elsewhere, which it is not.
            Self::Ask(_) if login.mechanism == Mechanism::External => Verdict::Refused,
            Self::Ask(doorkeeper) => return doorkeeper.check(&login.user, &login.password),
        };
        Box::pin(ready(verdict))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anybody => f.write_str("Anybody"),
            Self::Known(user) => f.debug_tuple("Known").field(user).finish(),
            Self::Ask(_) => f.write_str("Ask"),
        }
    }
}
