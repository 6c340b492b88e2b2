//! Sockets that listen.

use std::net::SocketAddr;
use std::net::TcpListener;

use crate::app::StartError;

/// Listens on the address that the key `what` has.
pub(super) fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let bind = || {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    bind().map_err(|error| StartError::Listen {
        what,
        address,
        error,
    })
}

/// Connections the kernel keeps for us while all workers are busy: as many as come at once when a
/// page with many tabs, or a load balancer, reconnects.
const BACKLOG: i32 = 1024;
