//! The live view's page and what it loads, part of the binary.

use std::sync::OnceLock;

use actix_web::http::header;
use actix_web::web;
use actix_web::web::ServiceConfig;
use actix_web::HttpRequest;
use actix_web::HttpResponse;
use sha2::Digest;
use sha2::Sha256;

struct Asset {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! asset {
    ($name:literal, $kind:literal) => {
        Asset {
            path: concat!("/live/", $name),
            kind: $kind,
            text: include_str!(concat!("view/", $name)),
        }
    };
}

const PAGE: Asset = Asset {
    path: "/",
    kind: "text/html; charset=utf-8",
    text: include_str!("view/index.html"),
};

const ASSETS: [Asset; 9] = [
    asset!("style.css", "text/css; charset=utf-8"),
    asset!("meanings.json", "application/json"),
    asset!("live.js", "text/javascript; charset=utf-8"),
    asset!("connection.js", "text/javascript; charset=utf-8"),
    asset!("chart.js", "text/javascript; charset=utf-8"),
    asset!("dom.js", "text/javascript; charset=utf-8"),
    asset!("format.js", "text/javascript; charset=utf-8"),
    asset!("panels.js", "text/javascript; charset=utf-8"),
    asset!("sessions.js", "text/javascript; charset=utf-8"),
];

/// Adds the page and its parts.
pub fn serve(application: &mut ServiceConfig) {
    for path in ["/", "/live"] {
        application.route(
            path,
            web::get().to(|request| async { answer(&PAGE, request) }),
        );
    }
    for asset in &ASSETS {
        let answer = move |request: HttpRequest| async move { answer(asset, request) };
        application.route(asset.path, web::get().to(answer));
    }
}

/// The asset, or 304 where the browser has it.
fn answer(asset: &Asset, request: HttpRequest) -> HttpResponse {
    let tag = tag(asset);
    let known = request.headers().get(header::IF_NONE_MATCH);
    let is_known = known.is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut answer = if is_known {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    answer
        .insert_header((header::ETAG, tag))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_FRAME_OPTIONS, "DENY"));
    if is_known {
        return answer.finish();
    }
    answer.content_type(asset.kind).body(asset.text)
}

/// The same for all of one build, so that a page never has parts of two.
fn tag(asset: &Asset) -> String {
    static BUILD: OnceLock<String> = OnceLock::new();
    let build = BUILD.get_or_init(|| {
        let mut hash = Sha256::new_with_prefix(PAGE.text);
        for asset in &ASSETS {
            hash.update(asset.text);
        }
        let hash = hash.finalize();
        hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    });
    format!("\"{build}-{}\"", asset.text.len())
}

/// Nothing but what is above; no script in the page itself, no markup made of text, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::ending::Ending;
    use crate::handshake::refusal::ALL_CODES;

    /// Rows of the tables in docs/protocol.md with so many cells.
    fn rows(cells: usize) -> impl Iterator<Item = Vec<&'static str>> {
        let document = include_str!("../../docs/protocol.md").lines();
        let rows = document.filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
        let rows = rows.map(|row| {
            row.split(" | ")
                .map(|cell| cell.trim_matches('`'))
                .collect()
        });
        rows.filter(move |row: &Vec<_>| row.len() == cells)
    }

    #[test]
    fn the_meanings_are_those_of_the_document() {
        let text = ASSETS.iter().find(|asset| asset.path.ends_with(".json"));
        let meanings: Value = serde_json::from_str(text.unwrap().text).unwrap();
        for (by, reason) in Ending::LABELS {
            let row = rows(5).find(|row| row[..2] == [by, reason]).unwrap();
            let meaning = &meanings["endings"][format!("{by}/{reason}")];
            for (key, cell) in [("code", row[2]), ("reconnect", row[3]), ("when", row[4])] {
                assert_eq!(meaning[key], cell, "{by} {reason}");
            }
        }
        for code in ALL_CODES {
            let row = rows(4).find(|row| row[1] == code).unwrap();
            let meaning = &meanings["refusals"][code];
            for (key, cell) in [("status", row[0]), ("when", row[2])] {
                assert_eq!(meaning[key], cell, "{code}");
            }
        }
        let count = |kind: &str| meanings[kind].as_object().map(serde_json::Map::len);
        assert_eq!(count("endings"), Some(Ending::LABELS.len()));
        assert_eq!(count("refusals"), Some(ALL_CODES.len()));
    }

    #[test]
    fn every_module_that_is_imported_is_served() {
        for asset in ASSETS.iter().filter(|asset| asset.path.ends_with(".js")) {
            for rest in asset.text.split("from \"./").skip(1) {
                let name = rest.split('"').next().unwrap_or_default();
                let path = format!("/live/{name}");
                assert!(ASSETS.iter().any(|asset| asset.path == path), "{path}");
            }
        }
    }
}
