//! Content-Security-Policy (CSP level 3): what a page's policies say to the library's script, and the one addition that
//! lets it run.
//!
//! A policy is never loosened: where it has a nonce, the script bears it; where it would forbid the script, the hash of
//! the script's bytes, and nothing else, joins the directive that decides.

/// The library's script, as the page will load it.
#[derive(Debug, Clone, Copy)]
pub struct Script<'a> {
    /// Whether the page came over TLS.
    pub secure: bool,
    /// Host and port of the page, as in its `Host` header.
    pub authority: &'a str,
    /// The script's path.
    pub path: &'a str,
    /// `sha384-...`, which is also the element's attribute `integrity`.
    pub hash: &'a str,
}

/// What becomes of the script under a page's policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether the script may be put into the page. Without, no policy was changed.
    pub runs: bool,
    /// Whether the page may fetch the gateway's configuration (`connect-src`).
    pub connects: bool,
    /// The nonce that the script bears.
    pub nonce: Option<String>,
    /// The lines of `Content-Security-Policy`.
    pub enforced: Vec<String>,
    /// The lines of `Content-Security-Policy-Report-Only`.
    pub reported: Vec<String>,
}

/// What the policies in these header lines say to the script.
pub fn answer(enforced: &[String], reported: &[String], script: &Script<'_>) -> Answer {
    let lines = || enforced.iter().chain(reported);
    let nonce = lines()
        .flat_map(|line| policies(line))
        .find_map(|policy| {
            let policy = Policy::parse(policy);
            let sources = &policy.deciding()?.sources;
            sources.iter().find_map(|source| nonce(source))
        })
        .map(str::to_owned);
    let unchanged = |runs, connects| Answer {
        runs,
        connects,
        nonce: None,
        enforced: enforced.to_vec(),
        reported: reported.to_vec(),
    };
    let mut connects = true;
    let mut changed = Vec::new();
    for line in enforced {
        for policy in policies(line) {
            let policy = Policy::parse(policy);
            connects &= policy.lets_connect(script);
            if policy.is_sandbox_without_scripts() {
                return unchanged(false, false);
            }
        }
        match with_script(line, nonce.as_deref(), script) {
            Some(line) => changed.push(line),
            None => return unchanged(false, connects),
        }
    }
    // A policy that only reports forbids nothing: where it cannot be told of the script, it reports it.
    let report =
        |line: &String| with_script(line, nonce.as_deref(), script).unwrap_or_else(|| line.clone());
    Answer {
        runs: true,
        connects,
        enforced: changed,
        reported: reported.iter().map(report).collect(),
        nonce,
    }
}

/// The line with the script's hash where a policy needs it; none if that would break the page.
fn with_script(line: &str, nonce: Option<&str>, script: &Script<'_>) -> Option<String> {
    let texts: Option<Vec<String>> = policies(line)
        .map(|text| {
            let policy = Policy::parse(text);
            match policy.deciding() {
                None => Some(text.to_owned()),
                Some(list) if list.allows(nonce, script) => Some(text.to_owned()),
                Some(list) if list.would_lose_inline() => None,
                Some(list) => Some(list.with_hash(text, script.hash)),
            }
        })
        .collect();
    Some(texts?.join(","))
}

/// The policies of one header line; a comma cannot be part of one (CSP section 2.2.1).
fn policies(line: &str) -> impl Iterator<Item = &str> {
    line.split(',')
}

/// One policy: its directives by name, the first of a name counting.
struct Policy<'a> {
    directives: Vec<Directive<'a>>,
}

struct Directive<'a> {
    name: String,
    /// Where in the policy's text its value begins and ends.
    start: usize,
    end: usize,
    sources: Vec<&'a str>,
}

impl<'a> Policy<'a> {
    fn parse(text: &'a str) -> Self {
        let mut directives: Vec<Directive<'a>> = Vec::new();
        let mut at = 0;
        for part in text.split(';') {
            let start = at;
            at += part.len() + 1;
            let trimmed = part.trim_matches(is_space);
            let Some(name) = trimmed
                .split(is_space)
                .next()
                .filter(|name| !name.is_empty())
            else {
                continue;
            };
            let name_at = start + part.len() - part.trim_start_matches(is_space).len();
            let lower = name.to_ascii_lowercase();
            if directives.iter().any(|known| known.name == lower) {
                continue;
            }
            let value = &trimmed[name.len()..];
            directives.push(Directive {
                name: lower,
                start: name_at + name.len(),
                end: name_at + trimmed.len(),
                sources: value
                    .split(is_space)
                    .filter(|source| !source.is_empty())
                    .collect(),
            });
        }
        Self { directives }
    }

    fn directive(&self, name: &str) -> Option<&Directive<'a>> {
        self.directives.iter().find(|known| known.name == name)
    }

    /// The directive that decides on a script element (CSP section 6.8.3).
    fn deciding(&self) -> Option<&Directive<'a>> {
        ["script-src-elem", "script-src", "default-src"]
            .iter()
            .find_map(|name| self.directive(name))
    }

    fn lets_connect(&self, script: &Script<'_>) -> bool {
        let list = self
            .directive("connect-src")
            .or_else(|| self.directive("default-src"));
        list.is_none_or(|list| list.matches_address(script))
    }

    fn is_sandbox_without_scripts(&self) -> bool {
        self.directive("sandbox").is_some_and(|sandbox| {
            let mut flags = sandbox.sources.iter();
            !flags.any(|flag| flag.eq_ignore_ascii_case("allow-scripts"))
        })
    }
}

impl Directive<'_> {
    /// CSP section 6.7.1.1: nonce, then integrity, then `'strict-dynamic'`, then the address.
    fn allows(&self, nonce_of_script: Option<&str>, script: &Script<'_>) -> bool {
        let has_nonce =
            |source: &&str| nonce(source).is_some_and(|own| Some(own) == nonce_of_script);
        let has_hash = |source: &&str| hash(source) == Some(script.hash);
        self.sources
            .iter()
            .any(|source| has_nonce(source) || has_hash(source))
            || !self.has_keyword("'strict-dynamic'") && self.matches_address(script)
    }

    fn has_keyword(&self, keyword: &str) -> bool {
        self.sources
            .iter()
            .any(|source| source.eq_ignore_ascii_case(keyword))
    }

    /// Whether `'unsafe-inline'` counts here, which it would no longer do beside a hash.
    fn would_lose_inline(&self) -> bool {
        let is_strict = self.has_keyword("'strict-dynamic'") && self.name != "default-src";
        self.has_keyword("'unsafe-inline'")
            && !is_strict
            && !self
                .sources
                .iter()
                .any(|source| nonce(source).is_some() || hash(source).is_some())
    }

    fn matches_address(&self, script: &Script<'_>) -> bool {
        self.sources
            .iter()
            .any(|source| matches_address(source, script))
    }

    /// The policy's text with the hash in this directive. `'none'` says nothing beside another source.
    fn with_hash(&self, text: &str, hash: &str) -> String {
        let is_none = matches!(self.sources[..], [only] if only.eq_ignore_ascii_case("'none'"));
        let kept = if is_none {
            ""
        } else {
            &text[self.start..self.end]
        };
        format!(
            "{}{kept} '{hash}'{}",
            &text[..self.start],
            &text[self.end..]
        )
    }
}

/// The value of `'nonce-...'`, if it is one that an attribute can bear.
fn nonce(source: &str) -> Option<&str> {
    let value = keyword_value(source, "'nonce-")?;
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte);
    (!value.is_empty() && value.bytes().all(is_base64)).then_some(value)
}

/// `sha256-...` and the like, without quotes.
fn hash(source: &str) -> Option<&str> {
    let inner = source.strip_prefix('\'')?.strip_suffix('\'')?;
    let (algorithm, value) = inner.split_once('-')?;
    let is_known = ["sha256", "sha384", "sha512"]
        .iter()
        .any(|known| algorithm.eq_ignore_ascii_case(known));
    (is_known && !value.is_empty()).then_some(inner)
}

fn keyword_value<'a>(source: &'a str, prefix: &str) -> Option<&'a str> {
    let head = source.get(..prefix.len())?;
    if !head.eq_ignore_ascii_case(prefix) {
        return None;
    }
    source.get(prefix.len()..)?.strip_suffix('\'')
}

/// CSP section 6.7.2.8, on the safe side: what is not surely a match is none, and costs a hash.
fn matches_address(source: &str, script: &Script<'_>) -> bool {
    let scheme = if script.secure { "https" } else { "http" };
    let (host, port) = split_port(script.authority);
    let port = port.unwrap_or(if script.secure { "443" } else { "80" });
    if source == "*" || source.eq_ignore_ascii_case("'self'") {
        return true;
    }
    // `http:` covers https as well, not the other way round.
    let covers = |wanted: &str| {
        wanted.eq_ignore_ascii_case(scheme) || script.secure && wanted.eq_ignore_ascii_case("http")
    };
    if let Some(wanted) = source.strip_suffix(':') {
        return covers(wanted);
    }
    if source.starts_with('\'') {
        return false;
    }
    let (fits_scheme, rest) = match source.split_once("://") {
        Some((wanted, rest)) => (covers(wanted), rest),
        None => (true, source),
    };
    let (wanted_authority, wanted_path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (wanted_host, wanted_port) = split_port(wanted_authority);
    let fits_host = match wanted_host.strip_prefix("*.") {
        Some(parent) => host
            .to_ascii_lowercase()
            .strip_suffix(&parent.to_ascii_lowercase())
            .is_some_and(|sub| sub.ends_with('.')),
        None => wanted_host.eq_ignore_ascii_case(host),
    };
    let fits_port = match wanted_port {
        Some("*") => true,
        Some(wanted) => wanted == port,
        None => port == if script.secure { "443" } else { "80" },
    };
    let fits_path = match wanted_path {
        "" | "/" => true,
        folder if folder.ends_with('/') => script.path.starts_with(folder),
        exact => exact == script.path,
    };
    fits_scheme && fits_host && fits_port && fits_path
}

/// Host and port of an authority; an IPv6 address keeps its brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// ASCII whitespace as CSP means it.
fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\x0c' | '\r')
}

#[cfg(test)]
mod tests;
