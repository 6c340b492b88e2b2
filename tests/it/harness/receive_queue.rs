//! Whether a process has read what its socket holds, as the kernel tells it: what is written next is then read by a
//! later call. Nobody else outside the process knows.

use std::fs;
use std::io;
use std::io::Read;
use std::net::SocketAddr;
use std::net::SocketAddrV4;
use std::time::Duration;

use socket2::Domain;
use socket2::Protocol;
use socket2::Socket;
use socket2::Type;

use super::wait_until;

/// Waits until the owner of the socket from `local` to `remote` has read every byte that arrived.
pub(crate) fn wait_until_empty(local: SocketAddrV4, remote: SocketAddrV4, deadline: Duration) {
    wait_until("the gateway to read what was sent", deadline, || {
        let queued = ask_kernel(local, remote).or_else(|_| look_up(local, remote));
        // A socket that is gone holds nothing.
        queued.unwrap_or(0) == 0
    });
}

/// Asks for this one socket by netlink (sock_diag(7)): cheap, however many sockets there are.
fn ask_kernel(local: SocketAddrV4, remote: SocketAddrV4) -> io::Result<u32> {
    const AF_NETLINK: i32 = 16;
    const NETLINK_SOCK_DIAG: i32 = 4;
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const NLM_F_REQUEST: u16 = 1;
    const AF_INET: u8 = 2;
    const IPPROTO_TCP: u8 = 6;
    const LENGTH: u32 = 72;
    /// Of `idiag_rqueue` in the answer.
    const QUEUED: usize = 72;

    let mut request = Vec::new();
    request.extend(LENGTH.to_ne_bytes());
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend(NLM_F_REQUEST.to_ne_bytes());
    request.extend([0; 8]);
    request.extend([AF_INET, IPPROTO_TCP, 0, 0]);
    // In any state.
    request.extend([0xff; 4]);
    request.extend(local.port().to_be_bytes());
    request.extend(remote.port().to_be_bytes());
    for address in [local.ip(), remote.ip()] {
        request.extend(address.octets());
        request.extend([0; 12]);
    }
    // On any interface, with any cookie.
    request.extend([0; 4]);
    request.extend([0xff; 8]);

    let mut socket = Socket::new(
        Domain::from(AF_NETLINK),
        Type::RAW,
        Some(Protocol::from(NETLINK_SOCK_DIAG)),
    )?;
    socket.send(&request)?;
    let mut answer = [0; 512];
    let count = socket.read(&mut answer)?;
    let answer = &answer[..count];
    let kind = answer
        .get(4..6)
        .map(|kind| u16::from_ne_bytes([kind[0], kind[1]]));
    let queued = answer.get(QUEUED..QUEUED + 4);
    match (kind, queued) {
        (Some(SOCK_DIAG_BY_FAMILY), Some(&[a, b, c, d])) => Ok(u32::from_ne_bytes([a, b, c, d])),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Looks the socket up in the table of all: slow where there are thousands, but it is everywhere.
fn look_up(local: SocketAddrV4, remote: SocketAddrV4) -> io::Result<u32> {
    let wanted = format!("{} {}", table_address(local), table_address(remote));
    let table = fs::read_to_string("/proc/net/tcp")?;
    let line = table.lines().find(|line| line.contains(&wanted));
    let queues = line.and_then(|line| line.split_whitespace().nth(4));
    let queued = queues.and_then(|queues| queues.split_once(':'));
    let queued = queued.and_then(|(_, queued)| u32::from_str_radix(queued, 16).ok());
    queued.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// An address the way `/proc/net/tcp` writes it: the address as one native-endian word, the port as it is.
fn table_address(address: SocketAddrV4) -> String {
    let word = u32::from_ne_bytes(address.ip().octets());
    format!("{word:08X}:{:04X}", address.port())
}

/// Both witnesses see what was sent and not read, and that it was read.
#[test]
fn both_witnesses_tell_what_waits() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound listener");
    let mut sender = std::net::TcpStream::connect(address).expect("somebody listens");
    let (mut reader, remote) = listener.accept().expect("somebody connects");
    let (SocketAddr::V4(local), SocketAddr::V4(remote)) = (address, remote) else {
        panic!("not IPv4");
    };
    io::Write::write_all(&mut sender, b"hello").expect("bytes can be sent");
    let deadline = Duration::from_secs(5);
    for witness in [ask_kernel, look_up] {
        wait_until("the bytes to arrive", deadline, || {
            matches!(witness(local, remote), Ok(5))
        });
    }
    reader.read_exact(&mut [0; 5]).expect("bytes came");
    for witness in [ask_kernel, look_up] {
        assert!(matches!(witness(local, remote), Ok(0)));
    }
}
