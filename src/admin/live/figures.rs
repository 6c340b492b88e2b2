//! What the live view shows of the whole gateway, read from the metrics: no figure is counted twice, and none is on the
//! page that Prometheus does not have.

use std::collections::BTreeMap;

use prometheus::proto::Metric;
use prometheus::proto::MetricFamily;
use serde::Serialize;

/// The gateway at one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// One figure for each of [`SERIES`], in its order: a gauge as it is, a counter since the start.
    pub totals: Vec<f64>,
    /// Each service by its name.
    pub services: BTreeMap<String, Service>,
    /// Each extension that has been offered or is known, by its name.
    pub extensions: BTreeMap<String, Extension>,
    /// Endings by `by/reason`, refusals by their code, limits by their key: how often each has happened.
    #[serde(skip)]
    pub happened: Vec<(String, u64)>,
}

/// One service.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Service {
    /// Sessions that are open.
    pub sessions: f64,
    /// Sessions opened.
    pub opened: f64,
    /// Sessions ended.
    pub ended: f64,
}

/// One extension.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Extension {
    /// Sessions that have it.
    pub sessions: f64,
    /// What became of offers.
    pub offers: BTreeMap<String, f64>,
    /// Messages it was handed, by direction.
    pub messages: BTreeMap<String, f64>,
    /// Their bytes.
    pub bytes: BTreeMap<String, f64>,
    /// Its own control frames, by kind and direction.
    pub controls: BTreeMap<String, BTreeMap<String, f64>>,
    /// Open sessions of its trials, by whether they are `with` it or `without`.
    pub trials: BTreeMap<String, f64>,
    /// Sessions it has ended.
    pub failures: f64,
    /// Seconds that it has worked.
    pub processing_seconds: f64,
    /// Pings that were answered.
    pub round_trips: f64,
    /// Seconds from all these pings to their answers.
    pub round_trip_seconds: f64,
}

/// What is kept of one series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The figure itself.
    Gauge,
    /// How much it grows in a second.
    Rate,
}

/// One figure: its name on the page, its metric, and the label that picks a part of it.
#[derive(Clone, Copy, Debug)]
pub struct Series {
    /// On the page.
    pub name: &'static str,
    /// What is kept of it.
    pub kind: Kind,
    metric: &'static str,
    label: Option<(&'static str, &'static str)>,
}

const fn gauge(name: &'static str, metric: &'static str) -> Series {
    Series {
        name,
        kind: Kind::Gauge,
        metric,
        label: None,
    }
}

const fn rate(name: &'static str, metric: &'static str) -> Series {
    Series {
        name,
        kind: Kind::Rate,
        metric,
        label: None,
    }
}

const fn part(series: Series, label: &'static str, value: &'static str) -> Series {
    Series {
        label: Some((label, value)),
        ..series
    }
}

const FROM_CLIENT: &str = "from_client";
const TO_CLIENT: &str = "to_client";

/// Every figure of the whole gateway.
pub const SERIES: [Series; 16] = [
    gauge("sessions", "smeuse_sessions"),
    rate("opened", "smeuse_sessions_opened_total"),
    rate("ended", "smeuse_sessions_closed_total"),
    // Those of all handshakes that were not accepted; see `total`.
    rate("refused", HANDSHAKES),
    part(
        rate("messages_from_client", MESSAGES),
        DIRECTION,
        FROM_CLIENT,
    ),
    part(rate("messages_to_client", MESSAGES), DIRECTION, TO_CLIENT),
    part(rate("bytes_from_client", BYTES), DIRECTION, FROM_CLIENT),
    part(rate("bytes_to_client", BYTES), DIRECTION, TO_CLIENT),
    rate("publishes", "smeuse_amqp_publishes_total"),
    rate("deliveries", "smeuse_amqp_deliveries_total"),
    rate("waited_seconds", "smeuse_credit_exhausted_seconds_total"),
    gauge("handshakes", "smeuse_handshakes_in_progress"),
    gauge("broker_sockets", "smeuse_upstream_connections"),
    part(
        gauge("shared_open", "smeuse_shared_connections"),
        "state",
        "open",
    ),
    part(
        gauge("shared_used", "smeuse_shared_channels"),
        "state",
        "used",
    ),
    part(
        gauge("shared_free", "smeuse_shared_channels"),
        "state",
        "free",
    ),
];

const HANDSHAKES: &str = "smeuse_handshakes_total";
const MESSAGES: &str = "smeuse_websocket_messages_total";
const BYTES: &str = "smeuse_relayed_bytes_total";
const DIRECTION: &str = "direction";

impl Figures {
    /// Reads what the registry of metrics has gathered.
    pub fn read(families: &[MetricFamily]) -> Self {
        let mut figures = Self {
            totals: SERIES
                .iter()
                .map(|series| total(families, *series))
                .collect(),
            ..Self::default()
        };
        for family in families {
            for metric in family.get_metric() {
                figures.take(family.name(), metric);
            }
        }
        figures
    }

    fn take(&mut self, family: &str, metric: &Metric) {
        match family {
            "smeuse_sessions" => self.service(metric).sessions += value(metric),
            "smeuse_sessions_opened_total" => self.service(metric).opened += value(metric),
            "smeuse_sessions_closed_total" => {
                self.service(metric).ended += value(metric);
                let name = format!("{}/{}", label(metric, "by"), label(metric, "reason"));
                self.happened(name, metric);
            }
            HANDSHAKES if is_refusal(metric) => {
                self.happened(format!("refused/{}", label(metric, "outcome")), metric);
            }
            "smeuse_trial_sessions" => {
                let extension = label(metric, "extension").to_owned();
                let trials = &mut self.extensions.entry(extension).or_default().trials;
                *trials.entry(label(metric, "group").to_owned()).or_default() += value(metric);
            }
            "smeuse_limits_hit_total" => {
                self.happened(format!("limit/{}", label(metric, "limit")), metric);
            }
            _ => {
                if let Some(figure) = family.strip_prefix("smeuse_extension_") {
                    self.take_extension(figure, metric);
                }
            }
        }
    }

    fn take_extension(&mut self, figure: &str, metric: &Metric) {
        let name = label(metric, "extension").to_owned();
        let extension = self.extensions.entry(name).or_default();
        let direction = || label(metric, DIRECTION).to_owned();
        let histogram = metric.get_histogram();
        match figure {
            "sessions" => extension.sessions += value(metric),
            "offers_total" => {
                let outcome = label(metric, "outcome").to_owned();
                *extension.offers.entry(outcome).or_default() += value(metric);
            }
            "messages_total" => {
                *extension.messages.entry(direction()).or_default() += value(metric);
            }
            "bytes_total" => *extension.bytes.entry(direction()).or_default() += value(metric),
            "control_frames_total" => {
                let kind = label(metric, "kind").to_owned();
                let kind = extension.controls.entry(kind).or_default();
                *kind.entry(direction()).or_default() += value(metric);
            }
            "failures_total" => extension.failures += value(metric),
            "processing_seconds" => extension.processing_seconds += histogram.get_sample_sum(),
            "round_trip_seconds" => {
                extension.round_trips += histogram.get_sample_count() as f64;
                extension.round_trip_seconds += histogram.get_sample_sum();
            }
            _ => {}
        }
    }

    fn service(&mut self, metric: &Metric) -> &mut Service {
        let name = label(metric, "service").to_owned();
        self.services.entry(name).or_default()
    }

    /// Services and dialects are taken together.
    fn happened(&mut self, name: String, metric: &Metric) {
        let times = value(metric) as u64;
        match self.happened.iter_mut().find(|(known, _)| *known == name) {
            Some((_, total)) => *total += times,
            None => self.happened.push((name, times)),
        }
    }
}

fn total(families: &[MetricFamily], series: Series) -> f64 {
    let family = families
        .iter()
        .find(|family| family.name() == series.metric);
    let counts = |metric: &&Metric| {
        let is_part = |(name, value): (&str, &str)| label(metric, name) == value;
        series.label.is_none_or(is_part) && (series.metric != HANDSHAKES || is_refusal(metric))
    };
    let metrics = family.map(MetricFamily::get_metric).unwrap_or_default();
    metrics.iter().filter(counts).map(value).sum()
}

/// Whether these handshakes came to an outcome, and not to a session.
fn is_refusal(metric: &Metric) -> bool {
    !matches!(label(metric, "outcome"), "accepted" | "abandoned")
}

/// A metric is one or the other, and what it is not is 0.
fn value(metric: &Metric) -> f64 {
    metric.get_counter().get_value() + metric.get_gauge().get_value()
}

fn label<'a>(metric: &'a Metric, name: &str) -> &'a str {
    let pair = metric.get_label().iter().find(|pair| pair.name() == name);
    pair.map(|pair| pair.value()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;
    use crate::downstream;
    use crate::ending::Ending;
    use crate::handshake;
    use crate::pipeline;
    use crate::relay;
    use crate::upstream;

    fn of(figures: &Figures, name: &str) -> f64 {
        let index = SERIES
            .iter()
            .position(|series| series.name == name)
            .unwrap();
        figures.totals[index]
    }

    #[test]
    fn every_series_is_a_metric_that_the_gateway_has() {
        let registry = Registry::new();
        downstream::Metrics::register(&registry, ["a"].into_iter()).unwrap();
        handshake::Metrics::register(&registry).unwrap();
        relay::Metrics::register(&registry).unwrap();
        upstream::Metrics::register(&registry).unwrap();
        upstream::shared::Metrics::register(&registry).unwrap();
        let families = registry.gather();
        for series in SERIES {
            let is_there = families.iter().any(|family| family.name() == series.metric);
            assert!(is_there, "{} is not registered", series.metric);
        }
    }

    #[test]
    fn figures_are_those_of_the_metrics() {
        let registry = Registry::new();
        let sessions = downstream::Metrics::register(&registry, ["a", "b"].into_iter()).unwrap();
        let extensions = pipeline::Metrics::register(&registry).unwrap();
        sessions.opened("a");
        sessions.opened("a");
        sessions.opened("b");
        sessions.closed("a", &Ending::ClientSilent);
        sessions.from_client.bytes.inc_by(100);
        sessions.to_client.bytes.inc_by(10);
        let one = extensions.of("one");
        one.offered(pipeline::metrics::Outcome::Agreed);
        one.session_began();
        one.control_frame(pipeline::metrics::Direction::ToClient, "ping");

        let figures = Figures::read(&registry.gather());
        assert_eq!(of(&figures, "sessions"), 2.0);
        assert_eq!(of(&figures, "opened"), 3.0);
        assert_eq!(of(&figures, "ended"), 1.0);
        assert_eq!(of(&figures, "bytes_from_client"), 100.0);
        assert_eq!(of(&figures, "bytes_to_client"), 10.0);
        let service = Service {
            sessions: 1.0,
            opened: 2.0,
            ended: 1.0,
        };
        assert_eq!(figures.services["a"], service);
        let extension = &figures.extensions["one"];
        assert_eq!(extension.sessions, 1.0);
        assert_eq!(extension.offers["agreed"], 1.0);
        assert_eq!(extension.controls["ping"]["to_client"], 1.0);
        for name in ["client/silent", "limit/silence_limit"] {
            let times = figures.happened.iter().find(|(known, _)| known == name);
            assert_eq!(times.map(|(_, times)| *times), Some(1), "{name}");
        }
    }
}
