//! One request for an application with an origin: passed on, answered, and in between nothing held but what is under way.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::BodySize;
use actix_web::body::BoxBody;
use actix_web::body::MessageBody;
use actix_web::http::header as actix_header;
use actix_web::web::Payload;
use actix_web::HttpRequest;
use actix_web::HttpResponse;
use futures_util::future::OptionFuture;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::Uri;
use hyper::body::Incoming;
use tokio::time::Instant;
use tracing::info;

use crate::web::applications::asked::length;
use crate::web::applications::asked::Asked;
use crate::web::applications::asked::Length;
use crate::web::applications::body;
use crate::web::applications::body::Answer;
use crate::web::applications::body::Chunks;
use crate::web::applications::body::RequestBody;
use crate::web::applications::config::HostHeader;
use crate::web::applications::connections::Connections;
use crate::web::applications::csp;
use crate::web::applications::failure::Failure;
use crate::web::applications::in_flight::Guard;
use crate::web::applications::origin;
use crate::web::applications::origin::Connector;
use crate::web::applications::origin::Pool;
use crate::web::applications::request;
use crate::web::applications::request::Head;
use crate::web::applications::request::Hosts;
use crate::web::applications::request::Task;
use crate::web::applications::response;
use crate::web::applications::response::Plan;
use crate::web::applications::rewriting;
use crate::web::applications::told::shown;
use crate::web::applications::told::Recipient;
use crate::web::applications::Application;
use crate::web::library;

/// An application with an origin, in one worker.
pub struct Proxy {
    /// The application.
    pub application: Arc<Application>,
    /// Where its origin is.
    pub connector: Connector,
    /// This worker's connections to it.
    pub connections: Connections,
}

/// The client's body on its way.
type Carrying = Pin<Box<dyn Future<Output = Result<(), Failure>>>>;

/// Why there is no answer of the origin's.
struct Unanswered {
    failure: Failure,
    /// The connection had been kept, and the origin closed it as the request came.
    is_stale: bool,
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            is_stale: false,
        }
    }
}

impl Proxy {
    /// Answers one request.
    pub async fn answer(
        self: Rc<Self>,
        request: HttpRequest,
        payload: Payload,
        secure: bool,
    ) -> HttpResponse {
        let application = Arc::clone(&self.application);
        let sender = application.sender(request.head(), secure);
        let result = match Asked::read(request.head(), sender) {
            Err(failure) => Err(failure),
            Ok(asked) => {
                let length = length(&asked.headers);
                self.pass(
                    asked,
                    length,
                    payload,
                    request.version() < actix_web::http::Version::HTTP_11,
                )
                .await
            }
        };
        let response = match result {
            Ok(response) => response,
            Err(failure) => fail(&application, &failure, request.path(), sender.client),
        };
        application.counts.answered(response.status().as_u16());
        response
    }

    async fn pass(
        &self,
        asked: Asked,
        length: Length,
        payload: Payload,
        is_old: bool,
    ) -> Result<HttpResponse, Failure> {
        let application = &self.application;
        let config = &application.config;
        if asked.method == Method::OPTIONS
            && asked
                .headers
                .get("max-forwards")
                .is_some_and(|value| value == "0")
        {
            // RFC 9110 section 7.6.2: the way ends here.
            return Ok(HttpResponse::Ok().finish());
        }
        if matches!(length, Length::Known(length) if length > config.body_bytes) {
            return Err(Failure::BodyTooLarge);
        }
        let guard = application
            .in_flight
            .enter(asked.sender.address())
            .ok_or(Failure::Busy)?;
        let task = Task::of(config, &asked.method, asked.path(), &asked.headers);
        let origin = self.connector.origin();
        let hosts = Hosts {
            browsers: &asked.host,
            origins: origin.authority.as_str(),
        };
        let head = request::head(
            asked.headers.clone(),
            config,
            task,
            &asked.sender,
            hosts,
            &application.mark,
        )?;
        let uri = self.uri(&asked)?;
        let outgoing = || self.outgoing(&asked.method, &uri, &head.headers, length);
        let mut first = outgoing();
        let mut carrying: Option<Carrying> = None;
        if let Some(length) = length.of_body() {
            let (queue, body) = RequestBody::queued(length);
            *first.body_mut() = body;
            let count = application.counts.from_client.clone();
            carrying = Some(Box::pin(body::carry(
                payload,
                queue,
                config.body_bytes,
                config.body_pause,
                count,
            )));
        }
        // RFC 9110 section 9.2.2: what changes nothing may be asked again.
        let is_repeatable = carrying.is_none() && asked.method.is_safe();
        let begin = Instant::now();
        let pool = self.connections.by(first.uri().authority(), begin);
        let mut answer = self.exchange(pool, first, carrying).await;
        let is_stale = matches!(&answer, Err(Unanswered { is_stale: true, .. }));
        if is_repeatable && is_stale && begin.elapsed() < SOON {
            let anew = self.connections.anew();
            answer = self.exchange(anew, outgoing(), None).await;
        }
        let response = answer.map_err(|unanswered| unanswered.failure)?;
        self.receive(response, &asked, task, &head, guard, is_old)
    }

    /// The request for the origin, without its body.
    fn outgoing(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        length: Length,
    ) -> http::Request<RequestBody> {
        let mut outgoing = http::Request::new(RequestBody::none());
        *outgoing.method_mut() = method.clone();
        *outgoing.uri_mut() = uri.clone();
        *outgoing.headers_mut() = headers.clone();
        let lines = outgoing.headers_mut();
        match length {
            Length::None => {}
            // RFC 9110 section 8.6: a POST without a body says so, and some servers ask for that.
            Length::Known(0) => {
                lines.insert(http::header::CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
            Length::Known(_) => {}
            // Without it a GET would lose its body on the way.
            Length::Unknown if !self.connector.may_be_http2() => {
                let chunked = HeaderValue::from_static("chunked");
                lines.insert(http::header::TRANSFER_ENCODING, chunked);
            }
            Length::Unknown => {}
        }
        outgoing
    }

    /// Sends the request and its body, until the head of the answer is there.
    async fn exchange(
        &self,
        pool: &Pool,
        outgoing: http::Request<RequestBody>,
        mut carrying: Option<Carrying>,
    ) -> Result<http::Response<Incoming>, Unanswered> {
        let sending = pool.request(outgoing);
        tokio::pin!(sending);
        let patience = self.application.config.head_deadline;
        let mut deadline = Instant::now() + patience;
        loop {
            let is_carrying = carrying.is_some();
            tokio::select! {
                biased;
                Some(carried) = OptionFuture::from(carrying.as_mut()), if is_carrying => {
                    carried?;
                    carrying = None;
                    deadline = Instant::now() + patience;
                }
                response = &mut sending => {
                    if let Some(carrying) = carrying {
                        // The origin answers before it has all of the body, and may go on to read it.
                        actix_rt::spawn(carrying);
                    }
                    return response.inspect(origin::note_use).map_err(|error| Unanswered {
                        is_stale: origin::is_stale(&error),
                        failure: origin::failure(&error),
                    });
                }
                () = tokio::time::sleep_until(deadline), if !is_carrying => {
                    return Err(Failure::OriginTimeout("no answer in time").into());
                }
            }
        }
    }

    fn uri(&self, asked: &Asked) -> Result<Uri, Failure> {
        let origin = self.connector.origin();
        let scheme = if origin.secure { "https" } else { "http" };
        let is_named = self.connector.may_be_http2()
            && self.application.config.host_header == HostHeader::Preserve
            && !asked.host.is_empty();
        // HTTP/2 takes the host from here.
        let authority = if is_named {
            asked.host.as_str()
        } else {
            origin.authority.as_str()
        };
        format!("{scheme}://{authority}{}", asked.target)
            .parse()
            .map_err(|_| Failure::PathRefused)
    }

    fn receive(
        &self,
        response: http::Response<Incoming>,
        asked: &Asked,
        task: Task,
        head: &Head,
        guard: Guard,
        is_old: bool,
    ) -> Result<HttpResponse, Failure> {
        let application = &self.application;
        let (mut parts, body) = response.into_parts();
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            let text = "it changes the protocol unasked".to_owned();
            return Err(Failure::OriginMalformed(text));
        }
        let length = length(&parts.headers);
        response::pass_on(&mut parts.headers)?;
        let origin = self.connector.origin();
        if application.config.host_header == HostHeader::Origin {
            let scheme = if origin.secure { "https" } else { "http" };
            response::relocate(
                &mut parts.headers,
                &format!("{scheme}://{}", origin.authority),
            );
        }
        let script = csp::Script {
            secure: asked.sender.secure,
            authority: &asked.host,
            path: library::SCRIPT,
            hash: &application.hash,
        };
        let is_empty = http_body::Body::is_end_stream(&body);
        let task = if is_empty && asked.method != Method::HEAD {
            Task::Pass
        } else {
            task
        };
        let plan = response::plan(
            parts.status,
            &mut parts.headers,
            task,
            head,
            &script,
            &application.mark,
        );
        let mut answer = start(parts.status, &parts.headers)?;
        let pause = application.config.body_pause;
        let recipient = Recipient::new(application, asked.sender.client, asked.path());
        let is_head = asked.method == Method::HEAD;
        let chunks = Chunks::new(body);
        let body = match (application.rewriter(&plan), is_head) {
            (_, true) => {
                // Only the length of what would come is told, and only if it is the origin's.
                if let (Length::Known(length), Plan::Pass(_)) = (length, &plan) {
                    answer.no_chunking(length);
                }
                Answer::new(chunks, BodySize::Stream, pause, recipient, guard).boxed()
            }
            (None, false) => {
                let size = match length {
                    Length::Known(length) => BodySize::Sized(length),
                    Length::Unknown | Length::None => BodySize::Stream,
                };
                let size = if is_empty { BodySize::Sized(0) } else { size };
                Answer::new(chunks, size, pause, recipient, guard).boxed()
            }
            (Some((rewriter, coding)), false) => {
                let ended = application.ended(&plan);
                let chunks = rewriting::rewrite(chunks, coding, rewriter, ended);
                Answer::new(chunks, BodySize::Stream, pause, recipient, guard).boxed()
            }
        };
        if let Plan::Pass(Some(reason)) = &plan {
            application.counts.page(reason);
        }
        if is_old {
            // HTTP/1.0 knows no chunks: the end of the connection is the end of the body.
            answer.force_close();
        }
        let mut response = answer.body(body);
        if is_old {
            response.head_mut().no_chunking(true);
        }
        Ok(response)
    }
}

/// An answer with this head.
fn start(
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<actix_web::HttpResponseBuilder, Failure> {
    let broken = |_| Failure::OriginMalformed("a head that cannot be passed on".to_owned());
    let status = actix_web::http::StatusCode::from_u16(status.as_u16())
        .map_err(|_| Failure::OriginMalformed("a status that is none".to_owned()))?;
    let mut answer = HttpResponse::build(status);
    for (name, value) in headers {
        let name = actix_header::HeaderName::from_bytes(name.as_str().as_bytes())
            .map_err(|_| Failure::OriginMalformed("a line that is not HTTP".to_owned()))?;
        let value = actix_header::HeaderValue::from_bytes(value.as_bytes()).map_err(broken)?;
        answer.append_header((name, value));
    }
    Ok(answer)
}

/// Counts, logs and tells a failure.
pub fn fail(
    application: &Application,
    failure: &Failure,
    path: &str,
    client: SocketAddr,
) -> HttpResponse {
    application.counts.failed(failure.code());
    info!(
        application = application.config.name,
        %client,
        path = shown(path),
        status = failure.status(),
        code = failure.code(),
        detail = %failure,
        "request failed"
    );
    let status = actix_web::http::StatusCode::from_u16(failure.status())
        .unwrap_or(actix_web::http::StatusCode::BAD_GATEWAY);
    let mut answer = HttpResponse::build(status);
    answer
        .content_type("text/plain; charset=utf-8")
        .force_close();
    if failure.is_passing() {
        answer.insert_header((actix_header::RETRY_AFTER, "1"));
    }
    answer.body::<BoxBody>(BoxBody::new(failure.body()))
}

/// An origin that closes a kept connection has not begun with a request; one that closes it later may have failed at it.
const SOON: Duration = Duration::from_secs(1);
