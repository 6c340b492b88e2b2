//! From one broker's URI to a socket that speaks: resolves, dials, sends the PROXY header, makes TLS,
//! and waits for the first bytes.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use socket2::TcpKeepalive;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::lookup_host;
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio::time::Instant;

use crate::upstream::config::BrokerUri;
use crate::upstream::config::Config;
use crate::upstream::config::ProxyProtocol;
use crate::upstream::error::is_closed;
use crate::upstream::error::Failure;
use crate::upstream::error::Step;
use crate::upstream::proxy_protocol;
use crate::upstream::socket::Socket;
use crate::upstream::tls::Connector;
use crate::wire::amqp::frame::PROTOCOL_HEADER;
use crate::wire::amqp::frame::PROTOCOL_NAME;
use crate::wire::amqp::FrameKind;

/// What is wanted of a broker.
pub(super) struct Ask {
    /// The header to send and to wait for an answer to; without it a finished handshake of TCP or
    /// TLS suffices.
    pub(super) protocol_header: Option<[u8; 8]>,
    /// The client's end of its socket to the gateway, if there is a client.
    pub(super) client: Option<SocketAddr>,
    /// The gateway's end of it.
    pub(super) gateway: Option<SocketAddr>,
}

/// How the brokers of one service are dialled.
pub(super) struct Dialer {
    proxy_protocol: ProxyProtocol,
    tls: Option<Connector>,
}

impl Dialer {
    /// Reads the TLS files.
    pub(super) fn new(config: &Config) -> Result<Self, String> {
        Ok(Self {
            proxy_protocol: config.proxy_protocol,
            tls: Connector::load(config)?,
        })
    }

    /// Reads the TLS files again. On an error everything stays as it was.
    pub(super) fn reload(&self) -> Result<(), String> {
        match &self.tls {
            Some(tls) => tls.reload(),
            None => Ok(()),
        }
    }

    /// When the certificate that is shown to brokers expires, in seconds since 1970.
    pub(super) fn certificate_expiry(&self) -> Option<i64> {
        self.tls.as_ref()?.expiry()
    }

    /// A socket to this broker and its first bytes, none if none were asked for. Every address that
    /// its name has is tried, each in a fair part of the time until `end`.
    pub(super) async fn dial(
        &self,
        uri: &BrokerUri,
        ask: &Ask,
        end: Instant,
    ) -> Result<(Socket, Vec<u8>), Failure> {
        let resolving = lookup_host((uri.host(), uri.port()));
        let resolved = within(end, Step::Resolve, resolving).await?;
        let addresses: Vec<SocketAddr> = resolved.map_err(Failure::Resolve)?.collect();
        let mut failed = Failure::Resolve(io::ErrorKind::NotFound.into());
        for (tried, address) in addresses.iter().enumerate() {
            let part = fair_part(end, addresses.len() - tried);
            match self.dial_address(uri, *address, ask, part).await {
                Ok(answered) => return Ok(answered),
                Err(failure) => failed = failure,
            }
        }
        Err(failed)
    }

    async fn dial_address(
        &self,
        uri: &BrokerUri,
        address: SocketAddr,
        ask: &Ask,
        end: Instant,
    ) -> Result<(Socket, Vec<u8>), Failure> {
        let dialled = within(end, Step::Connect, TcpStream::connect(address)).await?;
        let mut stream = dialled.map_err(of_dialling)?;
        set_options(&stream).map_err(Failure::of_socket)?;
        let proxied = self
            .proxy_header(&stream, ask)
            .map_err(Failure::of_socket)?;
        if let Some(header) = &proxied {
            let written = within(end, Step::Connect, stream.write_all(header)).await?;
            written.map_err(Failure::of_socket)?;
        }
        let mut socket = match self.tls.as_ref().filter(|_| uri.is_tls()) {
            Some(tls) => {
                let secured = within(end, Step::Tls, tls.connect(uri.host(), stream)).await?;
                Socket::tls(secured.map_err(of_tls_handshake)?)
            }
            None => Socket::tcp(stream),
        };
        let Some(protocol_header) = ask.protocol_header else {
            return Ok((socket, Vec::new()));
        };
        let first = within(end, Step::Answer, first_bytes(&mut socket, protocol_header)).await??;
        // A broker answers a header with its own only if it wants another version. With the same
        // one it complains about what came before: ours were not the first bytes.
        let is_same = protocol_header == PROTOCOL_HEADER && first.starts_with(&protocol_header);
        if is_same && proxied.is_some() {
            return Err(Failure::Proxy);
        }
        if !begins_like_amqp(&first) {
            let is_alert = first.starts_with(&TLS_ALERT) && !uri.is_tls();
            return Err(if is_alert {
                Failure::ExpectsTls
            } else {
                Failure::NotAmqp
            });
        }
        Ok((socket, first))
    }

    /// Without a client (a probe) or a known listener, the ends of the gateway's own socket.
    fn proxy_header(&self, stream: &TcpStream, ask: &Ask) -> io::Result<Option<Vec<u8>>> {
        if self.proxy_protocol == ProxyProtocol::Off {
            return Ok(None);
        }
        let client = ask.client.map_or_else(|| stream.local_addr(), Ok)?;
        let gateway = ask.gateway.map_or_else(|| stream.peer_addr(), Ok)?;
        proxy_protocol::header(self.proxy_protocol, client, gateway)
    }
}

/// When the first of `left` attempts that share the time until `end` has had its part.
pub(super) fn fair_part(end: Instant, left: usize) -> Instant {
    let now = Instant::now();
    let left = u32::try_from(left.max(1)).unwrap_or(u32::MAX);
    now + end.saturating_duration_since(now) / left
}

async fn within<T>(end: Instant, step: Step, work: impl Future<Output = T>) -> Result<T, Failure> {
    timeout_at(end, work)
        .await
        .map_err(|_| Failure::Deadline(step))
}

async fn first_bytes(socket: &mut Socket, protocol_header: [u8; 8]) -> Result<Vec<u8>, Failure> {
    let written = async {
        socket.write_all(&protocol_header).await?;
        socket.flush().await
    };
    match written.await {
        // A broker that has closed already may have said why before.
        Err(error) if !is_closed(&error) => return Err(Failure::of_socket(error)),
        Ok(()) | Err(_) => {}
    }
    let mut first = Vec::with_capacity(FIRST_READ);
    match socket.read_buf(&mut first).await {
        Ok(0) => Err(Failure::ClosedEarly),
        Ok(_) => Ok(first),
        Err(error) => Err(Failure::of_socket(error)),
    }
}

/// A method frame (connection.start), or a protocol header.
fn begins_like_amqp(first: &[u8]) -> bool {
    let common = first.len().min(PROTOCOL_NAME.len());
    first.first() == Some(&FrameKind::METHOD.0)
        || first.get(..common) == PROTOCOL_NAME.get(..common)
}

fn of_dialling(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::Refused,
        _ => Failure::Io(error),
    }
}

/// What is no fault of TLS itself (the broker went) stays what it is; the rest is TLS's.
fn of_tls_handshake(error: io::Error) -> Failure {
    match Failure::of_socket(error) {
        Failure::Io(error) => Failure::Tls(error),
        other => other,
    }
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE_AFTER)
            .with_interval(KEEPALIVE_INTERVAL)
            .with_retries(KEEPALIVE_RETRIES),
    )
}

/// RabbitMQ's connection.start has about 500 bytes.
const FIRST_READ: usize = 1024;

/// An alert of TLS 1.0 to 1.3 begins so (RFC 8446 section 5.1).
const TLS_ALERT: [u8; 2] = [21, 3];

/// A broker that vanished without a word is noticed after 60 + 4 * 15 seconds of silence, even if
/// the client asked for no heartbeats.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_waits_for_no_company_and_notices_a_vanished_broker() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        set_options(&stream).unwrap();
        let socket = SockRef::from(&stream);
        assert!(stream.nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_AFTER);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_RETRIES);
    }

    #[test]
    fn what_remains_is_shared_fairly() {
        let now = Instant::now();
        let end = now + Duration::from_secs(60);
        let part = |left| fair_part(end, left).saturating_duration_since(now);
        assert!(part(3) >= Duration::from_secs(20) && part(3) < Duration::from_secs(60));
        assert!(part(1) >= Duration::from_secs(60));
        assert!(fair_part(now, 2) >= now);
    }
}
