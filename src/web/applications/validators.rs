//! Entity tags of rewritten answers. A page with the library in it is another representation than the origin's, and
//! another one again when the library changes (RFC 9110 section 8.8.3).
//!
//! The gateway keeps nothing: the browser's tag holds the origin's validator and a mark for what was done to it, and a
//! conditional request is turned back into the origin's terms. A tag of another mark is not asked for.

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
            None => last_modified.map(|date| Self::Date(date.trim().to_owned())),
        }
    }

    /// The entity tag of the rewritten answer. Weak: the origin did not vouch for these bytes.
    pub fn marked(&self, mark: &str) -> String {
        let (kind, opaque) = match self {
            Self::Strong(opaque) => ('s', opaque),
            Self::Weak(opaque) => ('w', opaque),
            Self::Date(date) => ('d', date),
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
            "d" => Some(Self::Date(opaque)),
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

/// Turns the conditions of a request back into the origin's terms.
///
/// `rewritable`: whether the answer may be one that is rewritten. Only a tag of ours counts then, for an unchanged page
/// of the origin's is not what the browser should keep; otherwise tags that are not ours pass.
pub fn condition(
    none_match: Option<&str>,
    modified_since: Option<&str>,
    mark: &str,
    rewritable: bool,
) -> Condition {
    let Some(none_match) = none_match else {
        return Condition {
            none_match: None,
            modified_since: modified_since.filter(|_| !rewritable).map(str::to_owned),
        };
    };
    let mut tags = Vec::new();
    let mut date = None;
    for tag in split_tags(none_match) {
        let is_marked = opaque(tag).is_some_and(|(_, text)| text.contains(";smeuse."));
        match Origins::unmarked(tag, mark) {
            Some(Origins::Strong(opaque)) => tags.push(format!("\"{opaque}\"")),
            Some(Origins::Weak(opaque)) => tags.push(format!("W/\"{opaque}\"")),
            Some(Origins::Date(own)) => date = Some(own),
            None if is_marked || rewritable => {}
            None => tags.push(tag.to_owned()),
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
            for rewritable in [true, false] {
                let asked = condition(Some(&kept), Some(DATE), "m1", rewritable);
                assert_eq!(asked.none_match.as_deref(), none_match);
                assert_eq!(asked.modified_since.as_deref(), since);
            }
            // The library is another one now.
            let asked = condition(Some(&kept), Some(DATE), "m2", true);
            assert_eq!(asked, Condition::default());
        }
        assert_eq!(Origins::read(Some("no quotes"), None), None);
        assert_eq!(Origins::read(None, None), None);
    }

    #[test]
    fn tags_that_are_not_ours_count_only_where_nothing_is_rewritten() {
        let list = "\"raw\", W/\"x;smeuse.s.m1\", \"y;smeuse.s.m0\"";
        assert_eq!(
            condition(Some(list), None, "m1", false).none_match.unwrap(),
            "\"raw\", \"x\""
        );
        assert_eq!(
            condition(Some(list), None, "m1", true).none_match.unwrap(),
            "\"x\""
        );
        assert_eq!(
            condition(Some("*"), None, "m1", false).none_match.unwrap(),
            "*"
        );
        assert_eq!(condition(Some("*"), None, "m1", true), Condition::default());
        assert_eq!(
            condition(None, Some(DATE), "m1", true),
            Condition::default()
        );
        assert_eq!(
            condition(None, Some(DATE), "m1", false)
                .modified_since
                .unwrap(),
            DATE
        );
    }
}
