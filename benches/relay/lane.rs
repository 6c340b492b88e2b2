//! A lane: one of the ways to a broker that are measured side by side.

use std::io;
use std::net::SocketAddr;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::time::Duration;

use crate::client::Account;
use crate::client::Client;
use crate::client::Way;
use crate::process::Process;

/// One way to a broker, and the process in between, if there is one.
pub(crate) struct Lane {
    pub(crate) way: Way,
    pub(crate) account: Account,
    pub(crate) process: Option<Arc<Process>>,
    /// A real broker keeps messages in a queue; the sink makes them up.
    pub(crate) real: bool,
}

impl Lane {
    /// Opens a session that may take `buffer` bytes with one read.
    pub(crate) fn open(&self, buffer: usize) -> io::Result<Client> {
        Client::open(self.way, &self.account, buffer)
    }

    /// CPU of the process in between; none for the direct lane.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        self.process
            .as_ref()
            .map_or(Ok(Duration::ZERO), |process| process.cpu())
    }

    /// The most messages of a size to leave in a real broker's queue.
    pub(crate) fn most(&self, size: usize) -> u64 {
        if self.real {
            (REAL_BYTES / size as u64).min(REAL_MESSAGES)
        } else {
            u64::MAX
        }
    }
}

/// The three lanes to the sink, which lets everybody in.
pub(crate) fn to_sink(sink: SocketAddr) -> io::Result<[Lane; 3]> {
    lanes(sink, &guest(), false)
}

fn guest() -> Account {
    Account {
        user: "guest".to_owned(),
        password: "guest".to_owned(),
        vhost: "/".to_owned(),
    }
}

/// The three lanes to the RabbitMQ at `amqp://user:password@host:port/vhost`.
pub(crate) fn to_real(url: &str) -> io::Result<[Lane; 3]> {
    let (address, account) = parse(url)?;
    lanes(address, &account, true)
}

/// The first address of a host and port.
pub(crate) fn resolve(host: &str) -> io::Result<SocketAddr> {
    host.to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::other(format!("{host} has no address")))
}

/// Direct, floor, smeuse: each lane to a broker with processes of its own.
fn lanes(broker: SocketAddr, account: &Account, real: bool) -> io::Result<[Lane; 3]> {
    let lane = |way, process| Lane {
        way,
        account: account.clone(),
        process,
        real,
    };
    let floor = Process::floor(broker)?;
    let smeuse = Process::gateway(broker)?;
    Ok([
        lane(Way::Direct(broker), None),
        lane(Way::WebSocket(floor.address()), Some(Arc::new(floor))),
        lane(Way::WebSocket(smeuse.address()), Some(Arc::new(smeuse))),
    ])
}

/// Dedicated and shared, to the sink.
pub(crate) fn dedicated_and_shared_to_sink(sink: SocketAddr) -> io::Result<[Lane; 2]> {
    dedicated_and_shared(sink, &guest(), false)
}

/// Dedicated and shared, to the RabbitMQ at `amqp://user:password@host:port/vhost`.
pub(crate) fn dedicated_and_shared_to_real(url: &str) -> io::Result<[Lane; 2]> {
    let (address, account) = parse(url)?;
    dedicated_and_shared(address, &account, true)
}

/// Two gateways that differ in this alone.
fn dedicated_and_shared(
    broker: SocketAddr,
    account: &Account,
    real: bool,
) -> io::Result<[Lane; 2]> {
    Ok([
        by_the_service(broker, account, real, "dedicated", "")?,
        by_the_service(broker, account, real, "shared", "")?,
    ])
}

/// Shared to the sink, with settings of its own.
pub(crate) fn shared_to_sink(sink: SocketAddr, settings: &str) -> io::Result<Lane> {
    by_the_service(sink, &guest(), false, "shared", settings)
}

fn by_the_service(
    broker: SocketAddr,
    account: &Account,
    real: bool,
    connections: &str,
    settings: &str,
) -> io::Result<Lane> {
    let process = Process::gateway_with(broker, account, connections, settings)?;
    Ok(Lane {
        way: Way::WebSocket(process.address()),
        account: account.clone(),
        process: Some(Arc::new(process)),
        real,
    })
}

/// Lanes through the same gateway: without extensions, the same once more, which shows how far two equal lanes lie apart,
/// and with these, agreed in the extended handshake.
pub(crate) fn with_extensions(plain: &Lane, extensions: &[&'static str]) -> io::Result<Vec<Lane>> {
    let process = plain.process.clone();
    let process = process.ok_or_else(|| io::Error::other("a lane without a gateway"))?;
    let address = process.address();
    let lane = |way| Lane {
        way,
        account: plain.account.clone(),
        process: Some(Arc::clone(&process)),
        real: plain.real,
    };
    let mut lanes = vec![lane(Way::WebSocket(address)), lane(Way::WebSocket(address))];
    lanes.extend(
        extensions
            .iter()
            .map(|offers| lane(Way::Extended(address, offers))),
    );
    Ok(lanes)
}

/// A lane through a gateway of its own, by the extended handshake with these extensions.
pub(crate) fn extended(broker: SocketAddr, extensions: &'static str) -> io::Result<Lane> {
    let process = Process::gateway(broker)?;
    Ok(Lane {
        way: Way::Extended(process.address(), extensions),
        account: guest(),
        process: Some(Arc::new(process)),
        real: false,
    })
}

/// `amqp://user:password@host:port/vhost`; what is missing is RabbitMQ's default.
fn parse(url: &str) -> io::Result<(SocketAddr, Account)> {
    let rest = url
        .strip_prefix("amqp://")
        .ok_or_else(|| io::Error::other("SMEUSE_BENCH_AMQP_URL: amqp:// only"))?;
    let (authority, vhost) = rest
        .split_once('/')
        .map_or((rest, "/"), |(authority, vhost)| (authority, vhost));
    let (login, host) = authority
        .rsplit_once('@')
        .unwrap_or(("guest:guest", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let vhost = if vhost.is_empty() {
        "/".to_owned()
    } else {
        vhost.replace("%2f", "/").replace("%2F", "/")
    };
    let host = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:5672")
    };
    Ok((
        resolve(&host)?,
        Account {
            user: user.to_owned(),
            password: password.to_owned(),
            vhost,
        },
    ))
}

/// No alarm of a real broker shall go off, and none shall be at work for long after the publishing
/// has ended: the sockets between hold far more small publishes than it takes in a second.
const REAL_BYTES: u64 = 16 * 1024 * 1024;
const REAL_MESSAGES: u64 = 20_000;
