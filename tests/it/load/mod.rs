//! A broker that fails under load: killed, restarted, stopped for a while, out of memory, while sessions publish and
//! consume, each on a broker connection of its own or many on one. What holds in every case: nothing that was confirmed is
//! lost, nothing overtakes on its channel, every session is told, everything goes on afterwards, and the gateway says so.

mod courier;

use std::thread;
use std::time::Duration;
use std::time::Instant;

use self::courier::Couriers;
use crate::harness::configuration;
use crate::harness::gateway::Gateway;
use crate::harness::node::Node;
use crate::harness::wait_until;
use crate::harness::DEADLINE;

const SESSIONS: usize = 20;

/// What connects sessions with the broker.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Dedicated,
    Shared,
}

impl Kind {
    /// A gateway with a service of this kind, which logs in for itself.
    #[track_caller]
    fn gateway(self, node: &Node, more: &str) -> Gateway {
        let connections = match self {
            Self::Dedicated => "",
            Self::Shared => {
                "connections = \"shared\"\n[services.upstream.shared]\nsessions_per_connection = 7\n"
            }
        };
        let upstream = format!("vhost = \"/\"\nlogin = \"service\"\n{connections}{more}");
        let service = configuration::amqp_with(node.uri(), &upstream);
        Gateway::start(&(configuration::PATIENT.to_owned() + &service))
    }
}

fn of_broker(node: &Node, metric: &str) -> String {
    let name = node.uri().rsplit_once('@').map_or("", |(_, name)| name);
    format!("{metric}{{broker=\"{name}\"}}")
}

/// Waits until `/readyz` says this.
#[track_caller]
fn wait_ready(gateway: &Gateway, status: u16, text: &str) {
    wait_until("/readyz to say so", 3 * DEADLINE, || {
        let ready = gateway.admin("GET", "/readyz");
        ready.status == status && ready.body.contains(text)
    });
}

/// SIGKILL, and a restart in order: everybody is told at once, and is back when the broker is.
fn killed_and_restarted(kind: Kind) {
    let node = Node::start();
    let gateway = kind.gateway(&node, "");
    let up = of_broker(&node, "smeuse_broker_up");
    let couriers = Couriers::start(&gateway, SESSIONS);
    let lost = gateway.metric("smeuse_shared_connections_lost_total");

    let killed = Instant::now();
    node.signal("KILL");
    let told = couriers.all_told(1, killed);
    wait_ready(&gateway, 503, "broker");
    gateway.wait_metric(&up, 0.0);
    node.revive();
    gateway.wait_metric_until(&up, |up| up > 0.0);
    couriers.expect_progress();
    wait_ready(&gateway, 200, "ready\n");
    assert!(told < Duration::from_secs(2), "told after {told:?}");
    if let Kind::Shared = kind {
        let lost = gateway.metric("smeuse_shared_connections_lost_total") - lost;
        assert!(lost >= (SESSIONS as f64 / 7.0).ceil(), "{lost}");
    }

    let ends: Vec<_> = couriers.read(|book| book.ends.len());
    let stopped = Instant::now();
    node.control(&["stop_app"]);
    let most = ends.iter().max().copied().unwrap_or_default() + 1;
    // Who was cut off once more on his way back has one end more behind him.
    assert_eq!(most, 2, "sessions that were back ended again: {ends:?}");
    couriers.all_told(most, stopped);
    wait_ready(&gateway, 503, "broker");
    node.control(&["start_app"]);
    couriers.expect_progress();
    wait_ready(&gateway, 200, "ready\n");
    gateway.wait_metric(&up, 1.0);
    couriers.finish();
    gateway.wait_metric("smeuse_sessions{service=\"amqp\"}", 0.0);
}

/// SIGSTOP for less than heartbeats bear, then an alarm: nobody is ended, and everything that waited goes on.
fn stopped_for_a_moment_and_out_of_memory(kind: Kind) {
    let node = Node::start();
    let gateway = kind.gateway(&node, "");
    let blocked = of_broker(&node, "smeuse_broker_blocked");
    let blocked_seconds = of_broker(&node, "smeuse_broker_blocked_seconds_total");
    let couriers = Couriers::start(&gateway, SESSIONS);

    node.signal("STOP");
    thread::sleep(Duration::from_secs(2));
    let standing = couriers.confirmed();
    thread::sleep(Duration::from_secs(1));
    assert_eq!(couriers.confirmed(), standing, "it was not stopped");
    node.signal("CONT");
    couriers.expect_progress();

    let began = Instant::now();
    node.control(&["set_vm_memory_high_watermark", "0"]);
    gateway.wait_metric_until(&blocked, |count| count >= 1.0);
    let attentive = SESSIONS / 2;
    wait_until("those who asked to be told", DEADLINE, || {
        couriers.read(|book| book.blocked).iter().sum::<usize>() == attentive
    });
    wait_ready(&gateway, 200, "blocked: broker");
    let standing = couriers.confirmed();
    thread::sleep(Duration::from_secs(2));
    assert!(
        couriers.confirmed() <= standing + SESSIONS * 20,
        "nobody was held back"
    );
    let seconds = gateway.metric(&blocked_seconds);
    assert!(
        seconds >= 2.0 && seconds <= began.elapsed().as_secs_f64(),
        "{seconds} s in {:?}",
        began.elapsed()
    );
    node.control(&["set_vm_memory_high_watermark", "0.4"]);
    couriers.expect_progress();
    gateway.wait_metric(&blocked, 0.0);
    wait_until("those who asked to be told", DEADLINE, || {
        couriers.read(|book| book.unblocked).iter().sum::<usize>() == attentive
    });
    let seconds = gateway.metric(&blocked_seconds);
    couriers.expect_progress();
    assert_eq!(
        gateway.metric(&blocked_seconds),
        seconds,
        "it goes on counting"
    );
    wait_until("/readyz to be clear", DEADLINE, || {
        gateway.admin("GET", "/readyz").body == "ready\n"
    });
    assert!(
        couriers
            .read(|book| book.ends.len())
            .iter()
            .all(|ends| *ends == 0),
        "a session was ended"
    );
    couriers.finish();
    assert_eq!(gateway.log_lines("broker down").len(), 0);
}

#[test]
fn a_broker_killed_and_restarted_under_load_with_dedicated_connections() {
    killed_and_restarted(Kind::Dedicated);
}

#[test]
fn a_broker_killed_and_restarted_under_load_with_shared_connections() {
    killed_and_restarted(Kind::Shared);
}

#[test]
fn a_broker_stopped_for_a_moment_and_out_of_memory_under_load_with_dedicated_connections() {
    stopped_for_a_moment_and_out_of_memory(Kind::Dedicated);
}

#[test]
fn a_broker_stopped_for_a_moment_and_out_of_memory_under_load_with_shared_connections() {
    stopped_for_a_moment_and_out_of_memory(Kind::Shared);
}

/// SIGSTOP for longer than the heartbeats of shared connections bear: everybody is told while it stands, and is back when
/// it goes on.
#[test]
fn a_broker_that_stands_still_under_load_is_given_up_with_shared_connections() {
    let node = Node::start();
    let gateway = Kind::Shared.gateway(&node, "heartbeat = \"1s\"\n");
    let couriers = Couriers::start(&gateway, SESSIONS);
    node.signal("STOP");
    let stopped = Instant::now();
    let told = couriers.all_told(1, stopped);
    println!("stands still, told after {told:?}");
    assert!(told < Duration::from_secs(8), "told after {told:?}");
    wait_ready(&gateway, 503, "broker");
    node.signal("CONT");
    couriers.expect_progress();
    wait_ready(&gateway, 200, "ready\n");
    couriers.finish();
}
