//! lapin over sockets of ours: a runtime kit whose stream may be anything, so that dialling, TLS and deadlines stay
//! with the gateway. Tasks and timers are those of [`runtime`](crate::upstream::runtime).

use std::fmt;
use std::future::Future;
use std::io;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use async_rs::traits::Executor;
use async_rs::traits::Reactor;
use async_rs::traits::RuntimeKit;
use async_rs::util::Task;
use async_rs::Runtime;
use async_rs::Tokio;
use futures_core::Stream;
use lapin::tcp::AsyncTcpStream;
use lapin::uri::AMQPUri;
use lapin::Connection;
use lapin::ConnectionProperties;
use lapin::ErrorKind;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio_util::compat::Compat;
use tokio_util::compat::TokioAsyncReadCompatExt;

use crate::upstream::runtime;
use crate::wire::amqp::ReplyCode;

/// What lapin can speak over.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for T {}

/// Logs in over `stream`, on which no byte has been sent. Of `uri` the vhost, the login (unless `properties` have an
/// auth provider) and the query count. The connection is not made again when it is lost.
///
/// # Errors
/// What lapin says of it, or the system if it gives no thread.
pub async fn connect(
    stream: Box<dyn Transport>,
    uri: AMQPUri,
    properties: ConnectionProperties,
) -> Result<Connection, lapin::Error> {
    let handle = runtime::handle()?;
    let kit = Kit(Tokio::default().with_handle(handle));
    let once = Mutex::new(Some(stream));
    let take = async move |_: AMQPUri, _: Runtime<Kit>| {
        let stream = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stream = stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
        Ok(AsyncTcpStream::Plain(stream.compat()))
    };
    Connection::connector(uri, Runtime::new(kit), take, properties).await
}

/// Whether it was the broker that refused the login or the vhost.
pub fn is_refusal(error: &lapin::Error) -> bool {
    match error.kind() {
        ErrorKind::ProtocolError(error) => {
            let code = ReplyCode(error.get_id());
            code == ReplyCode::ACCESS_REFUSED || code == ReplyCode::NOT_ALLOWED
        }
        _ => false,
    }
}

/// tokio, with any stream in the place of TCP's.
#[derive(Clone)]
struct Kit(Tokio);

impl fmt::Debug for Kit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kit").finish()
    }
}

impl RuntimeKit for Kit {}

impl Executor for Kit {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, f: F) -> T {
        self.0.block_on(f)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        f: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn(f)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        f: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(f)
    }
}

impl Reactor for Kit {
    type TcpStream = Compat<Box<dyn Transport>>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl futures_io::AsyncRead + futures_io::AsyncWrite + Send + Unpin + 'static>
    {
        self.0.register(socket)
    }

    fn sleep(&self, dur: Duration) -> Self::Sleep {
        self.0.sleep(dur)
    }

    fn interval(&self, dur: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(dur)
    }

    /// lapin is given its stream and never asks for one.
    fn tcp_connect_addr(
        &self,
        _: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}
