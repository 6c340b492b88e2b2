//! The settings of every AMQP connection that passes through the gateway.

use std::num::NonZeroU16;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

/// The table `[amqp]`: what is offered to clients in `connection.tune`, and
/// how long a login may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Largest frame offered to clients, in bytes; the broker's own limit
    /// counts if it is smaller. 4,096 (AMQP 0-9-1 section 4.2.3,
    /// `frame-min-size`) to 2^31 - 1 (what RabbitMQ accepts).
    pub frame_max: NonZeroU32,
    /// Most channels per session offered to clients; the broker's own limit
    /// counts if it is smaller. Zero would mean "no limit" in
    /// `connection.tune` and is not allowed.
    pub channel_max: NonZeroU16,
    /// Time from the client's protocol header to `connection.open-ok`.
    #[serde(with = "humantime_serde")]
    pub login_deadline: Duration,
}

impl Config {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    ///
    /// Text of the form `key: reason`, the key relative to `[amqp]`.
    pub fn validate(&self) -> Result<(), String> {
        if !(FRAME_MAX_LOWEST..=FRAME_MAX_HIGHEST).contains(&self.frame_max.get()) {
            return Err(format!(
                "frame_max: must be from {FRAME_MAX_LOWEST} to {FRAME_MAX_HIGHEST}"
            ));
        }
        if self.login_deadline.is_zero() {
            return Err("login_deadline: must be longer than zero".to_owned());
        }
        if self.login_deadline > LOGIN_DEADLINE_MAX {
            return Err("login_deadline: must be at most one day".to_owned());
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            frame_max: NonZeroU32::MIN.saturating_add(131_071),
            channel_max: NonZeroU16::MIN.saturating_add(2_046),
            login_deadline: Duration::from_secs(10),
        }
    }
}

/// AMQP 0-9-1 section 4.2.3: every peer must take frames of this size.
const FRAME_MAX_LOWEST: u32 = 4_096;
/// The size field is a 32-bit number, but RabbitMQ treats it as signed.
const FRAME_MAX_HIGHEST: u32 = i32::MAX as u32;
/// Keeps sums of instants far from overflow, and catches a wrong unit.
const LOGIN_DEADLINE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_holds_at_the_limit_and_one_past_it() {
        for (frame_max, allowed) in [
            (4_095, false),
            (4_096, true),
            (2_147_483_647, true),
            (2_147_483_648, false),
        ] {
            let frame_max = NonZeroU32::new(frame_max).unwrap();
            let config = Config {
                frame_max,
                ..Config::default()
            };
            assert_eq!(config.validate().is_ok(), allowed, "{frame_max}");
        }
        for (login_deadline, allowed) in [
            (Duration::ZERO, false),
            (Duration::from_nanos(1), true),
            (LOGIN_DEADLINE_MAX, true),
            (LOGIN_DEADLINE_MAX + Duration::from_nanos(1), false),
        ] {
            let config = Config {
                login_deadline,
                ..Config::default()
            };
            assert_eq!(config.validate().is_ok(), allowed, "{login_deadline:?}");
        }
        assert_eq!(Config::default().frame_max.get(), 131_072);
        assert_eq!(Config::default().channel_max.get(), 2_047);
        assert!(toml::from_str::<Config>("channel_max = 0").is_err());
        assert!(toml::from_str::<Config>("channel_max = 65536").is_err());
    }
}
