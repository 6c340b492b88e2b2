//! What changes for pages while the gateway runs: modules that are put into the folder, and what the configuration file
//! says of extensions. Sessions keep what they have.

use std::fs;

use serde_json::Value;

use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::extended;
use crate::harness::folder::Folder;
use crate::harness::gateway::Gateway;
use crate::harness::http;
use crate::harness::wait_for;
use crate::harness::wait_until;
use crate::harness::websocket::TEXT;
use crate::harness::DEADLINE;

const NAME: &str = "acme-measure";
const PAGE_ONLY: &str =
    "page_only = [\"acme-measure\"]\npage_extensions = [\"acme-measure; unit=ms\"]";

fn settings(folder: &Folder, lines: &str) -> String {
    let web = format!("[web]\nextensions = \"{}\"\n", folder.path().display());
    web + &configuration::echo_with_lines(lines)
}

#[track_caller]
fn body(gateway: &Gateway, path: &str) -> Option<String> {
    let answer = http::request(gateway.public(), "GET", path).expect("an answer");
    (answer.status == 200).then_some(answer.body)
}

/// What pages are told of the extensions of the one service.
#[track_caller]
fn told(gateway: &Gateway) -> Value {
    let text = body(gateway, "/_smeuse/config.json").expect("config.json");
    let mut told: Value = serde_json::from_str(&text).expect("JSON");
    told["endpoints"][0]["extensions"].take()
}

/// Where config.json says that the module is, once it has this content.
#[track_caller]
fn module_with(gateway: &Gateway, content: &str) -> String {
    wait_for("a module with this content", DEADLINE, || {
        let path = told(gateway)[0]["module"].as_str()?.to_owned();
        (body(gateway, &path)? == content).then_some(path)
    })
}

#[track_caller]
fn echoes(client: &mut Client, text: &str) {
    client.send_text(text);
    client.expect_message(TEXT, text.as_bytes());
}

/// A module that is dropped into the folder is told to pages and served, replaced, and taken away again.
#[test]
fn modules_come_and_go_while_the_gateway_runs() {
    let folder = Folder::new();
    let gateway = Gateway::start(&settings(&folder, PAGE_ONLY));
    assert_eq!(told(&gateway)[0]["module"], Value::Null);
    assert_eq!(gateway.metric("smeuse_modules"), 0.0);

    folder.write("acme-measure.js", "// one");
    let first = module_with(&gateway, "// one");
    folder.write("acme-measure.js", "// another");
    let second = module_with(&gateway, "// another");
    assert_ne!(first, second);
    // A page that was told of the first and asks only now gets it.
    assert_eq!(body(&gateway, &first).as_deref(), Some("// one"));
    let stable = "/_smeuse/extensions/acme-measure.js";
    assert_eq!(body(&gateway, stable).as_deref(), Some("// another"));

    folder.remove("acme-measure.js");
    wait_until("the module to be gone", DEADLINE, || {
        told(&gateway)[0]["module"] == Value::Null
    });
    assert_eq!(body(&gateway, stable), None);
    for change in ["added", "replaced", "removed"] {
        let series = format!("smeuse_module_changes_total{{change=\"{change}\"}}");
        assert_eq!(gateway.metric(&series), 1.0, "{change}");
    }
}

/// What cannot be used takes nothing away, is counted, and said once.
#[test]
fn a_module_that_cannot_be_used_leaves_the_last_good_one() {
    let folder = Folder::new();
    folder.write("acme-measure.js", "// good");
    let gateway = Gateway::start(&settings(&folder, PAGE_ONLY));
    let good = module_with(&gateway, "// good");
    let faults = |reason: &str| format!("smeuse_module_faults_total{{reason=\"{reason}\"}}");
    folder.write("acme-measure.js", "");
    gateway.wait_metric(&faults("empty"), 1.0);
    folder.write("acme-measure.js", " ".repeat(1024 * 1024 + 1));
    gateway.wait_metric(&faults("too_large"), 1.0);
    assert_eq!(told(&gateway)[0]["module"], good.as_str());
    assert_eq!(body(&gateway, &good).as_deref(), Some("// good"));
    let lines = gateway.log_lines("module not used, what there was stays");
    assert_eq!(lines.len(), 2, "{lines:?}");
    folder.write("acme-measure.js", "// good again");
    module_with(&gateway, "// good again");
    // The folder itself may go away, and come back.
    let aside = folder.path().with_extension("aside");
    fs::rename(folder.path(), &aside).expect("a rename");
    gateway.wait_metric(&faults("folder"), 1.0);
    assert_eq!(gateway.metric("smeuse_modules"), 1.0);
    fs::rename(&aside, folder.path()).expect("a rename");
    folder.write("acme-measure.js", "// back");
    module_with(&gateway, "// back");
}

/// An extension that is a page's alone is agreed to as it is offered, in both handshakes, and changes nothing; its
/// traffic is counted under its name.
#[test]
fn an_extension_of_a_page_alone_is_agreed_and_counted() {
    let folder = Folder::new();
    let gateway = Gateway::start(&settings(&folder, PAGE_ONLY));
    let mut at_once = extended::open_at_once(&gateway, ECHO_PATH, "acme-measure; unit=ms");
    let mut client = extended::begin(&gateway, ECHO_PATH);
    let offer = [(
        "Sec-WebSocket-Extensions",
        "acme-measure; unit=ms, smeuse-unknown",
    )];
    let answer = extended::ask(&mut client, &offer);
    assert_eq!(extended::agreed(&answer), ["acme-measure; unit=ms"]);
    echoes(&mut client, "twelve bytes");
    echoes(&mut at_once, "");
    client.send_binary(b"\0\x01");
    client.expect_message(2, b"\0\x01");
    for direction in ["from_client", "to_client"] {
        let labels = format!("{{direction=\"{direction}\",extension=\"{NAME}\"}}");
        gateway.wait_metric(&format!("smeuse_extension_messages_total{labels}"), 3.0);
        assert_eq!(
            gateway.metric(&format!("smeuse_extension_bytes_total{labels}")),
            14.0
        );
    }
    let sessions = format!("smeuse_extension_sessions{{extension=\"{NAME}\"}}");
    assert_eq!(gateway.metric(&sessions), 2.0);
}

/// A changed configuration file counts within seconds, without a signal and with one; sessions keep what they have.
#[test]
fn what_is_said_of_extensions_may_change() {
    let folder = Folder::new();
    folder.write("acme-measure.js", "// measures");
    let gateway = Gateway::start(&settings(&folder, "page_extensions = []"));
    assert_eq!(told(&gateway), Value::Array(Vec::new()));
    let mut before = extended::open(&gateway, ECHO_PATH, "smeuse-sequence");

    // By itself.
    let lines = format!("{PAGE_ONLY}\nextensions = []\npage_required = [\"acme-measure\"]");
    let text = settings(&folder, &lines);
    fs::write(gateway.configuration(), text).expect("a configuration");
    module_with(&gateway, "// measures");
    let entry = &told(&gateway)[0];
    assert_eq!(
        (&entry["params"], &entry["required"]),
        (&"unit=ms".into(), &true.into())
    );
    let mut after = extended::begin(&gateway, ECHO_PATH);
    let offer = [("Sec-WebSocket-Extensions", "acme-measure, smeuse-sequence")];
    let answer = extended::ask(&mut after, &offer);
    assert_eq!(extended::agreed(&answer), [NAME]);
    before.send_text("00000000still numbered");
    before.expect_message(TEXT, b"00000000still numbered");
    echoes(&mut after, "not numbered");

    // By signal, which does not wait; what is wrong leaves all as it was.
    for (lines, why) in [
        (
            "extensions = [\"acme-typo\"]\npage_extensions = []",
            "is not an extension of this gateway",
        ),
        (
            "page_only = [\"smeuse-sequence\"]\nextensions = []\npage_extensions = []",
            "stands in extensions",
        ),
        (
            "page_extensions = [\"acme-measure\"]",
            "is not among extensions",
        ),
    ] {
        fs::write(gateway.configuration(), settings(&folder, lines)).expect("a configuration");
        gateway.signal("HUP");
        gateway.log_line("reload failed, the old setting stays", |line| {
            line["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains(why))
        });
        assert_eq!(told(&gateway)[0]["name"], NAME);
    }
    let text = settings(&folder, "page_extensions = []\npage_fallback = \"error\"");
    fs::write(gateway.configuration(), text).expect("a configuration");
    gateway.signal("HUP");
    wait_until("pages to be told", DEADLINE, || {
        told(&gateway) == Value::Array(Vec::new())
    });
    let answer = extended::ask(&mut extended::begin(&gateway, ECHO_PATH), &offer);
    assert_eq!(extended::agreed(&answer), ["smeuse-sequence"]);
    echoes(&mut after, "still here");
}

/// A change that needs a restart waits for one: what else the file says stays as it was.
#[test]
fn other_settings_of_a_service_wait_for_a_restart() {
    let folder = Folder::new();
    let gateway = Gateway::start(&settings(&folder, "page_extensions = []"));
    let lines = "page_extensions = []\npage_fallback = \"error\"";
    let moved = settings(&folder, lines).replace(ECHO_PATH, "/moved");
    fs::write(gateway.configuration(), moved).expect("a configuration");
    let fallback = || {
        let text = body(&gateway, "/_smeuse/config.json").expect("config.json");
        let told: Value = serde_json::from_str(&text).expect("JSON");
        told["endpoints"][0].clone()
    };
    wait_until("the fallback to change", DEADLINE, || {
        fallback()["fallback"] == "error"
    });
    assert_eq!(fallback()["paths"][0], ECHO_PATH);
    extended::open(&gateway, ECHO_PATH, "smeuse-sequence");
    let waiting = "settings have changed that wait for a restart";
    gateway.log_line(waiting, |line| {
        line["keys"] == "services.echo.paths" && line["level"] == "WARN"
    });
    // Another change says nothing of it again, and a signal does.
    let text = settings(&folder, "page_extensions = []").replace(ECHO_PATH, "/moved");
    fs::write(gateway.configuration(), &text).expect("a configuration");
    wait_until("the fallback to change", DEADLINE, || {
        fallback()["fallback"] == "plain"
    });
    gateway.signal("HUP");
    gateway.log_line("reloaded", |_| true);
    assert_eq!(gateway.log_lines(waiting).len(), 2);
    let renamed = text.replace("name = \"echo\"", "name = \"other\"");
    assert_ne!(renamed, text);
    fs::write(
        gateway.configuration(),
        renamed + "[drain]\ndeadline = \"31s\"\n",
    )
    .expect("a configuration");
    gateway.log_line(waiting, |line| {
        line["keys"] == "drain.deadline, services.echo, services.other"
    });
}
