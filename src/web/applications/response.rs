//! An answer on its way to a browser: whether its body is rewritten, and what its head says then.

use http::header;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::StatusCode;

use crate::web::applications::coding::Coding;
use crate::web::applications::csp;
use crate::web::applications::failure::Failure;
use crate::web::applications::hop;
use crate::web::applications::loader::Loader;
use crate::web::applications::request::Head;
use crate::web::applications::request::Task;
use crate::web::applications::validators::Origins;

/// What is done to the body of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Nothing. If it is a page, the reason why it is left alone.
    Pass(Option<&'static str>),
    /// The script goes into the page.
    Page {
        /// The page's body is compressed like this.
        coding: Coding,
        /// What the script's element bears.
        nonce: Option<String>,
        /// Whether the browser asked for a document.
        is_document: bool,
        /// Whether the page may fetch the gateway's configuration.
        connects: bool,
    },
    /// The script gets the loader's line.
    Script {
        /// The script's body is compressed like this.
        coding: Coding,
        /// Which line.
        loader: Loader,
    },
}

/// Removes what is not for the browser, and adds the gateway to `Via`.
///
/// # Errors
///
/// The origin's `Connection` names a line that is for the browser.
pub fn pass_on(headers: &mut HeaderMap) -> Result<(), Failure> {
    hop::strip(headers).map_err(|hop::NamedByConnection| {
        Failure::OriginMalformed("Connection names a line that is for the browser".to_owned())
    })?;
    // Where else the origin can be had: the browser would go there without the gateway.
    headers.remove(header::ALT_SVC);
    hop::pass_via(headers, "1.1");
    Ok(())
}

/// Where the origin sends browsers to itself under its own name, it sends them to the gateway instead.
pub fn relocate(headers: &mut HeaderMap, origin: &str) {
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        let relative = headers
            .get(&name)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix(origin))
            .filter(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
            .map(|rest| {
                if rest.starts_with('/') {
                    rest.to_owned()
                } else {
                    format!("/{rest}")
                }
            })
            .and_then(|rest| HeaderValue::from_str(&rest).ok());
        if let Some(value) = relative {
            headers.insert(name, value);
        }
    }
}

/// Decides on an answer, and changes its head to what will follow.
pub fn plan(
    status: StatusCode,
    headers: &mut HeaderMap,
    task: Task,
    request: &Head,
    script: &csp::Script<'_>,
    mark: &str,
) -> Plan {
    if status == StatusCode::NOT_MODIFIED {
        let is_varied = headers.contains_key(header::VARY);
        if request.is_marked {
            confirm(headers, task, request, script, mark);
        }
        // A cache takes this line for the one that it has (RFC 9111 section 3.2).
        if request.is_marked || (task == Task::NoDocument && is_varied) {
            headers.append(header::VARY, HeaderValue::from_static(DECIDING));
        }
        return Plan::Pass(None);
    }
    if status.is_informational()
        || matches!(
            status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT
        )
    {
        return Plan::Pass(None);
    }
    let content_type = text(headers, &header::CONTENT_TYPE).unwrap_or_default();
    let (essence, parameters) = match content_type.split_once(';') {
        Some((essence, parameters)) => (essence.trim(), parameters),
        None => (content_type.trim(), ""),
    };
    // Without a type a browser looks at the bytes, unless it is told not to.
    let is_untyped = !status.is_redirection()
        && !headers.contains_key(header::CONTENT_TYPE)
        && !headers.contains_key(header::X_CONTENT_TYPE_OPTIONS);
    let is_page = essence.eq_ignore_ascii_case("text/html") || (is_untyped && task.is_sure());
    let is_script = JAVASCRIPT
        .iter()
        .any(|known| known.eq_ignore_ascii_case(essence));
    match task {
        Task::Pass => return Plan::Pass(None),
        Task::Skip => return Plan::Pass(is_page.then_some("skipped")),
        Task::NoDocument => {
            // A cache must not give this to whoever asks for a document.
            if is_page || is_untyped {
                headers.append(header::VARY, HeaderValue::from_static(DECIDING));
            }
            return Plan::Pass(None);
        }
        Task::Page { .. } if !is_page => return Plan::Pass(None),
        Task::Script(_) if !is_script || !status.is_success() => return Plan::Pass(None),
        Task::Page { .. } | Task::Script(_) => {}
    }
    let is_attachment = text(headers, &header::CONTENT_DISPOSITION).is_some_and(|value| {
        value
            .trim_start()
            .to_ascii_lowercase()
            .starts_with("attachment")
    });
    if is_attachment {
        return Plan::Pass(Some("skipped"));
    }
    if has_no_transform(headers) {
        return Plan::Pass(Some("no_transform"));
    }
    if !is_ascii_charset(parameters) {
        return Plan::Pass(Some("charset"));
    }
    let Some(coding) = Coding::of(headers) else {
        return Plan::Pass(Some("coding"));
    };
    let plan = match task {
        Task::Script(loader) => Plan::Script { coding, loader },
        Task::Page { is_document, .. } => {
            let Some(answer) = read_policies(headers, script).filter(|answer| answer.runs) else {
                return Plan::Pass(Some("policy"));
            };
            write_policies(headers, &answer);
            Plan::Page {
                coding,
                nonce: answer.nonce,
                is_document: is_document && !is_untyped,
                connects: answer.connects,
            }
        }
        Task::Pass | Task::Skip | Task::NoDocument => return Plan::Pass(None),
    };
    mark_changed(headers, mark);
    plan
}

/// The head of a body that is not the origin's any more.
fn mark_changed(headers: &mut HeaderMap, mark: &str) {
    let validator = Origins::read(
        text(headers, &header::ETAG).as_deref(),
        text(headers, &header::LAST_MODIFIED).as_deref(),
    );
    for name in OF_THE_BYTES {
        headers.remove(*name);
    }
    let etag = validator.and_then(|origins| HeaderValue::from_str(&origins.marked(mark)).ok());
    if let Some(etag) = etag {
        headers.insert(header::ETAG, etag);
    }
    headers.append(header::VARY, HeaderValue::from_static(DECIDING));
}

/// The origin confirms what the browser has, which is of the gateway's making: so is the head that goes with it.
fn confirm(
    headers: &mut HeaderMap,
    task: Task,
    request: &Head,
    script: &csp::Script<'_>,
    mark: &str,
) {
    if matches!(task, Task::Page { .. }) {
        if let Some(answer) = read_policies(headers, script).filter(|answer| answer.runs) {
            write_policies(headers, &answer);
        }
    }
    let etag = text(headers, &header::ETAG);
    let date = request.marked_date.as_deref();
    let validator = Origins::read(etag.as_deref(), date);
    for name in OF_THE_BYTES {
        headers.remove(*name);
    }
    let etag = validator.and_then(|origins| HeaderValue::from_str(&origins.marked(mark)).ok());
    if let Some(etag) = etag {
        headers.insert(header::ETAG, etag);
    }
}

/// What the policies say; none if one of them is not text, so that nothing is known.
fn read_policies(headers: &HeaderMap, script: &csp::Script<'_>) -> Option<csp::Answer> {
    let lines = |name: HeaderName| {
        headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().ok().map(str::to_owned))
            .collect::<Option<Vec<String>>>()
    };
    let enforced = lines(header::CONTENT_SECURITY_POLICY)?;
    let reported = lines(header::CONTENT_SECURITY_POLICY_REPORT_ONLY)?;
    Some(csp::answer(&enforced, &reported, script))
}

fn write_policies(headers: &mut HeaderMap, answer: &csp::Answer) {
    for (name, lines) in [
        (header::CONTENT_SECURITY_POLICY, &answer.enforced),
        (
            header::CONTENT_SECURITY_POLICY_REPORT_ONLY,
            &answer.reported,
        ),
    ] {
        headers.remove(&name);
        for line in lines {
            if let Ok(value) = HeaderValue::from_str(line) {
                headers.append(name.clone(), value);
            }
        }
    }
}

/// RFC 9110 section 7.7: then no proxy may change the content.
fn has_no_transform(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|directive| directive.trim().eq_ignore_ascii_case("no-transform"))
}

/// Whether ASCII means itself in the charset that a content type names. Without one it does, or a byte order mark will
/// tell.
fn is_ascii_charset(parameters: &str) -> bool {
    let charset = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    });
    charset.is_none_or(|charset| {
        !OTHER_CHARSETS
            .iter()
            .any(|other| charset.starts_with(other))
    })
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// What of a request decides whether a page is rewritten.
const DECIDING: &str = "Sec-Fetch-Dest, Sec-Fetch-Mode, X-Requested-With";

/// What is true of the origin's bytes only.
const OF_THE_BYTES: &[&str] = &[
    "etag",
    "content-length",
    "content-md5",
    "digest",
    "content-digest",
    "repr-digest",
    "accept-ranges",
];

/// Encodings in which ASCII is something else (Encoding section 4.2: their labels begin so).
const OTHER_CHARSETS: [&str; 12] = [
    "csiso2022",
    "csunicode",
    "hz-gb-2312",
    "replacement",
    "utf-16",
    "utf16",
    "utf-32",
    "utf32",
    "unicode",
    "ucs-2",
    "iso-2022",
    "iso-10646",
];

/// HTML section 2.1.2 names more; no server of today sends them.
const JAVASCRIPT: [&str; 4] = [
    "text/javascript",
    "application/javascript",
    "application/x-javascript",
    "application/ecmascript",
];

#[cfg(test)]
mod tests;
