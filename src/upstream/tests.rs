//! The broker's side against scripted brokers. What follows is the kit of the suites below.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus::Registry;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;

mod connect;
mod probe;
mod tls;

const HEADER: [u8; 8] = *b"AMQP\0\0\x09\x01";

/// An upstream of these settings, which must be valid, and the registry of its metrics.
fn upstream(toml: &str) -> (Upstream, Registry) {
    let config: Config = toml::from_str(toml).unwrap_or_else(|error| panic!("{toml}: {error}"));
    config
        .validate()
        .unwrap_or_else(|error| panic!("{toml}: {error}"));
    let registry = Registry::new();
    let metrics = Metrics::register(&registry).unwrap();
    (Upstream::new(&config, metrics).unwrap(), registry)
}

/// Runs `script` for each socket that comes to the address returned.
async fn broker<F, S>(script: F) -> SocketAddr
where
    F: Fn(TcpStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    serve(listener, script)
}

fn serve<F, S>(listener: TcpListener, script: F) -> SocketAddr
where
    F: Fn(TcpStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(script(stream));
        }
    });
    address
}

/// An address at which nobody listens for as long as the socket lives: it keeps the port from
/// everybody else.
fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A broker that accepts and says nothing, like RabbitMQ at its limit of sockets.
async fn silent_broker() -> SocketAddr {
    broker(|mut stream| async move {
        // Reads until the gateway gives up.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await
}

/// The next `N` bytes.
async fn read<const N: usize>(stream: &mut (impl AsyncReadExt + Unpin)) -> [u8; N] {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

/// Fails the test rather than hang.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), work)
        .await
        .expect("took too long")
}

/// The value of a counter or gauge with these labels as the text of /metrics shows it.
fn metric(registry: &Registry, series: &str) -> f64 {
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&registry.gather())
        .unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {text}"))
        .parse()
        .unwrap()
}

fn outcome(registry: &Registry, outcome: &str) -> f64 {
    metric(
        registry,
        &format!("smeuse_upstream_connects_total{{outcome=\"{outcome}\"}}"),
    )
}

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("smeuse-upstream-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.file(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn show(path: &Path) -> std::path::Display<'_> {
    path.display()
}
