//! The promises of ARCHITECTURE.md that a test can keep: the law of imports, pure files, opening
//! sentences, file lengths.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// Every Rust file below `folder`, its path relative to the package.
fn sources(folder: &str) -> Vec<(String, String)> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![package.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the package") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path
                    .strip_prefix(package)
                    .expect("inside")
                    .display()
                    .to_string();
                found.push((name, fs::read_to_string(&path).expect("a file of text")));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

/// The modules of `lib.rs` in the order of their `mod` lines.
fn modules() -> Vec<String> {
    let library = include_str!("../../src/lib.rs");
    let name = |line: &str| Some(line.strip_prefix("pub mod ")?.strip_suffix(';')?.to_owned());
    library.lines().filter_map(name).collect()
}

/// The top-level module a file of `src` belongs to.
fn module_of(file: &str) -> &str {
    let inside = file.strip_prefix("src/").expect("in src");
    let first = inside.split('/').next().unwrap_or_default();
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The top-level modules that `text` names, each with its line.
fn named_modules(text: &str) -> Vec<(usize, String)> {
    let mut named = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for rest in line.split("crate::").skip(1) {
            let end = rest
                .find(|character: char| !character.is_alphanumeric() && character != '_')
                .unwrap_or(rest.len());
            named.push((index + 1, rest[..end].to_owned()));
        }
    }
    named
}

#[test]
fn imports_go_down() {
    let order = modules();
    let place = |module: &str| order.iter().position(|known| known == module);
    let mut checked = 0;
    for (file, text) in sources("src") {
        let own = module_of(&file);
        if own == "lib" || own == "main" {
            continue;
        }
        let own_place = place(own).unwrap_or_else(|| panic!("{file}: lib.rs has no mod {own}"));
        for (line, module) in named_modules(&text) {
            let named_place = place(&module).unwrap_or_else(|| {
                panic!(
                    "{file}:{line}: crate::{module} is no module of lib.rs (or a grouped import)"
                )
            });
            assert!(
                named_place >= own_place,
                "{file}:{line}: {own} may not name {module}, which stands above it"
            );
            checked += 1;
        }
    }
    assert!(checked > 100, "only {checked} paths seen");
}

#[test]
fn the_scan_sees_an_arrow_that_runs_up() {
    assert_eq!(
        named_modules("use crate::app;\nlet x: crate::wire::Y;\n"),
        [(1, "app".to_owned()), (2, "wire".to_owned())]
    );
    assert_eq!(named_modules("use crate::{app};"), [(1, String::new())]);
}

#[test]
fn protocol_is_a_value_without_actors_sockets_or_clocks() {
    let is_pure = |file: &str| {
        file.starts_with("src/wire/")
            || file.starts_with("src/relay/splice")
            || file.starts_with("src/relay/negotiation")
            || file.starts_with("src/relay/server")
            || file.starts_with("src/handshake/")
                && !file.contains("metrics")
                && !file.starts_with("src/handshake/login/machine")
            || [
                "admin/hosts.rs",
                "admin/tickets.rs",
                "admin/live/figures.rs",
                "admin/live/history.rs",
                "admin/live/push.rs",
                "admin/live/query.rs",
                "admin/live/table.rs",
                "relay/violation",
                "relay/greeting",
                "relay/tally",
                "control/command",
                "control/event.rs",
                "upstream/backoff.rs",
                "upstream/held.rs",
                "upstream/order.rs",
                "upstream/pace.rs",
                "downstream/heads",
                "downstream/phase",
                "downstream/address",
                "web/library/configuration",
                "web/library/shelf.rs",
                "upstream/shared/line",
                "upstream/shared/facts",
                "upstream/shared/kinds",
                "upstream/shared/ledger",
                "upstream/shared/slots",
                "upstream/shared/tuning",
                "web/applications/coding",
                "web/applications/config",
                "web/applications/csp",
                "web/applications/failure",
                "web/applications/hop",
                "web/applications/loader",
                "web/applications/page",
                "web/applications/path",
                "web/applications/request",
                "web/applications/response",
                "web/applications/validators",
            ]
            .iter()
            .any(|pure| file.starts_with(&format!("src/{pure}")))
    };
    let mut checked = 0;
    for (file, text) in sources("src").iter().filter(|(file, _)| is_pure(file)) {
        for word in [
            "actix",
            "tokio",
            "Instant::now",
            "SystemTime",
            "std::fs",
            "TcpStream",
        ] {
            let code = text.lines().find(|line| {
                let line = line.trim_start();
                line.contains(word) && !line.starts_with("//")
            });
            assert_eq!(code, None, "{file} names {word}");
        }
        checked += 1;
    }
    assert!(checked > 20, "only {checked} files seen");
}

#[test]
fn every_file_says_what_it_is_for() {
    for folder in ["src", "tests", "benches", "examples"] {
        for (file, text) in sources(folder) {
            assert!(text.starts_with("//! "), "{file} has no opening sentence");
        }
    }
}

#[test]
fn no_file_is_a_giant() {
    for folder in ["src", "tests", "benches"] {
        for (file, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= 600, "{file} has {lines} lines");
        }
    }
    let main = include_str!("../../src/main.rs").lines().count();
    assert!(main <= 80, "main.rs has {main} lines: it is a page");
}

#[test]
fn the_page_on_extensions_shows_the_example_that_is_built() {
    let page = include_str!("../../docs/extensions.md");
    let gateways = include_str!("../../examples/stamp/extension.rs");
    let pages = include_str!("../../examples/stamp/acme-stamp.js");
    let alone = include_str!("../../examples/measure/acme-measure.js");
    assert!(page.contains(&format!("```rust\n{gateways}```")));
    assert!(page.contains(&format!("```js\n{pages}```")));
    assert!(page.contains(&format!("```js\n{alone}```")));
}
