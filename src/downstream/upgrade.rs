//! One HTTP request in: a started session, or a refusal with its status.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::h1;
use actix_http::h1::Codec;
use actix_http::header::HeaderName;
use actix_http::header::HeaderValue;
use actix_http::header::CONTENT_TYPE;
use actix_http::header::HOST;
use actix_http::ConnectionType;
use actix_http::Request;
use actix_http::Response;
use actix_http::StatusCode;
use futures_core::future::LocalBoxFuture;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;

use crate::downstream::gate::Admission;
use crate::downstream::gate::Newcomer;
use crate::downstream::listener;
use crate::downstream::patience::Patient;
use crate::downstream::patience::Wait;
use crate::downstream::session::Negotiated;
use crate::downstream::session::Session;
use crate::downstream::session::Socket;
use crate::downstream::session::Start;
use crate::downstream::Gate;
use crate::handshake::Agreement;
use crate::handshake::Extended;
use crate::handshake::Opening;
use crate::handshake::Refusal;

/// Takes upgrades at paths that no service has.
pub trait Elsewhere: Send + Sync {
    /// Whether it has what a request with this path and `Host` asks for.
    fn has(&self, path: &str, host: Option<&[u8]>) -> bool;

    /// Takes over the socket of such a request, to its end.
    fn take(&self, taken: Taken) -> LocalBoxFuture<'static, ()>;
}

/// A socket whose kind does not matter.
pub trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// A request for an upgrade, with its socket.
pub struct Taken {
    /// The request; it holds the connection's place among the handshakes in progress.
    pub request: Request,
    /// Whether it came over TLS.
    pub secure: bool,
    /// The socket.
    pub io: Box<dyn Io>,
    /// What the client has sent behind its request.
    pub early: Vec<u8>,
}

/// Takes over the socket of a request that asks for an upgrade.
///
/// # Errors
///
/// The socket's, while a refusal is sent.
pub async fn upgrade<S: Socket>(
    gate: Arc<Gate>,
    elsewhere: &dyn Elsewhere,
    secure: bool,
    request: Request,
    framed: Framed<Patient<S>, Codec>,
) -> io::Result<()> {
    let newcomer = request.conn_data::<Newcomer>();
    let is_closing = newcomer.is_some_and(Newcomer::is_closing);
    if let Some(newcomer) = newcomer {
        newcomer.answer();
    }
    if let Some(wait) = request.conn_data::<Rc<Wait>>() {
        wait.requested();
    }
    if is_closing || !framed.is_write_buf_empty() {
        // An earlier answer closes this connection; what is left of that is sent.
        let mut parts = framed.into_parts();
        let last = async {
            parts.io.write_all(&parts.write_buf).await?;
            parts.io.shutdown().await
        };
        return tokio::time::timeout(REFUSAL_TIME, last).await?;
    }
    let path = request.uri().path();
    let host = request.head().headers.get(HOST).map(HeaderValue::as_bytes);
    if !gate.has(path) && elsewhere.has(path, host) {
        let (io, early) = taken_apart(framed);
        let taken = Taken {
            request,
            secure,
            io: Box::new(io),
            early,
        };
        elsewhere.take(taken).await;
        return Ok(());
    }
    let began = listener::began(request.conn_data());
    let admitted = gate.admit(request.head(), secure, began).await;
    // The request holds the connection's place among the handshakes in progress.
    drop(request);
    match admitted {
        Ok(admission) => {
            start(gate, framed, admission);
            Ok(())
        }
        Err(refusal) => refuse(framed, &refusal).await,
    }
}

/// The socket, and what has come behind the request.
fn taken_apart<S>(framed: Framed<Patient<S>, Codec>) -> (S, Vec<u8>) {
    let parts = framed.into_parts();
    let (socket, held) = parts.io.into_parts();
    (socket, [&parts.read_buf[..], &held].concat())
}

fn start<S: Socket>(gate: Arc<Gate>, framed: Framed<Patient<S>, Codec>, admission: Admission) {
    let (socket, early) = taken_apart(framed);
    let accept = accept(&admission.opening);
    let response = switching_protocols(&admission.opening, &accept, admission.agreement.as_ref());
    let negotiated = match admission.agreement {
        Some(agreement) => Negotiated::All(agreement),
        None => Negotiated::Opening(Extended::new(&admission.opening, accept)),
    };
    let start = Start {
        service: admission.opening.service,
        response,
        negotiated,
        client: admission.client,
        permit: admission.permit,
        early,
    };
    Session::start(gate, socket, start);
}

fn accept(opening: &Opening) -> String {
    let accept = actix_http::ws::hash_key(opening.key.as_bytes());
    String::from_utf8_lossy(&accept).into_owned()
}

/// The server's opening handshake (RFC 6455 section 4.2.2 item 5).
fn switching_protocols(opening: &Opening, accept: &str, agreement: Option<&Agreement>) -> Vec<u8> {
    let mut head = format!(
        "HTTP/1.1 101 Switching Protocols\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n"
    );
    if let Some(subprotocol) = &opening.subprotocol {
        head.push_str(&format!("Sec-WebSocket-Protocol: {subprotocol}\r\n"));
    }
    let extensions = agreement.map(|agreement| &agreement.extensions);
    for agreed in extensions.into_iter().flatten() {
        head.push_str(&format!("Sec-WebSocket-Extensions: {}\r\n", agreed.answer));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

async fn refuse<S: Socket>(framed: Framed<S, Codec>, refusal: &Refusal) -> io::Result<()> {
    let send = async {
        let sent = h1::SendResponse::new(framed, response(refusal)).await;
        let framed = sent.map_err(|error| io::Error::other(error.to_string()))?;
        framed.into_parts().io.shutdown().await
    };
    tokio::time::timeout(REFUSAL_TIME, send).await?
}

/// A refusal as HTTP.
pub fn response(refusal: &Refusal) -> Response<String> {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = Response::with_body(status, refusal.body());
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    for (name, value) in refusal.headers() {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
            headers.append(name, value);
        }
    }
    response
        .head_mut()
        .set_connection_type(ConnectionType::Close);
    response
}

/// Time for a refusal to leave; a client that does not take it has no claim to more.
const REFUSAL_TIME: Duration = Duration::from_secs(1);
