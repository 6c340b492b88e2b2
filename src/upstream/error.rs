//! Why no broker could be reached: which broker failed last, in which step, and what a page, an
//! operator and a graph are told of it.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::AlertDescription;
use rustls::CertificateError;

/// No broker could be reached. The text is one plain sentence of at most 110 bytes without secrets,
/// short enough for the reason of a WebSocket Close (RFC 6455 section 5.5); the source tells more.
#[derive(Debug)]
pub struct ConnectError {
    broker: String,
    failure: Failure,
    tried: usize,
}

impl ConnectError {
    pub(super) fn new(broker: String, failure: Failure, tried: usize) -> Self {
        Self {
            broker,
            failure,
            tried,
        }
    }

    /// The broker that failed, as `host:port`; with several URIs the last one.
    pub fn broker(&self) -> &str {
        &self.broker
    }

    /// What went wrong with that broker.
    pub fn failure(&self) -> &Failure {
        &self.failure
    }

    /// How many brokers were tried, that one included.
    pub fn tried(&self) -> usize {
        self.tried
    }

    /// The label of `smeuse_upstream_connects_total` for it.
    pub fn outcome(&self) -> &'static str {
        self.failure.outcome()
    }
}

impl ConnectError {
    /// Whether the broker is there, and refuses the login.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.failure, Failure::LoginRefused)
    }

    /// The sentence and what is behind it, for a log.
    pub fn with_source(&self) -> String {
        match self.source() {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }

    /// The sentence without what was tried before this broker.
    pub(super) fn sentence(&self) -> String {
        let (before, after) = self.failure.around_broker();
        format!("{before}{}{after}", self.broker)
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = self.failure.around_broker();
        let count = match self.tried {
            0 | 1 => String::new(),
            tried => format!(" (last of {tried} tried)"),
        };
        let room = TEXT_BYTES.saturating_sub(before.len() + after.len() + count.len());
        let broker = shortened(&self.broker, room);
        write!(f, "{before}{broker}{after}{count}")
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.failure {
            Failure::Resolve(error)
            | Failure::Io(error)
            | Failure::Tls(error)
            | Failure::NotLetIn(error) => Some(error),
            Failure::Refused
            | Failure::Deadline(_)
            | Failure::Proxy
            | Failure::ClosedEarly
            | Failure::NotAmqp
            | Failure::ExpectsTls
            | Failure::BackedOff
            | Failure::Paced
            | Failure::LoginRefused => None,
        }
    }
}

/// What can go wrong with one broker, in the order of the steps.
#[derive(Debug)]
pub enum Failure {
    /// Its name could not be resolved, or has no address.
    Resolve(io::Error),
    /// It refused the TCP connection: nobody listens there.
    Refused,
    /// The network failed otherwise.
    Io(io::Error),
    /// It did not finish this step in the time it had.
    Deadline(Step),
    /// It does not take the PROXY protocol's header that is configured for it.
    Proxy,
    /// The TLS handshake failed.
    Tls(io::Error),
    /// It closed or reset the socket before its first byte.
    ClosedEarly,
    /// Its first bytes are not AMQP's.
    NotAmqp,
    /// Its first bytes are TLS's complaint that it was not spoken to in TLS.
    ExpectsTls,
    /// It has failed lately, and the time in which it is passed over ends after the deadline.
    BackedOff,
    /// So many ask for a broker that the turn for this one would come after the deadline.
    Paced,
    /// It speaks AMQP but refused the gateway's own login or vhost. Only a probe logs in, so only a
    /// probe ends so.
    LoginRefused,
    /// It speaks AMQP, but the gateway's own login came to nothing otherwise.
    NotLetIn(io::Error),
}

impl Failure {
    /// Whether it is certain that nobody can reach the broker now, however he would speak to it. Otherwise the fault may be
    /// with the settings of whoever tried: TLS, the PROXY protocol, the login.
    pub(super) fn is_for_all(&self) -> bool {
        match self {
            Self::Resolve(_) | Self::Refused | Self::Io(_) | Self::Deadline(_) => true,
            Self::Proxy
            | Self::Tls(_)
            | Self::ClosedEarly
            | Self::NotAmqp
            | Self::ExpectsTls
            | Self::BackedOff
            | Self::Paced
            | Self::LoginRefused
            | Self::NotLetIn(_) => false,
        }
    }

    /// Sorts an error of a socket that is already connected.
    pub(super) fn of_socket(error: io::Error) -> Self {
        if tls_cause(&error).is_some() {
            return Self::Tls(error);
        }
        if is_closed(&error) {
            return Self::ClosedEarly;
        }
        Self::Io(error)
    }

    /// The label of `smeuse_upstream_connects_total`, which counts sessions, not probes.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Resolve(_) => "resolve_failed",
            Self::Refused => "refused",
            Self::Io(_) => "unreachable",
            Self::Deadline(_) => "deadline",
            Self::Proxy => "proxy_refused",
            Self::Tls(_) => "tls_failed",
            Self::ClosedEarly => "closed_early",
            Self::NotAmqp | Self::ExpectsTls => "not_amqp",
            Self::BackedOff => "backed_off",
            Self::Paced => "paced",
            Self::LoginRefused => "login_refused",
            Self::NotLetIn(_) => "not_let_in",
        }
    }

    /// The sentence, in two parts around the broker's name.
    fn around_broker(&self) -> (&'static str, &'static str) {
        match self {
            Self::Resolve(_) => ("the name of broker ", " did not resolve"),
            Self::Refused => ("broker ", " refused the connection"),
            Self::Io(error) => ("broker ", io_text(error)),
            Self::Deadline(Step::Resolve) => ("the name of broker ", " did not resolve in time"),
            Self::Deadline(Step::Connect) => ("broker ", " did not accept a connection in time"),
            Self::Deadline(Step::Tls) => ("broker ", " did not finish the TLS handshake in time"),
            Self::Deadline(Step::Answer) => ("broker ", " did not answer in time"),
            Self::Proxy => ("broker ", " does not take the PROXY protocol"),
            Self::Tls(error) => ("TLS with broker ", tls_text(error)),
            Self::ClosedEarly => ("broker ", " closed the socket before it answered"),
            Self::NotAmqp => ("broker ", " does not speak AMQP"),
            Self::ExpectsTls => ("broker ", " expects TLS, so its URI begins with amqps://"),
            Self::BackedOff => ("broker ", " failed lately and may not be tried again yet"),
            Self::Paced => (
                "too many ask for broker ",
                " now, the turn would come too late",
            ),
            Self::LoginRefused => ("broker ", " refused the login or the vhost of the service"),
            Self::NotLetIn(_) => ("broker ", " did not let the gateway itself in"),
        }
    }
}

/// The steps of reaching a broker that can take too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its name becomes addresses.
    Resolve,
    /// TCP's handshake.
    Connect,
    /// The TLS handshake.
    Tls,
    /// From the protocol header to its first bytes. RabbitMQ at its limit of sockets stops here.
    Answer,
}

fn io_text(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::HostUnreachable => " cannot be reached: no route to the host",
        io::ErrorKind::NetworkUnreachable => " cannot be reached: no route to the network",
        io::ErrorKind::NetworkDown => " cannot be reached: the network is down",
        io::ErrorKind::TimedOut => " cannot be reached: TCP gave up",
        io::ErrorKind::AddrNotAvailable => " cannot be reached: the gateway has no free port",
        io::ErrorKind::PermissionDenied => " cannot be reached: the gateway may not connect to it",
        _ => " cannot be reached",
    }
}

fn tls_text(error: &io::Error) -> &'static str {
    match tls_cause(error) {
        Some(rustls::Error::InvalidCertificate(cause)) => match cause {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                " failed: its certificate has another name"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                " failed: its certificate has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                " failed: its certificate is not valid yet"
            }
            _ => " failed: its certificate is not trusted",
        },
        Some(rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        )) => " failed: it refused the client certificate",
        Some(rustls::Error::InvalidMessage(_)) => " failed: it does not speak TLS",
        _ => " failed",
    }
}

fn tls_cause(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Whether the other side has closed or reset the socket.
pub(super) fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::NotConnected
    )
}

/// The name, or its end behind three dots: ports and domains tell more than the first letters.
fn shortened(name: &str, room: usize) -> String {
    if name.len() <= room {
        return name.to_owned();
    }
    let mut begin = name.len() - room.saturating_sub(ELLIPSIS.len());
    while !name.is_char_boundary(begin) {
        begin += 1;
    }
    format!("{ELLIPSIS}{}", name.get(begin..).unwrap_or_default())
}

/// Leaves a few of the 123 bytes of a Close's reason to whoever puts words before the sentence.
const TEXT_BYTES: usize = 110;

const ELLIPSIS: &str = "...";

/// Every label of a failed connect, so that each stands at 0 before the first.
pub(super) const FAILED_OUTCOMES: [&str; 10] = [
    "resolve_failed",
    "refused",
    "unreachable",
    "deadline",
    "proxy_refused",
    "tls_failed",
    "closed_early",
    "not_amqp",
    "backed_off",
    "paced",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn failures() -> Vec<Failure> {
        let tls = |error| Failure::Tls(io::Error::new(io::ErrorKind::InvalidData, error));
        let certificate = |error| tls(rustls::Error::InvalidCertificate(error));
        let mut failures = vec![
            Failure::Resolve(io::ErrorKind::NotFound.into()),
            Failure::Refused,
            Failure::Io(io::ErrorKind::AddrNotAvailable.into()),
            Failure::Io(io::ErrorKind::PermissionDenied.into()),
            Failure::Proxy,
            certificate(CertificateError::NotValidForName),
            certificate(CertificateError::NotValidYet),
            certificate(CertificateError::UnknownIssuer),
            tls(rustls::Error::AlertReceived(
                AlertDescription::CertificateRequired,
            )),
            Failure::ClosedEarly,
            Failure::NotAmqp,
            Failure::ExpectsTls,
            Failure::BackedOff,
            Failure::Paced,
            Failure::LoginRefused,
            Failure::NotLetIn(io::ErrorKind::Other.into()),
        ];
        failures
            .extend([Step::Resolve, Step::Connect, Step::Tls, Step::Answer].map(Failure::Deadline));
        failures
    }

    #[test]
    fn every_sentence_fits_a_close_reason_and_keeps_the_port() {
        let long = format!("{}:5672", "rabbit-0.rabbit-headless.".repeat(10));
        for failure in failures() {
            let error = ConnectError::new(long.clone(), failure, 1_000);
            let text = error.to_string();
            assert!(text.len() <= TEXT_BYTES, "{} bytes: {text}", text.len());
            assert!(text.contains(":5672 "), "{text}");
            assert!(text.ends_with(" (last of 1000 tried)"), "{text}");
        }
    }

    #[test]
    fn the_sentence_names_broker_and_failure() {
        let error = ConnectError::new("127.0.0.1:5672".to_owned(), Failure::Refused, 1);
        assert_eq!(
            error.to_string(),
            "broker 127.0.0.1:5672 refused the connection"
        );
        assert_eq!(error.outcome(), "refused");
    }

    #[test]
    fn every_outcome_but_the_probes_is_counted_from_zero() {
        for failure in failures() {
            let listed = FAILED_OUTCOMES.contains(&failure.outcome());
            let is_probes = matches!(failure, Failure::LoginRefused | Failure::NotLetIn(_));
            assert_eq!(listed, !is_probes, "{failure:?}");
        }
    }
}
