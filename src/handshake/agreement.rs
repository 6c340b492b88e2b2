//! What holds when the handshakes are over: subprotocol, extensions, and who the client is.

use crate::handshake::config::Service;
use crate::handshake::login::Principal;
use crate::handshake::refusal::Refusal;
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
}

impl Agreement {
    /// Agrees on extensions, and holds the client to what the service requires.
    ///
    /// # Errors
    /// [`Refusal::ExtensionMalformed`] and [`Refusal::ExtensionRequired`].
    pub fn reach(
        subprotocol: Option<String>,
        offers: &[Offer],
        principal: Option<Principal>,
        service: &Service,
        catalogue: &Catalogue,
    ) -> Result<Self, Refusal> {
        let terms = Terms {
            service: &service.name,
            idle_timeout: service.idle_timeout,
        };
        let extensions = catalogue
            .agree(offers, &service.extensions, &terms)
            .map_err(|malformed| Refusal::ExtensionMalformed {
                name: malformed.name,
                reason: malformed.reason,
            })?;
        let has = |name: &String| extensions.iter().any(|agreed| agreed.answer.name == *name);
        if let Some(name) = service.require_extensions.iter().find(|name| !has(name)) {
            return Err(Refusal::ExtensionRequired { name: name.clone() });
        }
        Ok(Self {
            subprotocol,
            extensions,
            principal,
        })
    }
}
