//! The last five minutes as a value: rates and gauges second by second, and how often each thing has happened within
//! them.

use std::collections::VecDeque;

use serde::Serialize;

/// What was seen at one moment, in the order of the names it is kept by.
#[derive(Debug, Default)]
pub struct History {
    points: Vec<VecDeque<f32>>,
    counts: Counts,
}

/// Totals of things that happen, as they were at times within the last minutes.
#[derive(Debug)]
struct Counts {
    names: Vec<String>,
    /// In the order of `names`, which only grows: an older entry may be shorter.
    past: VecDeque<Vec<u64>>,
    seconds: usize,
}

/// When the gateway started nothing had happened.
impl Default for Counts {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            past: VecDeque::from([Vec::new()]),
            seconds: 0,
        }
    }
}

/// How often one thing has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// What it is called.
    pub name: String,
    /// Since the gateway started.
    pub total: u64,
    /// Within the last five minutes.
    pub recent: u64,
}

impl History {
    /// Adds one second's points, one for each series, always as many.
    pub fn add(&mut self, points: &[f64]) {
        self.points.resize_with(points.len(), VecDeque::new);
        for (series, point) in self.points.iter_mut().zip(points) {
            if series.len() == SECONDS {
                series.pop_front();
            }
            series.push_back(*point as f32);
        }
    }

    /// The points of each series, the oldest first.
    pub fn series(&self) -> impl Iterator<Item = &VecDeque<f32>> {
        self.points.iter()
    }

    /// Takes the totals of one second, and says how much of each is of the last minutes. Totals only grow.
    pub fn count(&mut self, totals: &[(String, u64)]) -> Vec<Count> {
        let counts = &mut self.counts;
        for (name, _) in totals {
            if !counts.names.contains(name) && counts.names.len() < MOST_NAMES {
                counts.names.push(name.clone());
            }
        }
        let total = |name: &String| {
            let found = totals.iter().find(|(known, _)| known == name);
            found.map_or(0, |(_, total)| *total)
        };
        let now: Vec<u64> = counts.names.iter().map(total).collect();
        let oldest = counts.past.front();
        let recent = |index: usize, total: u64| {
            let before = oldest.map_or(0, |oldest| oldest.get(index).copied().unwrap_or_default());
            total.saturating_sub(before)
        };
        let named = counts.names.iter().zip(&now).enumerate();
        let result = named.map(|(index, (name, total))| Count {
            name: name.clone(),
            total: *total,
            recent: recent(index, *total),
        });
        let result = result.collect();
        if counts.seconds.is_multiple_of(STEP) {
            if counts.past.len() > SECONDS / STEP {
                counts.past.pop_front();
            }
            counts.past.push_back(now);
        }
        counts.seconds += 1;
        result
    }
}

/// Five minutes.
pub const SECONDS: usize = 300;

/// Totals are kept every so many seconds.
const STEP: usize = 5;

/// Endings, refusals and limits are some 70; what an extension of a team's own adds has room as well.
const MOST_NAMES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_minutes_are_kept() {
        let mut history = History::default();
        for second in 0..SECONDS + 10 {
            history.add(&[second as f64, 1.0]);
        }
        let series: Vec<_> = history.series().collect();
        assert_eq!(series.len(), 2);
        assert_eq!(series[0].len(), SECONDS);
        assert_eq!(series[0].front(), Some(&10.0));
        assert_eq!(series[0].back(), Some(&309.0));
    }

    #[test]
    fn what_happened_long_ago_is_not_recent() {
        let mut history = History::default();
        let totals = |lost: u64, closed: u64| {
            let mut totals = vec![("lost".to_owned(), lost)];
            if closed > 0 {
                totals.push(("closed".to_owned(), closed));
            }
            totals
        };
        let count = |name: &str, total, recent| Count {
            name: name.to_owned(),
            total,
            recent,
        };
        assert_eq!(history.count(&totals(3, 0)), [count("lost", 3, 3)]);
        for _ in 0..SECONDS {
            history.count(&totals(3, 0));
        }
        let now = history.count(&totals(4, 2));
        assert_eq!(now, [count("lost", 4, 1), count("closed", 2, 2)]);
        for _ in 0..SECONDS + 2 * STEP {
            history.count(&totals(4, 2));
        }
        let now = history.count(&totals(4, 2));
        assert_eq!(now, [count("lost", 4, 0), count("closed", 2, 0)]);
        assert!(history.counts.past.len() <= SECONDS / STEP + 1);
    }
}
