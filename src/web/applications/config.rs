//! The settings of web applications that are served through the gateway.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use http::uri::Authority;
use http::Uri;
use serde::Deserialize;
use serde::Serialize;

use crate::upstream::config::Tls;
use crate::web::applications::origin::Connector;
use crate::web::applications::path;

/// An entry of `[[web.applications]]`: a path prefix or a host, and what is behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Application {
    /// Names it in metrics and in the log.
    pub name: String,
    /// It has the requests at and below this path; the longest path of all applications counts. The origin sees the
    /// path as it came.
    pub path: String,
    /// Only requests for this host; any without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Where the requests go: scheme, host and port. Either this or a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Files that are served below the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// The protocol towards the origin.
    pub protocol: Protocol,
    /// For an `https` origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Which `Host` the origin sees.
    pub host_header: HostHeader,
    /// Whether pages get the browser library.
    pub rewrite: bool,
    /// Paths at and below which pages are left as they are.
    pub skip: Vec<String>,
    /// Pages whoever asks for them: those that a service worker fetches to keep them.
    pub documents: Vec<String>,
    /// JavaScript modules that open sockets without a page: workers of type "module", above all.
    pub modules: Vec<String>,
    /// Classic worker scripts that open sockets.
    pub workers: Vec<String>,
    /// Bytes of a tag in a page that are held until it is complete.
    pub tag_bytes: NonZeroUsize,
    /// Largest body of a request.
    pub body_bytes: u64,
    /// Largest head of an answer of the origin's, from 8,192.
    pub head_bytes: usize,
    /// Requests under way at once.
    pub requests: NonZeroUsize,
    /// Idle connections to the origin that are kept, per worker.
    pub idle_connections: usize,
    /// How long; shorter than the origin keeps them.
    #[serde(with = "humantime_serde")]
    pub idle: Duration,
    /// Time for name resolution, TCP and TLS.
    #[serde(with = "humantime_serde")]
    pub connect_deadline: Duration,
    /// Time from the end of a request to the head of its answer.
    #[serde(with = "humantime_serde")]
    pub head_deadline: Duration,
    /// Longest pause within a body, either way.
    #[serde(with = "humantime_serde")]
    pub body_pause: Duration,
    /// WebSockets of the application's own at once; 0 refuses them.
    pub websockets: usize,
    /// Longest silence of such a WebSocket, both ways.
    #[serde(with = "humantime_serde")]
    pub websocket_silence: Duration,
}

/// What is spoken with the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// HTTP/2 where the origin offers it over TLS, else HTTP/1.1.
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only, over plain TCP too.
    Http2,
}

/// The `Host` that the origin sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostHeader {
    /// The browser's.
    Preserve,
    /// The one in `origin`.
    Origin,
}

impl Default for Application {
    fn default() -> Self {
        Self {
            name: String::new(),
            path: "/".to_owned(),
            host: None,
            origin: None,
            folder: None,
            protocol: Protocol::Auto,
            tls: None,
            host_header: HostHeader::Preserve,
            rewrite: true,
            skip: Vec::new(),
            documents: Vec::new(),
            modules: Vec::new(),
            workers: Vec::new(),
            tag_bytes: non_zero(256 * 1024),
            body_bytes: 16 * 1024 * 1024,
            head_bytes: 64 * 1024,
            requests: non_zero(1_000),
            idle_connections: 32,
            idle: Duration::from_secs(4),
            connect_deadline: Duration::from_secs(5),
            head_deadline: Duration::from_secs(60),
            body_pause: Duration::from_secs(60),
            websockets: 1_000,
            websocket_silence: Duration::from_secs(300),
        }
    }
}

/// Where the requests of an application go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Whether over TLS.
    pub secure: bool,
    /// Host and port, as in `Host`.
    pub authority: Authority,
}

impl Origin {
    /// The host, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        self.authority.host().trim_matches(['[', ']'])
    }

    /// The port, that of the scheme by default.
    pub fn port(&self) -> u16 {
        let default = if self.secure { 443 } else { 80 };
        self.authority.port_u16().unwrap_or(default)
    }

    fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let secure = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let authority = uri.authority()?.clone();
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let is_fit = !authority.as_str().contains('@') && !authority.host().is_empty();
        let has_port =
            authority.port().is_none() || authority.port_u16().is_some_and(|port| port != 0);
        (is_bare && is_fit && has_port).then_some(Self { secure, authority })
    }
}

impl Application {
    /// Where its requests go; none for a folder.
    pub fn origin(&self) -> Option<Origin> {
        self.origin.as_deref().and_then(Origin::parse)
    }

    /// Checks the files that it names.
    ///
    /// # Errors
    ///
    /// `key: reason`
    pub fn check_files(&self) -> Result<(), String> {
        if let Some(folder) = self.folder.as_ref().filter(|folder| !folder.is_dir()) {
            return Err(format!("folder: {} is not a folder", folder.display()));
        }
        match self.origin() {
            Some(origin) => Connector::load(self, origin).map(drop),
            None => Ok(()),
        }
    }

    /// Whether a path is in a list, in which a `*` stands for what a build puts into a name.
    pub fn is_listed(list: &[String], path: &str) -> bool {
        list.iter().any(|listed| match listed.split_once('*') {
            None => listed == path,
            Some((before, behind)) => path
                .strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(behind))
                .is_some_and(|any| !any.contains('/')),
        })
    }

    /// Whether pages at this path are left as they are.
    pub fn is_skipped(&self, path: &str) -> bool {
        !self.rewrite || self.skip.iter().any(|skip| path::is_below(path, skip))
    }

    fn validate(&self) -> Result<(), String> {
        check_path("path", &self.path)?;
        if path::is_gateways(&self.path) {
            return Err("path: what lies below /_smeuse is the gateway's own".to_owned());
        }
        for (key, paths, stars) in [
            ("skip", &self.skip, 0),
            ("documents", &self.documents, 1),
            ("modules", &self.modules, 1),
            ("workers", &self.workers, 1),
        ] {
            for (index, path) in paths.iter().enumerate() {
                let key = format!("{key}.{index}");
                check_path(&key, path)?;
                if path.matches('*').count() > stars {
                    return Err(format!("{key}: {path:?} has more than {stars} \"*\""));
                }
            }
        }
        if let Some(host) = &self.host {
            let is_name = host
                .parse::<Authority>()
                .is_ok_and(|authority| authority.host() == *host);
            if !is_name || host.contains('@') {
                return Err(format!("host: {host:?} is not a host name without port"));
            }
        }
        match (&self.origin, &self.folder) {
            (Some(_), Some(_)) => {
                return Err("folder: an application has an origin or a folder, not both".to_owned());
            }
            (None, None) => {
                return Err("origin: an application needs an origin or a folder".to_owned())
            }
            (Some(origin), None) => {
                let Some(origin) = Origin::parse(origin) else {
                    return Err(
                        "origin: must be http:// or https:// with host and port, and no path"
                            .to_owned(),
                    );
                };
                if self.tls.is_some() && !origin.secure {
                    return Err("tls: is for an https:// origin".to_owned());
                }
            }
            (None, Some(_)) => {}
        }
        if self.head_bytes < HEAD_MIN {
            return Err(format!("head_bytes: must be at least {HEAD_MIN}"));
        }
        for (key, duration) in [
            ("idle", self.idle),
            ("connect_deadline", self.connect_deadline),
            ("head_deadline", self.head_deadline),
            ("body_pause", self.body_pause),
            ("websocket_silence", self.websocket_silence),
        ] {
            if duration.is_zero() || duration > DURATION_MAX {
                return Err(format!(
                    "{key}: must be longer than zero and at most one day"
                ));
            }
        }
        Ok(())
    }
}

/// Checks what the types cannot say of all applications together.
///
/// # Errors
///
/// Text of the form `key: reason`, the key relative to `[web]`.
pub fn validate(applications: &[Application], library: bool) -> Result<(), String> {
    for (index, application) in applications.iter().enumerate() {
        let name = &application.name;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(format!(
                "applications.{index}.name: {name:?} is not a name of letters, digits, '-', '_' and '.'"
            ));
        }
        let key = |text: String| format!("applications.{index}.{text}");
        application.validate().map_err(key)?;
        if application.rewrite && !library {
            return Err(key("rewrite: needs web.library, which is off".to_owned()));
        }
        for earlier in &applications[..index] {
            if earlier.name == *name {
                return Err(key(format!("name: {name:?} is taken")));
            }
            let is_same =
                |one: &str, other: &str| one.trim_end_matches('/') == other.trim_end_matches('/');
            if earlier.host == application.host && is_same(&earlier.path, &application.path) {
                return Err(key(format!("path: is the one of {:?}", earlier.name)));
            }
        }
    }
    Ok(())
}

fn check_path(key: &str, text: &str) -> Result<(), String> {
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'));
    if !is_plain || path::is_treacherous(text) {
        return Err(format!(
            "{key}: {text:?} is not a path that begins with \"/\""
        ));
    }
    Ok(())
}

/// For defaults only, where zero does not occur.
fn non_zero(value: usize) -> NonZeroUsize {
    NonZeroUsize::new(value).unwrap_or(NonZeroUsize::MIN)
}

/// What the HTTP client needs to read a head at all.
const HEAD_MIN: usize = 8_192;
/// Keeps sums of instants far from overflow, and catches a wrong unit.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn application() -> Application {
        Application {
            name: "shop".to_owned(),
            origin: Some("http://shop.internal:3000".to_owned()),
            ..Application::default()
        }
    }

    #[test]
    fn what_cannot_work_is_told_with_its_key() {
        type Change = fn(&mut Application);
        let table: [(Change, Option<&str>); 25] = [
            (|_| {}, None),
            (|a| a.origin = Some("https://[::1]".to_owned()), None),
            (|a| a.name = "a b".to_owned(), Some("name: ")),
            (|a| a.path = "shop".to_owned(), Some("path: ")),
            (|a| a.path = "/a/../b".to_owned(), Some("path: ")),
            (|a| a.path = "/a?b".to_owned(), Some("path: ")),
            (|a| a.path = "/_smeuse/x".to_owned(), Some("path: ")),
            (|a| a.host = Some("shop.example".to_owned()), None),
            (
                |a| a.host = Some("shop.example:80".to_owned()),
                Some("host: "),
            ),
            (|a| a.host = Some("a b".to_owned()), Some("host: ")),
            (|a| a.origin = None, Some("origin: ")),
            (|a| a.folder = Some("x".into()), Some("folder: ")),
            (|a| a.origin = Some("ftp://x".to_owned()), Some("origin: ")),
            (
                |a| a.origin = Some("http://x/path".to_owned()),
                Some("origin: "),
            ),
            (
                |a| a.origin = Some("http://u:p@x".to_owned()),
                Some("origin: "),
            ),
            (
                |a| a.origin = Some("http://x:0".to_owned()),
                Some("origin: "),
            ),
            (|a| a.origin = Some("x:3000".to_owned()), Some("origin: ")),
            (|a| a.tls = Some(Tls::default()), Some("tls: ")),
            (|a| a.skip = vec!["admin".to_owned()], Some("skip.0: ")),
            (
                |a| a.workers = vec!["/a".to_owned(), "b".to_owned()],
                Some("workers.1: "),
            ),
            (|a| a.workers = vec!["/a-*.js".to_owned()], None),
            (
                |a| a.modules = vec!["/*/a-*.js".to_owned()],
                Some("modules.0: "),
            ),
            (|a| a.skip = vec!["/a*".to_owned()], Some("skip.0: ")),
            (|a| a.head_bytes = 8_191, Some("head_bytes: ")),
            (|a| a.idle = Duration::ZERO, Some("idle: ")),
        ];
        for (row, (change, problem)) in table.into_iter().enumerate() {
            let mut one = application();
            change(&mut one);
            match (validate(&[one], true), problem) {
                (Ok(()), None) => {}
                (Err(text), Some(key)) => {
                    assert!(
                        text.starts_with(&format!("applications.0.{key}")),
                        "row {row}: {text}"
                    );
                }
                (other, expected) => panic!("row {row}: {other:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn a_star_stands_for_a_part_of_a_name() {
        let list = ["/a.js".to_owned(), "/f/w-*.js".to_owned()];
        for (path, is) in [
            ("/a.js", true),
            ("/b.js", false),
            ("/f/w-1a2b.js", true),
            ("/f/w-.js", true),
            ("/f/w-*.js", true),
            ("/f/w-a/b.js", false),
            ("/f/w-a.mjs", false),
            ("/f/w.js", false),
        ] {
            assert_eq!(Application::is_listed(&list, path), is, "{path}");
        }
        // What stands before it and behind it does not overlap.
        assert!(!Application::is_listed(&["/aba*ba".to_owned()], "/aba"));
    }

    #[test]
    fn two_applications_do_not_share_a_name_or_a_place() {
        let one = application();
        let other = Application {
            name: "other".to_owned(),
            path: "/other/".to_owned(),
            ..application()
        };
        assert_eq!(validate(&[one.clone(), other.clone()], true), Ok(()));
        let same_name = Application {
            name: "shop".to_owned(),
            ..other.clone()
        };
        let problem = validate(&[one.clone(), same_name], true).unwrap_err();
        assert!(problem.starts_with("applications.1.name: "), "{problem}");
        let same_place = Application {
            path: "/other".to_owned(),
            ..application()
        };
        let problem = validate(&[other.clone(), same_place], true).unwrap_err();
        assert!(problem.starts_with("applications.1.path: "), "{problem}");
        let by_host = Application {
            host: Some("b.example".to_owned()),
            name: "third".to_owned(),
            ..other.clone()
        };
        assert_eq!(validate(&[other, by_host], true), Ok(()));
        let problem = validate(&[one], false).unwrap_err();
        assert!(problem.starts_with("applications.0.rewrite: "), "{problem}");
    }
}
