//! The messages of the extended handshake: an HTTP-shaped request and response, each in one WebSocket message, and the
//! two short ones by which the legacy dialect says "proceed" and "go elsewhere".
//!
//! Response bytes are those that the published Kaazing clients for JavaScript, Java and iOS can read: CRLF, header
//! names in canonical case, one space behind the colon, one extension a line.

use std::fmt;

use thiserror::Error;

/// A request of the extended handshake, borrowed from its message.
#[derive(Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// Path and query of the request line, where there is one. The opening's path counts: a client that was sent
    /// elsewhere names the old one here.
    pub target: Option<&'a str>,
    lines: Vec<(&'a str, &'a str)>,
}

impl fmt::Debug for Request<'_> {
    /// Shows no values: one of them may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// Why a message is no request; always the client's fault. `Display` is the rest of a sentence that begins with "the
/// request".
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The message has no byte.
    #[error("is empty")]
    Empty,
    /// More than [`REQUEST_MAX_BYTES`].
    #[error("has more than {REQUEST_MAX_BYTES} bytes")]
    TooLong,
    /// It is not UTF-8 text.
    #[error("is not UTF-8 text")]
    NotText,
    /// A control character, NUL and a lone carriage return among them.
    #[error("has a control character in it")]
    ControlCharacter,
    /// The first line is neither a request line nor a header.
    #[error("begins with a line that is neither \"GET path HTTP/1.1\" nor a header")]
    NotHttp,
    /// A request line with another method than GET.
    #[error("has another method than GET")]
    Method,
    /// A request line of another version than HTTP/1.1.
    #[error("is not HTTP/1.1")]
    Version,
    /// A header that is continued on a second line (RFC 9112 section 5.2).
    #[error("has a folded header line")]
    Folded,
    /// A line without a colon, or with a name that is no token (RFC 9110 section 5.1).
    #[error("has a line that is no header")]
    NotHeader,
    /// More than [`MAX_LINES`] header lines.
    #[error("has more than {MAX_LINES} header lines")]
    TooManyLines,
    /// No empty line behind the headers.
    #[error("does not end with an empty line")]
    NoEnd,
    /// Something behind the empty line.
    #[error("has something behind its empty line")]
    Content,
}

impl<'a> Request<'a> {
    /// Reads the one message that is a request. Lines end with CRLF or LF; the request line may be missing.
    ///
    /// # Errors
    /// What [`RequestError`] lists; the first one found.
    pub fn parse(message: &'a [u8]) -> Result<Self, RequestError> {
        if message.is_empty() {
            return Err(RequestError::Empty);
        }
        if message.len() > REQUEST_MAX_BYTES {
            return Err(RequestError::TooLong);
        }
        let text = std::str::from_utf8(message).map_err(|_| RequestError::NotText)?;
        let mut rest = text;
        let mut request = Self {
            target: None,
            lines: Vec::new(),
        };
        let mut is_first = true;
        loop {
            let (line, behind) = rest.split_once('\n').ok_or(if is_first {
                RequestError::NotHttp
            } else {
                RequestError::NoEnd
            })?;
            let line = line.strip_suffix('\r').unwrap_or(line);
            rest = behind;
            if line.is_empty() {
                break;
            }
            if line.chars().any(|c| c.is_control() && c != '\t') {
                return Err(RequestError::ControlCharacter);
            }
            if is_first && !is_header(line) {
                request.target = Some(request_line(line)?);
            } else {
                request.push(line)?;
            }
            is_first = false;
        }
        if rest.is_empty() {
            Ok(request)
        } else {
            Err(RequestError::Content)
        }
    }

    fn push(&mut self, line: &'a str) -> Result<(), RequestError> {
        if line.starts_with([' ', '\t']) {
            return Err(RequestError::Folded);
        }
        if !is_header(line) {
            return Err(RequestError::NotHeader);
        }
        if self.lines.len() == MAX_LINES {
            return Err(RequestError::TooManyLines);
        }
        let (name, value) = line.split_once(':').ok_or(RequestError::NotHeader)?;
        self.lines.push((name, value.trim_matches([' ', '\t'])));
        Ok(())
    }

    /// The values of all lines with this name, compared without regard to case, in their order.
    pub fn lines(&self, name: &str) -> Vec<&'a str> {
        let named = self
            .lines
            .iter()
            .filter(|(line_name, _)| line_name.eq_ignore_ascii_case(name));
        named.map(|(_, value)| *value).collect()
    }

    /// The names of all header lines, in their order.
    pub fn names(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.lines.iter().map(|(name, _)| *name)
    }
}

/// Whether a line is `token ":" ...`; a request line is not, because its method ends with a space.
fn is_header(line: &str) -> bool {
    line.split_once(':')
        .is_some_and(|(name, _)| !name.is_empty() && name.chars().all(is_token_char))
}

fn request_line(line: &str) -> Result<&str, RequestError> {
    let mut parts = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(RequestError::NotHttp);
    };
    if !version.starts_with("HTTP/") || method.is_empty() || !method.chars().all(is_token_char) {
        return Err(RequestError::NotHttp);
    }
    if method != "GET" {
        return Err(RequestError::Method);
    }
    if version != "HTTP/1.1" {
        return Err(RequestError::Version);
    }
    if !target.starts_with('/') {
        return Err(RequestError::NotHttp);
    }
    Ok(target)
}

/// RFC 9110 section 5.6.2, `tchar`.
fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// A response of the extended handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Headers in the order they are sent; values without control characters.
    pub headers: Vec<(&'static str, String)>,
    /// The content, with its length in a header; none: no content.
    pub body: Option<String>,
}

impl Response {
    /// The message, to be sent as BINARY.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            text.push_str(name);
            text.push_str(": ");
            // Values hold what clients sent, so the grammar is kept here once more.
            text.extend(value.chars().filter(|c| !c.is_control()));
            text.push_str("\r\n");
        }
        if let Some(body) = &self.body {
            text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        } else {
            text.push_str("\r\n");
        }
        text.into_bytes()
    }

    /// The message for clients of the legacy dialect. The published JavaScript client keeps a carriage return at the
    /// end of the subprotocol it reads, so the last bytes of the message are that name, and nothing ends its line.
    pub fn encode_with_last(&self, name: &str, value: &str) -> Vec<u8> {
        let mut bytes = self.encode();
        bytes.truncate(bytes.len() - 2);
        bytes.extend_from_slice(format!("{name}: {value}").as_bytes());
        bytes
    }
}

/// The reason phrase; of 101 the one that the Kaazing gateway had.
fn reason(status: u16) -> &'static str {
    match status {
        101 => "Web Socket Protocol Handshake",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        503 => "Service Unavailable",
        _ => "Refused",
    }
}

/// Whether the query of an opening request asks for the legacy dialect.
pub fn is_legacy(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|part| part == LEGACY_PARAMETER))
}

/// "Go elsewhere", in the legacy dialect. The published JavaScript client takes a message that ends in a capital N for
/// [`PROCEED`], which is why `url` must not.
pub fn redirect(url: &str) -> Vec<u8> {
    [&BALANCER[..], b"R", url.as_bytes()].concat()
}

/// "Proceed", in the legacy dialect: before the request, and once more before data.
pub const PROCEED: [u8; 4] = [0xEF, 0x83, 0xBF, b'N'];

/// U+F0FF, private use, in UTF-8.
const BALANCER: [u8; 3] = [0xEF, 0x83, 0xBF];

/// The query parameter by which a client says that it speaks the legacy dialect.
pub const LEGACY_PARAMETER: &str = ".kl=Y";

/// Bytes of one request: room for a token of 8 KiB and as much again.
pub const REQUEST_MAX_BYTES: usize = 16 * 1024;

/// Header lines of one request. A browser's opening request, repeated whole, has about 15.
pub const MAX_LINES: usize = 64;

#[cfg(test)]
mod tests;
