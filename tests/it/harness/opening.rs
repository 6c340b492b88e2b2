//! The request of an opening handshake (RFC 6455 section 4.1) as text, so that a test can bend any line of it.

use std::net::SocketAddr;

/// The key of RFC 6455 section 1.3 and what a server must make of it.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A request head; [`Opening::new`] gives a legal one, the methods change it line by line.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    request_line: String,
    headers: Vec<(String, String)>,
}

impl Opening {
    /// What a program sends that is no browser: no `Origin`, no subprotocol.
    pub(crate) fn new(address: SocketAddr, path: &str) -> Self {
        let opening = Self {
            request_line: format!("GET {path} HTTP/1.1"),
            headers: Vec::new(),
        };
        opening
            .with("Host", &address.to_string())
            .with("Upgrade", "websocket")
            .with("Connection", "Upgrade")
            .with("Sec-WebSocket-Key", KEY)
            .with("Sec-WebSocket-Version", "13")
    }

    pub(crate) fn request_line(mut self, line: &str) -> Self {
        line.clone_into(&mut self.request_line);
        self
    }

    /// Adds one more line, even if the header is there already.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes every line of this header away.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers
            .retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self
    }

    /// Replaces a header by one line, in the spelling given here.
    pub(crate) fn replace(self, name: &str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    pub(crate) fn subprotocols(self, offered: &str) -> Self {
        self.with("Sec-WebSocket-Protocol", offered)
    }

    /// The head as it goes over the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.request_line);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.into_bytes()
    }
}
