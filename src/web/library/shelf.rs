//! Which modules are served, as a value: one look at the folder after the other comes in, with the content of what is
//! asked for, and what pages get goes out.
//!
//! A file counts once two looks have found it the same, so one that is being written does not. What cannot be used takes
//! nothing away: the last good version stays. A version that was replaced is kept for a while under the path that names
//! its content, for pages that were told of it and have not asked yet.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use thiserror::Error;

use crate::web::library::asset::Asset;
use crate::web::library::asset::JAVASCRIPT;
use crate::web::library::folder::Mark;

/// Why a file is not served.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Fault {
    /// The system's reason.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// Of more than a module may have.
    #[error("it has more than 1048576 bytes")]
    TooLarge,
    /// Nothing is in it.
    #[error("it is empty")]
    Empty,
    /// With it there would be too many, or too much.
    #[error("there are more modules than are served, or more bytes in them")]
    TooMany,
    /// It was written to while it was read; the next look will tell.
    #[error("it was written to while it was read")]
    Unsettled,
}

impl Fault {
    /// Those that are counted.
    pub(super) const LABELS: [&str; 4] = ["unreadable", "too_large", "empty", "too_many"];

    /// The metric label; none for what is not counted.
    pub(super) fn label(&self) -> Option<&'static str> {
        match self {
            Self::Unreadable(_) => Some("unreadable"),
            Self::TooLarge => Some("too_large"),
            Self::Empty => Some("empty"),
            Self::TooMany => Some("too_many"),
            Self::Unsettled => None,
        }
    }
}

/// What one look has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// A module is served that was not.
    Added(String),
    /// Another content of a module is served.
    Replaced(String),
    /// A module is gone.
    Removed(String),
    /// A file is not used, for the first time since it was written.
    Refused(String, Fault),
}

/// The modules that are served.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    modules: BTreeMap<String, Module>,
    retired: Vec<Retired>,
    /// What the last look found.
    seen: BTreeMap<String, Mark>,
    refused: BTreeMap<String, Mark>,
}

#[derive(Debug)]
struct Module {
    mark: Mark,
    path: String,
    asset: Asset,
}

/// A version that was replaced.
#[derive(Debug)]
struct Retired {
    path: String,
    asset: Asset,
    until: Instant,
}

impl Shelf {
    /// Takes everything at once, at the start: nobody is writing yet.
    ///
    /// # Errors
    /// The first file that cannot be used, but for those that are empty.
    pub(super) fn fill(
        &mut self,
        found: BTreeMap<String, Mark>,
        read: impl Fn(&str, &Mark) -> Result<Vec<u8>, Fault>,
    ) -> Result<(), (String, Fault)> {
        for (name, mark) in &found {
            let taken = read(name, mark).and_then(|content| self.place(name, mark, content));
            match taken {
                Ok(_) | Err(Fault::Empty | Fault::Unsettled) => {}
                Err(fault) => return Err((name.clone(), fault)),
            }
        }
        self.seen = found;
        Ok(())
    }

    /// What a look at these files is to read: what has changed since it was served, and stood still since the last look.
    pub(super) fn wanted(&self, found: &BTreeMap<String, Mark>) -> Vec<(String, Mark)> {
        let is_wanted = |(name, mark): &(&String, &Mark)| {
            let served = self.modules.get(*name).map(|module| &module.mark);
            let settled = self.seen.get(*name) == Some(*mark);
            settled && served != Some(*mark) && self.refused.get(*name) != Some(*mark)
        };
        let wanted = found.iter().filter(is_wanted);
        wanted
            .map(|(name, mark)| (name.clone(), mark.clone()))
            .collect()
    }

    /// Takes what another look has found, with the content of what was [`wanted`](Self::wanted).
    pub(super) fn look(
        &mut self,
        found: BTreeMap<String, Mark>,
        read: impl Fn(&str, &Mark) -> Result<Vec<u8>, Fault>,
        now: Instant,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let is_gone = |name: &String| !found.contains_key(name) && !self.seen.contains_key(name);
        let gone: Vec<String> = self
            .modules
            .keys()
            .filter(|name| is_gone(name))
            .cloned()
            .collect();
        for name in gone {
            if let Some(module) = self.modules.remove(&name) {
                self.retire(module, now);
            }
            changes.push(Change::Removed(name));
        }
        self.refused.retain(|name, _| found.contains_key(name));
        for (name, mark) in &self.wanted(&found) {
            match read(name, mark).and_then(|content| self.place(name, mark, content)) {
                Ok(Placed::Same) => {}
                Ok(Placed::First) => changes.push(Change::Added(name.clone())),
                Ok(Placed::Instead(module)) => {
                    self.retire(module, now);
                    changes.push(Change::Replaced(name.clone()));
                }
                Err(Fault::Unsettled) => continue,
                Err(fault) => {
                    self.refused.insert(name.clone(), mark.clone());
                    changes.push(Change::Refused(name.clone(), fault));
                    continue;
                }
            }
            self.refused.remove(name);
        }
        self.seen = found;
        changes
    }

    /// Forgets versions whose time is over; whether there were any.
    pub(super) fn forget(&mut self, now: Instant) -> bool {
        let before = self.retired.len();
        self.retired.retain(|retired| retired.until > now);
        self.retired.len() < before
    }

    /// Where a module is, by the path that names its content.
    pub(super) fn find(&self, name: &str) -> Option<(&str, &Asset)> {
        let module = self.modules.get(name)?;
        Some((&module.path, &module.asset))
    }

    /// Everything that is served, by its path behind the folder's.
    pub(super) fn assets(&self) -> BTreeMap<String, Asset> {
        let retired = self.retired.iter();
        let mut assets: BTreeMap<String, Asset> = retired
            .map(|retired| (retired.path.clone(), retired.asset.forever()))
            .collect();
        for module in self.modules.values() {
            assets.insert(module.path.clone(), module.asset.forever());
        }
        for (name, module) in &self.modules {
            assets.insert(format!("{name}.js"), module.asset.clone());
        }
        assets
    }

    /// How many modules are served.
    pub(super) fn count(&self) -> usize {
        self.modules.len()
    }

    fn place(&mut self, name: &str, mark: &Mark, content: Vec<u8>) -> Result<Placed, Fault> {
        let others = self.modules.iter().filter(|(other, _)| *other != name);
        let bytes: usize = others
            .clone()
            .map(|(_, module)| module.asset.content.len())
            .sum();
        if others.count() >= MODULES || bytes + content.len() > ALL_BYTES {
            return Err(Fault::TooMany);
        }
        let asset = Asset::new(content, JAVASCRIPT);
        let path = format!("{name}.{}.js", asset.short_hash());
        let module = Module {
            mark: mark.clone(),
            path,
            asset,
        };
        let is_same = |earlier: &Module| earlier.path == module.path;
        let (name, is_same) = (name.to_owned(), self.modules.get(name).is_some_and(is_same));
        Ok(match self.modules.insert(name, module) {
            None => Placed::First,
            Some(_) if is_same => Placed::Same,
            Some(earlier) => Placed::Instead(earlier),
        })
    }

    fn retire(&mut self, module: Module, now: Instant) {
        self.retired.retain(|retired| retired.path != module.path);
        if self.retired.len() >= RETIRED {
            self.retired.remove(0);
        }
        self.retired.push(Retired {
            path: module.path,
            asset: module.asset,
            until: now + KEPT,
        });
    }
}

/// What a module came to stand for.
enum Placed {
    First,
    Same,
    Instead(Module),
}

/// Modules that are served at once.
const MODULES: usize = 200;
/// Bytes in all of them, which stay in memory.
const ALL_BYTES: usize = 32 * 1024 * 1024;
/// Versions that were replaced and are still served; the oldest goes first.
const RETIRED: usize = 32;
/// How long such a version is served: much longer than a page takes from `config.json` to its modules.
const KEPT: Duration = Duration::from_secs(10 * 60);

#[cfg(test)]
mod tests;
