//! The settings of the public listener: addresses and TLS, which proxies are
//! believed, how much is allowed, and how a WebSocket is watched.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::de::Error as _;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;

/// The table `[listen]`: where the public listener accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Address and port; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Threads that carry sessions; 0 means one per core. At most 1,024.
    pub workers: usize,
    /// TLS of the public listener; plain TCP without it.
    pub tls: Option<Tls>,
}

impl Listen {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    ///
    /// Text of the form `key: reason`, the key relative to `[listen]`.
    pub fn validate(&self) -> Result<(), String> {
        if self.workers > WORKERS_MAX {
            return Err(format!("workers: must be at most {WORKERS_MAX}"));
        }
        Ok(())
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 15670)),
            workers: 0,
            tls: None,
        }
    }
}

/// The table `listen.tls`: PEM files, read at the start and again on SIGHUP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, the gateway's own certificate first.
    pub certificate: PathBuf,
    /// The private key (PKCS #8, PKCS #1 or SEC 1).
    pub key: PathBuf,
}

/// The table `[proxies]`: whose word about the client's address counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Proxies {
    /// Networks whose `Forwarded` (RFC 7239) and `X-Forwarded-For` headers are
    /// believed. A single address is a network of one.
    #[serde(deserialize_with = "networks", serialize_with = "network_texts")]
    pub trusted: Vec<IpNet>,
}

impl Proxies {
    /// Whether headers from this peer are believed. An IPv4 address mapped
    /// into IPv6 counts as the IPv4 address it carries.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted.iter().any(|network| network.contains(&peer))
    }
}

/// The table `[limits]`: how much the public listener takes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Sessions in all; over it an opening handshake is refused with 503.
    pub sessions: NonZeroUsize,
    /// Sessions per client address; for IPv6 per /64, because
    /// that is what one client is given.
    pub sessions_per_address: NonZeroUsize,
    /// Connections whose opening handshake is not finished.
    pub handshakes: NonZeroUsize,
    /// Time for the TLS handshake, and then for a complete request head. Never zero.
    #[serde(with = "humantime_serde")]
    pub request_head: Duration,
    /// Time for which a connection is kept for a page's next request; zero
    /// closes it behind each answer.
    #[serde(with = "humantime_serde")]
    pub keep_alive: Duration,
    /// Connections that are kept so; over it they are closed behind their
    /// answer.
    pub kept_alive: usize,
}

impl Limits {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    ///
    /// Text of the form `key: reason`, the key relative to `[limits]`.
    pub fn validate(&self) -> Result<(), String> {
        check_duration("request_head", self.request_head)?;
        if self.keep_alive > DURATION_MAX {
            return Err("keep_alive: must be at most one day".to_owned());
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: non_zero(50_000),
            sessions_per_address: non_zero(1_000),
            handshakes: non_zero(5_000),
            request_head: Duration::from_secs(5),
            keep_alive: Duration::from_secs(15),
            kept_alive: 10_000,
        }
    }
}

/// The table `[websocket]`: sizes and times of every session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSocket {
    /// Largest message until the broker has accepted the login, in bytes. At
    /// least 4,096, which every AMQP frame before `connection.tune` may have.
    pub message_before_login_bytes: u64,
    /// Largest message after it, in bytes. It costs no memory with AMQP, whose
    /// messages are streamed.
    pub message_bytes: u64,
    /// Fragments per message, empty ones included.
    pub fragments: NonZeroU32,
    /// A client that was silent this long is sent a Ping. Shorter than
    /// `silence_limit`.
    #[serde(with = "humantime_serde")]
    pub ping_interval: Duration,
    /// A client that was silent this long, Pongs included, is gone.
    #[serde(with = "humantime_serde")]
    pub silence_limit: Duration,
    /// A client that takes no byte for this long while bytes wait for it is
    /// ended.
    #[serde(with = "humantime_serde")]
    pub write_stall_limit: Duration,
    /// Time for the closing handshake, and for the last bytes to reach the
    /// broker.
    #[serde(with = "humantime_serde")]
    pub close_deadline: Duration,
    /// Bytes that may wait per session and direction before the other side is
    /// paused: the memory a stalled peer can hold. 64 KiB to 1 GiB.
    pub window_bytes: usize,
}

impl WebSocket {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    ///
    /// Text of the form `key: reason`, the key relative to `[websocket]`.
    pub fn validate(&self) -> Result<(), String> {
        if self.message_before_login_bytes < MESSAGE_MIN {
            return Err(format!(
                "message_before_login_bytes: must be at least {MESSAGE_MIN}, the smallest frame-max of AMQP"
            ));
        }
        if self.message_bytes < self.message_before_login_bytes {
            return Err(format!(
                "message_bytes: must be at least message_before_login_bytes, which is {}",
                self.message_before_login_bytes
            ));
        }
        check_duration("ping_interval", self.ping_interval)?;
        check_duration("silence_limit", self.silence_limit)?;
        if self.ping_interval >= self.silence_limit {
            return Err(format!(
                "ping_interval: must be shorter than silence_limit, which is {}, or nobody has time to answer",
                humantime_serde::re::humantime::format_duration(self.silence_limit)
            ));
        }
        check_duration("write_stall_limit", self.write_stall_limit)?;
        check_duration("close_deadline", self.close_deadline)?;
        if !(WINDOW_MIN..=WINDOW_MAX).contains(&self.window_bytes) {
            return Err(format!(
                "window_bytes: must be from {WINDOW_MIN} to {WINDOW_MAX}"
            ));
        }
        Ok(())
    }
}

impl Default for WebSocket {
    fn default() -> Self {
        Self {
            message_before_login_bytes: 64 * 1024,
            message_bytes: 256 * 1024 * 1024,
            fragments: NonZeroU32::MIN.saturating_add(131_071),
            ping_interval: Duration::from_secs(20),
            silence_limit: Duration::from_secs(60),
            write_stall_limit: Duration::from_secs(30),
            close_deadline: Duration::from_secs(5),
            window_bytes: 256 * 1024,
        }
    }
}

fn check_duration(key: &str, duration: Duration) -> Result<(), String> {
    if duration.is_zero() {
        return Err(format!("{key}: must be longer than zero"));
    }
    if duration > DURATION_MAX {
        return Err(format!("{key}: must be at most one day"));
    }
    Ok(())
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts
        .into_iter()
        .map(|text| {
            network(&text).ok_or_else(|| {
                D::Error::custom(format!(
                    "{text:?} is neither an address nor a network such as \"10.0.0.0/8\""
                ))
            })
        })
        .collect()
}

fn network(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(IpNet::from(address.to_canonical()));
    }
    text.parse().ok()
}

/// Written as it was most likely given: a network of one as an address.
fn network_texts<S: Serializer>(networks: &[IpNet], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(networks.iter().map(|network| {
        if network.prefix_len() == network.max_prefix_len() {
            network.addr().to_string()
        } else {
            network.to_string()
        }
    }))
}

/// For defaults only, where zero does not occur.
fn non_zero(value: usize) -> NonZeroUsize {
    NonZeroUsize::new(value).unwrap_or(NonZeroUsize::MIN)
}

/// More threads than any machine we know of has cores: a typing error.
const WORKERS_MAX: usize = 1_024;
/// AMQP 0-9-1 section 4.2.3: `frame-min-size`.
const MESSAGE_MIN: u64 = 4_096;
/// One batch of frames towards the client (64 KiB) must fit.
const WINDOW_MIN: usize = 64 * 1024;
/// Per session and direction; more is a typing error.
const WINDOW_MAX: usize = 1024 * 1024 * 1024;
/// Keeps sums of instants far from overflow, and catches a wrong unit.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_address_is_a_network_of_one_and_mapped_addresses_count() {
        let proxies: Proxies = toml::from_str(
            r#"trusted = ["10.0.0.0/8", "192.0.2.7", "::ffff:192.0.2.9", "2001:db8::/32"]"#,
        )
        .unwrap();
        for trusted in [
            "10.1.2.3",
            "192.0.2.7",
            "::ffff:192.0.2.7",
            "192.0.2.9",
            "2001:db8::1",
        ] {
            assert!(proxies.trusts(trusted.parse().unwrap()), "{trusted}");
        }
        for other in ["11.0.0.1", "192.0.2.8", "2001:db9::1", "::1"] {
            assert!(!proxies.trusts(other.parse().unwrap()), "{other}");
        }
        let text = toml::to_string(&proxies).unwrap();
        assert_eq!(toml::from_str::<Proxies>(&text).unwrap(), proxies);
        assert!(text.contains(r#""192.0.2.7""#), "{text}");
    }

    #[test]
    fn every_bound_holds_at_the_limit_and_one_past_it() {
        type Change = fn(&mut WebSocket);
        let table: [(Change, Option<&str>); 12] = [
            (|w| w.message_before_login_bytes = 4_096, None),
            (
                |w| w.message_before_login_bytes = 4_095,
                Some("message_before_login_bytes: "),
            ),
            (|w| w.message_bytes = w.message_before_login_bytes, None),
            (
                |w| w.message_bytes = w.message_before_login_bytes - 1,
                Some("message_bytes: "),
            ),
            (
                |w| w.ping_interval = w.silence_limit - Duration::from_millis(1),
                None,
            ),
            (
                |w| w.ping_interval = w.silence_limit,
                Some("ping_interval: "),
            ),
            (
                |w| w.ping_interval = Duration::ZERO,
                Some("ping_interval: "),
            ),
            (|w| w.silence_limit = DURATION_MAX, None),
            (
                |w| w.silence_limit = DURATION_MAX + Duration::from_nanos(1),
                Some("silence_limit: "),
            ),
            (|w| w.window_bytes = 65_536, None),
            (|w| w.window_bytes = 65_535, Some("window_bytes: ")),
            (|w| w.window_bytes = WINDOW_MAX + 1, Some("window_bytes: ")),
        ];
        for (row, (change, problem)) in table.into_iter().enumerate() {
            let mut websocket = WebSocket::default();
            change(&mut websocket);
            match (websocket.validate(), problem) {
                (Ok(()), None) => {}
                (Err(text), Some(key)) => assert!(text.starts_with(key), "row {row}: {text}"),
                (other, expected) => panic!("row {row}: {other:?}, expected {expected:?}"),
            }
        }
        assert_eq!(WebSocket::default().fragments.get(), 131_072);
        let listen = Listen {
            workers: 1_025,
            ..Listen::default()
        };
        assert!(listen.validate().unwrap_err().starts_with("workers: "));
        let limits = Limits {
            request_head: Duration::ZERO,
            ..Limits::default()
        };
        assert!(limits.validate().unwrap_err().starts_with("request_head: "));
    }
}
