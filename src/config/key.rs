//! The place of a value among the settings.

use std::fmt;
use std::fmt::Display;

/// A place such as `services[0].upstream.uris[1]`. A table comes before what
/// is in it, and list items come in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(Vec<Step>);

/// One part of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// An item of a list, counted from zero.
    Index(usize),
    /// An entry of a table.
    Field(String),
}

impl Key {
    /// Reads what `Display` writes. There is no wrong text: a key that does
    /// not exist is simply not found.
    pub(super) fn parse(text: &str) -> Self {
        let steps = text
            .split(['.', '['])
            .map(|part| part.trim_end_matches(']'))
            .filter(|part| !part.is_empty())
            .map(|part| match part.parse() {
                Ok(index) => Step::Index(index),
                Err(_) => Step::Field(part.to_owned()),
            });
        Self(steps.collect())
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    pub(super) fn field(&self, name: &str) -> Self {
        self.with(Step::Field(name.to_owned()))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    /// The table or list it is in; `None` at the top.
    pub(super) fn parent(&self) -> Option<Self> {
        let (_, steps) = self.0.split_last()?;
        Some(Self(steps.to_vec()))
    }

    /// The same place in the first item of every list on the way.
    pub(super) fn of_first_items(&self) -> Self {
        let first = |step: &Step| match step {
            Step::Index(_) => Step::Index(0),
            Step::Field(name) => Step::Field(name.clone()),
        };
        Self(self.0.iter().map(first).collect())
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Field(name) if position == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_reads_what_display_writes() {
        for text in [
            "",
            "limits",
            "limits.sessions",
            "services[0].upstream.uris[11]",
        ] {
            assert_eq!(Key::parse(text).to_string(), text);
        }
    }

    #[test]
    fn tables_come_before_their_entries_and_items_by_number() {
        let mut keys: Vec<Key> = [
            "services[10].name",
            "services[2].name",
            "services",
            "limits.sessions",
        ]
        .into_iter()
        .map(Key::parse)
        .collect();
        keys.sort();
        let texts: Vec<String> = keys.iter().map(Key::to_string).collect();
        assert_eq!(
            texts,
            [
                "limits.sessions",
                "services",
                "services[2].name",
                "services[10].name"
            ]
        );
    }
}
