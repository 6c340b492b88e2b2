//! The settings of the orderly end of the process.

use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

/// The table `[drain]`: how long sessions go on after SIGTERM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Sessions may go on this long; then they are closed with 1001. Zero
    /// closes them at once.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
    /// The last part of the deadline, over which the closing is spread at
    /// random. Never longer than the deadline.
    #[serde(with = "humantime_serde")]
    pub spread: Duration,
}

impl Config {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    ///
    /// Text of the form `key: reason`, the key relative to `[drain]`.
    pub fn validate(&self) -> Result<(), String> {
        if self.deadline > DEADLINE_MAX {
            return Err("deadline: must be at most one day".to_owned());
        }
        if self.spread > self.deadline {
            return Err(format!(
                "spread: must not be longer than deadline, which is {}",
                humantime_serde::re::humantime::format_duration(self.deadline)
            ));
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            spread: Duration::from_secs(10),
        }
    }
}

/// Keeps sums of instants far from overflow, and catches a wrong unit.
const DEADLINE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_a_part_of_the_deadline() {
        let seconds = Duration::from_secs;
        for (deadline, spread, problem) in [
            (seconds(0), seconds(0), None),
            (seconds(10), seconds(10), None),
            (seconds(10), seconds(11), Some("spread: ")),
            (DEADLINE_MAX, seconds(0), None),
            (DEADLINE_MAX + seconds(1), seconds(0), Some("deadline: ")),
        ] {
            let result = Config { deadline, spread }.validate();
            match problem {
                None => assert_eq!(result, Ok(())),
                Some(key) => assert!(result.unwrap_err().starts_with(key)),
            }
        }
    }
}
