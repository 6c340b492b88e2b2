//! The catalogue while names of extensions of a page alone come and go.

use std::time::Duration;

use prometheus::Registry;

use super::*;
use crate::wire::websocket::header::parse_offers;

fn agreed(catalogue: &Catalogue, offers: &str, permitted: &[&str]) -> Vec<String> {
    let terms = Terms {
        service: "test",
        idle_timeout: Duration::from_secs(30),
    };
    let offers = parse_offers([offers]).unwrap();
    let permits = |name: &str| permitted.contains(&name);
    let agreed = catalogue.agree(&offers, permits, &terms).unwrap();
    agreed
        .iter()
        .map(|agreed| agreed.answer.to_string())
        .collect()
}

#[test]
fn names_of_a_page_alone_come_and_go_and_no_other_is_replaced() {
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let catalogue = Catalogue::new(shipped(), metrics);
    let shared = catalogue.clone();
    let offers = "acme; a=1; b, smeuse-sequence, other";
    let permitted = ["acme", "smeuse-sequence", "other"];
    assert_eq!(agreed(&shared, offers, &permitted), ["smeuse-sequence"]);
    catalogue.declare_page_only(["acme", "acme", "smeuse-sequence"].into_iter());
    assert_eq!(
        agreed(&shared, offers, &permitted),
        ["acme; a=1; b", "smeuse-sequence"]
    );
    // The gateway's own is still the one that has no parameters.
    let malformed = parse_offers(["smeuse-sequence; x"]).unwrap();
    let terms = Terms {
        service: "test",
        idle_timeout: Duration::from_secs(30),
    };
    assert!(catalogue.agree(&malformed, |_| true, &terms).is_err());
    // Another service may not have named it.
    assert_eq!(agreed(&shared, "acme", &["smeuse-sequence"]), [""; 0]);
    catalogue.declare_page_only(["other"].into_iter());
    assert_eq!(
        agreed(&shared, offers, &permitted),
        ["smeuse-sequence", "other"]
    );
    let names: Vec<&str> = catalogue.names().collect();
    assert_eq!(
        names,
        [
            "x-kaazing-ping-pong",
            "x-kaazing-idle-timeout",
            "smeuse-sequence"
        ]
    );
}
