//! Whether a request was meant for this listener, and whether its page is this listener's own: what keeps strange pages
//! in an operator's browser from asking in the operator's name.
//!
//! A page of an attacker's can give its own name the address of this listener (DNS rebinding); then its requests are of
//! its own origin, and only the name in `Host` gives it away. Such a name has a dot, because the root of the DNS is
//! nobody's to give names in.

use std::net::IpAddr;
use std::net::Ipv6Addr;

/// The names by which this listener may be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// These names, `host` or `host:port`, besides those that are always good.
    ///
    /// # Errors
    /// The first that is no name.
    pub fn new(names: &[String]) -> Result<Self, String> {
        let is_fit = |name: &&String| {
            let (host, port) = split(name);
            let is_plain =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            !host.is_empty()
                && host.bytes().all(is_plain)
                && port.is_none_or(|port| port.parse::<u16>().is_ok())
        };
        match names.iter().find(|name| !is_fit(name)) {
            Some(name) => Err(format!("{name:?} is no name of a host")),
            None => Ok(Self(names.iter().map(|name| canonical(name)).collect())),
        }
    }

    /// Whether a request with this `Host` was meant for this listener. One without is no browser's.
    pub fn allow(&self, host: Option<&str>) -> bool {
        let Some(host) = host else {
            return true;
        };
        let authority = canonical(host);
        let (name, _) = split(&authority);
        let is_own = |own: &String| *own == authority || own == name;
        let is_address = name.parse::<IpAddr>().is_ok() || is_bracketed(name);
        let has_dot = name.contains('.');
        !name.is_empty()
            && (is_address || !has_dot || name.ends_with(".localhost") || self.0.iter().any(is_own))
    }

    /// Whether this request comes from a page of this listener, or from no page at all.
    ///
    /// Browsers name the page in `Origin` with every request that is not `GET` and with every WebSocket, and say in
    /// `Sec-Fetch-Site` how far it is from here; programs do neither.
    pub fn is_own(&self, host: Option<&str>, origin: Option<&str>, site: Option<&str>) -> bool {
        if site.is_some_and(|site| site != "same-origin" && site != "none") {
            return false;
        }
        let Some(origin) = origin else {
            return true;
        };
        let authority = ["http://", "https://"]
            .iter()
            .find_map(|scheme| origin.strip_prefix(scheme));
        authority.is_some_and(|authority| {
            let authority = canonical(authority);
            host.is_some_and(|host| canonical(host) == authority) || self.0.contains(&authority)
        })
    }
}

/// Lower case, without the dot that ends a full name.
fn canonical(authority: &str) -> String {
    let authority = authority.trim().to_ascii_lowercase();
    let (host, port) = split(&authority);
    let host = host.strip_suffix('.').unwrap_or(host);
    match port {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn split(authority: &str) -> (&str, Option<&str>) {
    if authority.ends_with(']') {
        return (authority, None);
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    }
}

fn is_bracketed(host: &str) -> bool {
    let inside = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inside.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&str]) -> Hosts {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        Hosts::new(&names).unwrap()
    }

    #[test]
    fn addresses_local_names_and_those_configured_may_be_asked() {
        let hosts = hosts(&["Ops.example.com", "other.example.com:8443"]);
        for good in [
            "localhost:15673",
            "LOCALHOST",
            "x.localhost:1",
            "127.0.0.1:15673",
            "[::1]:15673",
            "[2001:db8::1]",
            "192.0.2.7",
            "smeuse:15673",
            "ops.example.com",
            "ops.example.com.:9999",
            "other.example.com:8443",
        ] {
            assert!(hosts.allow(Some(good)), "{good}");
        }
        for bad in [
            "evil.example:15673",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "sub.ops.example.com",
            "other.example.com:8444",
            "other.example.com",
            "",
            ":15673",
        ] {
            assert!(!hosts.allow(Some(bad)), "{bad}");
        }
        assert!(hosts.allow(None));
    }

    #[test]
    fn a_page_is_our_own_if_it_came_from_where_it_asks() {
        let hosts = hosts(&["ops.example.com"]);
        let host = Some("localhost:15673");
        for (origin, site, is_own) in [
            (None, None, true),
            (None, Some("same-origin"), true),
            (None, Some("none"), true),
            (Some("http://localhost:15673"), Some("same-origin"), true),
            (Some("http://LOCALHOST:15673"), None, true),
            (Some("https://ops.example.com"), None, true),
            (None, Some("cross-site"), false),
            // The same host with another port is the same site, and another's page.
            (Some("http://localhost:15670"), Some("same-site"), false),
            (Some("http://localhost:15670"), None, false),
            (Some("http://ops.example.com:8080"), None, false),
            (Some("http://evil.example"), None, false),
            (Some("null"), None, false),
            (Some("localhost:15673"), None, false),
            (Some(""), None, false),
        ] {
            assert_eq!(
                hosts.is_own(host, origin, site),
                is_own,
                "{origin:?} {site:?}"
            );
        }
        assert!(!hosts.is_own(None, Some("http://localhost:15673"), None));
    }

    #[test]
    fn only_names_can_be_configured() {
        for bad in [
            "",
            "http://a.example",
            "a.example/b",
            "a b",
            "a.example:x",
            ":1",
            "*",
        ] {
            assert!(Hosts::new(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
