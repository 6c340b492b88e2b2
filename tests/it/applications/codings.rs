//! Compressed pages through the gateway: undone, changed, and done again as they came.

use std::future::Future;
use std::io;

use async_compression::tokio::bufread;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;

use super::origin::configuration;
use super::origin::get;
use super::origin::ok;
use super::origin::Origin;
use super::origin::Raw;
use crate::harness::gateway::Gateway;

fn finished<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(work)
}

fn all(mut from: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    finished(from.read_to_end(&mut all)).map(|_| all)
}

fn compressed(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let packed = match coding {
        "gzip" => all(bufread::GzipEncoder::new(bytes)),
        "br" => all(bufread::BrotliEncoder::new(bytes)),
        "zstd" => all(bufread::ZstdEncoder::new(bytes)),
        _ => Ok(bytes.to_vec()),
    };
    packed.expect("what is in memory can be compressed")
}

fn plain(coding: &str, bytes: &[u8]) -> io::Result<Vec<u8>> {
    match coding {
        "gzip" => all(bufread::GzipDecoder::new(bytes)),
        "br" => all(bufread::BrotliDecoder::new(bytes)),
        "zstd" => all(bufread::ZstdDecoder::new(bytes)),
        _ => Ok(bytes.to_vec()),
    }
}

/// A page of some size, so that it comes in several reads and leaves in several blocks.
fn long_page() -> String {
    let lines: String = (0..40_000)
        .map(|at| format!("<p>{}</p>\n", at * at))
        .collect();
    format!("<!doctype html><head><title>x</title></head><body>{lines}</body>")
}

#[test]
fn each_coding_is_undone_and_done_again() {
    let text = long_page();
    for coding in ["identity", "gzip", "br", "zstd"] {
        let (body, lines) = match coding {
            "identity" => (text.clone().into_bytes(), String::new()),
            _ => (
                compressed(coding, text.as_bytes()),
                format!("Content-Encoding: {coding}\r\n"),
            ),
        };
        let packed = body.len();
        let lines = format!("Content-Type: text/html\r\n{lines}");
        let origin = Origin::answering(move |_| ok(&lines, &body));
        let gateway = Gateway::start(&configuration(&origin, ""));
        let lines = format!("Accept-Encoding: {coding}\r\nSec-Fetch-Dest: document\r\n");
        let answer = get(gateway.public(), "/", &lines);
        assert_eq!(answer.status, 200, "{coding}");
        let told = (coding != "identity").then_some(coding);
        assert_eq!(answer.header("content-encoding"), told);
        let came = plain(coding, &answer.body).expect("what came can be read");
        let came = String::from_utf8(came).expect("text");
        let tag = came.find("<script").expect("a tag");
        let behind = came.find("</script>").expect("its end") + "</script>".len();
        assert_eq!(tag, "<!doctype html><head>".len(), "{coding}");
        assert!([&came[..tag], &came[behind..]].concat() == text, "{coding}");
        // It is compressed still, though not with the origin's patience.
        assert!(
            coding == "identity" || answer.body.len() < 3 * packed,
            "{coding}: {}",
            answer.body.len()
        );
        assert!(origin
            .only()
            .header("accept-encoding")
            .is_some_and(|asked| asked.contains(coding)));
    }
}

/// What only claims to be compressed, and what stops in the middle, is cut off and not taken for whole.
#[test]
fn what_is_broken_is_cut_off() {
    let text = long_page();
    for coding in ["gzip", "br", "zstd"] {
        let mut body = compressed(coding, text.as_bytes());
        body.truncate(body.len() / 2);
        for body in [body, b"<!doctype html><head></head>".repeat(100)] {
            let lines = format!("Content-Type: text/html\r\nContent-Encoding: {coding}\r\n");
            let origin = Origin::answering(move |_| ok(&lines, &body));
            let gateway = Gateway::start(&configuration(&origin, ""));
            let mut raw = Raw::connect(gateway.public());
            raw.send("GET / HTTP/1.1\r\nHost: a\r\nSec-Fetch-Dest: document\r\n\r\n");
            assert!(raw.answer().is_none(), "{coding}");
            gateway.wait_metric(
                "smeuse_application_failures_total{application=\"app\",reason=\"answer_broken\"}",
                1.0,
            );
        }
    }
}
