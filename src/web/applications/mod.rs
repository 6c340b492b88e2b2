//! Web applications behind the gateway: their pages get the browser library on the way, and everything else passes.
//!
//! `config` what can be set; `asked` and `proxy` one request; `request`, `response`, `hop`, `path`, `validators` and
//! `csp` what happens to heads; `body`, `changes`, `rewriting`, `page` and `loader` what happens to bodies; `origin` and
//! `connections` the way to the origin; `folder` files; `tunnel` the application's own WebSockets; `told` what the log
//! says of answers that break off.

pub mod asked;
pub mod body;
mod changes;
pub mod coding;
pub mod config;
mod connections;
pub mod csp;
pub mod failure;
pub mod folder;
pub mod hop;
pub mod in_flight;
pub mod loader;
pub mod metrics;
pub mod origin;
pub mod page;
pub mod path;
pub mod proxy;
pub mod request;
pub mod response;
pub mod rewriting;
mod told;
pub mod tunnel;
pub mod validators;

use std::cmp::Reverse;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::dev::RequestHead;
use actix_web::guard;
use actix_web::web;
use actix_web::web::ServiceConfig;
use actix_web::HttpRequest;

use crate::downstream::address::client_address;
use crate::downstream::config::Proxies;
use crate::downstream::gate::headers;
use crate::downstream::listener::is_secure;
use crate::drain;
use crate::web::applications::connections::Connections;
use crate::web::applications::in_flight::InFlight;
use crate::web::applications::metrics::Counts;
pub use crate::web::applications::metrics::Metrics;
use crate::web::applications::origin::Connector;
use crate::web::applications::proxy::Proxy;
use crate::web::applications::request::Sender;
use crate::web::library;
use crate::web::Library;

/// All applications, those that a request is compared with first in front. Clones share them.
#[derive(Clone, Default)]
pub struct Applications {
    all: Vec<Arc<Application>>,
}

/// One application.
pub struct Application {
    config: config::Application,
    /// Where its origin is; none for a folder.
    connector: Option<Connector>,
    proxies: Proxies,
    counts: Counts,
    in_flight: InFlight,
    /// WebSockets of the application's own.
    tunnels: InFlight,
    drain: drain::Watch,
    /// The hash of the library's script.
    hash: String,
    /// What stands for the library in entity tags.
    mark: String,
}

impl Applications {
    /// Reads what the settings name.
    ///
    /// # Errors
    ///
    /// `web.applications.NUMBER.key: reason`
    pub fn load(
        configs: &[config::Application],
        library: Option<&Library>,
        proxies: &Proxies,
        drain: &drain::Watch,
        metrics: &Metrics,
    ) -> Result<Self, String> {
        let hash = library
            .and_then(|library| library.integrity(library::SCRIPT))
            .unwrap_or_default();
        // A few characters tell one library from another.
        let mark: String = hash
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .skip(6)
            .take(12)
            .collect();
        let mut all = Vec::new();
        for (index, config) in configs.iter().enumerate() {
            let connector = match config.origin() {
                None => None,
                Some(origin) => {
                    let key = |text| format!("web.applications.{index}.{text}");
                    Some(Connector::load(config, origin).map_err(key)?)
                }
            };
            let counts = metrics.of(&config.name);
            all.push(Arc::new(Application {
                in_flight: InFlight::new(config.requests.get(), counts.in_flight.clone()),
                tunnels: InFlight::new(config.websockets, counts.tunnels.clone()),
                drain: drain.clone(),
                config: config.clone(),
                connector,
                proxies: proxies.clone(),
                counts,
                hash: hash.to_owned(),
                mark: mark.clone(),
            }));
        }
        // A host before any host, a longer path before a shorter one.
        all.sort_by_key(|application| {
            let path = application.config.path.trim_end_matches('/');
            (application.config.host.is_none(), Reverse(path.len()))
        });
        Ok(Self { all })
    }

    /// Adds them to the public application of one worker.
    pub fn serve(&self, application: &mut ServiceConfig) {
        for one in &self.all {
            let guarded = Arc::clone(one);
            let has_it = guard::fn_guard(move |context| {
                let head = context.head();
                let host = head.headers.get(actix_web::http::header::HOST);
                guarded.has(head.uri.path(), host.map(|host| host.as_bytes()))
            });
            let Some(connector) = one.connector.clone() else {
                folder::serve(one, has_it, application);
                continue;
            };
            let connections = Connections::new(&connector, &one.config);
            let proxy = Rc::new(Proxy {
                application: Arc::clone(one),
                connector,
                connections,
            });
            let handler = move |request: HttpRequest, payload: web::Payload| {
                let secure = is_secure(&request);
                Rc::clone(&proxy).answer(request, payload, secure)
            };
            application.service(web::resource(EVERYTHING).guard(has_it).to(handler));
        }
    }

    /// Reads the TLS files of all again, and says what cannot be used; there everything stays as it was.
    pub fn reload(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for one in &self.all {
            let read = one.connector.as_ref().map_or(Ok(()), Connector::reload);
            let name = &one.config.name;
            failures.extend(
                read.err()
                    .map(|text| format!("web.applications.{name}.{text}")),
            );
        }
        failures
    }

    /// The name of each that shows its origin a certificate, and when that expires, in seconds since 1970.
    pub fn certificate_expiries(&self) -> impl Iterator<Item = (&str, i64)> {
        self.all.iter().filter_map(|one| {
            let expiry = one.connector.as_ref()?.certificate_expiry()?;
            Some((one.config.name.as_str(), expiry))
        })
    }

    /// Waits until no request is under way and no WebSocket open.
    pub async fn emptied(&self) {
        for one in &self.all {
            one.in_flight.emptied().await;
            one.tunnels.emptied().await;
        }
    }

    /// The application that has a request.
    fn find(&self, path: &str, host: Option<&[u8]>) -> Option<&Arc<Application>> {
        self.all.iter().find(|one| one.has(path, host))
    }
}

impl Application {
    /// Whether a request is this application's.
    fn has(&self, path: &str, host: Option<&[u8]>) -> bool {
        if path::is_gateways(path) || !path::is_below(path, &self.config.path) {
            return false;
        }
        let Some(wanted) = &self.config.host else {
            return true;
        };
        let host = host
            .and_then(|host| std::str::from_utf8(host).ok())
            .unwrap_or_default();
        let name = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => name,
            _ => host,
        };
        name.eq_ignore_ascii_case(wanted)
    }

    fn sender(&self, head: &RequestHead, secure: bool) -> Sender {
        let peer = head.peer_addr.unwrap_or(NOBODY);
        Sender {
            peer,
            client: client_address(peer, &self.proxies.trusted, &headers(&head.headers)),
            is_trusted: self.proxies.trusts(peer.ip()),
            secure,
        }
    }
}

/// The peer of a socket that has none.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Every path; the guard decides.
const EVERYTHING: &str = "/{path:.*}";
