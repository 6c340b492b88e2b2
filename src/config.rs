//! All settings as one type made of the stages' own. They come from defaults,
//! file, environment and flags, and a `Settings` that was loaded is valid.

use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;

use ::config::Value;
use serde::Deserialize;
use serde::Serialize;

use crate::admin;
use crate::cli::Arguments;
use crate::control;
use crate::downstream;
use crate::drain;
use crate::handshake;
use crate::handshake::config::Kind;
use crate::handshake::config::Service;
use crate::logging;
use crate::pipeline::metrics::OTHER;
use crate::relay;
use crate::web;
use crate::wire::websocket::header::parse_tokens;

mod contract;
mod environment;
mod error;
mod file;
mod key;
mod named_files;
mod restart;
mod tree;

pub use environment::variables;
pub use error::ConfigError;

use key::Key;

/// Everything that can be set, a field per table of the file.
///
/// The keys, their defaults and what they mean stand in
/// `config/smeuse.toml`, which is part of the binary: a key that it does not
/// name is unknown.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The public listener.
    pub listen: downstream::config::Listen,
    /// The private listener.
    pub admin: admin::config::Config,
    /// What the public listener serves besides WebSockets.
    pub web: web::config::Config,
    /// The log.
    pub log: logging::Config,
    /// Whose word about the client's address counts.
    pub proxies: downstream::config::Proxies,
    /// The orderly end of the process.
    pub drain: drain::config::Config,
    /// How much the public listener takes on.
    pub limits: downstream::config::Limits,
    /// Sizes and times of every session.
    pub websocket: downstream::config::WebSocket,
    /// Times of the extended handshake.
    pub handshake: handshake::config::Deadlines,
    /// Sizes and times of every AMQP connection.
    pub amqp: relay::config::Config,
    /// Events for backends and commands from them.
    pub control: control::Config,
    /// What clients can connect to, by path.
    pub services: Vec<Service>,
}

impl Settings {
    /// Reads the settings: defaults, then the file, then `AMQP_URL` and
    /// `PORT`, then `SMEUSE__SECTION__KEY`, then the flags; later ones win.
    ///
    /// Tables are merged key by key, lists are replaced. Of the variables only
    /// those named here are looked at; an empty `AMQP_URL` or `PORT` counts as
    /// none.
    ///
    /// The files that the settings name are tried as well, except for
    /// `--print-config` and `--health`: TLS certificates and keys, the folder that is served.
    ///
    /// # Errors
    ///
    /// The first unknown key, impossible value or unusable file, with its key
    /// and where it was set.
    pub fn load(
        arguments: &Arguments,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        // The settings of another machine can be printed here, and a health check uses none of the files.
        let looks_at_files = !arguments.print_config && arguments.health.is_none();
        Self::read(arguments, variables, |settings| {
            let files = || named_files::problem(settings);
            let modules = || named_files::module_problem(settings);
            looks_at_files.then(|| files().or_else(modules)).flatten()
        })
    }

    /// Reads the settings of a gateway that runs. Modules for pages may be just being written, so they are not looked at.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn load_again(
        arguments: &Arguments,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        Self::read(arguments, variables, named_files::problem)
    }

    fn read(
        arguments: &Arguments,
        variables: impl Iterator<Item = (String, String)>,
        problem_of_files: impl Fn(&Self) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let shape = contract::shape()?;
        let mut root = contract::defaults()?;
        if let Some(settings) = file::read(arguments.config.as_deref(), &shape)? {
            tree::merge(&mut root, settings);
        }
        environment::apply(&mut root, variables, &shape)?;
        apply_flags(&mut root, arguments)?;
        let settings: Self = tree::deserialize(&root, &shape)?;
        let problem = settings.problem();
        match problem.or_else(|| problem_of_files(&settings)) {
            Some(text) => Err(tree::blame(&root, &text)),
            None => Ok(settings),
        }
    }

    /// Checks that every extension a service names is one of these, or declared to be a page's alone.
    ///
    /// # Errors
    ///
    /// The first that is not.
    pub fn check_extensions(&self, known: &[&str]) -> Result<(), ConfigError> {
        let error = |key, reason| Err(ConfigError::new(None, key, reason));
        if let Some(name) = known.iter().find(|name| !is_extension_name(name)) {
            return error(None, format!("{name:?} cannot be the name of an extension"));
        }
        for service in &self.services {
            let unknown = |name: &&String| !known.contains(&name.as_str());
            if let Some(name) = service.extensions.iter().find(unknown) {
                let key = format!("services.{}.extensions", service.name);
                let known = known.join(", ");
                let reason = format!(
                    "{name:?} is not an extension of this gateway, which has {known}; one that is a page's alone stands in page_only"
                );
                return error(Some(key), reason);
            }
            let key = format!("services.{}.page_only", service.name);
            for name in &service.page_only {
                if known.contains(&name.as_str()) {
                    let reason = format!(
                        "{name:?} is an extension of this gateway, so it stands in extensions"
                    );
                    return error(Some(key), reason);
                }
                if !is_extension_name(name) {
                    let reason = format!("{name:?} cannot be the name of an extension");
                    return error(Some(key), reason);
                }
            }
        }
        Ok(())
    }

    /// The services `current` with what these settings say of their extensions.
    ///
    /// # Errors
    ///
    /// What does not go together, or an extension that is not among the `known`.
    pub fn extensions_for(
        &self,
        current: &[Service],
        known: &[&str],
    ) -> Result<Vec<Service>, ConfigError> {
        let renewed = |service: &Service| {
            let mut named = self.services.iter();
            match named.find(|newer| newer.name == service.name) {
                Some(newer) => service.with_extensions_of(newer),
                None => service.clone(),
            }
        };
        let merged = Self {
            services: current.iter().map(renewed).collect(),
            ..self.clone()
        };
        handshake::config::validate_services(&merged.services)
            .map_err(|text| ConfigError::from_text(None, &text))?;
        merged.check_extensions(known)?;
        Ok(merged.services)
    }

    /// Writes the settings as a configuration file, secrets masked.
    ///
    /// # Errors
    ///
    /// A value that TOML cannot express, such as a path that is not UTF-8.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string_pretty(self).map_err(|error| ConfigError::new(None, None, error))
    }

    /// What is wrong with the values, if anything, as `key: reason`.
    fn problem(&self) -> Option<String> {
        let tables = [
            ("listen.", self.listen.validate()),
            ("admin.", self.admin.validate()),
            ("web.", self.web.validate()),
            ("log.", self.log.validate()),
            ("drain.", self.drain.validate()),
            ("limits.", self.limits.validate()),
            ("websocket.", self.websocket.validate()),
            ("handshake.", self.handshake.validate()),
            ("amqp.", self.amqp.validate()),
            ("control.", self.control.validate()),
            ("", handshake::config::validate_services(&self.services)),
        ];
        for (prefix, result) in tables {
            if let Err(text) = result {
                return Some(format!("{prefix}{text}"));
            }
        }
        for service in self.amqp_services() {
            if let Err(text) = service.upstream.validate() {
                return Some(format!("services.{}.upstream.{text}", service.name));
            }
        }
        if collide(self.listen.address, self.admin.address) {
            return Some(format!(
                "admin.address: {} is taken by listen.address, which is {}",
                self.admin.address, self.listen.address
            ));
        }
        None
    }

    /// The file that the settings are read from; none if there is none.
    pub fn file(arguments: &Arguments) -> Option<PathBuf> {
        file::path(arguments.config.as_deref()).map(Path::to_owned)
    }

    fn amqp_services(&self) -> impl Iterator<Item = &Service> {
        self.services
            .iter()
            .filter(|service| service.kind == Kind::Amqp)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: downstream::config::Listen::default(),
            admin: admin::config::Config::default(),
            web: web::config::Config::default(),
            log: logging::Config::default(),
            proxies: downstream::config::Proxies::default(),
            drain: drain::config::Config::default(),
            limits: downstream::config::Limits::default(),
            websocket: downstream::config::WebSocket::default(),
            handshake: handshake::config::Deadlines::default(),
            amqp: relay::config::Config::default(),
            control: control::Config::default(),
            services: vec![Service::default()],
        }
    }
}

fn apply_flags(root: &mut Value, arguments: &Arguments) -> Result<(), ConfigError> {
    let flags = [
        ("--listen", "listen.address", &arguments.listen),
        ("--admin", "admin.address", &arguments.admin),
        ("--log", "log.level", &arguments.log),
    ];
    for (flag, key, text) in flags {
        if let Some(text) = text {
            let origin = format!("flag {flag}");
            let value = Value::new(Some(&origin), text.as_str());
            tree::place(root, &Key::parse(key), value)?;
        }
    }
    if let Some(uri) = &arguments.upstream {
        tree::set_upstreams(root, "flag --upstream", uri, tree::Which::All);
    }
    Ok(())
}

/// Whether an extension can have this name, in headers and in metrics.
fn is_extension_name(name: &str) -> bool {
    matches!(parse_tokens([name]).as_deref(), Ok([token]) if token == name) && name != OTHER
}

/// Whether two listeners cannot exist at the same time.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_port = one.port() == other.port() && one.port() != 0;
    let same_address =
        one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    same_port && same_address
}

/// The file that is read without `--config`, if it is there.
const DEFAULT_FILE: &str = "config/smeuse.toml";

#[cfg(test)]
mod tests;
