//! What the public listener serves for pages: the browser library, its configuration, and modules of extensions.

use base64::prelude::BASE64_STANDARD;
use base64::Engine;
use serde_json::json;
use serde_json::Value;
use sha2::Digest;
use sha2::Sha384;

use crate::harness::configuration;
use crate::harness::folder::Folder;
use crate::harness::gateway::Gateway;
use crate::harness::http;
use crate::harness::http::Response;

const SCRIPT: &str = "/_smeuse/smeuse.js";
const MODULE: &str = "/_smeuse/smeuse.mjs";
const INSTALL: &str = "/_smeuse/install.mjs";
const CONFIGURATION: &str = "/_smeuse/config.json";

#[track_caller]
fn get(gateway: &Gateway, path: &str) -> Response {
    http::request(gateway.public(), "GET", path).expect("the public listener answers")
}

#[track_caller]
fn configuration_of(gateway: &Gateway) -> Value {
    let response = get(gateway, CONFIGURATION);
    assert_eq!(response.status, 200, "{response:?}");
    serde_json::from_str(&response.body).expect("JSON")
}

/// `integrity` of this body (Subresource Integrity section 3.2).
fn integrity(body: &str) -> String {
    format!("sha384-{}", BASE64_STANDARD.encode(Sha384::digest(body)))
}

/// Where the module of an extension is under a name that its content gives.
fn hashed(extension: &str, content: &str) -> String {
    let digest = Sha384::digest(content);
    let hash: String = digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("/_smeuse/extensions/{extension}.{hash}.js")
}

/// Whoever may load it: script and module are for pages of any origin, and nobody guesses their type.
#[test]
fn the_library_is_served_to_pages_of_any_origin() {
    let gateway = Gateway::start(&configuration::echo());
    for (path, kind) in [
        (SCRIPT, "text/javascript"),
        (MODULE, "text/javascript"),
        (INSTALL, "text/javascript"),
        (CONFIGURATION, "application/json"),
    ] {
        let response = get(&gateway, path);
        assert_eq!(response.status, 200, "{path}");
        let found = response.header("Content-Type").unwrap_or_default();
        assert!(found.starts_with(kind), "{path}: {found}");
        for (name, value) in [
            ("Access-Control-Allow-Origin", "*"),
            ("X-Content-Type-Options", "nosniff"),
            ("Cross-Origin-Resource-Policy", "cross-origin"),
        ] {
            assert_eq!(response.header(name), Some(value), "{path}: {name}");
        }
        assert!(response.header("Cache-Control").is_some(), "{path}");
        assert!(response.body.len() > 50, "{path}");
    }
}

/// RFC 9110 section 9.1: who can GET something can ask for its HEAD.
#[test]
fn a_head_is_that_of_the_answer_to_get() {
    let gateway = Gateway::start(&configuration::echo());
    for path in [SCRIPT, MODULE, INSTALL, CONFIGURATION] {
        let head = http::request(gateway.public(), "HEAD", path).expect("an answer");
        let whole = get(&gateway, path);
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        for name in ["Content-Type", "ETag", "Content-Length"] {
            assert!(head.header(name).is_some(), "{path}: {name}");
            assert_eq!(head.header(name), whole.header(name), "{path}: {name}");
        }
    }
}

/// RFC 9110 section 13.1.2: who has it already is told so.
#[test]
fn what_a_page_has_already_is_304() {
    let gateway = Gateway::start(&configuration::echo());
    for path in [SCRIPT, MODULE, INSTALL, CONFIGURATION] {
        let etag = get(&gateway, path)
            .header("ETag")
            .expect("an ETag")
            .to_owned();
        for (known, status) in [
            (etag.clone(), 304),
            (format!("\"other\", {etag}"), 304),
            ("\"other\"".to_owned(), 200),
        ] {
            let response = get_knowing(&gateway, path, &known);
            assert_eq!(response.status, status, "{path} {known}");
            assert_eq!(response.header("ETag"), Some(&etag[..]), "{path}");
            assert_eq!(response.header("Access-Control-Allow-Origin"), Some("*"));
        }
    }
}

/// RFC 9110 section 15.5.6: what can only be read says so.
#[test]
fn the_library_can_only_be_read() {
    let gateway = Gateway::start(&configuration::echo());
    for (path, status) in [
        (SCRIPT, 405),
        (CONFIGURATION, 405),
        ("/_smeuse/nothing", 405),
    ] {
        let answer = http::request(gateway.public(), "POST", path).expect("an answer");
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("Allow"), Some("GET, HEAD"), "{path}");
    }
    assert_eq!(get(&gateway, "/_smeuse/nothing").status, 404);
    assert_eq!(get(&gateway, "/_smeuse/").status, 404);
}

/// The hashes in `config.json` are those of what is served.
#[test]
fn the_hashes_are_those_of_what_is_served() {
    let gateway = Gateway::start(&configuration::echo());
    let configuration = configuration_of(&gateway);
    assert_eq!(configuration["version"], 1);
    for (name, path) in [("script", SCRIPT), ("module", MODULE)] {
        let entry = &configuration["library"][name];
        assert_eq!(entry["path"], path);
        let body = get(&gateway, path).body;
        assert_eq!(entry["integrity"], integrity(&body).as_str(), "{path}");
    }
}

/// Every service with its paths, what its pages offer with their parameters, and the module where there is one.
#[test]
fn the_configuration_tells_pages_of_the_services() {
    let folder = Folder::new();
    let stamp = "export default { name: \"x-kaazing-ping-pong\" }\n";
    folder.write("x-kaazing-ping-pong.js", stamp);
    folder.write("notes.txt", "not served");
    folder.write("another.js", "export default {}\n");
    let web = format!(
        "[websocket]\nmessage_before_login_bytes = 5000\n[web]\nextensions = \"{}\"\n",
        folder.path().display()
    );
    let amqp = configuration::service(
        "amqp",
        "amqp",
        &["/ws/amqp", "/amqp"],
        "page_extensions = [\"x-kaazing-ping-pong; level=2; x\", \"smeuse-sequence\"]\npage_required = [\"smeuse-sequence\"]",
    );
    let lines = "page_fallback = \"error\"\npage_extensions = []";
    let echo = configuration::service("echo", "echo", &["/echo"], lines);
    let gateway = Gateway::start(&(web + &amqp + &echo));
    let endpoints = &configuration_of(&gateway)["endpoints"];
    let module = hashed("x-kaazing-ping-pong", stamp);
    let expected = json!([
        {
            "service": "amqp",
            "kind": "amqp",
            "paths": ["/ws/amqp", "/amqp"],
            "extensions": [
                {
                    "name": "x-kaazing-ping-pong",
                    "params": "level=2; x",
                    "module": module,
                    "integrity": integrity(stamp),
                    "required": false,
                },
                { "name": "smeuse-sequence", "required": true },
            ],
            "fallback": "plain",
            "messageBytes": 5000,
        },
        {
            "service": "echo",
            "kind": "echo",
            "paths": ["/echo"],
            "extensions": [],
            "fallback": "error",
            "messageBytes": 5000,
        },
    ]);
    assert_eq!(*endpoints, expected);

    for (path, cache_control) in [
        (&module[..], "public, max-age=31536000, immutable"),
        ("/_smeuse/extensions/x-kaazing-ping-pong.js", "no-cache"),
    ] {
        let response = get(&gateway, path);
        assert_eq!((response.status, &response.body[..]), (200, stamp));
        assert_eq!(response.header("Access-Control-Allow-Origin"), Some("*"));
        assert_eq!(response.header("Cache-Control"), Some(cache_control));
        let kind = response.header("Content-Type").unwrap_or_default();
        assert!(kind.starts_with("text/javascript"), "{kind}");
    }
    for (path, status) in [
        ("/_smeuse/extensions/another.js", 200),
        ("/_smeuse/extensions/notes.txt", 404),
        ("/_smeuse/extensions/missing.js", 404),
        ("/_smeuse/extensions/../config.json", 404),
        ("/_smeuse/extensions/..%2f..%2fetc%2fpasswd", 404),
    ] {
        assert_eq!(get(&gateway, path).status, status, "{path}");
    }
}

/// Nothing of the admin listener's, and no secret, is in what pages get.
#[test]
fn nothing_private_is_told() {
    let login = crate::harness::users::login(
        crate::harness::users::USERS,
        "[\"application-basic\"]",
        ", realm = \"a realm\"",
    );
    let upstream = "login = \"service\"\nuser = \"gateway-user\"\npassword = \"gateway-secret\"";
    let service = configuration::amqp_service(&login, &["amqp://broker.internal:5672"], upstream);
    let gateway = Gateway::start(&service);
    let body = get(&gateway, CONFIGURATION).body;
    for private in ["gateway-", "broker.internal", "users", "realm", "joe"] {
        assert!(!body.contains(private), "{private} in {body}");
    }
}

/// `web.library = false`: there is nothing of it.
#[test]
fn without_the_library_there_is_nothing_of_it() {
    let gateway = Gateway::start(&("[web]\nlibrary = false\n".to_owned() + &configuration::echo()));
    for path in [SCRIPT, MODULE, INSTALL, CONFIGURATION] {
        assert_eq!(get(&gateway, path).status, 404, "{path}");
    }
}

#[track_caller]
fn get_knowing(gateway: &Gateway, path: &str, known: &str) -> Response {
    let mut client = crate::harness::client::Client::connect(gateway.public());
    client.send(
        format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nIf-None-Match: {known}\r\n\r\n",
            gateway.public()
        )
        .as_bytes(),
    );
    client.response()
}

/// What the published Kaazing client for Java asks before it opens a WebSocket.
#[test]
fn the_question_for_cookies_is_answered() {
    let gateway = Gateway::start(&configuration::echo());
    let answer = get(&gateway, "/echo/;e/cookies?.krn=0123");
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert_eq!(get(&gateway, "/other/;e/cookies").status, 404);
}
