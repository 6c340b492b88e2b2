//! What holds when the handshakes are over: subprotocol, extensions, and who the client is.

use std::net::IpAddr;

use crate::handshake::config::Service;
use crate::handshake::login::Principal;
use crate::handshake::refusal::Refusal;
use crate::handshake::trial::Group;
use crate::handshake::trial::Place;
use crate::handshake::trial::Subject;
use crate::pipeline::catalogue::Agreed;
use crate::pipeline::catalogue::Catalogue;
use crate::pipeline::link::Terms;
use crate::wire::websocket::header::Offer;

/// What client and gateway agreed on, in one handshake or two.
#[derive(Debug, Default)]
pub struct Agreement {
    /// The subprotocol that is spoken from now on; none where the client offered none.
    pub subprotocol: Option<String>,
    /// The extensions, in the order of the offers: from the application towards the network.
    pub extensions: Vec<Agreed>,
    /// Who the client is, where the service asks.
    pub principal: Option<Principal>,
    /// On which side of the service's trials the session is: of those whose extension the client offered.
    pub trials: Vec<Place>,
}

impl Agreement {
    /// Agrees on extensions, and holds the client to what the service requires. Trials count a client that is not known
    /// by `address`, as limits do.
    ///
    /// # Errors
    /// [`Refusal::ExtensionMalformed`] and [`Refusal::ExtensionRequired`].
    pub fn reach(
        subprotocol: Option<String>,
        offers: &[Offer],
        principal: Option<Principal>,
        address: IpAddr,
        service: &Service,
        catalogue: &Catalogue,
    ) -> Result<Self, Refusal> {
        let terms = Terms {
            service: &service.name,
            idle_timeout: service.idle_timeout,
        };
        let subject = Subject {
            user: principal.as_ref().map(|principal| principal.name.as_str()),
            address,
        };
        let sides = service.trials.iter().map(|trial| Place {
            extension: trial.extension.clone(),
            group: trial.group(&subject),
        });
        let mut trials: Vec<Place> = sides.collect();
        let is_withheld = |name: &str| {
            let withheld = |place: &Place| place.group == Group::Without && place.extension == name;
            trials.iter().any(withheld)
        };
        let permits = |name: &str| service.permits(name) && !is_withheld(name);
        let extensions = catalogue
            .agree(offers, permits, &terms)
            .map_err(|malformed| Refusal::ExtensionMalformed {
                name: malformed.name,
                reason: malformed.reason,
            })?;
        let has = |name: &String| extensions.iter().any(|agreed| agreed.answer.name == *name);
        if let Some(name) = service.require_extensions.iter().find(|name| !has(name)) {
            return Err(Refusal::ExtensionRequired { name: name.clone() });
        }
        // By what was offered on either side, also where the extension itself has declined: else the sides would differ
        // by more than the trial.
        trials.retain(|place| offers.iter().any(|offer| offer.name == place.extension));
        Ok(Self {
            subprotocol,
            extensions,
            principal,
            trials,
        })
    }
}
