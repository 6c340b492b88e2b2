//! The settings of the gateway as a client of its own broker (`[control]`).

use std::fs;

use serde::Deserialize;
use serde::Serialize;

use crate::upstream;
use crate::upstream::config::LoginMode;
use crate::upstream::config::ProxyProtocol;
use crate::upstream::config::Tls;
use crate::upstream::BrokerUri;

/// The table `[control]`. Nothing is done unless an exchange is named.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Brokers with the gateway's own login, the first that works is taken; nodes of one cluster, if several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uris: Vec<BrokerUri>,
    /// What TLS towards them needs beyond the platform's roots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The PROXY protocol towards them, if they want it of everybody.
    pub proxy_protocol: ProxyProtocol,
    /// What this gateway is called in events and replies; at most 255 bytes. Default: the name of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The topic exchange that events are published to; none are without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_exchange: Option<String>,
    /// Events that may wait for the broker; at least 1. When there are more, the oldest is dropped.
    pub events_queue: usize,
    /// The fanout exchange that commands come from; none do without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commands_exchange: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            uris: Vec::new(),
            tls: None,
            proxy_protocol: ProxyProtocol::default(),
            name: None,
            events_exchange: None,
            events_queue: 10_000,
            commands_exchange: None,
        }
    }
}

impl Config {
    /// Checks what the types alone do not.
    ///
    /// # Errors
    /// `key: reason`, the key relative to the table.
    pub fn validate(&self) -> Result<(), String> {
        if self.events_queue == 0 {
            return Err("events_queue: must be at least 1".to_owned());
        }
        let exchanges = [
            ("events_exchange", &self.events_exchange),
            ("commands_exchange", &self.commands_exchange),
        ];
        for (key, exchange) in exchanges {
            let Some(name) = exchange else {
                continue;
            };
            check_name(key, name)?;
            if self.uris.is_empty() {
                return Err(format!("{key}: has no effect without control.uris"));
            }
        }
        if let Some(name) = &self.name {
            check_name("name", name)?;
        }
        if self.uris.is_empty() {
            return match self.tls {
                Some(_) => Err("tls: has no effect without control.uris".to_owned()),
                None => Ok(()),
            };
        }
        self.upstream().validate()
    }

    /// How the brokers are reached; there is at least one URI.
    pub fn upstream(&self) -> upstream::Config {
        upstream::Config {
            // As clients read a URI without a vhost.
            uris: self
                .uris
                .iter()
                .map(|uri| uri.clone().or_vhost("/"))
                .collect(),
            tls: self.tls.clone(),
            proxy_protocol: self.proxy_protocol,
            login: LoginMode::Service,
            ..upstream::Config::default()
        }
    }

    /// What this gateway is called.
    pub fn gateway(&self) -> String {
        self.name.clone().unwrap_or_else(host_name)
    }
}

fn check_name(key: &str, name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_BYTES {
        return Err(format!("{key}: must have 1 to {NAME_BYTES} bytes"));
    }
    Ok(())
}

fn host_name() -> String {
    let name = fs::read_to_string(HOST_NAME).unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        return "smeuse".to_owned();
    }
    name.to_owned()
}

/// Where Linux says what the host is called.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// The longest short string of AMQP 0-9-1 (section 4.2.5.3), which is what the name of an exchange is.
const NAME_BYTES: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(toml: &str) -> Result<(), String> {
        let config: Config = toml::from_str(toml).unwrap_or_else(|error| panic!("{toml}: {error}"));
        config.validate()
    }

    #[test]
    fn it_is_off_and_valid_by_default() {
        check("").unwrap();
        assert!(!Config::default().gateway().is_empty());
    }

    #[test]
    fn what_cannot_work_is_an_error_that_names_its_key() {
        for (toml, key) in [
            ("events_queue = 0", "events_queue:"),
            ("events_exchange = 'e'", "events_exchange:"),
            ("commands_exchange = 'c'", "commands_exchange:"),
            (
                "uris = ['amqp://u:p@h']\ncommands_exchange = ''",
                "commands_exchange:",
            ),
            ("name = ''", "name:"),
            ("tls = { ca = 'f' }", "tls:"),
            ("uris = ['amqp://u:p@h']\ntls = { ca = 'f' }", "tls:"),
            ("uris = ['amqp://h']", "user:"),
        ] {
            let error = check(toml).unwrap_err();
            assert!(error.starts_with(key), "{toml}: {error}");
        }
        check(
            "uris = ['amqp://u:p@h']\nevents_exchange = 'e'\ncommands_exchange = 'c'\nname = 'n'",
        )
        .unwrap();
    }
}
