//! What the relay counts: AMQP publishes, deliveries, and methods by class and direction.

use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::Opts;
use prometheus::Registry;

use crate::relay::server::Rule;
use crate::relay::tally::MethodClass;
use crate::relay::tally::MethodTally;
use crate::relay::tally::Tally;

/// The relay's metrics; clones count into the same figures.
#[derive(Debug, Clone)]
pub struct Metrics {
    publishes: IntCounter,
    deliveries: IntCounter,
    /// In the order of [`MethodClass::ALL`].
    methods_from_client: Vec<IntCounter>,
    methods_to_client: Vec<IntCounter>,
    /// In the order of [`Rule::ALL`].
    refusals: Vec<IntCounter>,
    paused: IntCounter,
}

impl Metrics {
    /// Registers everything, each class at 0.
    ///
    /// # Errors
    ///
    /// If `registry` has one of the names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let publishes = IntCounter::new(
            "smeuse_amqp_publishes_total",
            "Methods basic.publish from clients.",
        )?;
        let deliveries = IntCounter::new(
            "smeuse_amqp_deliveries_total",
            "Methods basic.deliver and basic.get-ok to clients.",
        )?;
        let methods = IntCounterVec::new(
            Opts::new(
                "smeuse_amqp_methods_total",
                "AMQP methods by class and direction.",
            ),
            &["class", "direction"],
        )?;
        registry.register(Box::new(publishes.clone()))?;
        registry.register(Box::new(deliveries.clone()))?;
        registry.register(Box::new(methods.clone()))?;
        let refusals = IntCounterVec::new(
            Opts::new(
                "smeuse_shared_refusals_total",
                "What clients on shared connections did that the broker was spared, by rule.",
            ),
            &["rule"],
        )?;
        registry.register(Box::new(refusals.clone()))?;
        let paused = IntCounter::new(
            "smeuse_shared_sessions_paused_total",
            "Times that deliveries on a shared connection had to wait for a slow client.",
        )?;
        registry.register(Box::new(paused.clone()))?;
        let of_direction = |direction: &str| {
            let of_class =
                |class: MethodClass| methods.with_label_values(&[class.label(), direction]);
            MethodClass::ALL.into_iter().map(of_class).collect()
        };
        Ok(Self {
            publishes,
            deliveries,
            methods_from_client: of_direction("from_client"),
            methods_to_client: of_direction("to_client"),
            refusals: Rule::ALL
                .iter()
                .map(|rule| refusals.with_label_values(&[rule.label()]))
                .collect(),
            paused,
        })
    }

    /// Counts a rule that a client on a shared connection has broken.
    pub fn refused(&self, rule: Rule) {
        let place = Rule::ALL.iter().position(|other| *other == rule);
        if let Some(counter) = place.and_then(|place| self.refusals.get(place)) {
            counter.inc();
        }
    }

    /// Counts that deliveries have to wait for a slow client.
    pub fn paused(&self) {
        self.paused.inc();
    }

    /// Adds what a splice has counted.
    pub fn add(&self, tally: &Tally) {
        if tally.publishes > 0 {
            self.publishes.inc_by(tally.publishes.into());
        }
        if tally.deliveries > 0 {
            self.deliveries.inc_by(tally.deliveries.into());
        }
        add(&self.methods_from_client, &tally.methods_from_client);
        add(&self.methods_to_client, &tally.methods_to_client);
    }
}

fn add(counters: &[IntCounter], tally: &MethodTally) {
    for (counter, (_, count)) in counters.iter().zip(tally.iter()) {
        if count > 0 {
            counter.inc_by(count.into());
        }
    }
}
