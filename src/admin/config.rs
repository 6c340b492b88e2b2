//! The settings of the private listener.

use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::admin::hosts::Hosts;

/// The table `[admin]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port of the live view, `/metrics`, `/healthz`, `/readyz` and
    /// `/sessions`; port 0 lets the system choose. Whoever reaches it can end
    /// sessions, so the default is the loopback interface.
    pub address: SocketAddr,
    /// Whether `/readyz` says 200 while a broker holds publishers back.
    pub ready_while_blocked: bool,
    /// A file with the token that everything but `/healthz` and `/readyz` asks
    /// for; nothing asks without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Names by which browsers may know this listener, besides `localhost`,
    /// addresses, and names without a dot.
    pub hosts: Vec<String>,
}

impl Config {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    pub fn validate(&self) -> Result<(), String> {
        Hosts::new(&self.hosts)
            .map(drop)
            .map_err(|text| format!("hosts: {text}"))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 15673)),
            ready_while_blocked: true,
            token_file: None,
            hosts: Vec::new(),
        }
    }
}
