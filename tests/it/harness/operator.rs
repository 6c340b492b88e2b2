//! An operator: requests to the admin listener with any headers, and a page of the live view without a browser.

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::json;
use serde_json::Value;

use super::client::Client;
use super::gateway::Gateway;
use super::http::Response;
use super::opening::Opening;
use super::websocket::TEXT;
use super::DEADLINE;

/// Where the live view's WebSocket is.
pub(crate) const LIVE: &str = "/live/socket";

/// One request; [`Ask::new`] gives what a program sends that is no browser.
pub(crate) struct Ask {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Ask {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.with("Authorization", &format!("Bearer {token}"))
    }

    /// What a form sends.
    pub(crate) fn form(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self.with("Content-Type", "application/x-www-form-urlencoded")
    }

    #[track_caller]
    pub(crate) fn send(&self, gateway: &Gateway) -> Response {
        let address = gateway.private();
        let mut client = Client::connect(address);
        client.send(self.text(address).as_bytes());
        client.response()
    }

    fn text(&self, address: SocketAddr) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        if !self.headers.iter().any(|(name, _)| name == "Host") {
            text += &format!("Host: {address}\r\n");
        }
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        let length = self.body.len();
        text + &format!(
            "Content-Length: {length}\r\nConnection: close\r\n\r\n{}",
            self.body
        )
    }
}

/// A page of the live view.
pub(crate) struct Viewer(pub(crate) Client);

impl Viewer {
    #[track_caller]
    pub(crate) fn open(gateway: &Gateway) -> Self {
        Self::open_by(gateway, &Self::opening(gateway))
    }

    /// What its WebSocket is opened with by a program.
    pub(crate) fn opening(gateway: &Gateway) -> Opening {
        Opening::new(gateway.private(), LIVE)
    }

    #[track_caller]
    pub(crate) fn open_by(gateway: &Gateway, opening: &Opening) -> Self {
        Self(Client::open_by(opening, gateway.private()))
    }

    /// The next push; nothing is said about it.
    #[track_caller]
    pub(crate) fn read(&mut self) -> Value {
        let (opcode, payload) = self.0.read_message();
        assert_eq!(opcode, TEXT);
        assert!(payload.len() <= 64 * 1024, "{} bytes", payload.len());
        serde_json::from_slice(&payload).expect("a push is JSON")
    }

    /// Says that this push is taken.
    #[track_caller]
    pub(crate) fn take(&mut self, push: &Value) {
        self.say(&json!({ "taken": push["own"]["number"] }));
    }

    #[track_caller]
    pub(crate) fn say(&mut self, message: &Value) {
        self.0.send_text(&message.to_string());
    }

    #[track_caller]
    pub(crate) fn want(&mut self, view: &Value) {
        self.say(&json!({ "view": view }));
    }

    /// Takes pushes until one is as it should be, and gives it.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let push = self.read();
            self.take(&push);
            if condition(&push) {
                return push;
            }
            assert!(started.elapsed() < DEADLINE, "{what} is not shown: {push}");
        }
    }
}
