//! Where settings come from and which of them wins.

use std::collections::BTreeSet;
use std::env::temp_dir;
use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ::config::ValueKind;

use super::*;

mod errors;

/// A configuration file that is gone after the test.
struct ConfigFile(PathBuf);

impl ConfigFile {
    fn new(extension: &str, text: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("smeuse-config-{}-{count}.{extension}", process::id());
        let path = temp_dir().join(name);
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn name(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for ConfigFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn load(file: &str, variables: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    load_with(
        &ConfigFile::new("toml", file),
        variables,
        Arguments::default(),
    )
}

fn load_with(
    file: &ConfigFile,
    variables: &[(&str, &str)],
    flags: Arguments,
) -> Result<Settings, ConfigError> {
    let arguments = Arguments {
        config: Some(file.0.clone()),
        ..flags
    };
    let variables = variables
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Settings::load(&arguments, variables)
}

fn uris(settings: &Settings, service: usize) -> Vec<String> {
    let uris = &settings.services[service].upstream.uris;
    uris.iter().map(ToString::to_string).collect()
}

#[test]
fn the_contract_states_the_defaults() {
    let defaults = Settings::default().to_toml().unwrap();
    assert_eq!(load("", &[]).unwrap().to_toml().unwrap(), defaults);
    let contract: Settings = toml::from_str(include_str!("../../config/smeuse.toml")).unwrap();
    assert_eq!(contract.to_toml().unwrap(), defaults);
    assert_eq!(contract.problem(), None);
}

/// A key that does not exist makes each table tell the keys it has, those
/// without a default included.
#[test]
fn the_contract_names_every_key_and_no_other() {
    fn tables(value: &Value, key: &Key, found: &mut Vec<(Key, BTreeSet<String>)>) {
        match &value.kind {
            ValueKind::Table(entries) => {
                found.push((key.clone(), entries.keys().cloned().collect()));
                for (name, entry) in entries {
                    tables(entry, &key.field(name), found);
                }
            }
            ValueKind::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    tables(item, &key.index(index), found);
                }
            }
            _ => {}
        }
    }

    let shape = contract::shape().unwrap();
    tree::deserialize::<Settings>(&shape, &shape).unwrap();
    let mut found = Vec::new();
    tables(&shape, &Key::default(), &mut found);
    assert!(found.len() >= 13, "{found:?}");
    for (key, named) in found {
        let mut root = shape.clone();
        tree::place(&mut root, &key.field("nonsense"), Value::new(None, "")).unwrap();
        let error = tree::deserialize::<Settings>(&root, &shape)
            .unwrap_err()
            .to_string();
        let (_, expected) = error.split_once("expected").unwrap();
        let exist: BTreeSet<String> = expected
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        assert_eq!(named, exist, "in the table {key}");
    }
}

#[test]
fn stronger_sources_win() {
    const FILE: &str = "[listen]\naddress = \"127.0.0.1:1\"";
    const PORT: (&str, &str) = ("PORT", "2");
    const VARIABLE: (&str, &str) = ("SMEUSE__LISTEN__ADDRESS", "127.0.0.3:3");
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<&'a str>, &'a str);
    let table: [Row; 7] = [
        ("", &[], None, "0.0.0.0:15670"),
        (FILE, &[], None, "127.0.0.1:1"),
        ("", &[PORT], None, "0.0.0.0:2"),
        (FILE, &[PORT], None, "127.0.0.1:2"),
        (FILE, &[PORT, VARIABLE], None, "127.0.0.3:3"),
        (FILE, &[VARIABLE, PORT], None, "127.0.0.3:3"),
        (FILE, &[PORT, VARIABLE], Some("127.0.0.4:4"), "127.0.0.4:4"),
    ];
    for (file, variables, flag, expected) in table {
        let flags = Arguments {
            listen: flag.map(str::to_owned),
            ..Arguments::default()
        };
        let settings = load_with(&ConfigFile::new("toml", file), variables, flags).unwrap();
        assert_eq!(
            settings.listen.address.to_string(),
            expected,
            "{file:?} {variables:?} {flag:?}"
        );
    }
}

#[test]
fn the_environment_answers_yes_and_no() {
    for (text, expected) in [("true", true), ("false", false), (" false ", false)] {
        let settings = load("", &[("SMEUSE__WEB__LIBRARY", text)]).unwrap();
        assert_eq!(settings.web.library, expected, "{text:?}");
    }
}

/// A share may be written with a point or without one, wherever it is written.
#[test]
fn numbers_with_a_fraction_need_none() {
    let trial = |settings: Settings| f64::from(settings.services[0].trials[0].percent);
    for (percent, expected) in [("10", 10.0), ("12.5", 12.5)] {
        let file = format!(
            "[[services]]\ntrials = [{{ extension = \"smeuse-sequence\", percent = {percent} }}]"
        );
        assert_eq!(trial(load(&file, &[]).unwrap()), expected);
        let item = [("SMEUSE__SERVICES__0__TRIALS__0__PERCENT", percent)];
        let text = file.replace(&format!("percent = {percent}"), "percent = 99");
        assert_eq!(trial(load(&text, &item).unwrap()), expected);
    }
    let item = [("SMEUSE__SERVICES__0__TRIALS__0__PERCENT", "some")];
    let error = load(
        "[[services]]\ntrials = [{ extension = \"smeuse-sequence\", percent = 1 }]",
        &item,
    );
    let error = error.unwrap_err().to_string();
    assert!(error.contains("expected a number such as 12.5"), "{error}");
}

#[test]
fn stronger_brokers_win() {
    const FILE: &str =
        "[[services]]\n[services.upstream]\nuris = [\"amqp://file:1\", \"amqp://file:2\"]";
    const SHORT: (&str, &str) = ("AMQP_URL", "amqp://short:3");
    const LONG: (&str, &str) = ("SMEUSE__SERVICES__0__UPSTREAM__URIS", "['amqp://long:4']");
    type Row<'a> = (
        &'a str,
        &'a [(&'a str, &'a str)],
        Option<&'a str>,
        &'a [&'a str],
    );
    let table: [Row; 7] = [
        ("", &[], None, &["amqp://127.0.0.1:5672"]),
        (FILE, &[], None, &["amqp://file:1", "amqp://file:2"]),
        ("", &[SHORT], None, &["amqp://short:3"]),
        (FILE, &[SHORT], None, &["amqp://short:3"]),
        (
            FILE,
            &[("AMQP_URL", "")],
            None,
            &["amqp://file:1", "amqp://file:2"],
        ),
        (FILE, &[SHORT, LONG], None, &["amqp://long:4"]),
        (
            FILE,
            &[SHORT, LONG],
            Some("amqp://flag:5"),
            &["amqp://flag:5"],
        ),
    ];
    for (file, variables, flag, expected) in table {
        let flags = Arguments {
            upstream: flag.map(str::to_owned),
            ..Arguments::default()
        };
        let settings = load_with(&ConfigFile::new("toml", file), variables, flags).unwrap();
        assert_eq!(
            uris(&settings, 0),
            expected,
            "{file:?} {variables:?} {flag:?}"
        );
    }
}

#[test]
fn the_other_flags_are_stronger_than_the_environment() {
    let flags = Arguments {
        admin: Some("127.0.0.1:9".to_owned()),
        log: Some("debug".to_owned()),
        ..Arguments::default()
    };
    let variables = [
        ("SMEUSE__ADMIN__ADDRESS", "127.0.0.1:8"),
        ("SMEUSE__LOG__LEVEL", "warn"),
    ];
    let settings = load_with(&ConfigFile::new("toml", ""), &variables, flags).unwrap();
    assert_eq!(settings.admin.address.to_string(), "127.0.0.1:9");
    assert_eq!(settings.log.level, "debug");
}

#[test]
fn amqp_url_is_for_every_amqp_service_and_no_other() {
    const FILE: &str = r#"
        services = [{ name = "a", paths = ["/a"] }, { name = "b", kind = "echo", paths = ["/b"] }]
    "#;
    let variables = [
        ("AMQP_URL", "amqp://short"),
        ("SMEUSE__SERVICES__2__NAME", "c"),
        ("SMEUSE__SERVICES__2__PATHS__0", "/c"),
        (
            "SMEUSE__SERVICES__3",
            r#"{ name = "d", paths = ["/d"], upstream = { uris = ["amqp://own"] } }"#,
        ),
    ];
    let settings = load(FILE, &variables).unwrap();
    let brokers: Vec<_> = (0..4)
        .map(|service| uris(&settings, service).join(" "))
        .collect();
    assert_eq!(
        brokers,
        [
            "amqp://short:5672",
            "amqp://127.0.0.1:5672",
            "amqp://short:5672",
            "amqp://own:5672"
        ]
    );
}

#[test]
fn credentials_of_amqp_url_are_not_lent_unless_login_is_service() {
    const URL: (&str, &str) = ("AMQP_URL", "amqp://user:secret@broker/vhost");
    let client = load("", &[URL]).unwrap();
    let upstream = &client.services[0].upstream;
    assert_eq!(upstream.service_login(&upstream.uris[0]), None);
    assert_eq!(upstream.forced_vhost(&upstream.uris[0]), None);

    let service = load(
        "",
        &[URL, ("SMEUSE__SERVICES__0__UPSTREAM__LOGIN", "service")],
    )
    .unwrap();
    let upstream = &service.services[0].upstream;
    let (user, password) = upstream.service_login(&upstream.uris[0]).unwrap();
    assert_eq!((user.as_str(), password.expose()), ("user", "secret"));
    assert_eq!(
        upstream.forced_vhost(&upstream.uris[0]).as_deref(),
        Some("vhost")
    );
}

#[test]
fn list_items_of_the_environment_replace_or_append() {
    let variables = [
        ("SMEUSE__SERVICES__0__PATHS__3", "/four"),
        ("SMEUSE__SERVICES__0__PATHS__1", "/two"),
        ("SMEUSE__SERVICES__0__PATHS__4", "/five"),
        ("SMEUSE__PROXIES__TRUSTED", r#"["10.0.0.0/8"]"#),
        ("SMEUSE__PROXIES__TRUSTED__1", "192.0.2.1"),
        ("SMEUSE__LIMITS", "{ sessions = 7, request_head = \"1s\" }"),
        ("SMEUSE__LIMITS__SESSIONS", "8"),
    ];
    for variables in [variables.to_vec(), variables.into_iter().rev().collect()] {
        let settings = load("", &variables).unwrap();
        assert_eq!(
            settings.services[0].paths,
            ["/ws/amqp", "/two", "/ws", "/four", "/five"]
        );
        let trusted: Vec<_> = settings
            .proxies
            .trusted
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(trusted, ["10.0.0.0/8", "192.0.2.1/32"]);
        assert_eq!(settings.limits.sessions.get(), 8);
        assert_eq!(settings.limits.request_head, Duration::from_secs(1));
        assert_eq!(settings.limits.handshakes.get(), 5_000);
    }
}

#[test]
fn a_new_service_of_the_environment_has_its_own_lists() {
    let variables = [
        ("SMEUSE__SERVICES__1__NAME", "echo"),
        ("SMEUSE__SERVICES__1__KIND", "echo"),
        ("SMEUSE__SERVICES__1__PATHS__0", "/echo"),
    ];
    let settings = load("", &variables).unwrap();
    assert_eq!(settings.services.len(), 2);
    assert_eq!(settings.services[0].paths, ["/ws/amqp", "/amqp", "/ws"]);
    assert_eq!(settings.services[1].paths, ["/echo"]);
    assert_eq!(settings.services[1].kind, Kind::Echo);
}

#[test]
fn a_file_replaces_the_services_and_each_inherits_the_rest() {
    let settings = load("[[services]]\nname = \"other\"\npaths = [\"/other\"]", &[]).unwrap();
    assert_eq!(settings.services.len(), 1);
    let expected = Service {
        name: "other".to_owned(),
        paths: vec!["/other".to_owned()],
        ..Service::default()
    };
    assert_eq!(
        toml::to_string(&settings.services[0]).unwrap(),
        toml::to_string(&expected).unwrap()
    );
}

#[test]
fn toml_yaml_and_json_say_the_same() {
    let texts = [
        (
            "toml",
            "[limits]\nsessions = 7\n[web]\n[[services]]\nname = \"x\"\npaths = [\"/x\"]",
        ),
        (
            "yaml",
            "limits:\n  sessions: 7\nweb:\nlog: {level: ~}\nservices:\n- name: x\n  paths: [/x]\n",
        ),
        (
            "yml",
            "{limits: {sessions: 7}, web: {root: null}, services: [{name: x, paths: [/x]}]}",
        ),
        (
            "json",
            r#"{"limits": {"sessions": 7}, "web": null, "services": [{"name": "x", "paths": ["/x"]}]}"#,
        ),
    ];
    let mut expected = Settings::default();
    expected.limits.sessions = NonZeroUsize::new(7).unwrap();
    expected.services[0].name = "x".to_owned();
    expected.services[0].paths = vec!["/x".to_owned()];
    for (extension, text) in texts {
        let file = ConfigFile::new(extension, text);
        let settings = load_with(&file, &[], Arguments::default()).unwrap();
        assert_eq!(
            settings.to_toml().unwrap(),
            expected.to_toml().unwrap(),
            "{extension}"
        );
    }
}

/// `FILE` in the expected text stands for the name of the file.
#[test]
fn what_is_printed_can_be_loaded() {
    const FILE: &str = r#"
        [proxies]
        trusted = ["10.0.0.0/8", "::1"]
        [drain]
        deadline = "1h 2m 3s 4ms"
        [web]
        root = "/"
        [[services]]
        [services.upstream]
        uris = ["amqp://a", "amqps://user:p%40ss@[::1]:5000/v%2Fh"]
        vhost = "other"
        proxy_protocol = "v2"
        tls = { server_name = "rabbit.internal" }
        [[services]]
        name = "echo"
        kind = "echo"
        paths = ["/echo"]
        allowed_origins = ["https://*.example.com", "*"]
        missing_origin = "refuse"
    "#;
    for text in ["", FILE] {
        let printed = load(text, &[]).unwrap().to_toml().unwrap();
        assert_eq!(load(&printed, &[]).unwrap().to_toml().unwrap(), printed);
    }
}

#[test]
fn foreign_variables_are_left_alone() {
    let variables = [
        ("SMEUSE_PORT", "tcp://10.0.0.1:15670"),
        ("smeuse__limits__x", "1"),
        ("PORT", ""),
        ("PATH", "/"),
    ];
    let settings = load("", &variables).unwrap();
    assert_eq!(
        settings.to_toml().unwrap(),
        Settings::default().to_toml().unwrap()
    );
}

#[test]
fn listeners_collide_only_where_they_meet() {
    let table = [
        ("127.0.0.1:1", "127.0.0.1:2", false),
        ("127.0.0.1:1", "127.0.0.1:1", true),
        ("127.0.0.1:1", "127.0.0.2:1", false),
        ("127.0.0.1:1", "0.0.0.0:1", true),
        ("[::]:1", "127.0.0.1:1", true),
        ("127.0.0.1:0", "127.0.0.1:0", false),
    ];
    for (one, other, expected) in table {
        let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
        assert_eq!(collide(one, other), expected, "{one} {other}");
        assert_eq!(collide(other, one), expected, "{other} {one}");
    }
}
