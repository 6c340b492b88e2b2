//! The login a client gives in connection.start-ok, by the mechanisms the gateway offers.

use std::fmt;

use zeroize::Zeroizing;

use crate::relay::server::rule::named;
use crate::relay::violation::Violation;
use crate::relay::violation::NO_METHOD;
use crate::wire::amqp::fields::field;
use crate::wire::amqp::fields::Value;
use crate::wire::amqp::method::Method;
use crate::wire::amqp::method::StartOk;
use crate::wire::amqp::ReplyCode;

/// What a client says it is. The password is never printed, and wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientLogin {
    /// How it says so.
    pub mechanism: Mechanism,
    /// The user; any bytes that are not UTF-8 are replaced.
    pub user: String,
    /// The password; empty with [`Mechanism::External`].
    pub password: Zeroizing<String>,
}

impl fmt::Debug for ClientLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientLogin")
            .field("mechanism", &self.mechanism)
            .field("user", &self.user)
            .field("password", &"***")
            .finish()
    }
}

/// The SASL mechanisms the gateway knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// User and password (RFC 4616, without an identity to act as).
    Plain,
    /// User and password in a field table.
    AmqPlain,
    /// Who it is is known from elsewhere, such as the extended handshake.
    External,
}

impl Mechanism {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::AmqPlain => "AMQPLAIN",
            Self::External => "EXTERNAL",
        }
    }

    fn by_name(name: &[u8]) -> Option<Self> {
        [Self::Plain, Self::AmqPlain, Self::External]
            .into_iter()
            .find(|mechanism| mechanism.name().as_bytes() == name)
    }
}

/// What connection.start offers.
pub(super) const MECHANISMS: &[u8] = b"PLAIN AMQPLAIN EXTERNAL";

/// Reads the login.
///
/// # Errors
/// What RabbitMQ answers to a mechanism it does not know, or to a response that is not the
/// mechanism's.
pub(super) fn read(start_ok: &StartOk<'_>) -> Result<ClientLogin, Violation> {
    let name = start_ok.mechanism.as_bytes();
    let Some(mechanism) = Mechanism::by_name(name) else {
        return Err(refused(
            ReplyCode::COMMAND_INVALID,
            format!("unknown authentication mechanism '{}'", named(name)),
        ));
    };
    let response = start_ok.response.0;
    let (user, password) = match mechanism {
        Mechanism::Plain => plain(response).ok_or_else(|| {
            refused(
                ReplyCode::SYNTAX_ERROR,
                "response of PLAIN is invalid".to_owned(),
            )
        })?,
        Mechanism::AmqPlain => amqplain(response).ok_or_else(|| {
            let explanation = "AMQPLAIN auth info is missing LOGIN or PASSWORD field";
            refused(ReplyCode::SYNTAX_ERROR, explanation.to_owned())
        })?,
        Mechanism::External => (response, &[][..]),
    };
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ok(ClientLogin {
        mechanism,
        user: text(user),
        password: Zeroizing::new(text(password)),
    })
}

fn plain(response: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = response.strip_prefix(b"\0")?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    let (user, password) = rest.split_at_checked(end)?;
    let password = password.strip_prefix(b"\0")?;
    (!password.contains(&0)).then_some((user, password))
}

fn amqplain(response: &[u8]) -> Option<(&[u8], &[u8])> {
    match (field(response, b"LOGIN")?, field(response, b"PASSWORD")?) {
        (Value::Text(user), Value::Text(password)) => Some((user, password)),
        _ => None,
    }
}

fn refused(reply_code: ReplyCode, explanation: String) -> Violation {
    Violation::new(reply_code, explanation, StartOk::ID.into())
}

/// RabbitMQ's answer to a wrong user or password.
pub(super) fn denied(mechanism: Mechanism) -> Violation {
    let explanation = format!(
        "Login was refused using authentication mechanism {}. For details see the broker logfile.",
        mechanism.name()
    );
    Violation::new(ReplyCode::ACCESS_REFUSED, explanation, NO_METHOD)
}
