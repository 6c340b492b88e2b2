//! The table of endings, row by row: who, why, close code and reason, label, one log line, and nothing left open.

mod broker;
mod client;
mod gateway;
mod meanwhile;

use crate::harness::broker::Broker;
use crate::harness::configuration;
use crate::harness::ending::expect_ending;
use crate::harness::gateway::Gateway;
use crate::harness::page::End;

/// Short limits, so that the endings that are deadlines come soon.
const LIMITS: &str = "[websocket]\nping_interval = \"200ms\"\nsilence_limit = \"600ms\"\nwrite_stall_limit = \"500ms\"\n\
                      close_deadline = \"500ms\"\nmessage_bytes = 100000\n[amqp]\nlogin_deadline = \"400ms\"\n";

struct Fixture {
    broker: Broker,
    gateway: Gateway,
}

impl Fixture {
    fn new() -> Self {
        Self::with(Broker::polite())
    }

    fn with(broker: Broker) -> Self {
        let gateway = Gateway::start(&configuration::amqp(broker.uri()));
        Self { broker, gateway }
    }

    fn with_limits(broker: Broker) -> Self {
        let gateway = Gateway::start(&(LIMITS.to_owned() + &configuration::amqp(broker.uri())));
        Self { broker, gateway }
    }

    /// The ending is as said, and the broker's socket is gone as well.
    #[track_caller]
    fn expect(&self, by: &str, reason: &str, code: Option<u16>) {
        expect_ending(&self.gateway, "amqp", by, reason, code);
        self.broker.wait_all_ended();
    }
}

/// The page sees this code and a reason; if AMQP was up, connection.close with 320 came first.
#[track_caller]
fn expect_forced(end: &End, code: u16) {
    end.expect_code(code);
    let (reply_code, text) = end.connection_close();
    assert_eq!(reply_code, 320, "{text}");
    assert!(!text.is_empty());
}
