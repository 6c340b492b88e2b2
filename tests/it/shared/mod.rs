//! Sessions that share a broker connection: what they do to each other (nothing), and what happens when their broker
//! fails.

mod brokers;
mod commands;
mod exclusive;
mod hostile;
mod kinds;
mod leaving;
mod login;
mod neighbour;
mod notation;
mod police;
mod slow;
mod vanishing;
mod wire;

use crate::harness::configuration;
use crate::harness::gateway::Gateway;

/// A gateway with one worker, so that all its sessions are on the same connection to this broker.
#[track_caller]
fn gateway(uri: &str) -> Gateway {
    Gateway::start(&configuration(uri, ""))
}

/// The same with further lines for the table of shared connections.
fn configuration(uri: &str, shared: &str) -> String {
    let upstream = format!(
        "vhost = \"/\"\nlogin = \"service\"\nconnections = \"shared\"\n[services.upstream.shared]\n{shared}\n"
    );
    format!(
        "[listen]\nworkers = 1\n{}",
        configuration::amqp_with(uri, &upstream)
    )
}

/// Insists that no shared connection was lost and that the sessions are all on one.
#[track_caller]
fn expect_one_connection(gateway: &Gateway) {
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("smeuse_shared_connections_lost_total"), 0.0);
    assert_eq!(
        metrics.value("smeuse_shared_connections{state=\"open\"}"),
        1.0
    );
}
