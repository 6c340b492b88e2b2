//! Tests of the client's address: RFC 7239, `X-Forwarded-For`, whom to believe, and what limits count by.

use proptest::prelude::*;

use super::*;

const PROXY: &str = "10.0.0.1:5000";

/// The address as text, without a port that is not known.
fn client_from(peer: &str, lines: &[(&str, &str)]) -> String {
    let trusted = ["10.0.0.0/8", "2001:db8:ffff::/48"].map(|net| net.parse().unwrap());
    let headers = lines
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    let client = client_address(peer.parse().unwrap(), &trusted, &headers);
    match client.port() {
        0 => client.ip().to_string(),
        _ => client.to_string(),
    }
}

fn forwarded(value: &str) -> String {
    client_from(PROXY, &[("Forwarded", value)])
}

fn forwarded_for(value: &str) -> String {
    client_from(PROXY, &[("X-Forwarded-For", value)])
}

#[test]
fn without_headers_the_peer_is_the_client() {
    assert_eq!(client_from("192.0.2.1:4711", &[]), "192.0.2.1:4711");
    assert_eq!(client_from(PROXY, &[]), PROXY);
    assert_eq!(
        client_from("[::ffff:192.0.2.1]:4711", &[]),
        "192.0.2.1:4711"
    );
}

#[test]
fn a_peer_that_is_not_trusted_is_not_believed() {
    let lines = [
        ("Forwarded", "for=198.51.100.1"),
        ("X-Forwarded-For", "198.51.100.1"),
    ];
    assert_eq!(client_from("192.0.2.1:4711", &lines), "192.0.2.1:4711");
    let headers = lines
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    assert_eq!(
        client_address(PROXY.parse().unwrap(), &[], &headers),
        PROXY.parse().unwrap()
    );
}

#[test]
fn a_trusted_peer_may_come_in_ipv6_clothes_or_over_ipv6() {
    let line = [("X-Forwarded-For", "198.51.100.1")];
    assert_eq!(client_from("[::ffff:10.0.0.1]:5000", &line), "198.51.100.1");
    assert_eq!(
        client_from("[2001:db8:ffff::1]:5000", &line),
        "198.51.100.1"
    );
}

#[test]
fn x_forwarded_for_is_walked_from_the_right() {
    for (value, client) in [
        ("198.51.100.1", "198.51.100.1"),
        ("198.51.100.1, 10.0.0.2", "198.51.100.1"),
        (
            "203.0.113.9, 198.51.100.1, 10.0.0.2,10.0.0.3",
            "198.51.100.1",
        ),
        ("10.0.0.9, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.9, 10.0.0.2", "10.0.0.9"),
        ("198.51.100.1:4711", "198.51.100.1:4711"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "[2001:db8::1]:4711"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("198.51.100.1, 2001:db8:ffff::2", "198.51.100.1"),
        (" ,198.51.100.1,, ", "198.51.100.1"),
    ] {
        assert_eq!(forwarded_for(value), client, "{value}");
    }
}

#[test]
fn an_entry_without_an_address_ends_the_walk_at_who_reported_it() {
    for value in [
        "unknown",
        "198.51.100.1, unknown",
        "198.51.100.1, 999.1.1.1",
        "198.51.100.1, a.example",
    ] {
        assert_eq!(forwarded_for(value), PROXY, "{value}");
    }
    assert_eq!(forwarded_for("198.51.100.1, unknown, 10.0.0.2"), "10.0.0.2");
    assert_eq!(forwarded_for(""), PROXY);
    let headers = [("X-Forwarded-For", &b"198.51.100.1, \xff"[..])]
        .into_iter()
        .collect();
    let client = client_address(
        PROXY.parse().unwrap(),
        &["10.0.0.0/8".parse().unwrap()],
        &headers,
    );
    assert_eq!(client.to_string(), PROXY);
}

/// RFC 7239 section 4, the examples of the section, and section 6.
#[test]
fn forwarded_is_read_by_its_grammar() {
    for (value, client) in [
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
        (
            "proto=http; For = 192.0.2.60 ;by=203.0.113.43",
            "192.0.2.60",
        ),
        (
            "For=\"[2001:db8:cafe::17]:4711\"",
            "[2001:db8:cafe::17]:4711",
        ),
        ("for=\"[2001:db8:cafe::17]\"", "2001:db8:cafe::17"),
        ("for=\"192.0.2.43:47011\"", "192.0.2.43:47011"),
        ("for=\"192.0.2.43:_port\"", "192.0.2.43"),
        ("for=\"192.0.2.\\43\"", "192.0.2.43"),
        ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17"),
        ("for=192.0.2.43, for=10.0.0.2", "192.0.2.43"),
        ("by=\"a, for=203.0.113.1\";for=192.0.2.43", "192.0.2.43"),
        (";for=192.0.2.43;", "192.0.2.43"),
        ("host=\"a\\\"b\";for=192.0.2.43", "192.0.2.43"),
    ] {
        assert_eq!(forwarded(value), client, "{value}");
    }
}

#[test]
fn forwarded_elements_without_an_address_end_the_walk() {
    for value in [
        "for=unknown",
        "for=_hidden",
        "for=\"_SEVKISEK\"",
        "proto=https",
        "for",
        "for=",
        "for=\"192.0.2.43",
        "for=\"192.0.2.43\"x",
        "for=192.0.2.43;for=192.0.2.44",
        "for=192.0.2.43:x",
        "for=192.0.2.43:65536",
        "for=192.0.2.43:+1",
        "for=\"[192.0.2.43]\"",
        "for=\"[::1]x\"",
        "192.0.2.43",
    ] {
        assert_eq!(forwarded(value), PROXY, "{value}");
    }
    assert_eq!(
        forwarded("for=192.0.2.1, for=unknown, for=10.0.0.2"),
        "10.0.0.2"
    );
}

/// A client that opens a quote, so as to swallow what the proxy appends, only hides itself behind the proxy.
#[test]
fn an_open_quote_swallows_no_hop_unnoticed() {
    for value in [
        "for=\"203.0.113.1, for=198.51.100.1",
        "for=203.0.113.1;x=\", for=\"[2001:db8::1]\"",
        "for=203.0.113.1;x=a\", for=\"[2001:db8::1]\"",
        "for=203.0.113.1;\", for=\"[2001:db8::1]\";x=\"\"",
        "for=203.0.113.1;x\"=, for=\"[2001:db8::1]\"",
        "for=203.0.113.1;x=\"\\, for=\"198.51.100.1:1\"",
    ] {
        assert_eq!(forwarded(value), PROXY, "{value}");
    }
}

#[test]
fn several_lines_are_one_list() {
    let name = "X-Forwarded-For";
    assert_eq!(
        client_from(PROXY, &[(name, "203.0.113.1"), (name, "198.51.100.1")]),
        "198.51.100.1"
    );
    assert_eq!(
        client_from(PROXY, &[(name, "203.0.113.1"), (name, "10.0.0.2")]),
        "203.0.113.1"
    );
}

#[test]
fn forwarded_wins_over_x_forwarded_for() {
    let both = |value| {
        client_from(
            PROXY,
            &[("X-Forwarded-For", "203.0.113.1"), ("Forwarded", value)],
        )
    };
    assert_eq!(both("for=198.51.100.1"), "198.51.100.1");
    assert_eq!(both("for=unknown"), PROXY);
}

#[test]
fn the_walk_is_bounded() {
    let chain = |trusted_hops: usize| {
        let hops: Vec<_> = (0..trusted_hops).map(|n| format!("10.1.0.{n}")).collect();
        format!("198.51.100.1, {}", hops.join(", "))
    };
    assert_eq!(forwarded_for(&chain(MAX_HOPS - 1)), "198.51.100.1");
    assert_eq!(forwarded_for(&chain(MAX_HOPS)), "10.1.0.0");
}

#[test]
fn limits_count_by_host() {
    for (address, key) in [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::"),
        ("::1", "::"),
    ] {
        assert_eq!(limit_key(address.parse().unwrap()).to_string(), key);
    }
}

proptest! {
    /// Whatever a client writes before it, the entry that the trusted proxy appends decides.
    #[test]
    fn what_the_client_wrote_does_not_matter(lie in "[ -~]{0,60}|(for=|203.0.113.1|x=|[;,\"\\\\ =]){0,12}") {
        let value = format!("{lie}, 198.51.100.1");
        let honest = forwarded_for(&value);
        prop_assert!(honest == "198.51.100.1" || honest == PROXY, "{}", honest);
        let honest = forwarded(&format!("{lie}, for=198.51.100.1"));
        prop_assert!(honest == "198.51.100.1" || honest == PROXY, "{}", honest);
        let honest = forwarded(&format!("{lie}, for=\"[2001:db8::1]:80\""));
        prop_assert!(honest == "[2001:db8::1]:80" || honest == PROXY, "{}", honest);
    }
}
