//! What the private listener shows and may do, put together from the parts.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Parts;
use crate::admin;
use crate::admin::live;
use crate::admin::live::socket::Places;
use crate::admin::Admin;
use crate::config::Settings;
use crate::downstream::gate::Backend;
use crate::upstream::Readiness;
use crate::upstream::Upstream;

/// The private listener at this address; its live view begins to look.
pub(super) fn admin(parts: &Parts, settings: &Settings, address: SocketAddr) -> Admin {
    let readiness =
        |(name, upstream): &(String, Upstream)| (name.clone(), Readiness::new(upstream.clone()));
    Admin {
        registry: parts.registry.clone(),
        process: parts.process.clone(),
        sessions: Arc::clone(&parts.gate.sessions),
        drain: parts.drain.clone(),
        services: parts.upstreams.iter().map(readiness).collect(),
        brokers: parts.brokers.clone(),
        ready_while_blocked: settings.admin.ready_while_blocked,
        draining: parts.draining.clone(),
        keys: Arc::clone(&parts.keys),
        hosts: parts.hosts.clone(),
        metrics: parts.admin_metrics.clone(),
        places: Places::new(parts.admin_metrics.viewers()),
        hub: admin::live_view(live_source(parts), &parts.keys, &parts.admin_metrics),
        cookie: admin::cookie_name(address.port()),
    }
}

/// Where the operator's live view reads.
fn live_source(parts: &Parts) -> live::Source {
    let gate = &parts.gate;
    let kind = |backend: &Backend| match backend {
        Backend::Amqp(_) => "dedicated",
        Backend::Shared(_) => "shared",
        Backend::Echo => "echo",
    };
    let services = gate.names.iter().zip(&gate.backends);
    live::Source {
        registry: parts.registry.clone(),
        sessions: Arc::clone(&gate.sessions),
        brokers: parts.brokers.clone(),
        services: services
            .map(|(name, backend)| (name.to_string(), kind(backend)))
            .collect(),
        drain: parts.drain.clone(),
    }
}
