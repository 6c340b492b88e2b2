//! Entity tags of rewritten answers. A page with the library in it is another representation than the origin's, and
//! another one again when the library changes (RFC 9110 section 8.8.3).
//!
//! The gateway keeps nothing: the browser's tag holds the origin's validator and a mark for what was done to it, and a
//! conditional request is turned back into the origin's terms. A tag of another mark is not asked for.

use httpdate::HttpDate;

/// What the origin told with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// A strong entity tag, without quotes.
    Strong(String),
    /// A weak one.
    Weak(String),
    /// Only `Last-Modified`.
    Date(String),
}

impl Origins {
    /// The validator among the headers of an answer: the entity tag, else the date.
    pub fn read(etag: Option<&str>, last_modified: Option<&str>) -> Option<Self> {
        match etag.map(str::trim) {
            Some(etag) => {
                let (is_weak, opaque) = opaque(etag)?;
                let own = opaque.to_owned();
                Some(if is_weak {
                    Self::Weak(own)
                } else {
                    Self::Strong(own)
                })
            }
            None => last_modified.and_then(|date| Self::dated(date.trim())),
        }
    }

    /// A date, if it is one (RFC 9110 section 5.6.7).
    fn dated(date: &str) -> Option<Self> {
        date.parse::<HttpDate>()
            .is_ok()
            .then(|| Self::Date(date.to_owned()))
    }

    /// The entity tag of the rewritten answer. Weak: the origin did not vouch for these bytes.
    pub fn marked(&self, mark: &str) -> String {
        let dashed;
        let (kind, opaque) = match self {
            Self::Strong(opaque) => ('s', opaque),
            Self::Weak(opaque) => ('w', opaque),
            // A date has spaces, which a tag has not, and a comma, at which some readers of lists split.
            Self::Date(date) => {
                dashed = date.replace(' ', "_").replace(',', ".");
                ('d', &dashed)
            }
        };
        format!("W/\"{opaque};smeuse.{kind}.{mark}\"")
    }

    /// The origin's validator in a tag of ours; none if the tag is not ours or of another mark.
    fn unmarked(tag: &str, mark: &str) -> Option<Self> {
        let (_, marked) = opaque(tag)?;
        let (opaque, end) = marked.rsplit_once(";smeuse.")?;
        let (kind, own) = end.split_once('.')?;
        let opaque = opaque.to_owned();
        match kind {
            _ if own != mark => None,
            "s" => Some(Self::Strong(opaque)),
            "w" => Some(Self::Weak(opaque)),
            "d" => Self::dated(&opaque.replace('_', " ").replace('.', ",")),
            _ => None,
        }
    }
}

/// What to ask the origin in place of the browser's conditions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Condition {
    /// `If-None-Match`.
    pub none_match: Option<String>,
    /// `If-Modified-Since`.
    pub modified_since: Option<String>,
}

/// Which answers are worth a confirmation: a browser that has another one gets it anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The origin's own: a rewritten one is not what the browser should keep.
    Origins,
    /// A rewritten one, not the origin's own.
    Rewritten,
    /// Either: what is not ours passes.
    Either,
}

/// Turns the conditions of a request back into the origin's terms.
pub fn condition(
    none_match: Option<&str>,
    modified_since: Option<&str>,
    mark: &str,
    wanted: Wanted,
) -> Condition {
    let only_ours = wanted == Wanted::Rewritten;
    let Some(none_match) = none_match else {
        return Condition {
            none_match: None,
            modified_since: modified_since.filter(|_| !only_ours).map(str::to_owned),
        };
    };
    let mut tags = Vec::new();
    let mut date = None;
    for tag in split_tags(none_match) {
        if !is_marked(tag) {
            if !only_ours {
                tags.push(tag.to_owned());
            }
            continue;
        }
        let ours = Origins::unmarked(tag, mark).filter(|_| wanted != Wanted::Origins);
        match ours {
            Some(Origins::Strong(opaque)) => tags.push(format!("\"{opaque}\"")),
            Some(Origins::Weak(opaque)) => tags.push(format!("W/\"{opaque}\"")),
            Some(Origins::Date(own)) => date = Some(own),
            None => {}
        }
    }
    if tags.is_empty() {
        return Condition {
            none_match: None,
            modified_since: date,
        };
    }
    Condition {
        none_match: Some(tags.join(", ")),
        modified_since: None,
    }
}

/// Whether a text has a tag of ours in it.
pub fn is_marked(text: &str) -> bool {
    text.contains(";smeuse.")
}

/// The tags of a list; a comma may stand inside one.
fn split_tags(list: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    list.split(move |character| {
        if character == '"' {
            is_quoted = !is_quoted;
        }
        character == ',' && !is_quoted
    })
    .map(str::trim)
    .filter(|tag| !tag.is_empty())
}

/// Whether a tag is weak, and what stands between its quotes.
fn opaque(tag: &str) -> Option<(bool, &str)> {
    let (is_weak, quoted) = match tag.strip_prefix("W/") {
        Some(rest) => (true, rest),
        None => (false, tag),
    };
    let opaque = quoted.strip_prefix('"')?.strip_suffix('"')?;
    (!opaque.contains('"')).then_some((is_weak, opaque))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Wed, 25 Nov 2026 10:00:00 GMT";

    #[test]
    fn what_a_browser_keeps_comes_back_as_what_the_origin_gave() {
        for (etag, date, none_match, since) in [
            (Some("\"abc\""), Some(DATE), Some("\"abc\""), None),
            (Some("W/\"a,b\""), None, Some("W/\"a,b\""), None),
            (Some("\"\""), None, Some("\"\""), None),
            (None, Some(DATE), None, Some(DATE)),
        ] {
            let kept = Origins::read(etag, date).unwrap().marked("m1");
            assert!(kept.starts_with("W/\"") && is_marked(&kept), "{kept}");
            assert!(!kept.contains(' '), "{kept}");
            for wanted in [Wanted::Rewritten, Wanted::Either] {
                let asked = condition(Some(&kept), Some(DATE), "m1", wanted);
                assert_eq!(asked.none_match.as_deref(), none_match);
                assert_eq!(asked.modified_since.as_deref(), since);
            }
            // The library is another one now, or there is to be none.
            let asked = condition(Some(&kept), Some(DATE), "m2", Wanted::Rewritten);
            assert_eq!(asked, Condition::default());
            let asked = condition(Some(&kept), Some(DATE), "m1", Wanted::Origins);
            assert_eq!(asked, Condition::default());
        }
        assert_eq!(Origins::read(Some("no quotes"), None), None);
        assert_eq!(Origins::read(None, Some("yesterday")), None);
        for invented in ["W/\"x;smeuse.d.m1\"", "W/\"Wed._25_Nov_2026;smeuse.d.m1\""] {
            let asked = condition(Some(invented), None, "m1", Wanted::Either);
            assert_eq!(asked, Condition::default());
        }
        assert_eq!(Origins::read(None, None), None);
    }

    #[test]
    fn tags_that_are_not_ours_count_only_where_nothing_is_rewritten() {
        let list = "\"raw\", W/\"x;smeuse.s.m1\", \"y;smeuse.s.m0\"";
        assert_eq!(
            condition(Some(list), None, "m1", Wanted::Either)
                .none_match
                .unwrap(),
            "\"raw\", \"x\""
        );
        assert_eq!(
            condition(Some(list), None, "m1", Wanted::Rewritten)
                .none_match
                .unwrap(),
            "\"x\""
        );
        assert_eq!(
            condition(Some(list), None, "m1", Wanted::Origins)
                .none_match
                .unwrap(),
            "\"raw\""
        );
        assert_eq!(
            condition(Some("*"), None, "m1", Wanted::Either)
                .none_match
                .unwrap(),
            "*"
        );
        assert_eq!(
            condition(Some("*"), None, "m1", Wanted::Rewritten),
            Condition::default()
        );
        assert_eq!(
            condition(None, Some(DATE), "m1", Wanted::Rewritten),
            Condition::default()
        );
        assert_eq!(
            condition(None, Some(DATE), "m1", Wanted::Either)
                .modified_since
                .unwrap(),
            DATE
        );
    }
}
