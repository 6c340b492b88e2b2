//! Sending clients elsewhere: where to, and not for ever.

use serde::Deserialize;
use serde::Serialize;

use crate::handshake::refusal::Refusal;
use crate::wire::extended::LEGACY_PARAMETER;

/// The table `services.redirect`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// The other place: an absolute `ws://` or `wss://` URL without query and fragment.
    pub to: String,
    /// Hops a client may have made when it is still sent on; one with more is refused. The count travels in the URL,
    /// and every gateway on the way adds to it.
    #[serde(default = "default_hops")]
    pub hops: u32,
}

impl Redirect {
    /// Checks what the types alone do not.
    ///
    /// # Errors
    /// `key: reason`, the key relative to the redirect's table.
    pub fn validate(&self) -> Result<(), String> {
        let rest = ["ws://", "wss://"]
            .iter()
            .find_map(|scheme| self.to.strip_prefix(scheme));
        let Some(rest) = rest else {
            return Err("to: does not begin with ws:// or wss://".to_owned());
        };
        if rest.is_empty() || rest.starts_with('/') {
            return Err("to: has no host".to_owned());
        }
        if rest.contains(['?', '#']) {
            return Err("to: has a query or a fragment".to_owned());
        }
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("to: has characters that a URL must encode".to_owned());
        }
        if self.hops == 0 || self.hops > HOPS_MAX {
            return Err(format!("hops: must be from 1 to {HOPS_MAX}"));
        }
        Ok(())
    }

    /// Where a client with this query is sent: the query goes along, with the hops it has made.
    ///
    /// # Errors
    /// [`Refusal::TooManyRedirects`].
    pub fn location(&self, query: Option<&str>) -> Result<String, Refusal> {
        let parts = || query.into_iter().flat_map(|query| query.split('&'));
        let made = parts().find_map(|part| part.strip_prefix(HOPS_PARAMETER)?.strip_prefix('='));
        // A count that cannot be read was not written by a gateway.
        let made = made.map_or(Some(0), |count| count.parse::<u32>().ok());
        let hops = made
            .filter(|made| *made < self.hops)
            .map(|made| made + 1)
            .ok_or(Refusal::TooManyRedirects)?;
        let is_ours = |part: &&str| {
            part.is_empty()
                || *part == LEGACY_PARAMETER
                || part.split('=').next() == Some(HOPS_PARAMETER)
        };
        let mut location = format!("{}?", self.to);
        for part in parts().filter(|part| !is_ours(part)) {
            location.push_str(part);
            location.push('&');
        }
        location.push_str(&format!("{HOPS_PARAMETER}={hops}"));
        if parts().any(|part| part == LEGACY_PARAMETER) {
            // The last, because a redirect that ends in a capital N is misread.
            location.push('&');
            location.push_str(LEGACY_PARAMETER);
        }
        Ok(location)
    }
}

/// The same place in the schemes of HTTP, for the 302 of an opening handshake.
pub fn over_http(location: &str) -> String {
    location.replacen("ws", "http", 1)
}

const fn default_hops() -> u32 {
    3
}

/// The query parameter that counts the hops.
pub const HOPS_PARAMETER: &str = "smeuse-hops";

/// More places than any plan of a network has in a row: a typing error.
const HOPS_MAX: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn to(to: &str, hops: u32) -> Redirect {
        Redirect {
            to: to.to_owned(),
            hops,
        }
    }

    #[test]
    fn the_query_goes_along_and_hops_are_counted() {
        let redirect = to("wss://other.example.com/ws/amqp", 2);
        for (query, expected) in [
            (None, Some("smeuse-hops=1")),
            (Some("a=b&c=d"), Some("a=b&c=d&smeuse-hops=1")),
            (Some("smeuse-hops=1&a"), Some("a&smeuse-hops=2")),
            (Some(".kl=Y&a=b"), Some("a=b&smeuse-hops=1&.kl=Y")),
            (Some("smeuse-hops=2"), None),
            (Some("smeuse-hops=4294967295"), None),
            (Some("smeuse-hops="), None),
            (Some("smeuse-hops=-1"), None),
        ] {
            let expected = expected.map(|query| format!("wss://other.example.com/ws/amqp?{query}"));
            assert_eq!(redirect.location(query).ok(), expected, "{query:?}");
        }
    }

    #[test]
    fn a_chain_of_gateways_that_point_at_each_other_ends() {
        let redirect = to("ws://a/", 3);
        let mut query = Some(".kl=Y".to_owned());
        for _ in 0..3 {
            let location = redirect.location(query.as_deref()).unwrap();
            assert!(!location.ends_with('N'));
            query = location.split_once('?').map(|(_, query)| query.to_owned());
        }
        assert_eq!(
            redirect.location(query.as_deref()),
            Err(Refusal::TooManyRedirects)
        );
    }

    #[test]
    fn the_place_must_be_a_whole_url() {
        assert_eq!(to("ws://a", 1).validate(), Ok(()));
        assert_eq!(to("wss://a:1/b", 10).validate(), Ok(()));
        for (place, hops) in [
            ("http://a", 1),
            ("ws://", 1),
            ("ws:///b", 1),
            ("ws://a?b", 1),
            ("ws://a#b", 1),
            ("ws://a b", 1),
            ("ws://a", 0),
            ("ws://a", 11),
        ] {
            assert!(to(place, hops).validate().is_err(), "{place} {hops}");
        }
        assert_eq!(over_http("wss://ws/x"), "https://ws/x");
    }
}
