//! Whether a request's path lies below a prefix, and whether it can be trusted to mean the same to an origin.

use percent_encoding::percent_decode_str;

/// Whether `path` is `prefix` or lies below it. The prefix ends where a segment ends: `/shop` covers `/shop/a`, not
/// `/shopping`.
pub fn is_below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether an origin may read another path out of this one, and leave the prefix that let it through: dot segments,
/// plain, encoded, behind encoded separators or with parameters; bytes that end strings or lines.
pub fn is_treacherous(path: &str) -> bool {
    if !path.starts_with('/') {
        return true;
    }
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    if decoded.iter().any(u8::is_ascii_control) {
        return true;
    }
    decoded
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .map(|segment| {
            segment
                .split(|byte| *byte == b';')
                .next()
                .unwrap_or_default()
        })
        .any(|segment| matches!(segment, b"." | b".."))
}

/// Whether a path belongs to the gateway itself, whatever an application claims.
pub fn is_gateways(path: &str) -> bool {
    is_below(path, "/_smeuse")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_a_segment_ends() {
        for (path, prefix, is) in [
            ("/", "/", true),
            ("/shop", "/", true),
            ("/shop", "/shop", true),
            ("/shop/", "/shop", true),
            ("/shop/a", "/shop/", true),
            ("/shopping", "/shop", false),
            ("/shop%2fa", "/shop", false),
            ("/Shop", "/shop", false),
            ("/", "/shop", false),
        ] {
            assert_eq!(is_below(path, prefix), is, "{path} {prefix}");
        }
    }

    #[test]
    fn paths_that_climb_are_found_in_every_disguise() {
        for path in [
            "/a/../b",
            "/..",
            "/a/.",
            "/a/%2e%2e/b",
            "/a/.%2E",
            "/a/..%2fb",
            "/a%2f..%2fb",
            "/a/..%5cb",
            "/a\\..\\b",
            "/a/..;x=1/b",
            "/a/%2e;/b",
            "/a%00b",
            "/a%0d%0ab",
            "/a%7f",
            "",
            "a",
            "*",
        ] {
            assert!(is_treacherous(path), "{path}");
        }
        for path in [
            "/",
            "/a/b.c",
            "/a/...",
            "/.well-known/x",
            "/a..b",
            "/group%2Fproject",
            "/a;b=..",
            "/%c3%a9",
            "/a/..b",
        ] {
            assert!(!is_treacherous(path), "{path}");
        }
    }
}
