//! Origins (RFC 6455 sections 4.2.2 item 4 and 10.2): which pages may open a session.

use crate::harness::client::Client;
use crate::harness::configuration::service;
use crate::harness::gateway::Gateway;
use crate::harness::opening::Opening;
use crate::harness::refusal::expect_refusal;

/// One service per rule; the path is the rule's name.
fn gateway() -> Gateway {
    let rules = [
        ("same", r#"allowed_origins = ["same-origin"]"#),
        ("loopback", r#"allowed_origins = ["loopback"]"#),
        (
            "exact",
            r#"allowed_origins = ["https://app.example.com", "http://other.example:8080"]"#,
        ),
        ("wild", r#"allowed_origins = ["https://*.example.com"]"#),
        ("any", r#"allowed_origins = ["*"]"#),
        ("strict", "missing_origin = \"refuse\""),
        ("default", ""),
    ];
    let services = rules.map(|(name, lines)| service(name, "echo", &[&format!("/{name}")], lines));
    Gateway::start(&services.concat())
}

fn request(gateway: &Gateway, rule: &str, host: &str, origin: &str) -> Opening {
    Opening::new(gateway.public(), &format!("/{rule}"))
        .replace("Host", host)
        .with("Origin", origin)
}

/// Opens from this origin under this rule, and insists that it is as said.
#[track_caller]
fn check(gateway: &Gateway, rule: &str, host: &str, origin: &str, allowed: bool) {
    let request = request(gateway, rule, host, origin);
    if allowed {
        Client::open_by(&request, gateway.public());
    } else {
        expect_refusal(gateway, &request.bytes(), 403, "origin_not_allowed");
    }
}

/// The page came from the gateway's own host and port.
#[test]
fn same_origin_is_host_and_port_of_the_request() {
    let gateway = gateway();
    for (host, origin, allowed) in [
        ("gw.example:15670", "http://gw.example:15670", true),
        ("GW.Example:15670", "http://gw.example:15670", true),
        ("gw.example", "http://gw.example", true),
        ("gw.example:80", "http://gw.example", true),
        ("gw.example:15670", "http://gw.example", false),
        ("gw.example:15670", "http://gw.example:15671", false),
        ("gw.example:15670", "http://evil.example:15670", false),
        (
            "gw.example:15670",
            "http://gw.example:15670.evil.example",
            false,
        ),
        ("gw.example:15670", "null", false),
    ] {
        check(&gateway, "same", host, origin, allowed);
    }
}

/// Pages of this machine, whatever their port.
#[test]
fn loopback_is_this_machine_by_name_or_address() {
    let gateway = gateway();
    for (origin, allowed) in [
        ("http://localhost:3000", true),
        ("https://localhost", true),
        ("http://127.0.0.1:8080", true),
        ("http://[::1]:5173", true),
        ("http://localhost.evil.example", false),
        ("http://127.0.0.1.evil.example", false),
        ("http://evil.example/localhost", false),
        ("http://10.0.0.1", false),
        ("null", false),
    ] {
        check(&gateway, "loopback", "gw.example", origin, allowed);
    }
}

/// An exact origin is scheme, host and port.
#[test]
fn an_exact_origin_is_scheme_host_and_port() {
    let gateway = gateway();
    for (origin, allowed) in [
        ("https://app.example.com", true),
        ("https://APP.example.com", true),
        ("http://other.example:8080", true),
        ("http://app.example.com", false),
        ("https://app.example.com:8443", false),
        ("https://app.example.com.evil.example", false),
        ("https://other.example:8080", false),
        ("http://other.example", false),
        ("null", false),
    ] {
        check(&gateway, "exact", "gw.example", origin, allowed);
    }
}

/// A star stands for labels of the name before the rest, never for none or for a part of one.
#[test]
fn a_wildcard_stands_for_subdomains() {
    let gateway = gateway();
    for (origin, allowed) in [
        ("https://a.example.com", true),
        ("https://A.EXAMPLE.COM", true),
        ("https://example.com", false),
        ("https://evilexample.com", false),
        ("https://.example.com", false),
        ("http://a.example.com", false),
        ("https://a.example.com:8443", false),
        ("https://a.example.com.evil.example", false),
        ("https://evil.example/.example.com", false),
    ] {
        check(&gateway, "wild", "gw.example", origin, allowed);
    }
}

/// A lone star lets every page in, those without a nameable origin too.
#[test]
fn a_star_allows_every_origin() {
    let gateway = gateway();
    for origin in ["https://anything.example", "null", "file://"] {
        check(&gateway, "any", "gw.example", origin, true);
    }
}

/// By default the gateway's own pages and this machine's may come, and a public page elsewhere may not.
#[test]
fn the_default_is_same_origin_and_loopback() {
    let gateway = gateway();
    check(
        &gateway,
        "default",
        "gw.example:15670",
        "http://gw.example:15670",
        true,
    );
    check(
        &gateway,
        "default",
        "gw.example:15670",
        "http://localhost:5173",
        true,
    );
    check(
        &gateway,
        "default",
        "gw.example:15670",
        "https://public.example",
        false,
    );
}

/// A program sends no origin: allowed by default, refused where the service says so.
#[test]
fn a_missing_origin_is_the_services_choice() {
    let gateway = gateway();
    Client::open(gateway.public(), "/default");
    let request = Opening::new(gateway.public(), "/strict").bytes();
    expect_refusal(&gateway, &request, 403, "origin_missing");
    let own = format!("http://{}", gateway.public());
    Client::open_by(
        &Opening::new(gateway.public(), "/strict").with("Origin", &own),
        gateway.public(),
    );
}

/// Two origins are no origin: whichever is believed, the other could have been meant.
#[test]
fn two_origins_are_refused() {
    let gateway = gateway();
    let request = request(&gateway, "any", "gw.example", "https://a.example")
        .with("Origin", "https://b.example");
    expect_refusal(&gateway, &request.bytes(), 400, "header_malformed");
}
