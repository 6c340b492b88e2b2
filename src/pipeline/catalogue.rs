//! Every extension that a gateway has, and what becomes of a list of offers. The only file that names the shipped ones.

use std::sync::Arc;

use arc_swap::ArcSwap;
use thiserror::Error;

use crate::pipeline::extensions::IdleTimeout;
use crate::pipeline::extensions::PageOnly;
use crate::pipeline::extensions::PingPong;
use crate::pipeline::extensions::Sequence;
use crate::pipeline::link::Decision;
use crate::pipeline::link::Extension;
use crate::pipeline::link::Link;
use crate::pipeline::link::Terms;
use crate::pipeline::metrics::Figures;
use crate::pipeline::metrics::Metrics;
use crate::pipeline::metrics::Outcome;
use crate::wire::websocket::header::Offer;

/// The extensions of one gateway, shared by its sessions.
#[derive(Clone, Debug)]
pub struct Catalogue {
    entries: Vec<Entry>,
    /// Those that are a page's alone; what is written here changes for all clones.
    page_only: Arc<ArcSwap<Vec<Entry>>>,
    metrics: Metrics,
}

#[derive(Clone, Debug)]
struct Entry {
    extension: Arc<dyn Extension>,
    figures: Arc<Figures>,
}

/// An extension that a session has agreed on and not started yet.
#[derive(Debug)]
pub struct Agreed {
    /// The name with the parameters that are answered.
    pub answer: Offer,
    /// The extension in this session.
    pub link: Box<dyn Link>,
    /// What it counts.
    pub figures: Arc<Figures>,
}

/// An offer that breaks the rules of its extension.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name} {reason}")]
pub struct MalformedOffer {
    /// The extension's name.
    pub name: String,
    /// The rest of the sentence.
    pub reason: String,
}

/// The extensions that this crate ships, in the order in which the documentation names them.
pub fn shipped() -> Vec<Arc<dyn Extension>> {
    vec![
        Arc::new(PingPong),
        Arc::new(IdleTimeout),
        Arc::new(Sequence),
    ]
}

impl Catalogue {
    /// A catalogue of these extensions; of two with one name the later counts, so that a shipped one can be replaced.
    pub fn new(extensions: Vec<Arc<dyn Extension>>, metrics: Metrics) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        for extension in extensions {
            entries.retain(|entry| entry.extension.name() != extension.name());
            let figures = Arc::new(metrics.of(extension.name()));
            figures.expect_failures(extension.failure_reasons());
            entries.push(Entry { extension, figures });
        }
        Self {
            entries,
            page_only: Arc::default(),
            metrics,
        }
    }

    /// The names of the extensions that have a part on the gateway.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.extension.name())
    }

    /// From now on these names stand for extensions that are a page's alone, and no others; sessions keep what they have.
    pub fn declare_page_only<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let earlier = self.page_only.load();
        let mut entries: Vec<Entry> = Vec::new();
        for name in names {
            if entry_in(&self.entries, name).is_some() || entry_in(&entries, name).is_some() {
                continue;
            }
            let known = entry_in(&earlier, name).cloned();
            entries.push(known.unwrap_or_else(|| Entry {
                extension: Arc::new(PageOnly::new(name)),
                figures: Arc::new(self.metrics.of(name)),
            }));
        }
        self.page_only.store(Arc::new(entries));
    }

    /// Answers a list of offers: the extensions that are agreed, in the order of the offers. All names that the service
    /// does not permit are declined. Of several offers of one name the first that is agreed
    /// counts (RFC 7692 section 5).
    ///
    /// # Errors
    /// The first offer that breaks the rules of its extension.
    pub fn agree(
        &self,
        offers: &[Offer],
        permits: impl Fn(&str) -> bool,
        terms: &Terms<'_>,
    ) -> Result<Vec<Agreed>, MalformedOffer> {
        let mut agreed: Vec<Agreed> = Vec::new();
        for offer in offers {
            let Some(entry) = self.entry(&offer.name) else {
                self.metrics.offered_unknown();
                continue;
            };
            let is_alternative = agreed.iter().any(|other| other.answer.name == offer.name);
            if is_alternative || !permits(&offer.name) {
                entry.figures.offered(Outcome::Declined);
                continue;
            }
            match entry.extension.decide(offer, terms) {
                Decision::Agreed { params, link } => {
                    entry.figures.offered(Outcome::Agreed);
                    agreed.push(Agreed {
                        answer: Offer {
                            name: offer.name.clone(),
                            params,
                        },
                        link,
                        figures: Arc::clone(&entry.figures),
                    });
                }
                Decision::Declined => entry.figures.offered(Outcome::Declined),
                Decision::Malformed(reason) => {
                    entry.figures.offered(Outcome::Malformed);
                    return Err(MalformedOffer {
                        name: offer.name.clone(),
                        reason,
                    });
                }
            }
        }
        Ok(agreed)
    }

    fn entry(&self, name: &str) -> Option<Entry> {
        entry_in(&self.entries, name)
            .cloned()
            .or_else(|| entry_in(&self.page_only.load(), name).cloned())
    }
}

fn entry_in<'a>(entries: &'a [Entry], name: &str) -> Option<&'a Entry> {
    entries.iter().find(|entry| entry.extension.name() == name)
}

#[cfg(test)]
mod tests;
