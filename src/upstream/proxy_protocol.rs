//! The PROXY protocol's header, by which the broker learns the browser's address: the text of
//! version 1 and the bytes of version 2 (HAProxy's proxy-protocol.txt, sections 2.1 and 2.2).

use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;

use ppp::v1;
use ppp::v2;

use crate::upstream::config::ProxyProtocol;

/// The header for a socket that carries bytes from `client` to `gateway`; none if it is off.
///
/// Both addresses are always named, the gateway's own where there is no client: RabbitMQ's reader
/// (seen with 3.10.8) crashes on `UNKNOWN` and on the command LOCAL.
pub(super) fn header(
    version: ProxyProtocol,
    client: SocketAddr,
    gateway: SocketAddr,
) -> io::Result<Option<Vec<u8>>> {
    let ends = one_family(client, gateway);
    match version {
        ProxyProtocol::Off => Ok(None),
        ProxyProtocol::V1 => Ok(Some(v1::Addresses::from(ends).to_string().into_bytes())),
        ProxyProtocol::V2 => v2::Builder::with_addresses(
            v2::Version::Two | v2::Command::Proxy,
            v2::Protocol::Stream,
            ends,
        )
        .build()
        .map(Some),
    }
}

/// Both addresses in the family of IPv4 if possible, else of IPv6: a header has one family, while
/// the client's address may come from a trusted proxy's header and differ from the socket's.
fn one_family(client: SocketAddr, gateway: SocketAddr) -> (SocketAddr, SocketAddr) {
    let (client, gateway) = (canonical(client), canonical(gateway));
    if client.is_ipv4() == gateway.is_ipv4() {
        return (client, gateway);
    }
    (mapped(client), mapped(gateway))
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn mapped(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    SocketAddr::new(ip.into(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(version: ProxyProtocol, client: &str, gateway: &str) -> Vec<u8> {
        header(version, client.parse().unwrap(), gateway.parse().unwrap())
            .unwrap()
            .unwrap()
    }

    #[test]
    fn off_is_nothing() {
        let address = "192.0.2.1:1".parse().unwrap();
        assert_eq!(header(ProxyProtocol::Off, address, address).unwrap(), None);
    }

    #[test]
    fn version_1_is_a_line_of_text() {
        for (client, gateway, line) in [
            (
                "192.0.2.7:40000",
                "10.0.0.1:15670",
                "PROXY TCP4 192.0.2.7 10.0.0.1 40000 15670\r\n",
            ),
            (
                "[2001:db8::7]:40000",
                "[::1]:15670",
                "PROXY TCP6 2001:db8::7 ::1 40000 15670\r\n",
            ),
            (
                "[::ffff:192.0.2.7]:1",
                "10.0.0.1:2",
                "PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n",
            ),
            (
                "192.0.2.7:1",
                "[2001:db8::1]:2",
                "PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 1 2\r\n",
            ),
        ] {
            let header = bytes(ProxyProtocol::V1, client, gateway);
            assert_eq!(String::from_utf8(header).unwrap(), line);
        }
    }

    #[test]
    fn version_2_is_a_signature_and_the_addresses() {
        let mut ipv4 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        ipv4.extend([192, 0, 2, 7, 10, 0, 0, 1, 0x9c, 0x40, 0x3d, 0x36]);
        assert_eq!(
            bytes(ProxyProtocol::V2, "192.0.2.7:40000", "10.0.0.1:15670"),
            ipv4
        );

        let mut ipv6 = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24".to_vec();
        ipv6.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        ipv6.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        ipv6.extend([0, 1, 0, 2]);
        assert_eq!(bytes(ProxyProtocol::V2, "[2001:db8::7]:1", "[::1]:2"), ipv6);
    }
}
