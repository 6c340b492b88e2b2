//! RFC 9110 section 13: conditional requests for pages that are rewritten on their way.

use super::origin::configuration;
use super::origin::get;
use super::origin::page;
use super::origin::Origin;
use crate::harness::gateway::Gateway;

const DATE: &str = "Wed, 25 Nov 2026 10:00:00 GMT";

/// An origin as origins are: it compares the tag it knows, letter by letter, or the date.
fn origin(etag: &'static str) -> Origin {
    Origin::answering(move |request| {
        let validators = if etag.is_empty() {
            format!("Last-Modified: {DATE}\r\n")
        } else {
            format!("ETag: {etag}\r\nLast-Modified: {DATE}\r\n")
        };
        let is_known = match request.header("if-none-match") {
            Some(tag) => tag == etag,
            None => request.header("if-modified-since") == Some(DATE),
        };
        if is_known {
            return format!("HTTP/1.1 304 Not Modified\r\n{validators}\r\n").into_bytes();
        }
        page(&validators, "<!doctype html><head></head><p>x")
    })
}

#[test]
fn a_page_that_has_not_changed_is_confirmed() {
    for etag in ["\"abc\"", "W/\"abc\"", ""] {
        let origin = origin(etag);
        let gateway = Gateway::start(&configuration(&origin, ""));
        let lines = "Sec-Fetch-Dest: document\r\n";
        let first = get(gateway.public(), "/", lines);
        assert!(
            first.text().contains("/_smeuse/smeuse.js"),
            "{}",
            first.text()
        );
        let tag = first.header("etag").expect("a tag").to_owned();
        assert!(tag.starts_with("W/") && tag != etag, "{tag}");
        let again = get(
            gateway.public(),
            "/",
            &format!("{lines}If-None-Match: {tag}\r\nIf-Modified-Since: {DATE}\r\n"),
        );
        assert_eq!(
            (again.status, again.header("etag")),
            (304, Some(tag.as_str())),
            "{etag}"
        );
        // What the browser had before there was a gateway in front is not what it should go on with.
        if !etag.is_empty() {
            let other = get(
                gateway.public(),
                "/",
                &format!("{lines}If-None-Match: {etag}\r\n"),
            );
            assert_eq!(other.status, 200, "{etag}");
        }
        let dated = get(
            gateway.public(),
            "/",
            &format!("{lines}If-Modified-Since: {DATE}\r\n"),
        );
        assert_eq!(dated.status, 200, "{etag}");
        // Nor what another library was put into.
        let old = tag.replace(&tag[tag.len() - 5..], "xxxx\"");
        let other = get(
            gateway.public(),
            "/",
            &format!("{lines}If-None-Match: {old}\r\n"),
        );
        assert_eq!(other.status, 200, "{etag}");
    }
}

/// A page that opts out is had anew by browsers that have it with the script, and so is what a script fetches.
#[test]
fn what_is_to_be_the_origins_is_not_confirmed_with_ours() {
    for etag in ["\"abc\"", ""] {
        let origin = origin(etag);
        let rewriting = Gateway::start(&configuration(&origin, ""));
        let first = get(rewriting.public(), "/", "Sec-Fetch-Dest: document\r\n");
        let tag = first.header("etag").expect("a tag").to_owned();
        let condition = format!("If-None-Match: {tag}\r\nIf-Modified-Since: {DATE}\r\n");
        let fetched = get(
            rewriting.public(),
            "/",
            &format!("Sec-Fetch-Dest: empty\r\n{condition}"),
        );
        assert_eq!(
            (fetched.status, fetched.text().contains("smeuse")),
            (200, false)
        );
        drop(rewriting);
        for opting_out in ["skip = [\"/\"]", "rewrite = false"] {
            let gateway = Gateway::start(&configuration(&origin, opting_out));
            let lines = format!("Sec-Fetch-Dest: document\r\n{condition}");
            let again = get(gateway.public(), "/", &lines);
            assert_eq!(again.status, 200, "{opting_out} {etag}");
            assert!(!again.text().contains("smeuse"), "{}", again.text());
        }
    }
}

#[test]
fn a_part_of_a_rewritten_page_is_the_whole_page() {
    let origin = Origin::answering(|request| {
        match request.header("range") {
        Some(_) => b"HTTP/1.1 206 Partial Content\r\nContent-Type: text/html\r\nContent-Range: bytes 0-0/9\r\nContent-Length: 1\r\n\r\n<".to_vec(),
        None => page("ETag: \"abc\"\r\nAccept-Ranges: bytes\r\n", "<!doctype html><head></head><p>x"),
    }
    });
    let gateway = Gateway::start(&configuration(&origin, ""));
    let lines = "Sec-Fetch-Dest: document\r\n";
    let first = get(gateway.public(), "/", lines);
    assert_eq!(first.header("accept-ranges"), None);
    assert_eq!(first.header("content-length"), None);
    let tag = first.header("etag").expect("a tag");
    let part = get(
        gateway.public(),
        "/",
        &format!("{lines}Range: bytes=5-\r\nIf-Range: {tag}\r\n"),
    );
    assert_eq!(part.status, 200);
    assert!(part.text().contains("/_smeuse/smeuse.js"));
    // A part that is asked for by itself is the origin's, untouched.
    let part = get(
        gateway.public(),
        "/",
        &format!("{lines}Range: bytes=0-0\r\n"),
    );
    assert_eq!((part.status, part.text().as_str()), (206, "<"));
}
