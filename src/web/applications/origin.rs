//! Connections to an origin: name resolution, TCP and TLS within a deadline, and the HTTP client that pools them.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::Uri;
use hyper::rt::ReadBufCursor;
use hyper_util::client::legacy::connect::Connected;
use hyper_util::client::legacy::connect::Connection;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use rustls::pki_types::ServerName;
use rustls::ClientConfig;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use crate::upstream::config::Tls;
use crate::upstream::tls;
use crate::web::applications::body::RequestBody;
use crate::web::applications::config::Application;
use crate::web::applications::config::Origin;
use crate::web::applications::config::Protocol;
use crate::web::applications::failure::Failure;

/// Opens connections to one origin, whatever address a request names. Clones share the TLS sessions.
#[derive(Clone)]
pub struct Connector {
    target: Arc<Target>,
    protocol: Protocol,
}

struct Target {
    origin: Origin,
    tls: Option<Trust>,
    deadline: Duration,
}

/// Whom the gateway trusts to be an origin, and who it says it is itself.
struct Trust {
    name: ServerName<'static>,
    settings: Tls,
    /// What the last reading of the files gave.
    client: ArcSwap<tls::Client>,
}

impl Connector {
    /// A connector for the origin of an application.
    ///
    /// # Errors
    ///
    /// `key: reason` if the TLS files cannot be used.
    pub fn load(application: &Application, origin: Origin) -> Result<Self, String> {
        let tls = if origin.secure {
            let settings = application.tls.clone().unwrap_or_default();
            let client = tls::client(&settings)?;
            let name = tls::server_name(&settings, origin.host())
                .map_err(|error| format!("tls.server_name: {error}"))?;
            Some(Trust {
                name,
                settings,
                client: ArcSwap::from_pointee(client),
            })
        } else {
            None
        };
        let target = Target {
            origin,
            tls,
            deadline: application.connect_deadline,
        };
        Ok(Self {
            target: Arc::new(target),
            protocol: application.protocol,
        })
    }

    /// Reads the TLS files again, for the connections to come.
    ///
    /// # Errors
    ///
    /// As [`Self::load`]; then everything stays as it was.
    pub fn reload(&self) -> Result<(), String> {
        if let Some(trust) = &self.target.tls {
            trust.client.store(Arc::new(tls::client(&trust.settings)?));
        }
        Ok(())
    }

    /// When the certificate that is shown to the origin expires, in seconds since 1970; none if none is.
    pub fn certificate_expiry(&self) -> Option<i64> {
        self.target.tls.as_ref()?.client.load().expiry
    }

    /// The origin.
    pub fn origin(&self) -> &Origin {
        &self.target.origin
    }

    /// The same for connections that will carry something else than HTTP after an upgrade.
    pub fn for_upgrades(&self) -> Self {
        Self {
            target: Arc::clone(&self.target),
            protocol: Protocol::Http1,
        }
    }

    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn connect(&self) -> Result<Stream, ConnectError> {
        tokio::time::timeout(self.target.deadline, self.open())
            .await
            .map_err(|_| ConnectError::Timeout)?
            .map_err(ConnectError::Failed)
    }

    async fn open(&self) -> io::Result<Stream> {
        let origin = &self.target.origin;
        let socket = TcpStream::connect((origin.host(), origin.port())).await?;
        socket.set_nodelay(true)?;
        let Some(trust) = &self.target.tls else {
            return Ok(Stream {
                io: TokioIo::new(Box::new(socket)),
                is_http2: false,
                is_used: (self.protocol != Protocol::Http2).then(Used::default),
            });
        };
        let mut config = ClientConfig::clone(&trust.client.load().config);
        config.alpn_protocols = match self.protocol {
            Protocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Protocol::Http1 => vec![b"http/1.1".to_vec()],
            Protocol::Http2 => vec![b"h2".to_vec()],
        };
        let stream = TlsConnector::from(Arc::new(config))
            .connect(trust.name.clone(), socket)
            .await?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Stream {
            io: TokioIo::new(Box::new(stream)),
            is_http2,
            is_used: (!is_http2).then(Used::default),
        })
    }

    /// Whether requests may go over HTTP/2, which names the host in another place.
    pub fn may_be_http2(&self) -> bool {
        match self.protocol {
            Protocol::Auto => self.target.origin.secure,
            Protocol::Http1 => false,
            Protocol::Http2 => true,
        }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect().await })
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not in time.
    #[error("no connection in time")]
    Timeout,
    /// The system's or the TLS library's reason.
    #[error("{0}")]
    Failed(io::Error),
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Timeout => Self::OriginTimeout("no connection in time"),
            ConnectError::Failed(error) => Self::OriginUnreachable(error.to_string()),
        }
    }
}

/// A socket to an origin, plain or over TLS.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A connection to an origin.
pub struct Stream {
    io: TokioIo<Box<dyn Socket>>,
    is_http2: bool,
    /// None with HTTP/2, where one request may fail and the connection stay.
    is_used: Option<Used>,
}

/// Whether a request was answered over a connection.
#[derive(Clone, Default)]
struct Used(Arc<AtomicBool>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = match &self.is_used {
            Some(is_used) => Connected::new().extra(is_used.clone()),
            None => Connected::new(),
        };
        if self.is_http2 {
            connected.negotiated_h2()
        } else {
            connected
        }
    }
}

impl hyper::rt::Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The client of one worker.
pub type Pool = Client<Connector, RequestBody>;

/// A pool for one worker, whose thread carries its connections.
pub fn pool(connector: Connector, application: &Application, idle: usize) -> Pool {
    let head_bytes = u32::try_from(application.head_bytes).unwrap_or(u32::MAX);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(application.idle)
        .pool_max_idle_per_host(idle)
        .http1_max_buf_size(application.head_bytes)
        .http1_max_headers(HEADERS)
        .http2_max_header_list_size(head_bytes)
        .http2_keep_alive_interval(ALIVE)
        .http2_keep_alive_timeout(ALIVE)
        .http2_only(application.protocol == Protocol::Http2)
        .set_host(false)
        .build(connector)
}

/// An answer has come: its connection is one that was used.
pub fn note_use<B>(response: &http::Response<B>) {
    if let Some(Used(is_used)) = response.extensions().get() {
        is_used.store(true, Ordering::Relaxed);
    }
}

/// Whether the origin has closed a connection that it had answered over before: most likely it had kept it long enough.
pub fn is_stale(error: &hyper_util::client::legacy::Error) -> bool {
    let mut extensions = http::Extensions::new();
    if let Some(connected) = error.connect_info() {
        connected.get_extras(&mut extensions);
    }
    let is_used = |Used(is_used): &Used| is_used.load(Ordering::Relaxed);
    extensions.get().is_some_and(is_used) && matches!(failure(error), Failure::OriginClosed(_))
}

/// What a failed request means.
pub fn failure(error: &hyper_util::client::legacy::Error) -> Failure {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(error) = cause {
        match error.downcast_ref() {
            Some(ConnectError::Timeout) => return ConnectError::Timeout.into(),
            Some(ConnectError::Failed(error)) => {
                return Failure::OriginUnreachable(error.to_string())
            }
            None => {}
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            return of_http(error);
        }
        cause = error.source();
    }
    Failure::OriginUnreachable(error.to_string())
}

/// What an error of the HTTP client means.
pub fn of_http(error: &hyper::Error) -> Failure {
    let text = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    if error.is_parse() {
        Failure::OriginMalformed(text)
    } else {
        Failure::OriginClosed(text)
    }
}

/// Lines in a head of the origin's.
const HEADERS: usize = 128;
/// How often an HTTP/2 connection in use is asked whether it is still there, and how long it has to say so.
const ALIVE: Duration = Duration::from_secs(20);
