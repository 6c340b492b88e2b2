//! An extension that is a page's alone: a module in the page, and no part on the gateway. It is agreed as it is offered,
//! and its link passes everything on untouched, so that its traffic is counted under its name.

use crate::pipeline::link::Claims;
use crate::pipeline::link::Decision;
use crate::pipeline::link::Extension;
use crate::pipeline::link::Link;
use crate::pipeline::link::Terms;
use crate::wire::websocket::header::Offer;

/// The extension of one name in `services.page_only`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageOnly {
    name: String,
}

impl PageOnly {
    /// The extension of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

impl Extension for PageOnly {
    fn name(&self) -> &str {
        &self.name
    }

    /// Agreed with the parameters of the offer: they are for the page's own module.
    fn decide(&self, offer: &Offer, _terms: &Terms<'_>) -> Decision {
        Decision::Agreed {
            params: offer.params.clone(),
            link: Box::new(Counting),
        }
    }
}

/// Changes nothing; who runs it counts what it is handed.
#[derive(Debug)]
struct Counting;

impl Link for Counting {
    fn claims(&self) -> Claims {
        Claims::EVERYTHING
    }
}
