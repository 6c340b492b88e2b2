//! The application's own WebSockets: at a path that is no service's, an upgrade goes to the origin, and from then on
//! bytes go both ways as they are.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_http::Version;
use futures_core::future::LocalBoxFuture;
use http::header;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use prometheus::IntCounter;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tracing::debug;

use crate::downstream::upgrade::Elsewhere;
use crate::downstream::upgrade::Io;
use crate::downstream::upgrade::Taken;
use crate::drain;
use crate::web::applications::asked::length;
use crate::web::applications::asked::Asked;
use crate::web::applications::asked::Length;
use crate::web::applications::body::RequestBody;
use crate::web::applications::failure::Failure;
use crate::web::applications::in_flight::Guard;
use crate::web::applications::origin;
use crate::web::applications::origin::Connector;
use crate::web::applications::proxy;
use crate::web::applications::request;
use crate::web::applications::request::Hosts;
use crate::web::applications::request::Sender;
use crate::web::applications::request::Task;
use crate::web::applications::response;
use crate::web::applications::Application;
use crate::web::applications::Applications;

impl Elsewhere for Applications {
    fn has(&self, path: &str, host: Option<&[u8]>) -> bool {
        self.find(path, host).is_some()
    }

    fn take(&self, taken: Taken) -> LocalBoxFuture<'static, ()> {
        let head = taken.request.head();
        let host = head.headers.get(actix_http::header::HOST);
        let application = self
            .find(head.uri.path(), host.map(|host| host.as_bytes()))
            .cloned();
        Box::pin(async move {
            let Some(application) = application else {
                return;
            };
            let sender = application.sender(taken.request.head(), taken.secure);
            let (client, path) = (sender.client, taken.request.path().to_owned());
            if let Err(error) = pass(&application, taken, sender).await {
                debug!(application = application.config.name, %client, path, %error, "WebSocket ended");
            }
        })
    }
}

async fn pass(application: &Arc<Application>, taken: Taken, sender: Sender) -> io::Result<()> {
    let Taken {
        request,
        mut io,
        mut early,
        ..
    } = taken;
    let path = request.path().to_owned();
    let opened = match ask(application, &request, sender) {
        Err(failure) => Err(failure),
        Ok((connector, outgoing, guard)) => {
            // The connection's place among the handshakes goes with the request.
            drop(request);
            tokio::select! {
                biased;
                opened = open(application, &connector, outgoing) => {
                    opened.and_then(|response| Ok((head(&response)?, response, guard)))
                }
                () = drained(&application.drain) => Err(Failure::Draining),
                gone = gone(&mut io, &mut early) => return Err(gone),
            }
        }
    };
    let (head, response, guard) = match opened {
        Ok(opened) => opened,
        Err(failure) => {
            let told = proxy::fail(application, &failure, &path, sender.client);
            application.counts.answered(told.status().as_u16());
            return tell(&mut io, &failure).await;
        }
    };
    application.counts.answered(response.status().as_u16());
    // Until now nobody has heard from the origin; from here on its words are passed on, to the end or to the drain.
    tokio::select! {
        done = async {
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                connect(application, io, &early, response, head, guard).await
            } else {
                refuse(&mut io, response, head, application.config.body_pause).await
            }
        } => done,
        () = drained(&application.drain) => Ok(()),
    }
}

/// The head of an answer, as the client gets it.
fn head(response: &http::Response<Incoming>) -> Result<HeaderMap, Failure> {
    let mut head = response.headers().clone();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && !is_named(&head, &header::UPGRADE, "websocket")
    {
        let text = "it changes to another protocol".to_owned();
        return Err(Failure::OriginMalformed(text));
    }
    response::pass_on(&mut head)?;
    Ok(head)
}

/// The origin's refusal, in its words.
async fn refuse(
    io: &mut (impl AsyncWrite + Unpin),
    response: http::Response<Incoming>,
    mut head: HeaderMap,
    pause: Duration,
) -> io::Result<()> {
    head.insert(header::CONNECTION, HeaderValue::from_static("close"));
    within(pause, io.write_all(&written(response.status(), &head))).await?;
    send_body(io, response.into_body(), pause).await?;
    within(pause, io.shutdown()).await
}

/// The origin's 101, and what follows.
async fn connect(
    application: &Application,
    mut io: Box<dyn Io>,
    early: &[u8],
    mut response: http::Response<Incoming>,
    mut head: HeaderMap,
    guard: Guard,
) -> io::Result<()> {
    let upgraded = hyper::upgrade::on(&mut response)
        .await
        .map_err(io::Error::other)?;
    head.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    head.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let pause = application.config.body_pause;
    within(pause, io.write_all(&written(response.status(), &head))).await?;
    application.counts.opened.inc();
    carry(application, io, early, upgraded, guard).await
}

type Ready = (Connector, http::Request<RequestBody>, Guard);

/// What the origin is asked, if the request is one for a WebSocket.
fn ask(
    application: &Application,
    request: &actix_http::Request,
    sender: Sender,
) -> Result<Ready, Failure> {
    let asked = Asked::read(request.head(), sender)?;
    let is_plain = asked.method == Method::GET
        && request.version() == Version::HTTP_11
        && matches!(length(&asked.headers), Length::None | Length::Known(0));
    if !is_plain
        || !is_named(&asked.headers, &header::CONNECTION, "upgrade")
        || !is_named(&asked.headers, &header::UPGRADE, "websocket")
    {
        return Err(Failure::UpgradeRefused);
    }
    let Some(connector) = &application.connector else {
        return Err(Failure::UpgradeRefused);
    };
    if application.drain.is_draining() {
        return Err(Failure::Draining);
    }
    let guard = application
        .tunnels
        .enter(sender.address())
        .ok_or(Failure::TooManyTunnels)?;
    let hosts = Hosts {
        browsers: &asked.host,
        origins: connector.origin().authority.as_str(),
    };
    let head = request::head(
        asked.headers.clone(),
        &application.config,
        Task::Pass,
        &sender,
        hosts,
        &application.mark,
    )?;
    let mut outgoing = http::Request::new(RequestBody::none());
    *outgoing.uri_mut() = asked.target.parse().map_err(|_| Failure::PathRefused)?;
    *outgoing.headers_mut() = head.headers;
    let headers = outgoing.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    Ok((connector.for_upgrades(), outgoing, guard))
}

/// Whether a line, which is a list, has this word.
fn is_named(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        let mut words = value.to_str().unwrap_or_default().split(',');
        words.any(|found| found.trim().eq_ignore_ascii_case(word))
    })
}

/// Asks the origin, on a connection that is this WebSocket's alone.
async fn open(
    application: &Application,
    connector: &Connector,
    outgoing: http::Request<RequestBody>,
) -> Result<http::Response<Incoming>, Failure> {
    let stream = connector.connect().await?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(application.config.head_bytes);
    let (mut client, connection) = builder
        .handshake(stream)
        .await
        .map_err(|error| origin::of_http(&error))?;
    actix_rt::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            debug!(%error, "connection to an origin ended");
        }
    });
    tokio::time::timeout(
        application.config.head_deadline,
        client.send_request(outgoing),
    )
    .await
    .map_err(|_| Failure::OriginTimeout("no answer in time"))?
    .map_err(|error| origin::of_http(&error))
}

/// Ends when the client has gone; what it says in the meantime is kept, up to a bound, behind which nobody looks.
async fn gone(io: &mut (impl AsyncRead + Unpin), early: &mut Vec<u8>) -> io::Error {
    let mut piece = [0; EARLY];
    while early.len() < BUFFER {
        match io.read(&mut piece).await {
            Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
            Ok(read) => early.extend_from_slice(&piece[..read]),
            Err(error) => return error,
        }
    }
    std::future::pending().await
}

/// Carries bytes both ways until both sides have ended or are silent.
async fn carry(
    application: &Application,
    client: Box<dyn Io>,
    early: &[u8],
    origin: Upgraded,
    _guard: Guard,
) -> io::Result<()> {
    let silence = application.config.websocket_silence;
    let (client_reads, mut client_writes) = tokio::io::split(client);
    let (origin_reads, mut origin_writes) = tokio::io::split(TokioIo::new(origin));
    let counts = &application.counts;
    within(silence, origin_writes.write_all(early)).await?;
    within(silence, origin_writes.flush()).await?;
    counts.from_client.inc_by(early.len() as u64);
    let heard = Cell::new(Instant::now());
    let both = async {
        tokio::try_join!(
            one_way(
                client_reads,
                &mut origin_writes,
                &counts.from_client,
                &heard,
                silence
            ),
            one_way(
                origin_reads,
                &mut client_writes,
                &counts.to_client,
                &heard,
                silence
            ),
        )
    };
    tokio::select! {
        carried = both => carried.map(|_| ()),
        () = silent(&heard, silence) => Err(io::Error::new(io::ErrorKind::TimedOut, "both sides are silent")),
    }
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    to: &mut (impl AsyncWrite + Unpin),
    count: &IntCounter,
    heard: &Cell<Instant>,
    stall: Duration,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return within(stall, to.shutdown()).await;
        }
        heard.set(Instant::now());
        within(stall, to.write_all(&buffer[..read])).await?;
        within(stall, to.flush()).await?;
        count.inc_by(read as u64);
    }
}

/// Ends when nothing was heard for so long.
async fn silent(heard: &Cell<Instant>, silence: Duration) {
    loop {
        let until = heard.get() + silence;
        if Instant::now() >= until {
            return;
        }
        tokio::time::sleep_until(until).await;
    }
}

/// Ends at this WebSocket's moment of the drain.
async fn drained(drain: &drain::Watch) {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Some(after) = drain.close_after() {
            tokio::time::sleep(after).await;
            return;
        }
    }
}

async fn within<T>(
    time: Duration,
    done: impl std::future::Future<Output = io::Result<T>>,
) -> io::Result<T> {
    tokio::time::timeout(time, done).await?
}

async fn tell(io: &mut (impl AsyncWrite + Unpin), failure: &Failure) -> io::Result<()> {
    let body = failure.body();
    let status = StatusCode::from_u16(failure.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut head = HeaderMap::new();
    head.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    head.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    head.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let send = async {
        io.write_all(&written(status, &head)).await?;
        io.write_all(body.as_bytes()).await?;
        io.shutdown().await
    };
    within(TELL, send).await
}

/// The body of an origin's refusal; its end is the connection's.
async fn send_body(
    io: &mut (impl AsyncWrite + Unpin),
    mut body: Incoming,
    pause: Duration,
) -> io::Result<()> {
    loop {
        let frame = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx));
        let Some(frame) = tokio::time::timeout(pause, frame).await? else {
            return Ok(());
        };
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            within(pause, io.write_all(&data)).await?;
        }
    }
}

/// The head of an answer.
fn written(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    for (name, value) in headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Bytes per direction.
const BUFFER: usize = 16 * 1024;
/// Bytes that are read at once of what a client says before it is answered.
const EARLY: usize = 1024;
/// How often a WebSocket looks whether the gateway is finishing.
const LOOK: Duration = Duration::from_millis(250);
/// Time for a refusal to leave.
const TELL: Duration = Duration::from_secs(1);
