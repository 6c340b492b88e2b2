//! Tests of the hub: whose time counts as a page's stall, and what comes of a look that panics.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::sync::mpsc::Sender;

use prometheus::core::Collector;
use prometheus::core::Desc;
use prometheus::proto::MetricFamily;

use super::*;
use crate::admin::config::Config;
use crate::downstream::config::Limits;
use crate::upstream;

/// A page that hands on what it is told.
struct Page(Sender<Push>);

impl Actor for Page {
    type Context = Context<Self>;
}

impl Handler<Push> for Page {
    type Result = ();

    fn handle(&mut self, push: Push, _: &mut Self::Context) {
        self.0.send(push).unwrap();
    }
}

/// A metric that fails once.
struct FailsOnce(AtomicBool);

impl Collector for FailsOnce {
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        assert!(self.0.swap(true, Ordering::Relaxed), "fails once");
        Vec::new()
    }
}

fn hub(registry: Registry) -> Hub {
    let source = Source {
        brokers: Brokers::new(upstream::Metrics::register(&registry).unwrap()),
        sessions: Arc::new(Sessions::new(Limits::default())),
        services: Arc::new([("amqp".to_owned(), "dedicated")]),
        drain: drain::Watch::new(drain::config::Config::default()),
        registry: registry.clone(),
    };
    let keys = Keys::load(&Config::default()).unwrap();
    let metrics = Metrics::register(&registry).unwrap();
    Hub::new(source, Arc::new(keys), metrics)
}

fn viewer(pushes: Recipient<Push>) -> Viewer {
    Viewer {
        pushes,
        socket: Weak::new(),
        pass: Pass::Open,
        view: View::default(),
        number: 0,
        has_begun: false,
        waits_since: None,
    }
}

/// However long the gateway looks, a page has its time from the push on.
#[test]
fn only_what_a_page_has_been_told_can_stall() {
    actix_rt::System::new().block_on(async {
        let (sender, _pushes) = channel();
        let page = Page(sender).start();
        let mut hub = hub(Registry::new());
        hub.viewers.insert(7, viewer(page.recipient()));
        let began = Instant::now();
        let wishes = hub.wishes();
        assert_eq!((wishes[0].number, wishes[0].is_first), (1, true));
        let told = began + 2 * STALL_LIMIT;
        hub.end_those_that_may_not_stay(told);
        assert_eq!(hub.viewers.len(), 1, "cut for the gateway's own slowness");
        hub.show(vec![(7, "{}".to_owned())], told);
        assert!(hub.wishes().is_empty());
        hub.end_those_that_may_not_stay(told + STALL_LIMIT - Duration::from_millis(1));
        assert_eq!(hub.viewers.len(), 1);
        hub.end_those_that_may_not_stay(told + STALL_LIMIT);
        assert_eq!(hub.viewers.len(), 0);
    });
}

/// The next look begins afresh, and pages are told everything.
#[test]
fn a_look_that_panics_is_not_the_last() {
    actix_rt::System::new().block_on(async {
        let registry = Registry::new();
        let fails = FailsOnce(AtomicBool::new(false));
        registry.register(Box::new(fails)).unwrap();
        let hub = hub(registry).start();
        let (sender, pushes) = channel();
        let pushes_to = Page(sender).start().recipient();
        hub.send(Join {
            viewer: 1,
            pushes: pushes_to,
            socket: Weak::new(),
            pass: Pass::Open,
        })
        .await
        .unwrap();
        let first = actix_rt::task::spawn_blocking(move || {
            pushes.recv_timeout(Duration::from_secs(20)).unwrap()
        });
        let Push::Show(text) = first.await.unwrap() else {
            panic!("logged out");
        };
        let push: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(push["own"]["start"]["services"][0][0], "amqp", "{push}");
    });
}
