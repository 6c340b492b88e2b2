//! The settings of the private listener.

use std::net::Ipv4Addr;
use std::net::SocketAddr;

use serde::Deserialize;
use serde::Serialize;

/// The table `[admin]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port of `/metrics`, `/healthz`, `/readyz` and `/sessions`;
    /// port 0 lets the system choose. Whoever reaches it can end sessions, so
    /// the default is the loopback interface.
    pub address: SocketAddr,
    /// Whether `/readyz` says 200 while a broker holds publishers back.
    pub ready_while_blocked: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 15673)),
            ready_while_blocked: true,
        }
    }
}
