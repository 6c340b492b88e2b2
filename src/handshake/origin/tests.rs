//! Tests of origins: every rule against what it admits and what it does not, every fault, and the spelling.

use proptest::prelude::*;

use super::*;

/// Whether the rule admits the origin when the request's `Host` is the given one.
fn admits_at(rule: &str, origin: &str, host: &str, secure: bool) -> bool {
    is_allowed(
        &[rule.parse().unwrap()],
        origin,
        &host.parse().unwrap(),
        secure,
    )
}

fn admits(rule: &str, origin: &str) -> bool {
    admits_at(rule, origin, "gateway.example:15670", false)
}

#[test]
fn any_admits_every_page() {
    for origin in [
        "https://example.com",
        "http://127.0.0.1:1",
        "null",
        "file://",
        "",
        "nonsense",
        "a b",
    ] {
        assert!(admits("*", origin), "{origin}");
    }
}

/// RFC 6454 section 7.3: `null` says that the page has no origin to name.
#[test]
fn null_and_malformed_origins_are_admitted_by_any_alone() {
    for rule in [
        "same-origin",
        "loopback",
        "https://example.com",
        "https://*.example.com",
    ] {
        for origin in [
            "null",
            "",
            "example.com",
            "https://example.com/",
            "https://a.example.com/x",
            "https://example.com https://a.example.com",
            "https://user@example.com",
            "https://",
        ] {
            assert!(
                !admits_at(rule, origin, "example.com", false),
                "{rule} {origin}"
            );
        }
    }
}

#[test]
fn same_origin_compares_host_and_port() {
    for (origin, host, same) in [
        ("http://example.com", "example.com", true),
        ("https://example.com", "example.com", true),
        ("https://example.com", "example.com:443", true),
        ("https://example.com:443", "example.com", true),
        ("http://example.com", "example.com:80", true),
        ("http://example.com:80", "example.com", true),
        ("http://EXAMPLE.com:8080", "example.COM:8080", true),
        ("http://[2001:DB8:0::1]:8080", "[2001:db8::1]:8080", true),
        ("http://example.com", "example.com:", true),
        ("https://example.com", "example.com:80", false),
        ("http://example.com", "example.com:443", false),
        ("http://example.com:8080", "example.com", false),
        ("http://example.com:8080", "example.com:8081", false),
        ("http://a.example.com", "example.com", false),
        ("http://example.com", "a.example.com", false),
        ("http://example.com.", "example.com", false),
        ("capacitor://localhost", "localhost", false),
    ] {
        assert_eq!(
            admits_at("same-origin", origin, host, false),
            same,
            "{origin} {host}"
        );
    }
}

#[test]
fn same_origin_asks_for_https_where_the_gateway_terminates_tls() {
    assert!(admits_at(
        "same-origin",
        "https://example.com",
        "example.com",
        true
    ));
    assert!(admits_at(
        "same-origin",
        "https://example.com:8443",
        "example.com:8443",
        true
    ));
    assert!(!admits_at(
        "same-origin",
        "http://example.com",
        "example.com",
        true
    ));
    assert!(!admits_at(
        "same-origin",
        "http://example.com:8443",
        "example.com:8443",
        true
    ));
}

#[test]
fn loopback_admits_pages_of_the_browsers_machine() {
    for origin in [
        "http://localhost",
        "https://localhost:8443",
        "http://LocalHost:3000",
        "http://app.localhost:5173",
        "http://127.0.0.1:8080",
        "http://127.255.0.3",
        "https://[::1]:8443",
        "http://[0:0:0:0:0:0:0:1]",
    ] {
        assert!(admits("loopback", origin), "{origin}");
    }
    for origin in [
        "http://localhost.example.com",
        "http://notlocalhost",
        "http://128.0.0.1",
        "http://127.0.0.1.example.com",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "http://[::2]",
        "capacitor://localhost",
    ] {
        assert!(!admits("loopback", origin), "{origin}");
    }
}

#[test]
fn exact_rules_compare_scheme_host_and_port() {
    for (rule, origin, same) in [
        ("https://example.com", "https://example.com", true),
        ("https://example.com", "https://example.com:443", true),
        ("https://example.com:443", "https://example.com", true),
        ("http://example.com:80", "http://example.com", true),
        ("HTTPS://Example.COM", "https://example.com", true),
        (
            "https://[2001:db8::1]:8443",
            "https://[2001:db8:0:0::1]:8443",
            true,
        ),
        ("capacitor://localhost", "capacitor://localhost", true),
        ("file://", "file://", true),
        ("https://example.com", "http://example.com", false),
        ("https://example.com", "https://example.com:8443", false),
        ("https://example.com:80", "https://example.com", false),
        ("https://example.com", "https://a.example.com", false),
        (
            "https://example.com",
            "https://example.com.evil.example",
            false,
        ),
        ("https://example.com", "https://evilexample.com", false),
    ] {
        assert_eq!(admits(rule, origin), same, "{rule} {origin}");
    }
}

#[test]
fn subdomain_rules_admit_any_depth_below() {
    for (origin, below) in [
        ("https://a.example.com", true),
        ("https://a.b.example.com", true),
        ("https://A.Example.Com:443", true),
        ("https://example.com", false),
        ("https://.example.com", false),
        ("https://aexample.com", false),
        ("https://a.example.com.evil.example", false),
        ("https://a.example.com:8443", false),
        ("http://a.example.com", false),
    ] {
        assert_eq!(admits("https://*.example.com", origin), below, "{origin}");
    }
    assert!(admits(
        "https://*.example.com:8443",
        "https://a.example.com:8443"
    ));
}

#[test]
fn one_rule_that_admits_suffices() {
    let rules = ["https://one.example", "https://two.example"].map(|rule| rule.parse().unwrap());
    let host = "gateway.example".parse().unwrap();
    assert!(is_allowed(&rules, "https://two.example", &host, false));
    assert!(!is_allowed(&rules, "https://three.example", &host, false));
    assert!(!is_allowed(&[], "https://two.example", &host, false));
}

#[test]
fn every_fault_is_named() {
    for (rule, fault, sentence) in [
        (
            "example.com",
            OriginFault::NoScheme,
            "is neither *, same-origin, loopback nor an origin",
        ),
        ("", OriginFault::NoScheme, "is neither"),
        ("null", OriginFault::Null, "cannot be allowed by itself"),
        (
            "wss://example.com",
            OriginFault::WebSocketScheme,
            "write http:// or https://",
        ),
        (
            "1https://example.com",
            OriginFault::SchemeInvalid,
            "has a malformed scheme",
        ),
        (
            "://example.com",
            OriginFault::SchemeInvalid,
            "has a malformed scheme",
        ),
        ("https://", OriginFault::NoHost, "has no host"),
        ("https://:8443", OriginFault::NoHost, "has no host"),
        ("https://*.", OriginFault::NoHost, "has no host"),
        (
            "https://example.com/path",
            OriginFault::HasPath,
            "has a path",
        ),
        ("https://example.com/", OriginFault::HasPath, "has a path"),
        (
            "https://example.com?a",
            OriginFault::HasQuery,
            "has a query or a fragment",
        ),
        (
            "https://user:pw@example.com",
            OriginFault::HasUser,
            "has a user name",
        ),
        (
            "https://m\u{fc}nchen.example",
            OriginFault::NotAscii,
            "write the host in its xn-- form",
        ),
        (
            "https://*",
            OriginFault::StarMisplaced,
            "has a * that does not stand for the first part",
        ),
        (
            "https://a*.example.com",
            OriginFault::StarMisplaced,
            "has a *",
        ),
        (
            "https://*.*.example.com",
            OriginFault::StarMisplaced,
            "has a *",
        ),
        (
            "https://*.10.0.0.1",
            OriginFault::AddressBelow,
            "asks for hosts below an address",
        ),
        (
            "https://*.[::1]",
            OriginFault::AddressBelow,
            "asks for hosts below an address",
        ),
        (
            "https://exa mple.com",
            OriginFault::HostInvalid,
            "has a host with characters that no host has",
        ),
        (
            "https://[::1]x",
            OriginFault::HostInvalid,
            "has a host with characters that no host has",
        ),
        (
            "https://[::1",
            OriginFault::AddressInvalid,
            "has brackets around what is not an IPv6 address",
        ),
        (
            "https://[127.0.0.1]",
            OriginFault::AddressInvalid,
            "has brackets",
        ),
        (
            "https://example.com:0",
            OriginFault::PortInvalid,
            "has a port that is not a number from 1 to 65535",
        ),
        (
            "https://example.com:65536",
            OriginFault::PortInvalid,
            "has a port",
        ),
        (
            "https://example.com:+80",
            OriginFault::PortInvalid,
            "has a port",
        ),
        ("https://::1", OriginFault::PortInvalid, "has a port"),
    ] {
        let error = rule.parse::<OriginRule>().unwrap_err();
        assert_eq!((error.text.as_str(), error.fault), (rule, fault));
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("{rule} {sentence}")) || text.contains(sentence),
            "{text}"
        );
    }
}

#[test]
fn rules_have_one_spelling() {
    for (written, spelled) in [
        ("*", "*"),
        ("same-origin", "same-origin"),
        ("loopback", "loopback"),
        ("HTTPS://Example.com:443", "https://example.com"),
        ("http://example.com:8080", "http://example.com:8080"),
        ("https://*.Example.com:8443", "https://*.example.com:8443"),
        ("http://[0::1]:80", "http://[::1]"),
        ("file://", "file://"),
    ] {
        let rule: OriginRule = written.parse().unwrap();
        assert_eq!(String::from(rule.clone()), spelled);
        assert_eq!(OriginRule::try_from(spelled.to_owned()), Ok(rule));
    }
}

proptest! {
    /// What is accepted can be written and read again, and a rule for an origin admits it.
    #[test]
    fn parsing_undoes_formatting(text in "(https?|x-y)://(\\*\\.)?[a-zA-Z0-9.\\-]{0,12}(:[0-9]{0,5})?|\\PC{0,20}") {
        if let Ok(rule) = text.parse::<OriginRule>() {
            prop_assert_eq!(rule.to_string().parse::<OriginRule>(), Ok(rule.clone()));
            if let OriginRule::Exact(origin) = &rule {
                let host: Authority = "gateway.example".parse().unwrap();
                prop_assert!(is_allowed(std::slice::from_ref(&rule), &origin.to_string(), &host, false));
            }
        }
    }
}
