//! Which URIs and settings are taken, what they mean, and that no secret is shown.

use super::*;

fn uri(text: &str) -> BrokerUri {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn config(toml: &str) -> Config {
    toml::from_str(toml).unwrap_or_else(|error| panic!("{toml}: {error}"))
}

#[test]
fn a_uri_is_read_to_the_letter() {
    // Text, TLS, name, user, password, vhost.
    type Row = (
        &'static str,
        bool,
        &'static str,
        Option<&'static str>,
        Option<&'static str>,
        Option<&'static str>,
    );
    let rows: [Row; 22] = [
        ("amqp://h", false, "h:5672", None, None, None),
        ("amqp://h/", false, "h:5672", None, None, Some("")),
        ("amqp://h/%2F", false, "h:5672", None, None, Some("/")),
        ("amqp://h/%2f?", false, "h:5672", None, None, Some("/")),
        ("amqp://h?", false, "h:5672", None, None, None),
        ("amqp://h/v%2Fw", false, "h:5672", None, None, Some("v/w")),
        ("amqp://h/..", false, "h:5672", None, None, Some("..")),
        ("amqp://h/%2e%2E", false, "h:5672", None, None, Some("..")),
        (
            "amqp://h/gr\u{fc}n",
            false,
            "h:5672",
            None,
            None,
            Some("gr\u{fc}n"),
        ),
        ("amqps://h", true, "h:5671", None, None, None),
        (
            "AMQPS://Rabbit.example.com:1",
            true,
            "Rabbit.example.com:1",
            None,
            None,
            None,
        ),
        (
            "amqp://my_rabbit-0:65535",
            false,
            "my_rabbit-0:65535",
            None,
            None,
            None,
        ),
        ("amqp://h:/v", false, "h:5672", None, None, Some("v")),
        (
            "amqp://127.0.0.1",
            false,
            "127.0.0.1:5672",
            None,
            None,
            None,
        ),
        ("amqp://[::1]", false, "[::1]:5672", None, None, None),
        (
            "amqp://u:p@[2001:DB8:0::7]:99/v",
            false,
            "[2001:db8::7]:99",
            Some("u"),
            Some("p"),
            Some("v"),
        ),
        ("amqp://u@h", false, "h:5672", Some("u"), None, None),
        ("amqp://u:@h", false, "h:5672", Some("u"), Some(""), None),
        ("amqp://:p@h", false, "h:5672", None, Some("p"), None),
        ("amqp://@h", false, "h:5672", None, None, None),
        (
            "amqp://u%3A%40:p%2F%3f%23:%25@h",
            false,
            "h:5672",
            Some("u:@"),
            Some("p/?#:%"),
            None,
        ),
        (
            "amqp://user@host:p@ss@h",
            false,
            "h:5672",
            Some("user@host"),
            Some("p@ss"),
            None,
        ),
    ];
    for (text, tls, name, user, password, vhost) in rows {
        let uri = uri(text);
        assert_eq!(uri.is_tls(), tls, "{text}");
        assert_eq!(uri.name(), name, "{text}");
        assert_eq!(uri.user(), user, "{text}");
        assert_eq!(uri.password().map(Secret::expose), password, "{text}");
        assert_eq!(uri.vhost(), vhost, "{text}");
    }
}

#[test]
fn a_uri_that_is_not_understood_is_refused_without_being_quoted() {
    for (text, reason) in [
        ("", "amqp:// or amqps://"),
        ("h:5672", "amqp:// or amqps://"),
        ("amqp:h", "amqp:// or amqps://"),
        ("http://u:hunter2@h", "amqp:// or amqps://"),
        ("amqp://u:hunter2 @h", "space"),
        ("amqp://u:hunter2@h\n", "control"),
        ("amqp://", "host"),
        ("amqp://u:hunter2@", "host"),
        ("amqp://u:hunter2@:5672", "host"),
        ("amqp:///v", "host"),
        ("amqp://u:hunter2@h:0", "port 0"),
        ("amqp://u:hunter2@h:65536", "port"),
        ("amqp://u:hunter2@h:x", "port"),
        ("amqp://u:hunter2@[::1", "malformed"),
        ("amqp://u:hunter2@[::g]", "malformed"),
        ("amqp://u:hunter2@h%20", "neither a name"),
        ("amqp://u:hunter2@h%00", "neither a name"),
        ("amqp://u:hunter%ff2@h", "utf-8"),
        ("amqp://h/%ff", "utf-8"),
        ("amqp://h/a/b", "%2F"),
        ("amqp://h//", "%2F"),
        ("amqp://u:1/hunter2@h", "%40 and %2F"),
        ("amqp://u:1?hunter2@h", "%40 and %3F"),
        ("amqp://u:1#hunter2@h", "%23"),
        ("amqp://h?heartbeat=5", "between the client and the broker"),
        ("amqp://h/?frame_max=x", "[amqp]"),
        ("amqp://h/?channel_max=1", "[amqp]"),
        ("amqp://h/v?connection_timeout=1", "connect_deadline"),
        ("amqp://h/v?cacertfile=/x", "tls"),
        ("amqp://h/v?&password=hunter2", "tls"),
        ("amqp://h?foo=1", "\"foo\""),
    ] {
        let error = text.parse::<BrokerUri>().expect_err(text);
        assert!(error.contains(reason), "{text}: {error}");
        assert!(!error.contains("hunter"), "{text}: {error}");
    }
    let with_vhost = |bytes| format!("amqp://h/{}", "v".repeat(bytes)).parse::<BrokerUri>();
    assert!(with_vhost(255).is_ok());
    assert!(with_vhost(256).is_err());
}

#[test]
fn an_empty_table_is_the_default() {
    assert_eq!(config(""), Config::default());
    let all = config(
        "uris = ['amqp://127.0.0.1:5672']\nconnections = 'dedicated'\nconnect_deadline = '5s'\nlogin = 'client'\nproxy_protocol = 'off'",
    );
    assert_eq!(all, Config::default());
    assert_eq!(Config::default().validate(), Ok(()));
}

#[test]
fn no_secret_is_shown() {
    let config = config(
        "uris = ['amqps://who:hunter2@h/v']\nlogin = 'service'\nuser = 'u'\npassword = 'hunter3'\ntls = { key = '/k' }",
    );
    for shown in [
        format!("{config:?}"),
        format!("{:?}", config.uris),
        toml::to_string(&config).unwrap(),
    ] {
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(shown.contains("amqps://who:***@h:5671/v"), "{shown}");
    }
    assert_eq!(
        config.password.as_ref().map(Secret::expose),
        Some("hunter3")
    );
}

#[test]
fn what_is_printed_can_be_read_again() {
    let printed = toml::to_string(&Config::default()).unwrap();
    assert_eq!(config(&printed), Config::default());
    for text in [
        "amqp://h:5672",
        "amqp://u@[::1]:5672/",
        "amqps://u%40:***@h:5671/%2F",
    ] {
        assert_eq!(uri(text).to_string(), text);
    }
}

#[test]
fn the_service_login_is_that_of_the_keys_then_of_the_uri() {
    let both = config(
        "uris = ['amqp://u:p@h/v', 'amqp://h']\nlogin = 'service'\nuser = 'k'\npassword = 's'",
    );
    let login = |config: &Config, index: usize| {
        config
            .service_login(&config.uris[index])
            .map(|(user, password)| format!("{user} {}", password.expose()))
    };
    assert_eq!(login(&both, 0).as_deref(), Some("k s"));
    assert_eq!(login(&both, 1).as_deref(), Some("k s"));
    let of_uri = config("uris = ['amqp://u:p@h/v', 'amqp://w:@h']\nlogin = 'service'");
    assert_eq!(login(&of_uri, 0).as_deref(), Some("u p"));
    assert_eq!(login(&of_uri, 1).as_deref(), Some("w "));
    assert_eq!(of_uri.validate(), Ok(()));
    let of_client = config("uris = ['amqp://u:p@h/v']");
    assert_eq!(login(&of_client, 0), None);
}

#[test]
fn the_vhost_is_that_of_the_key_then_with_a_service_login_of_the_uri() {
    for (login, vhost, uri, forced) in [
        ("client", "", "amqp://u:p@h/v", None),
        ("client", "vhost = 'k'", "amqp://u:p@h/v", Some("k")),
        ("service", "", "amqp://u:p@h/v", Some("v")),
        ("service", "", "amqp://u:p@h", None),
        ("service", "", "amqp://u:p@h/", Some("")),
        ("service", "vhost = ''", "amqp://u:p@h/v", Some("")),
    ] {
        let config = config(&format!("uris = ['{uri}']\nlogin = '{login}'\n{vhost}"));
        assert_eq!(
            config.forced_vhost(&config.uris[0]).as_deref(),
            forced,
            "{login} {vhost} {uri}"
        );
    }
}

#[test]
fn impossible_settings_are_named() {
    for (toml, problem) in [
        ("uris = []", "uris: "),
        ("connect_deadline = '0s'", "connect_deadline: "),
        ("connect_deadline = '1h'", ""),
        ("connect_deadline = '1h 1ns'", "connect_deadline: "),
        ("user = 'u'", "user: "),
        ("password = 'p'", "password: "),
        ("login = 'service'", "user: "),
        (
            "login = 'service'\nuris = ['amqp://u:p@a', 'amqp://u@b']",
            "password: ",
        ),
        (
            "login = 'service'\nuris = ['amqp://u:p@a', 'amqp://b']",
            "user: ",
        ),
        (
            "login = 'service'\nuris = ['amqp://u:p%00@a']",
            "password: ",
        ),
        ("login = 'service'\nuser = 'u'\npassword = ''", ""),
        ("tls = { ca = '/x' }", "tls: "),
        ("uris = ['amqps://h']\ntls = { ca = '/x' }", ""),
        (
            "uris = ['amqp://h', 'amqps://h']\ntls = { certificate = '/x' }",
            "tls.key: ",
        ),
        (
            "uris = ['amqps://h']\ntls = { key = '/x' }",
            "tls.certificate: ",
        ),
    ] {
        match config(toml).validate() {
            Ok(()) => assert_eq!(problem, "", "{toml}"),
            Err(text) => assert!(
                !problem.is_empty() && text.starts_with(problem),
                "{toml}: {text}"
            ),
        }
    }
    let long = |bytes| Config {
        vhost: Some("v".repeat(bytes)),
        ..Config::default()
    };
    assert_eq!(long(255).validate(), Ok(()));
    assert!(long(256)
        .validate()
        .is_err_and(|text| text.starts_with("vhost: ")));
}

#[test]
fn what_is_not_a_setting_is_refused_with_the_reason() {
    for (toml, reason) in [
        ("shared = { sessions = 1 }", "sessions"),
        ("connections = 'both'", "dedicated"),
        ("login = 'both'", "service"),
        ("proxy_protocol = 'v3'", "v2"),
        ("uris = ['amqp://h?heartbeat=1']", "heartbeat"),
        ("uri = 'amqp://h'", "uri"),
        ("tls = { insecure = true }", "insecure"),
    ] {
        let error = toml::from_str::<Config>(toml).expect_err(toml).to_string();
        assert!(error.contains(reason), "{toml}: {error}");
    }
}

#[test]
fn a_back_off_has_a_length_and_an_end() {
    let default = config("");
    assert_eq!(default.broker_order, BrokerOrder::First);
    assert_eq!(default.connects_per_second, 200);
    for (toml, key) in [
        ("backoff = '0s'", "backoff:"),
        ("backoff = '11s'", "backoff_max:"),
        ("backoff_max = '2h'", "backoff_max:"),
    ] {
        let error = config(toml).validate().unwrap_err();
        assert!(error.starts_with(key), "{toml}: {error}");
    }
    let set =
        "broker_order = 'rotate'\nconnects_per_second = 0\nbackoff = '1s'\nbackoff_max = '1s'";
    config(set).validate().unwrap();
    assert!(toml::from_str::<Config>("broker_order = 'random'").is_err());
}

#[test]
fn shared_connections_need_an_account_of_the_service() {
    let problem = |toml: &str| {
        let config: Config = toml::from_str(toml).expect(toml);
        config.validate().expect_err(toml)
    };
    let text = problem("connections = 'shared'");
    assert!(text.starts_with("connections: "), "{text}");
    let text = problem("connections = 'shared'\nlogin = 'service'\nuris = ['amqp://h']");
    assert!(text.starts_with("user: "), "{text}");
    let config: Config = toml::from_str(
        "connections = 'shared'\nlogin = 'service'\nuris = ['amqp://h']\nshared = { token_file = '/t' }",
    )
    .unwrap();
    assert_eq!(config.validate(), Ok(()));
}

#[test]
fn the_limits_of_shared_connections_are_held() {
    for (row, is_right) in [
        ("sessions_per_connection = 1000", true),
        ("sessions_per_connection = 1001", false),
        ("heartbeat = '1s'", true),
        ("heartbeat = '600s'", true),
        ("heartbeat = '601s'", false),
        ("heartbeat = '0s'", false),
        ("heartbeat = '1500ms'", false),
        ("idle = '1day'", true),
        ("idle = '25h'", false),
        ("message_bytes = 4096", true),
        ("message_bytes = 4095", false),
        ("message_bytes = 134217729", false),
        ("queue_bytes = 65536", true),
        ("queue_bytes = 65535", false),
        ("exchange_types = ['x-delayed-message']", true),
        ("exchange_types = ['']", false),
    ] {
        let config: Config = toml::from_str(&format!("[shared]\n{row}")).expect(row);
        let key = row.split(' ').next().unwrap_or_default();
        match config.validate() {
            Ok(()) => assert!(is_right, "{row}"),
            Err(text) => {
                assert!(!is_right, "{row}: {text}");
                assert!(text.starts_with(&format!("shared.{key}: ")), "{text}");
            }
        }
    }
}
