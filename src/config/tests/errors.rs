//! What is said of wrong settings, and what is never said.

use super::*;

#[test]
fn an_error_names_the_source_the_key_and_the_reason() {
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
    let table: [Row; 35] = [
        ("[limits]\nsesions = 1", &[], "FILE: limits.sesions: unknown key, did you mean \"sessions\"?"),
        ("[drain]\nfoo = 1", &[], "FILE: drain.foo: unknown key, known here are deadline, spread"),
        ("[limit]\nsessions = 1", &[], "FILE: limit: unknown key, did you mean \"limits\"?"),
        ("[[services]]\n[services.upstream]\nuri = \"amqp://h\"", &[], "FILE: services[0].upstream.uri: unknown key, did you mean \"uris\"?"),
        ("[limits]\nsessions = \"many\"", &[], "FILE: limits.sessions: expected a whole number such as 50000, found text"),
        ("[limits]\nsessions = 1.5", &[], "FILE: limits.sessions: expected a whole number such as 50000, found a number with a fraction"),
        ("[limits]\nsessions = true", &[], "FILE: limits.sessions: expected a whole number such as 50000, found true or false"),
        ("limits = 3", &[], "FILE: limits: expected a table, found a whole number"),
        ("[[limits]]", &[], "FILE: limits: expected a table, found a list"),
        ("[services]\nname = \"x\"", &[], "FILE: services: expected a list, found a table"),
        ("[log]\nlevel = 3", &[], "FILE: log.level: expected text such as \"info\", found a whole number"),
        ("[drain]\ndeadline = 30", &[], "FILE: drain.deadline: expected text such as \"30s\", found a whole number"),
        ("[proxies]\ntrusted = [1]", &[], "FILE: proxies.trusted[0]: expected text, found a whole number"),
        ("[log]\nformat = \"xml\"", &[], "FILE: log.format: unknown variant `xml`, expected `text` or `json` (example: \"text\")"),
        ("[log]\nlevel = \"inof\"", &[], "FILE: log.level: \"inof\" is not a level; use error, warn, info, debug, trace, off, or a filter such as \"info,smeuse::relay=debug\""),
        ("[listen]\naddress = \"here\"", &[], "FILE: listen.address: invalid socket address syntax (example: \"0.0.0.0:15670\")"),
        ("[listen]\ntls = { key = \"/k\" }", &[], "FILE: listen.tls: missing field `certificate`"),
        ("[drain]\ndeadline = \"5s\"", &[], "FILE: drain.spread: must not be longer than deadline, which is 5s"),
        ("[websocket]\nping_interval = \"60s\"", &[], "FILE: websocket.ping_interval: must be shorter than silence_limit, which is 1m, or nobody has time to answer"),
        ("[websocket]\nwindow_bytes = 65535", &[], "FILE: websocket.window_bytes: must be from 65536 to 1073741824"),
        ("[amqp]\nframe_max = 4095", &[], "FILE: amqp.frame_max: must be from 4096 to 2147483647"),
        ("[admin]\naddress = \"127.0.0.1:15670\"", &[], "FILE: admin.address: 127.0.0.1:15670 is taken by listen.address, which is 0.0.0.0:15670"),
        ("[web]\nroot = \"/no/such/folder\"", &[], "FILE: web.root: /no/such/folder is not a folder"),
        ("services = []", &[], "FILE: services: is empty, so there would be nothing to serve"),
        ("", &[("SMEUSE__LIMITS__SESIONS", "1")], "environment SMEUSE__LIMITS__SESIONS: limits.sesions: unknown key, did you mean \"sessions\"?"),
        ("", &[("SMEUSE__LIMITS__SESSIONS__0", "1")], "environment SMEUSE__LIMITS__SESSIONS__0: limits.sessions.0: unknown key, nothing is below this one"),
        ("", &[("SMEUSE__SERVICES__FIRST__NAME", "x")], "environment SMEUSE__SERVICES__FIRST__NAME: services.first: unknown key, items of a list are numbered from 0"),
        ("", &[("SMEUSE__SERVICES__2__NAME", "x")], "environment SMEUSE__SERVICES__2__NAME: services[2].name: the list ends before it, its next item is [1]"),
        ("", &[("SMEUSE__LIMITS__SESSIONS", "many")], "environment SMEUSE__LIMITS__SESSIONS: limits.sessions: expected a whole number such as 50000"),
        ("", &[("SMEUSE__PROXIES__TRUSTED", "10.0.0.0/8")], "environment SMEUSE__PROXIES__TRUSTED: proxies.trusted: expected a list in TOML, such as [\"a\", \"b\"]"),
        ("", &[("SMEUSE__PROXIES__TRUSTED", "[\"10.0.0.0/33\"]")], "environment SMEUSE__PROXIES__TRUSTED: proxies.trusted: \"10.0.0.0/33\" is neither an address nor a network such as \"10.0.0.0/8\""),
        ("", &[("SMEUSE__DRAIN", "{ deadline = 5 }")], "environment SMEUSE__DRAIN: drain.deadline: expected text such as \"30s\", found a whole number"),
        ("", &[("SMEUSE__WEB__LIBRARY", "no")], "environment SMEUSE__WEB__LIBRARY: web.library: expected true or false"),
        ("", &[("PORT", "70000")], "environment PORT: listen.address: \"70000\" is not a port"),
        ("[drain]\nspread = \"20s\"", &[("SMEUSE__DRAIN__DEADLINE", "5")], "environment SMEUSE__DRAIN__DEADLINE: drain.deadline: invalid value: string \"5\", expected a duration (example: \"30s\")"),
    ];
    for (text, variables, expected) in table {
        let file = ConfigFile::new("toml", text);
        let error = load_with(&file, variables, Arguments::default()).expect_err(expected);
        assert_eq!(error.to_string(), expected.replace("FILE", &file.name()));
        assert_eq!(error.to_string().lines().count(), 1);
    }
}

#[test]
fn an_error_names_the_flag() {
    type Row<'a> = (fn(&mut Arguments, String), &'a str, &'a str);
    let table: [Row; 4] = [
        (
            |flags, text| flags.listen = Some(text),
            "flag --listen",
            "listen.address",
        ),
        (
            |flags, text| flags.admin = Some(text),
            "flag --admin",
            "admin.address",
        ),
        (
            |flags, text| flags.upstream = Some(text),
            "flag --upstream",
            "services[0].upstream.uris[0]",
        ),
        (
            |flags, text| flags.log = Some(text),
            "flag --log",
            "log.level",
        ),
    ];
    for (set, origin, key) in table {
        let mut flags = Arguments::default();
        set(&mut flags, "nonsense".to_owned());
        let error = load_with(&ConfigFile::new("toml", ""), &[], flags).unwrap_err();
        assert_eq!(
            (error.origin(), error.key()),
            (Some(origin), Some(key)),
            "{error}"
        );
        assert!(!error.reason().is_empty());
    }
}

#[test]
fn checks_of_a_service_name_where_it_was_set() {
    let file = ConfigFile::new("toml", "[[services]]\nname = \"one\"\n");
    let variables = [("SMEUSE__SERVICES__0__PATHS", "[]")];
    let error = load_with(&file, &variables, Arguments::default()).unwrap_err();
    assert_eq!(
        error.origin(),
        Some("environment SMEUSE__SERVICES__0__PATHS"),
        "{error}"
    );

    let variables = [
        ("AMQP_URL", "amqp://short"),
        ("SMEUSE__SERVICES__0__UPSTREAM__LOGIN", "service"),
    ];
    let error = load_with(&file, &variables, Arguments::default()).unwrap_err();
    assert_eq!(error.key(), Some("services.one.upstream.user"));
    assert_eq!(
        error.origin(),
        Some("environment SMEUSE__SERVICES__0__UPSTREAM__LOGIN"),
        "{error}"
    );
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let missing = Arguments {
        config: Some(PathBuf::from("/no/such.toml")),
        ..Arguments::default()
    };
    let error = Settings::load(&missing, [].into_iter()).unwrap_err();
    assert_eq!(error.origin(), Some("/no/such.toml"));
    let texts = [
        ("ini", "", "cannot tell the format"),
        ("toml", "[log]\nlevel = = \"hidden\"", "line 2, column 9"),
        (
            "json",
            "{\"log\": {\"level\": \"hidden\" \"\"}}",
            "line 1 column",
        ),
        ("yaml", "log: [\n hidden", "line 3 column"),
    ];
    for (extension, text, reason) in texts {
        let file = ConfigFile::new(extension, text);
        let error = load_with(&file, &[], Arguments::default()).unwrap_err();
        assert_eq!(error.origin(), Some(file.name().as_str()));
        let error = error.to_string();
        assert!(error.contains(reason), "{error}");
        assert!(
            !error.contains("hidden") && !error.contains('\n'),
            "{error}"
        );
    }
}

#[test]
fn secrets_are_in_no_output() {
    const FILE: &str = r#"
        [[services]]
        [services.upstream]
        uris = ["amqp://user:geheim1@broker"]
        login = "service"
        password = "geheim2"
    "#;
    let settings = load(FILE, &[]).unwrap();
    let printed = settings.to_toml().unwrap();
    assert!(printed.contains(r#"password = "***""#), "{printed}");
    assert!(printed.contains("amqp://user:***@broker"), "{printed}");
    for output in [printed, format!("{settings:?}")] {
        assert!(!output.contains("geheim"), "{output}");
    }
    let mistakes: [(&str, &[(&str, &str)]); 4] = [
        ("[[services]]\nupstream = \"amqp://u:geheim@h\"", &[]),
        (
            "[[services]]\n[services.upstream]\nuris = \"amqp://u:geheim@h\"",
            &[],
        ),
        ("", &[("AMQP_URL", "amqps://u:geheim@h:port")]),
        (
            "",
            &[("SMEUSE__SERVICES__0__UPSTREAM__URIS", "amqp://u:geheim@h")],
        ),
    ];
    for (file, variables) in mistakes {
        let error = load(file, variables).unwrap_err().to_string();
        assert!(!error.contains("geheim"), "{error}");
    }
}
