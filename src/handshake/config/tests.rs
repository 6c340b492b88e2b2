//! Tests of the services' configuration: defaults, spelling, and every rule of validation.

use super::*;

fn service(text: &str) -> Service {
    toml::from_str(text).unwrap()
}

#[test]
fn the_default_service_is_the_documented_one() {
    let service = service("");
    assert_eq!(service.name, "amqp");
    assert_eq!(service.kind, Kind::Amqp);
    assert_eq!(service.paths, ["/ws/amqp", "/amqp", "/ws"]);
    assert_eq!(
        service.allowed_origins,
        [OriginRule::SameOrigin, OriginRule::Loopback]
    );
    assert_eq!(service.missing_origin, MissingOrigin::Allow);
    assert_eq!(validate_services(&[service]), Ok(()));
}

#[test]
fn a_service_is_written_and_read_again() {
    let text = "name = \"e\"\nkind = \"echo\"\npaths = [\"/e\"]\nallowed_origins = [\"*\", \"https://*.example.com\"]\nmissing_origin = \"refuse\"\n";
    let written = toml::to_string(&service(text)).unwrap();
    assert!(written.starts_with(text), "{written}");
}

#[test]
fn unknown_keys_and_values_are_errors_that_name_them() {
    for (text, part) in [
        ("nmae = \"x\"", "nmae"),
        ("kind = \"mqtt\"", "mqtt"),
        ("missing_origin = \"maybe\"", "maybe"),
        (
            "allowed_origins = [\"https://example.com/path\"]",
            "https://example.com/path has a path",
        ),
    ] {
        let error = toml::from_str::<Service>(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn each_rule_of_a_service() {
    for (text, expected) in [
        ("name = \"\"", "services: name: \"\" is not made of lower-case letters, digits, _ and -"),
        ("name = \"A b\"", "services: name: \"A b\" is not made of lower-case letters, digits, _ and -"),
        (
            "login = { users = \"u\", schemes = [\"amqp\"] }",
            "services.amqp.login.schemes: \"amqp\" needs upstream.connections = \"shared\", where the gateway is the AMQP server",
        ),
        ("paths = []", "services.amqp.paths: is empty, so nobody could reach the service"),
        ("paths = [\"/ws\", \"amqp\"]", "services.amqp.paths: \"amqp\" does not begin with /"),
        ("paths = [\"/a?b\"]", "services.amqp.paths: \"/a?b\" has a query or a fragment"),
        ("paths = [\"/a b\"]", "services.amqp.paths: \"/a b\" has white space or control characters"),
        (
            "paths = [\"/a/../b\"]",
            "services.amqp.paths: \"/a/../b\" has a . or .. segment, which browsers resolve before they ask",
        ),
        ("paths = [\"/a\", \"/%61\"]", "services.amqp.paths: \"/%61\" is already a path of the service \"amqp\""),
        (
            "allowed_origins = []\nmissing_origin = \"refuse\"",
            "services.amqp.allowed_origins: is empty while missing_origin is \"refuse\", so nobody could open a session",
        ),
    ] {
        assert_eq!(validate_services(&[service(text)]), Err(expected.to_owned()), "{text}");
    }
    assert_eq!(
        service("name = \"a_1-z\"\nallowed_origins = []").validate(),
        Ok(())
    );
}

/// What a service says of extensions, which may change while it runs.
#[test]
fn each_rule_of_extensions() {
    const SHIPPED: &str = "page_extensions = []\n";
    for (text, expected) in [
        (
            "page_only = [\"acme\", \"acme\"]",
            "page_only: \"acme\" is there twice",
        ),
        (
            "page_only = [\"smeuse-sequence\"]",
            "page_only: \"smeuse-sequence\" is among extensions, which the gateway has a part in",
        ),
        (
            "page_required = [\"smeuse-sequence\"]",
            "page_required: \"smeuse-sequence\" is not among page_extensions",
        ),
        (
            "require_extensions = [\"acme\"]",
            "require_extensions: \"acme\" is not among extensions, so nobody could agree on it",
        ),
        (
            "trials = [{ extension = \"acme\", percent = 1 }]",
            "trials: \"acme\" is neither among extensions nor page_only",
        ),
        (
            "require_extensions = [\"smeuse-sequence\"]\ntrials = [{ extension = \"smeuse-sequence\", percent = 1 }]",
            "trials: \"smeuse-sequence\" is among require_extensions, so those without it would be refused",
        ),
        (
            "page_only = [\"acme\"]\ntrials = [{ extension = \"acme\", percent = 1 }, { extension = \"acme\", percent = 2.5 }]",
            "trials: \"acme\" is there twice",
        ),
    ] {
        let validated = service(&(SHIPPED.to_owned() + text)).validate();
        assert_eq!(validated, Err(format!("services.amqp.{expected}")), "{text}");
    }
    let twice = service("page_extensions = [\"smeuse-sequence\", \"smeuse-sequence; x\"]");
    let expected = "services.amqp.page_extensions: \"smeuse-sequence\" is there twice";
    assert_eq!(twice.validate(), Err(expected.to_owned()));
    let full =
        "page_only = [\"acme\"]\npage_extensions = [\"acme; x=1\"]\npage_required = [\"acme\"]\n\
                trials = [{ extension = \"acme\", percent = 12.5 }]";
    let service = service(full);
    assert_eq!(service.validate(), Ok(()));
    assert!(service.permits("acme") && service.permits("smeuse-sequence"));
    assert!(!service.permits("acme-other"));
    for percent in ["100.1", "-1", "nan", "\"10\""] {
        let text = format!("trials = [{{ extension = \"acme\", percent = {percent} }}]");
        assert!(toml::from_str::<Service>(&text).is_err(), "{percent}");
    }
}

/// Nothing but what is said of extensions comes from the newer one.
#[test]
fn only_extensions_change_while_a_service_runs() {
    let newer = service(
        "name = \"other\"\npaths = [\"/other\"]\nkind = \"echo\"\nidle_timeout = \"1s\"\nextensions = [\"a\"]\n\
         require_extensions = [\"a\"]\npage_only = [\"b\"]\npage_extensions = [\"b\"]\npage_required = [\"b\"]\n\
         page_fallback = \"error\"\ntrials = [{ extension = \"b\", percent = 1 }]",
    );
    let old = service("");
    let merged = old.with_extensions_of(&newer);
    assert_eq!(merged.with_extensions_of(&old), old);
    assert_eq!(newer.with_extensions_of(&merged), newer);
    assert_eq!(
        (&merged.name, merged.idle_timeout),
        (&old.name, old.idle_timeout)
    );
}

#[test]
fn services_share_neither_names_nor_paths() {
    assert_eq!(
        validate_services(&[]),
        Err("services: is empty, so there would be nothing to serve".to_owned())
    );
    let second = service("paths = [\"/b\"]");
    assert_eq!(
        validate_services(&[service(""), second]),
        Err("services: name: two services are called \"amqp\"".to_owned())
    );
    let second = service("name = \"b\"\npaths = [\"/b\", \"/ws\"]");
    assert_eq!(
        validate_services(&[service(""), second]),
        Err("services.b.paths: \"/ws\" is already a path of the service \"amqp\"".to_owned())
    );
    let second = service("name = \"b\"\npaths = [\"/b\", \"/ws/\"]");
    assert_eq!(validate_services(&[service(""), second]), Ok(()));
}

#[test]
fn paths_are_compared_whole_and_decoded() {
    for (one, other, same) in [
        ("/ws", "/ws", true),
        ("/ws/amqp", "/ws/%61mqp", true),
        ("/w%C3%A9", "/wé", true),
        ("/%", "/%25", true),
        ("/ws", "/ws/", false),
        ("/ws", "/WS", false),
        ("/ws", "/w", false),
        ("/ws", "/ws/amqp", false),
        ("/ws/amqp", "/ws", false),
        ("/ws/amqp", "/ws%2Famqp", false),
        ("/ws/amqp", "//ws/amqp", false),
        ("/ws", "", false),
    ] {
        assert_eq!(same_path(one, other), same, "{one} {other}");
        assert_eq!(same_path(other, one), same, "{other} {one}");
    }
}

#[test]
fn kinds_print_as_they_are_written() {
    assert_eq!(Kind::Amqp.to_string(), "amqp");
    assert_eq!(Kind::Echo.to_string(), "echo");
}
