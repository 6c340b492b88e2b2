//! Which application has a request: path, host, folders, and what stays the gateway's own.

use std::fs;
use std::path::PathBuf;

use super::origin::exchange;
use super::origin::get;
use super::origin::ok;
use super::origin::Origin;
use super::origin::Raw;
use crate::harness::configuration;
use crate::harness::gateway::Gateway;

/// The longest path, the named host, and nobody else's.
#[test]
fn path_and_host_decide() {
    let [root, shop, other] =
        ["root", "shop", "other"].map(|name| Origin::answering(move |_| ok("", name)));
    let entry = |name: &str, origin: &Origin, lines: &str| {
        format!(
            "[[web.applications]]\nname = \"{name}\"\norigin = \"http://{}\"\n{lines}\n",
            origin.address()
        )
    };
    let text = [
        entry("root", &root, ""),
        entry("shop", &shop, "path = \"/shop\""),
        entry("other", &other, "host = \"other.example\""),
        configuration::echo(),
    ]
    .concat();
    let gateway = Gateway::start(&text);
    for (path, host, answered) in [
        ("/", "a", "root"),
        ("/shop", "a", "shop"),
        ("/shop/x?y", "a", "shop"),
        ("/shopping", "a", "root"),
        ("/shop", "OTHER.example:8080", "other"),
    ] {
        let answer = exchange(
            gateway.public(),
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
        );
        assert_eq!(answer.text(), answered, "{host}{path}");
    }
    // The services' paths and the library's are the gateway's.
    assert_ne!(
        get(gateway.public(), configuration::ECHO_PATH, "").status,
        200
    );
    assert_eq!(
        get(gateway.public(), "/_smeuse/config.json", "").header("content-type"),
        Some("application/json")
    );
    assert_eq!(get(gateway.public(), "/_smeuse/none", "").status, 404);
    assert_eq!(root.requests().len(), 2);
}

/// `host_header = "origin"`: the origin sees its own name, and sends browsers to the gateway all the same.
#[test]
fn an_origin_may_see_its_own_name() {
    let origin = Origin::answering(|request| {
        let host = request.header("host").unwrap_or_default();
        format!("HTTP/1.1 302 Found\r\nLocation: http://{host}/login\r\nContent-Length: 0\r\n\r\n")
            .into_bytes()
    });
    let gateway = Gateway::start(&super::origin::configuration(
        &origin,
        "host_header = \"origin\"",
    ));
    let answer = get(gateway.public(), "/", "");
    assert_eq!(
        (answer.status, answer.header("location")),
        (302, Some("/login"))
    );
    let request = origin.only();
    assert_eq!(
        request.header("host"),
        Some(origin.address().to_string().as_str())
    );
    assert_eq!(request.header("x-forwarded-host"), Some("app.example"));
}

/// A folder's pages get the script like an origin's, with conditions, ranges and HEAD.
#[test]
fn a_folder_is_an_application() {
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("folder-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(
        folder.join("index.html"),
        "<!doctype html><head></head><p>x",
    )
    .expect("a page");
    fs::write(folder.join("a.txt"), "0123456789").expect("a file");
    fs::create_dir_all(folder.join("sub")).expect("a folder in it");
    std::os::unix::fs::symlink("loop", folder.join("loop")).expect("a link to itself");
    let text = format!(
        "[[web.applications]]\nname = \"files\"\npath = \"/files\"\nfolder = {folder:?}\n\
         [[web.applications]]\nname = \"root\"\nfolder = {folder:?}\n{}",
        configuration::echo()
    );
    let gateway = Gateway::start(&text);
    let page = get(gateway.public(), "/files/", "Sec-Fetch-Dest: document\r\n");
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(
        page.text()
            .starts_with("<!doctype html><head><script src=\"/_smeuse/smeuse.js\""),
        "{}",
        page.text()
    );
    let tag = page.header("etag").expect("a tag");
    let again = get(
        gateway.public(),
        "/files/",
        &format!("Sec-Fetch-Dest: document\r\nIf-None-Match: {tag}\r\n"),
    );
    assert_eq!((again.status, again.header("etag")), (304, Some(tag)));
    let mut raw = Raw::connect(gateway.public());
    raw.send(
        "HEAD /files/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\nSec-Fetch-Dest: document\r\n\r\n",
    );
    let (status, head) = raw.head().expect("a head");
    assert_eq!((status, raw.rest()), (200, Vec::new()));
    assert!(head.contains(tag), "{head}");
    assert!(!head.to_lowercase().contains("content-length"), "{head}");
    // A cache must not give to a tab what a script has fetched.
    let fetched = get(gateway.public(), "/files/", "Sec-Fetch-Dest: empty\r\n");
    assert_eq!(fetched.text(), "<!doctype html><head></head><p>x");
    assert_eq!(
        fetched.header("vary"),
        Some("Sec-Fetch-Dest, Sec-Fetch-Mode, X-Requested-With")
    );
    // Links of the page are relative to the folder, and to no other host.
    for (path, location) in [
        ("/files", Some("/files/")),
        ("/files/sub?a=b", Some("/files/sub/?a=b")),
        ("/sub", Some("/sub/")),
        ("//sub", None),
    ] {
        let answer = get(gateway.public(), path, "");
        assert_eq!(answer.header("location"), location, "{path}");
    }
    let part = get(gateway.public(), "/files/a.txt", "Range: bytes=2-4\r\n");
    assert_eq!((part.status, part.text().as_str()), (206, "234"));
    let none = get(gateway.public(), "/files/none", "");
    assert_eq!(none.status, 404);
    assert!(none.text().starts_with("not_found: "), "{}", none.text());
    // One that is there and cannot be read is not called missing.
    let unread = get(gateway.public(), "/files/loop", "");
    assert_eq!(unread.status, 502);
    assert!(unread.text().starts_with("origin_unreachable: "));
    assert_eq!(get(gateway.public(), "/files/../a", "").status, 400);
    assert_eq!(get(gateway.public(), "/elsewhere", "").status, 404);
    gateway.wait_metric(
        "smeuse_application_requests_total{application=\"files\",status_class=\"2xx\"}",
        4.0,
    );
    // A file that is not there is no handshake.
    assert_eq!(
        gateway.metric(
            "smeuse_handshakes_total{dialect=\"none\",handshake=\"opening\",outcome=\"path_not_found\"}"
        ),
        0.0
    );
    fs::remove_dir_all(&folder).expect("the folder goes");
}

/// A file is under way until the browser has it.
#[test]
fn files_under_way_are_bounded() {
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("large-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let large = vec![b'x'; 16 << 20];
    fs::write(folder.join("large"), &large).expect("a file");
    let text = format!(
        "[[web.applications]]\nname = \"files\"\nfolder = {folder:?}\nrequests = 1\n{}",
        configuration::echo()
    );
    let gateway = Gateway::start(&text);
    let mut slow = Raw::connect(gateway.public());
    slow.send("GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(slow.head().expect("a head").0, 200);
    let answer = get(gateway.public(), "/large", "");
    assert_eq!(answer.status, 503);
    assert!(answer.text().starts_with("application_busy: "));
    assert_eq!(slow.rest(), large);
    let mut head = Raw::connect(gateway.public());
    head.send("HEAD /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let (status, lines) = head.head().expect("a head");
    assert_eq!(status, 200);
    let length = format!("content-length: {}\r\n", large.len());
    assert!(lines.to_lowercase().contains(&length), "{lines}");
    assert_eq!(head.rest(), b"");
    gateway.wait_metric(
        "smeuse_application_requests_in_flight{application=\"files\"}",
        0.0,
    );
    gateway.wait_metric(
        "smeuse_application_bytes_total{application=\"files\",direction=\"to_client\"}",
        large.len() as f64,
    );
    fs::remove_dir_all(&folder).expect("the folder goes");
}
