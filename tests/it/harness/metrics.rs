//! The Prometheus text format, read strictly: a page that a scraper would refuse fails the test.

use std::collections::BTreeMap;

/// One scrape: every series by its name and sorted labels, and what the comments said about each family.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    series: BTreeMap<Series, f64>,
    pub(crate) helps: BTreeMap<String, String>,
    pub(crate) types: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
}

impl Metrics {
    /// Reads a whole page.
    ///
    /// # Panics
    /// On a line that is not in the format, a series without `# TYPE` before it, or a series that comes twice.
    pub(crate) fn parse(page: &str) -> Self {
        assert!(
            page.ends_with('\n'),
            "the last line must end with a line feed"
        );
        let mut metrics = Self::default();
        for line in page.lines().filter(|line| !line.is_empty()) {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, text) = help.split_once(' ').expect("HELP has a text");
                let before = metrics.helps.insert(name.to_owned(), text.to_owned());
                assert!(before.is_none(), "HELP of {name} came twice");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("TYPE has a value");
                let before = metrics.types.insert(name.to_owned(), kind.to_owned());
                assert!(before.is_none(), "TYPE of {name} came twice");
            } else {
                metrics.add_sample(line);
            }
        }
        metrics
    }

    /// The value of one series written as in the exposition (`name{label="value"}`, labels in any order);
    /// one that was never touched is 0.
    pub(crate) fn value(&self, series: &str) -> f64 {
        self.series
            .get(&Series::parse(series))
            .copied()
            .unwrap_or(0.0)
    }

    /// The sum of all series of a family whose labels include those given (`name{label="value"}`).
    pub(crate) fn sum(&self, series: &str) -> f64 {
        let wanted = Series::parse(series);
        let matches = |series: &Series| {
            series.name == wanted.name
                && wanted
                    .labels
                    .iter()
                    .all(|(key, value)| series.labels.get(key) == Some(value))
        };
        self.series
            .iter()
            .filter(|(series, _)| matches(series))
            .map(|(_, value)| value)
            .sum()
    }

    /// Every label name in use, with the family that uses it.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.series.keys().flat_map(|series| {
            series
                .labels
                .iter()
                .map(move |(key, value)| (series.name.as_str(), key.as_str(), value.as_str()))
        })
    }

    fn add_sample(&mut self, line: &str) {
        let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
        let series = Series::parse(series);
        let family = self.family_of(&series.name);
        assert!(
            self.types.contains_key(family),
            "{} has no # TYPE before it",
            series.name
        );
        let value = value
            .parse()
            .unwrap_or_else(|_| panic!("{line}: the value is no number"));
        let before = self.series.insert(series, value);
        assert!(before.is_none(), "{line}: this series came twice");
    }

    /// A histogram's samples belong to the family without their suffix.
    fn family_of<'name>(&self, name: &'name str) -> &'name str {
        for suffix in ["_bucket", "_sum", "_count"] {
            if let Some(family) = name.strip_suffix(suffix) {
                if self
                    .types
                    .get(family)
                    .is_some_and(|kind| kind == "histogram")
                {
                    return family;
                }
            }
        }
        name
    }
}

impl Series {
    fn parse(text: &str) -> Self {
        let Some((name, rest)) = text.split_once('{') else {
            return Self {
                name: checked_name(text),
                labels: BTreeMap::new(),
            };
        };
        let mut rest = rest
            .strip_suffix('}')
            .unwrap_or_else(|| panic!("{text}: labels do not end"));
        let mut labels = BTreeMap::new();
        while !rest.is_empty() {
            let (key, after) = rest
                .split_once("=\"")
                .unwrap_or_else(|| panic!("{text}: a label without value"));
            let (value, after) = after
                .split_once('"')
                .unwrap_or_else(|| panic!("{text}: a value without end"));
            let before = labels.insert(checked_name(key), value.to_owned());
            assert!(before.is_none(), "{text}: the label {key} came twice");
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        Self {
            name: checked_name(name),
            labels,
        }
    }
}

fn checked_name(name: &str) -> String {
    let legal =
        |character: char| character.is_ascii_alphanumeric() || character == '_' || character == ':';
    assert!(
        !name.is_empty() && name.chars().all(legal),
        "{name:?} is no name of a metric or label"
    );
    name.to_owned()
}
