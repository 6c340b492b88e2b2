//! A table of policies, and the promise that none is weaker afterwards.

use proptest::prelude::*;

use super::*;

const HASH: &str = "sha384-lib";

fn script() -> Script<'static> {
    Script {
        secure: true,
        authority: "app.example",
        path: "/_smeuse/smeuse.js",
        hash: HASH,
    }
}

fn enforced(lines: &[&str]) -> Answer {
    let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    answer(&lines, &[], &script())
}

#[test]
fn a_table_of_policies() {
    // The policy, what becomes of it (none: the script stays out), and the nonce.
    let table: &[(&str, Option<&str>, Option<&str>)] = &[
        ("", Some(""), None),
        ("img-src 'none'", Some("img-src 'none'"), None),
        ("script-src 'self'", Some("script-src 'self'"), None),
        ("script-src *", Some("script-src *"), None),
        ("script-src https:", Some("script-src https:"), None),
        ("script-src http:", Some("script-src http:"), None),
        (
            "script-src app.example",
            Some("script-src app.example"),
            None,
        ),
        (
            "script-src https://app.example/_smeuse/",
            Some("script-src https://app.example/_smeuse/"),
            None,
        ),
        (
            "script-src https://app.example:8443",
            Some("script-src https://app.example:8443 'sha384-lib'"),
            None,
        ),
        ("script-src *.example", Some("script-src *.example"), None),
        (
            "script-src *.app.example",
            Some("script-src *.app.example 'sha384-lib'"),
            None,
        ),
        (
            "script-src https://cdn.example",
            Some("script-src https://cdn.example 'sha384-lib'"),
            None,
        ),
        ("script-src 'none'", Some("script-src 'sha384-lib'"), None),
        ("script-src", Some("script-src 'sha384-lib'"), None),
        ("default-src 'none'", Some("default-src 'sha384-lib'"), None),
        (
            "default-src 'none'; script-src 'self'",
            Some("default-src 'none'; script-src 'self'"),
            None,
        ),
        (
            "SCRIPT-SRC 'NONE' ; img-src *",
            Some("SCRIPT-SRC 'sha384-lib' ; img-src *"),
            None,
        ),
        (
            "script-src 'self'; script-src-elem https://cdn.example",
            Some("script-src 'self'; script-src-elem https://cdn.example 'sha384-lib'"),
            None,
        ),
        (
            "script-src 'none'; script-src 'self'",
            Some("script-src 'sha384-lib'; script-src 'self'"),
            None,
        ),
        (
            "script-src 'nonce-r4nd0m' 'strict-dynamic'",
            Some("script-src 'nonce-r4nd0m' 'strict-dynamic'"),
            Some("r4nd0m"),
        ),
        (
            "script-src 'self' 'nonce-r4nd0m'",
            Some("script-src 'self' 'nonce-r4nd0m'"),
            Some("r4nd0m"),
        ),
        (
            "script-src 'self' 'strict-dynamic' 'sha256-x'",
            Some("script-src 'self' 'strict-dynamic' 'sha256-x' 'sha384-lib'"),
            None,
        ),
        (
            "script-src 'self' 'unsafe-inline' 'strict-dynamic'",
            Some("script-src 'self' 'unsafe-inline' 'strict-dynamic' 'sha384-lib'"),
            None,
        ),
        (
            "script-src 'sha384-lib'",
            Some("script-src 'sha384-lib'"),
            None,
        ),
        (
            "script-src 'unsafe-inline' 'self'",
            Some("script-src 'unsafe-inline' 'self'"),
            None,
        ),
        // A hash would forbid the page's own inline scripts.
        ("script-src 'unsafe-inline' https://cdn.example", None, None),
        ("default-src 'unsafe-inline' 'strict-dynamic'", None, None),
        (
            "script-src 'unsafe-inline' 'sha256-x'",
            Some("script-src 'unsafe-inline' 'sha256-x' 'sha384-lib'"),
            None,
        ),
        (
            "sandbox allow-scripts; script-src 'self'",
            Some("sandbox allow-scripts; script-src 'self'"),
            None,
        ),
        ("sandbox", None, None),
        // Two policies in one line; the nonce of the first is not the second's.
        (
            "script-src 'nonce-a',script-src 'nonce-b'",
            Some("script-src 'nonce-a',script-src 'nonce-b' 'sha384-lib'"),
            Some("a"),
        ),
        // Not a nonce that an attribute can bear.
        (
            "script-src 'nonce-\"><x'",
            Some("script-src 'nonce-\"><x' 'sha384-lib'"),
            None,
        ),
    ];
    for (before, after, nonce) in table {
        let answer = enforced(&[before]);
        assert_eq!(answer.runs, after.is_some(), "{before}");
        assert_eq!(answer.enforced, [after.unwrap_or(before)], "{before}");
        assert_eq!(answer.nonce.as_deref(), *nonce, "{before}");
    }
}

#[test]
fn every_header_line_counts_and_is_changed_by_itself() {
    let answer = enforced(&[
        "script-src 'self'",
        "default-src 'none'; connect-src 'self'",
    ]);
    assert_eq!(
        answer.enforced,
        [
            "script-src 'self'",
            "default-src 'sha384-lib'; connect-src 'self'"
        ]
    );
    assert!(answer.connects);
}

#[test]
fn a_policy_that_only_reports_never_keeps_the_script_out() {
    let reported = vec![
        "script-src 'none'".to_owned(),
        "script-src 'unsafe-inline'".to_owned(),
    ];
    let answer = answer(&[], &reported, &script());
    assert!(answer.runs);
    assert_eq!(
        answer.reported,
        ["script-src 'sha384-lib'", "script-src 'unsafe-inline'"]
    );
}

#[test]
fn a_policy_that_forbids_the_configuration_is_told_and_left_alone() {
    for (policy, connects) in [
        ("connect-src 'none'", false),
        ("connect-src https://api.example", false),
        ("default-src 'nonce-a'", false),
        ("connect-src 'self'; default-src 'none'", true),
        ("script-src 'self'", true),
    ] {
        let answer = enforced(&[policy]);
        assert_eq!(answer.connects, connects, "{policy}");
    }
    let policy = "script-src 'self'; connect-src 'none'";
    assert_eq!(enforced(&[policy]).enforced, [policy]);
}

/// What a page may try to run, as the model below judges it.
#[derive(Debug, Clone, Copy)]
enum Attempt {
    /// `<script>`, with a nonce and a hash of its text.
    Inline(Option<&'static str>, &'static str),
    /// `<script src>`: nonce, integrity, address.
    Load(Option<&'static str>, Option<&'static str>, &'static str),
    /// `onclick=`.
    Attribute(&'static str),
    /// `<style>`.
    Style(&'static str),
    /// `eval`.
    Eval,
    /// `new Worker(address)`.
    Worker(&'static str),
}

/// Whether one policy allows it, by section 6 of CSP level 3, written apart from what is tested.
fn allows(policy: &str, attempt: Attempt) -> bool {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for part in policy.split(';') {
        let mut words = part.split_ascii_whitespace().map(str::to_owned);
        let Some(name) = words.next().map(|name| name.to_ascii_lowercase()) else {
            continue;
        };
        if found.iter().all(|(known, _)| *known != name) {
            found.push((name, words.collect()));
        }
    }
    let chain: &[&str] = match attempt {
        Attempt::Inline(..) | Attempt::Load(..) => {
            &["script-src-elem", "script-src", "default-src"]
        }
        Attempt::Attribute(_) => &["script-src-attr", "script-src", "default-src"],
        Attempt::Eval => &["script-src", "default-src"],
        Attempt::Style(_) => &["style-src", "default-src"],
        Attempt::Worker(_) => &["worker-src", "child-src", "script-src", "default-src"],
    };
    let by_name = |name: &&&str| found.iter().find(|(known, _)| known == **name);
    let Some((_, list)) = chain.iter().find_map(|name| by_name(&name)) else {
        return true;
    };
    let has = |word: &str| list.iter().any(|source| source == word);
    let is_listed = |kind: &str, value: &str| has(&format!("'{kind}{value}'"));
    let has_nonce_or_hash = list
        .iter()
        .any(|source| source.starts_with("'nonce-") || source.starts_with("'sha"));
    let is_style = matches!(attempt, Attempt::Style(_));
    let all_inline =
        has("'unsafe-inline'") && !has_nonce_or_hash && (is_style || !has("'strict-dynamic'"));
    let at = |address: &str| {
        has("*") || has(address) || address == "https://app.example" && has("'self'")
    };
    match attempt {
        Attempt::Inline(nonce, hash) => {
            nonce.is_some_and(|nonce| is_listed("nonce-", nonce))
                || is_listed("", hash)
                || all_inline
        }
        Attempt::Load(nonce, integrity, address) => {
            nonce.is_some_and(|nonce| is_listed("nonce-", nonce))
                || integrity.is_some_and(|hash| is_listed("", hash))
                || !has("'strict-dynamic'") && at(address)
        }
        Attempt::Attribute(hash) => all_inline || has("'unsafe-hashes'") && is_listed("", hash),
        Attempt::Style(hash) => all_inline || is_listed("", hash),
        Attempt::Eval => has("'unsafe-eval'"),
        Attempt::Worker(address) => !has("'strict-dynamic'") && at(address),
    }
}

const SOURCES: [&str; 14] = [
    "'none'",
    "'self'",
    "*",
    "https://cdn.example",
    "https://app.example",
    "'unsafe-inline'",
    "'unsafe-eval'",
    "'unsafe-hashes'",
    "'strict-dynamic'",
    "'nonce-a'",
    "'nonce-b'",
    "'sha256-x'",
    "'sha384-lib'",
    "'report-sample'",
];
const NAMES: [&str; 7] = [
    "default-src",
    "script-src",
    "script-src-elem",
    "script-src-attr",
    "style-src",
    "worker-src",
    "img-src",
];

/// Everything but the script's own bytes.
fn attempts() -> Vec<Attempt> {
    let nonces = [None, Some("a"), Some("b"), Some("c")];
    let addresses = [
        "https://cdn.example",
        "https://app.example",
        "https://evil.example",
    ];
    let mut all = vec![Attempt::Eval];
    for hash in ["sha256-x", "sha256-y"] {
        all.push(Attempt::Attribute(hash));
        all.push(Attempt::Style(hash));
        all.extend(nonces.map(|nonce| Attempt::Inline(nonce, hash)));
    }
    for address in addresses {
        all.push(Attempt::Worker(address));
        for integrity in [None, Some("sha256-x"), Some("sha256-y")] {
            all.extend(nonces.map(|nonce| Attempt::Load(nonce, integrity, address)));
        }
    }
    all
}

fn policy() -> impl Strategy<Value = String> {
    let list = prop::collection::vec(prop::sample::select(&SOURCES[..]), 0..5);
    let directive = (prop::sample::select(&NAMES[..]), list)
        .prop_map(|(name, list)| format!("{name} {}", list.join(" ")));
    prop::collection::vec(directive, 0..4).prop_map(|directives| directives.join("; "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_policy_is_weaker_and_the_script_runs(
        lines in prop::collection::vec(policy(), 1..4),
    ) {
        let answer = answer(&lines, &[], &script());
        prop_assert_eq!(answer.enforced.len(), lines.len());
        for (before, after) in lines.iter().zip(&answer.enforced) {
            for attempt in attempts() {
                // Not weaker, and not stricter either: what the page could do it still can.
                prop_assert_eq!(allows(before, attempt), allows(after, attempt), "{} -> {}: {:?}", before, after, attempt);
            }
            let nonce = match answer.nonce.as_deref() {
                Some("a") => Some("a"),
                Some("b") => Some("b"),
                _ => None,
            };
            if answer.runs {
                let own = Attempt::Load(nonce, Some(HASH), "https://app.example");
                prop_assert!(allows(after, own), "{} -> {}", before, after);
            } else {
                prop_assert_eq!(before, after);
            }
        }
    }
}
