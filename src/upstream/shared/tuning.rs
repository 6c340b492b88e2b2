//! What is changed in lapin's own negotiation: its share of the channels and its small frames are hidden from the broker,
//! the broker's limits from it (AMQP 0-9-1, connection.tune and tune-ok). A value.

use crate::upstream::shared::facts::Version;
use crate::upstream::shared::BASE;
use crate::wire::amqp::fields::field;
use crate::wire::amqp::fields::Value;
use crate::wire::amqp::frame::SMALLEST_FRAME_MAX;
use crate::wire::amqp::method::Method;
use crate::wire::amqp::method::Start;
use crate::wire::amqp::method::Tune;
use crate::wire::amqp::method::TuneOk;

/// What the broker has said so far.
#[derive(Debug, Default)]
pub(super) struct Tuning {
    /// connection.start's table, as encoded fields.
    pub(super) server_properties: Vec<u8>,
    pub(super) locales: Vec<u8>,
    pub(super) version: Option<Version>,
    /// connection.tune, without zeros for "no limit".
    pub(super) offered: Option<Tune>,
}

impl Tuning {
    /// Takes note of connection.start.
    pub(super) fn start(&mut self, arguments: &[u8]) {
        if let Ok(start) = Start::decode(arguments) {
            self.server_properties = start.server_properties.0.to_vec();
            self.locales = start.locales.0.to_vec();
            self.version = version(start.server_properties.0);
        }
    }

    /// Takes note of connection.tune; the whole frame that goes on to lapin in its place.
    pub(super) fn tune(&mut self, arguments: &[u8]) -> Option<Vec<u8>> {
        let tune = Tune::decode(arguments).ok()?;
        let offered = Tune {
            channel_max: if tune.channel_max == 0 {
                u16::MAX
            } else {
                tune.channel_max
            },
            frame_max: if tune.frame_max == 0 {
                FRAME_MAX
            } else {
                tune.frame_max.min(FRAME_MAX)
            },
            heartbeat: tune.heartbeat,
        };
        self.offered = Some(offered);
        let for_lapin = Tune {
            channel_max: offered.channel_max.min(BASE - 1),
            frame_max: offered.frame_max.min(SMALLEST_FRAME_MAX),
            ..tune
        };
        Some(for_lapin.to_frame())
    }

    /// The whole frame that goes on to the broker in place of lapin's connection.tune-ok.
    pub(super) fn tune_ok(&self, arguments: &[u8]) -> Option<Vec<u8>> {
        let tune_ok = TuneOk::decode(arguments).ok()?;
        let offered = self.offered?;
        let for_broker = TuneOk {
            channel_max: offered.channel_max,
            frame_max: offered.frame_max,
            heartbeat: tune_ok.heartbeat,
        };
        Some(for_broker.to_frame())
    }

    /// Largest frame on the connection, in bytes.
    pub(super) fn frame_max(&self) -> u32 {
        self.offered.map_or(FRAME_MAX, |tune| tune.frame_max)
    }
}

/// The broker's version, if it is RabbitMQ.
fn version(properties: &[u8]) -> Option<Version> {
    let text = |name: &[u8]| match field(properties, name) {
        Some(Value::Text(text)) => std::str::from_utf8(text).ok(),
        _ => None,
    };
    if text(b"product")? != "RabbitMQ" {
        return None;
    }
    let mut numbers = text(b"version")?.split('.').map(str::parse);
    Some(Version(numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Frames larger than this are not agreed on, whatever the broker offers: each is held until it is whole.
const FRAME_MAX: u32 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::amqp::frame::HEADER_SIZE;

    fn arguments(frame: &[u8]) -> &[u8] {
        &frame[HEADER_SIZE + 4..frame.len() - 1]
    }

    #[test]
    fn lapin_sees_small_limits_and_the_broker_its_own() {
        let mut tuning = Tuning::default();
        let tune = Tune {
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat: 60,
        };
        let for_lapin = tuning.tune(arguments(&tune.to_frame())).unwrap();
        let seen = Tune::decode(arguments(&for_lapin)).unwrap();
        assert_eq!((seen.channel_max, seen.frame_max), (7, 4096));
        let tune_ok = TuneOk {
            channel_max: 7,
            frame_max: 4096,
            heartbeat: 10,
        };
        let for_broker = tuning.tune_ok(arguments(&tune_ok.to_frame())).unwrap();
        let agreed = TuneOk::decode(arguments(&for_broker)).unwrap();
        assert_eq!(
            (agreed.channel_max, agreed.frame_max, agreed.heartbeat),
            (2047, 131_072, 10)
        );
    }

    #[test]
    fn no_limit_is_a_limit_of_ours() {
        let mut tuning = Tuning::default();
        let tune = Tune {
            channel_max: 0,
            frame_max: 0,
            heartbeat: 0,
        };
        tuning.tune(arguments(&tune.to_frame())).unwrap();
        let offered = tuning.offered.unwrap();
        assert_eq!(
            (offered.channel_max, offered.frame_max),
            (65_535, FRAME_MAX)
        );
    }

    #[test]
    fn the_version_is_read_where_the_product_is_rabbitmq() {
        let product = b"\x07productS\0\0\0\x08RabbitMQ";
        let number = b"\x07versionS\0\0\0\x063.10.8";
        let both = [&product[..], number].concat();
        assert_eq!(version(&both), Some(Version(3, 10)));
        assert_eq!(version(number), None);
        assert_eq!(version(product), None);
    }

    #[test]
    fn what_cannot_be_decoded_goes_on_as_it_is() {
        let mut tuning = Tuning::default();
        assert_eq!(tuning.tune(b"short"), None);
        assert_eq!(tuning.tune_ok(b"short"), None);
        tuning.start(b"short");
        assert_eq!(tuning.frame_max(), FRAME_MAX);
    }
}
