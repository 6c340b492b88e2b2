//! `smeuse --health`: asks a running gateway how it is, over its private listener. For a container's health check, where
//! there may be no other program that can.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;
use std::time::Instant;

use crate::cli::Health;

/// Asks the gateway whose `admin.address` this is; the longest `connect_deadline` of its services says how long it may
/// look for a broker before it answers whether it is ready.
///
/// # Errors
/// One line that says why the answer is no, or why there is none.
pub fn ask(admin: SocketAddr, what: Health, connect_deadline: Duration) -> Result<String, String> {
    if admin.port() == 0 {
        return Err(
            "unhealthy: admin.address has port 0, so that nobody knows where to ask".to_owned(),
        );
    }
    let address = reachable(admin);
    let (path, good, bad, deadline) = match what {
        Health::Alive => ("/healthz", "healthy", "unhealthy", PATIENCE),
        // A probe of the brokers takes twice their deadline at most.
        Health::Ready => (
            "/readyz",
            "ready",
            "not ready",
            connect_deadline * 2 + PATIENCE,
        ),
    };
    match get(address, path, Instant::now() + deadline) {
        Ok((200, body)) => Ok(format!("{good}: {}", one_line(&body))),
        Ok((status, body)) => Err(format!("{bad}: {status} {}", one_line(&body))),
        Err(error) => Err(format!("{bad}: {address} does not answer: {error}")),
    }
}

/// Where a listener at this address is reached from the same machine: every address includes the loopback one.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Status and body of the answer to a GET, all of it until `end`.
fn get(address: SocketAddr, path: &str, end: Instant) -> io::Result<(u16, String)> {
    let mut socket = TcpStream::connect_timeout(&address, left(end)?)?;
    socket.set_write_timeout(Some(left(end)?))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    while answer.len() < LONGEST_ANSWER {
        socket.set_read_timeout(Some(left(end)?))?;
        match socket.read(&mut part) {
            Ok(0) => break,
            Ok(count) => answer.extend(part.iter().take(count)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // What the system calls a read that took too long.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(late()),
            Err(error) => return Err(error),
        }
    }
    parse(&String::from_utf8_lossy(&answer))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "that is no answer of HTTP/1.1"))
}

/// Status and body of a whole answer (RFC 9112 sections 4 and 6.3: it ends with the connection).
fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// What an operator sees in a list of containers: no line breaks, no control characters.
fn one_line(body: &str) -> String {
    let lines = body.lines().map(|line| line.replace(char::is_control, " "));
    lines.collect::<Vec<_>>().join("; ")
}

fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(late());
    }
    Ok(left)
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "not in time")
}

/// For an answer that costs the gateway nothing: longer, and it hangs.
const PATIENCE: Duration = Duration::from_secs(2);

/// More than `/readyz` says of a hundred brokers.
const LONGEST_ANSWER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A listener that reads a request and answers with this, then closes; with `None` it says nothing.
    fn gateway(answer: Option<&'static str>) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a client");
            let mut request = [0; 1024];
            let count = socket.read(&mut request).expect("a request");
            assert!(request[..count].starts_with(b"GET /"), "{request:?}");
            match answer {
                Some(answer) => socket.write_all(answer.as_bytes()).expect("it reads"),
                // Until the client has given up.
                None => drop(socket.read(&mut request)),
            }
        });
        address
    }

    #[test]
    fn the_answer_is_one_line_with_the_reason() {
        let alive = gateway(Some("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nalive\n"));
        assert_eq!(
            ask(alive, Health::Alive, Duration::ZERO),
            Ok("healthy: alive".to_owned())
        );
        let draining = gateway(Some(
            "HTTP/1.1 503 Service Unavailable\r\n\r\ndraining: soon\nand\u{1b} more\n",
        ));
        assert_eq!(
            ask(draining, Health::Ready, Duration::ZERO),
            Err("not ready: 503 draining: soon; and  more".to_owned())
        );
    }

    #[test]
    fn nobody_there_and_strangers_are_unhealthy() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let line = ask(address, Health::Alive, Duration::ZERO).unwrap_err();
        assert!(line.starts_with("unhealthy: 127.0.0.1:"), "{line}");
        assert!(line.contains("does not answer"), "{line}");
        for stranger in [
            "",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 abc\r\n\r\n",
            "HTTP/1.1 20",
        ] {
            let line = ask(gateway(Some(stranger)), Health::Alive, Duration::ZERO).unwrap_err();
            assert!(line.ends_with("no answer of HTTP/1.1"), "{line}");
        }
        let line = ask(([127, 0, 0, 1], 0).into(), Health::Alive, Duration::ZERO).unwrap_err();
        assert!(line.contains("port 0"), "{line}");
    }

    #[test]
    fn a_gateway_that_hangs_is_waited_for_and_given_up() {
        let began = Instant::now();
        let line = ask(gateway(None), Health::Alive, Duration::ZERO).unwrap_err();
        assert!(line.ends_with("not in time"), "{line}");
        let took = began.elapsed();
        assert!(took >= PATIENCE && took < PATIENCE * 3, "{took:?}");
    }

    #[test]
    fn every_address_is_asked_at_the_loopback_one() {
        for (address, expected) in [
            ("0.0.0.0:15673", "127.0.0.1:15673"),
            ("[::]:15673", "[::1]:15673"),
            ("10.0.0.7:80", "10.0.0.7:80"),
        ] {
            let address: SocketAddr = address.parse().expect("an address");
            assert_eq!(reachable(address).to_string(), expected);
        }
    }
}
