//! Heads of answers, before and after.

use super::*;

const MARK: &str = "m1";

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    map
}

fn request(is_marked: bool, date: Option<&str>) -> Head {
    Head {
        headers: HeaderMap::new(),
        is_marked,
        marked_date: date.map(str::to_owned),
    }
}

const DOCUMENT: Task = Task::Page {
    is_document: true,
    is_sure: true,
};
const SCRIPT: csp::Script<'static> = csp::Script {
    secure: false,
    authority: "app.example",
    path: "/_smeuse/smeuse.js",
    hash: "sha384-lib",
};

fn planned(status: u16, map: &mut HeaderMap, task: Task, request: &Head) -> Plan {
    let status = StatusCode::from_u16(status).unwrap();
    plan(status, map, task, request, &SCRIPT, MARK)
}

#[test]
fn a_page_that_is_rewritten_has_another_head() {
    let mut map = headers(&[
        ("content-type", "text/html; charset=\"utf-8\""),
        ("content-length", "100"),
        ("etag", "\"abc\""),
        ("accept-ranges", "bytes"),
        ("content-digest", "sha-256=:x:"),
        ("vary", "Cookie"),
        ("last-modified", "yesterday"),
    ]);
    let plan = planned(200, &mut map, DOCUMENT, &request(false, None));
    assert_eq!(
        plan,
        Plan::Page {
            coding: Coding::Identity,
            nonce: None,
            is_document: true,
            connects: true
        }
    );
    assert_eq!(map["etag"], "W/\"abc;smeuse.s.m1\"");
    for gone in ["content-length", "accept-ranges", "content-digest"] {
        assert!(!map.contains_key(gone), "{gone}");
    }
    let vary: Vec<_> = map.get_all("vary").iter().collect();
    assert_eq!(
        vary,
        ["Cookie", "Sec-Fetch-Dest, Sec-Fetch-Mode, X-Requested-With"]
    );
    assert_eq!(map["last-modified"], "yesterday");
}

#[test]
fn what_is_left_alone_keeps_every_line() {
    type Row = (
        u16,
        &'static [(&'static str, &'static str)],
        Task,
        Option<&'static str>,
    );
    let table: &[Row] = &[
        (
            200,
            &[
                ("content-type", "image/png"),
                ("etag", "\"a\""),
                ("content-length", "5"),
            ],
            DOCUMENT,
            None,
        ),
        (
            206,
            &[
                ("content-type", "text/html"),
                ("content-range", "bytes 0-1/5"),
            ],
            DOCUMENT,
            None,
        ),
        (204, &[("content-type", "text/html")], DOCUMENT, None),
        (
            200,
            &[("content-type", "text/html"), ("etag", "\"a\"")],
            Task::Pass,
            None,
        ),
        (
            200,
            &[("content-type", "text/html"), ("etag", "\"a\"")],
            Task::Skip,
            Some("skipped"),
        ),
        (
            200,
            &[("content-type", "application/xhtml+xml")],
            DOCUMENT,
            None,
        ),
        (
            200,
            &[("content-type", "text/html; charset=UTF-16LE")],
            DOCUMENT,
            Some("charset"),
        ),
        (
            200,
            &[("content-type", "text/html; charset=iso-2022-jp")],
            DOCUMENT,
            Some("charset"),
        ),
        (
            200,
            &[("content-type", "text/html; charset=csUnicode")],
            DOCUMENT,
            Some("charset"),
        ),
        (
            200,
            &[
                ("content-type", "text/html"),
                ("content-encoding", "deflate"),
            ],
            DOCUMENT,
            Some("coding"),
        ),
        (
            200,
            &[("content-type", "text/html"), ("content-encoding", "dcb")],
            DOCUMENT,
            Some("coding"),
        ),
        (
            200,
            &[
                ("content-type", "text/html"),
                ("cache-control", "private, No-Transform"),
            ],
            DOCUMENT,
            Some("no_transform"),
        ),
        (
            200,
            &[
                ("content-type", "text/html"),
                ("content-disposition", "Attachment; filename=a.html"),
            ],
            DOCUMENT,
            Some("skipped"),
        ),
        (
            200,
            &[
                ("content-type", "text/html"),
                ("content-security-policy", "sandbox"),
            ],
            DOCUMENT,
            Some("policy"),
        ),
        (
            200,
            &[
                ("content-type", "text/html"),
                (
                    "content-security-policy",
                    "script-src 'unsafe-inline' https://cdn.example",
                ),
            ],
            DOCUMENT,
            Some("policy"),
        ),
        (
            200,
            &[("content-type", "text/plain")],
            Task::Script(Loader::Worker),
            None,
        ),
        (
            404,
            &[("content-type", "text/javascript")],
            Task::Script(Loader::Worker),
            None,
        ),
    ];
    for (status, lines, task, reason) in table {
        let mut map = headers(lines);
        let plan = planned(*status, &mut map, *task, &request(false, None));
        assert_eq!(plan, Plan::Pass(*reason), "{lines:?}");
        assert_eq!(map, headers(lines));
    }
}

#[test]
fn a_cache_does_not_give_a_fetched_page_to_a_tab() {
    let lines = [("content-type", "text/html"), ("content-length", "5")];
    let mut map = headers(&lines);
    let plan = planned(200, &mut map, Task::NoDocument, &request(false, None));
    assert_eq!(plan, Plan::Pass(None));
    assert_eq!(
        map["vary"],
        "Sec-Fetch-Dest, Sec-Fetch-Mode, X-Requested-With"
    );
    assert_eq!(map["content-length"], "5");
    let mut map = headers(&[("content-type", "image/png")]);
    planned(200, &mut map, Task::NoDocument, &request(false, None));
    assert!(!map.contains_key("vary"));
    // A confirmation that has such a line replaces the one that was given.
    let mut map = headers(&[("vary", "Cookie")]);
    planned(304, &mut map, Task::NoDocument, &request(false, None));
    let vary: Vec<_> = map.get_all("vary").iter().collect();
    assert_eq!(
        vary,
        ["Cookie", "Sec-Fetch-Dest, Sec-Fetch-Mode, X-Requested-With"]
    );
    let mut map = headers(&[]);
    planned(304, &mut map, Task::NoDocument, &request(false, None));
    assert!(map.is_empty());
}

#[test]
fn a_page_without_a_type_is_one_if_it_looks_like_one() {
    let mut map = headers(&[("content-length", "5")]);
    let plan = planned(200, &mut map, DOCUMENT, &request(false, None));
    assert!(
        matches!(
            plan,
            Plan::Page {
                is_document: false,
                ..
            }
        ),
        "{plan:?}"
    );
    let unsure = Task::Page {
        is_document: false,
        is_sure: false,
    };
    for (lines, task) in [
        (&[("x-content-type-options", "nosniff")][..], DOCUMENT),
        (&[("content-type", "")], DOCUMENT),
        (&[], unsure),
    ] {
        let mut map = headers(lines);
        let plan = planned(200, &mut map, task, &request(false, None));
        assert_eq!(plan, Plan::Pass(None), "{lines:?} {task:?}");
        assert_eq!(map, headers(lines));
    }
    // To a redirection nobody looks.
    let mut map = headers(&[("location", "/")]);
    let plan = planned(307, &mut map, DOCUMENT, &request(false, None));
    assert_eq!(plan, Plan::Pass(None));
    // It may be kept, and asked for as a document.
    let mut map = headers(&[]);
    planned(200, &mut map, Task::NoDocument, &request(false, None));
    assert!(map.contains_key("vary"));
}

#[test]
fn an_error_page_is_a_page() {
    let mut map = headers(&[("content-type", "text/html"), ("content-encoding", "br")]);
    let plan = planned(404, &mut map, DOCUMENT, &request(false, None));
    assert!(matches!(
        plan,
        Plan::Page {
            coding: Coding::Brotli,
            ..
        }
    ));
}

#[test]
fn the_policy_lets_the_script_in_and_names_its_nonce() {
    let mut map = headers(&[
        ("content-type", "text/html"),
        ("content-security-policy", "default-src 'none'"),
        (
            "content-security-policy-report-only",
            "script-src 'nonce-n1'",
        ),
    ]);
    let plan = planned(200, &mut map, DOCUMENT, &request(false, None));
    let Plan::Page {
        nonce, connects, ..
    } = plan
    else {
        panic!("{plan:?}")
    };
    assert_eq!((nonce.as_deref(), connects), (Some("n1"), false));
    assert_eq!(map["content-security-policy"], "default-src 'sha384-lib'");
    assert_eq!(
        map["content-security-policy-report-only"],
        "script-src 'nonce-n1'"
    );
}

#[test]
fn a_confirmation_is_about_what_the_browser_has() {
    let lines = [
        ("etag", "\"abc\""),
        ("content-security-policy", "script-src 'none'"),
    ];
    let mut map = headers(&lines);
    assert_eq!(
        planned(304, &mut map, DOCUMENT, &request(true, None)),
        Plan::Pass(None)
    );
    assert_eq!(map["etag"], "W/\"abc;smeuse.s.m1\"");
    assert_eq!(map["content-security-policy"], "script-src 'sha384-lib'");
    assert_eq!(
        map["vary"],
        "Sec-Fetch-Dest, Sec-Fetch-Mode, X-Requested-With"
    );
    let mut map = headers(&[]);
    let date = "Thu, 01 Jan 1970 00:01:40 GMT";
    planned(304, &mut map, DOCUMENT, &request(true, Some(date)));
    assert_eq!(
        map["etag"],
        "W/\"Thu._01_Jan_1970_00:01:40_GMT;smeuse.d.m1\""
    );
    let mut map = headers(&lines);
    planned(304, &mut map, DOCUMENT, &request(false, None));
    assert_eq!(map, headers(&lines));
    // A script has got its line whatever its own policy says.
    let mut map = headers(&lines);
    let script = Task::Script(Loader::Worker);
    planned(304, &mut map, script, &request(true, None));
    assert_eq!(map["content-security-policy"], "script-src 'none'");
}

#[test]
fn an_origin_that_names_itself_is_found_at_the_gateway() {
    for (before, after) in [
        ("http://shop:3000/login?x", "/login?x"),
        ("http://shop:3000", "/"),
        ("http://shop:3000?x", "/?x"),
        ("http://shop:30001/x", "http://shop:30001/x"),
        ("https://elsewhere/x", "https://elsewhere/x"),
        ("/login", "/login"),
    ] {
        let mut map = headers(&[("location", before)]);
        relocate(&mut map, "http://shop:3000");
        assert_eq!(map["location"], after);
    }
}

#[test]
fn what_is_between_origin_and_gateway_stays_there() {
    let mut map = headers(&[
        ("connection", "close"),
        ("alt-svc", "h3=\":443\""),
        ("keep-alive", "timeout=5"),
        ("set-cookie", "a=1; Path=/"),
        ("set-cookie", "b=2"),
    ]);
    pass_on(&mut map).unwrap();
    assert_eq!(map.get_all("set-cookie").iter().count(), 2);
    assert_eq!(map["via"], "1.1 smeuse");
    assert_eq!(map.keys().count(), 2);
}
