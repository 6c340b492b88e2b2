//! An application that is a folder: files as they are, pages with the library in them.

use std::fs::File;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use actix_files::Files;
use actix_files::PathBufWrap;
use actix_web::body::BodySize;
use actix_web::body::BoxBody;
use actix_web::body::MessageBody;
use actix_web::dev::Service;
use actix_web::dev::ServiceRequest;
use actix_web::dev::ServiceResponse;
use actix_web::guard::Guard;
use actix_web::http::header as actix_header;
use actix_web::web;
use actix_web::web::Bytes;
use actix_web::web::ServiceConfig;
use actix_web::HttpRequest;
use actix_web::HttpResponse;
use futures_util::stream;
use futures_util::Stream;
use http::header;
use http::HeaderMap;
use http::Method;
use http::StatusCode;

use crate::downstream::listener::is_secure;
use crate::web::applications::asked::Asked;
use crate::web::applications::body::Answer;
use crate::web::applications::csp;
use crate::web::applications::failure::Failure;
use crate::web::applications::in_flight;
use crate::web::applications::proxy;
use crate::web::applications::request;
use crate::web::applications::request::Head;
use crate::web::applications::request::Hosts;
use crate::web::applications::request::Task;
use crate::web::applications::response;
use crate::web::applications::response::Plan;
use crate::web::applications::rewriting;
use crate::web::applications::told::Recipient;
use crate::web::applications::Application;
use crate::web::library;

/// Adds the files of an application to the public application of one worker.
pub fn serve(
    application: &Arc<Application>,
    guard: impl Guard + 'static,
    service: &mut ServiceConfig,
) {
    let Some(folder) = &application.config.folder else {
        return;
    };
    let unopened = {
        let application = Arc::clone(application);
        move |request: HttpRequest| not_served(Arc::clone(&application), request)
    };
    let files = Files::new("", folder)
        .index_file("index.html")
        // The page's own links are relative to the folder.
        .redirect_to_slash_directory()
        .default_handler(web::to(unopened))
        .prefer_utf8(true);
    let path = application.config.path.trim_end_matches('/');
    let application = Arc::clone(application);
    service.service(
        web::scope(path)
            .guard(guard)
            .wrap_fn(move |request, next| answer(Arc::clone(&application), request, next))
            .service(files),
    );
}

/// Answers where a file could not be opened: that there is none, or why.
async fn not_served(application: Arc<Application>, request: HttpRequest) -> HttpResponse {
    let config = &application.config;
    let path = request.path();
    let below = path
        .strip_prefix(config.path.trim_end_matches('/'))
        .and_then(|below| PathBufWrap::parse_path(below, false).ok());
    if let (Some(folder), Some(below)) = (&config.folder, below) {
        let file = folder.join(below);
        let opened = web::block(move || File::open(file)).await;
        let error = match opened {
            Ok(opened) => opened.err(),
            Err(error) => Some(io::Error::other(error.to_string())),
        };
        if let Some(error) = error.filter(|error| !is_nowhere(error)) {
            let sender = application.sender(request.head(), is_secure(&request));
            let failure = Failure::OriginUnreachable(error.to_string());
            return proxy::fail(&application, &failure, path, sender.client);
        }
    }
    HttpResponse::NotFound()
        .content_type("text/plain; charset=utf-8")
        .body("not_found: there is no such file\n")
}

/// Whether there is nothing by that name.
fn is_nowhere(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename
    )
}

fn answer<S>(
    application: Arc<Application>,
    mut request: ServiceRequest,
    next: &S,
) -> impl Future<Output = Result<ServiceResponse<BoxBody>, actix_web::Error>>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = actix_web::Error>,
{
    let secure = is_secure(request.request());
    let sender = application.sender(request.head(), secure);
    let asked = Asked::read(request.head(), sender).and_then(|asked| {
        // As the address of a redirection it would name another host.
        if asked.path().starts_with("//") {
            return Err(Failure::PathRefused);
        }
        let guard = application
            .in_flight
            .enter(sender.address())
            .ok_or(Failure::Busy)?;
        let (asked, task, head) = ask(&application, asked, &mut request)?;
        Ok((asked, task, head, guard))
    });
    let (asked, next) = match asked {
        Ok(asked) => (Ok(asked), Some(next.call(request))),
        Err(failure) => (Err((failure, request)), None),
    };
    async move {
        let response = match (asked, next) {
            (Ok((asked, task, head, guard)), Some(next)) => {
                change(&application, next.await?, &asked, task, &head, guard)
            }
            (Err((failure, request)), _) => {
                let answer = proxy::fail(&application, &failure, request.path(), sender.client);
                request.into_response(answer)
            }
            (Ok(_), None) => return Err(actix_web::error::ErrorInternalServerError("")),
        };
        application.counts.answered(response.status().as_u16());
        Ok(response)
    }
}

/// Puts the conditions of the request into the terms of the files.
fn ask(
    application: &Application,
    asked: Asked,
    request: &mut ServiceRequest,
) -> Result<(Asked, Task, Head), Failure> {
    let task = Task::of(
        &application.config,
        &asked.method,
        asked.path(),
        &asked.headers,
    );
    let hosts = Hosts {
        browsers: &asked.host,
        origins: "localhost",
    };
    let head = request::head(
        asked.headers.clone(),
        &application.config,
        task,
        &asked.sender,
        hosts,
        &application.mark,
    )?;
    for name in [
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::RANGE,
        header::IF_RANGE,
    ] {
        let Ok(line) = actix_header::HeaderName::from_bytes(name.as_str().as_bytes()) else {
            continue;
        };
        request.headers_mut().remove(&line);
        let value = head
            .headers
            .get(&name)
            .map(|value| actix_header::HeaderValue::from_bytes(value.as_bytes()));
        if let Some(Ok(value)) = value {
            request.headers_mut().insert(line, value);
        }
    }
    Ok((asked, task, head))
}

/// Rewrites what is a page.
fn change(
    application: &Arc<Application>,
    mut response: ServiceResponse<BoxBody>,
    asked: &Asked,
    task: Task,
    head: &Head,
    guard: in_flight::Guard,
) -> ServiceResponse<BoxBody> {
    let mut headers = HeaderMap::new();
    for (name, value) in response.headers() {
        let line = http::HeaderName::from_bytes(name.as_str().as_bytes())
            .ok()
            .zip(http::HeaderValue::from_bytes(value.as_bytes()).ok());
        if let Some((name, value)) = line {
            headers.append(name, value);
        }
    }
    if response.status() == actix_web::http::StatusCode::TEMPORARY_REDIRECT {
        keep_query(&mut headers, asked);
    }
    let script = csp::Script {
        secure: asked.sender.secure,
        authority: &asked.host,
        path: library::SCRIPT,
        hash: &application.hash,
    };
    let status = StatusCode::from_u16(response.status().as_u16()).unwrap_or_default();
    let size = response.response().body().size();
    let task = match size {
        BodySize::None | BodySize::Sized(0) => Task::Pass,
        _ => task,
    };
    let plan = response::plan(status, &mut headers, task, head, &script, &application.mark);
    if let Plan::Pass(Some(reason)) = &plan {
        application.counts.page(reason);
    }
    response.headers_mut().clear();
    for (name, value) in &headers {
        let line = actix_header::HeaderName::from_bytes(name.as_str().as_bytes())
            .ok()
            .zip(actix_header::HeaderValue::from_bytes(value.as_bytes()).ok());
        if let Some((name, value)) = line {
            response.headers_mut().append(name, value);
        }
    }
    let pause = application.config.body_pause;
    let recipient = Recipient::new(application, asked.sender.client, asked.path());
    let rewriter = application.rewriter(&plan);
    if asked.method == Method::HEAD {
        // How long a rewritten page is nobody knows.
        let size = rewriter.map_or(size, |_| BodySize::Stream);
        return response
            .map_body(|_, _| Answer::new(stream::empty(), size, pause, recipient, guard).boxed());
    }
    match rewriter {
        None => response
            .map_body(|_, body| Answer::new(Chunks(body), size, pause, recipient, guard).boxed()),
        Some((rewriter, coding)) => {
            let ended = application.ended(&plan);
            response.map_body(|_, body| {
                let chunks = rewriting::rewrite(Chunks(body), coding, rewriter, ended);
                Answer::new(chunks, BodySize::Stream, pause, recipient, guard).boxed()
            })
        }
    }
}

/// The way to a folder's own address goes without the query otherwise.
fn keep_query(headers: &mut HeaderMap, asked: &Asked) {
    let query = asked.target.split_once('?').map(|(_, query)| query);
    let location = headers
        .get(header::LOCATION)
        .and_then(|location| location.to_str().ok())
        .zip(query)
        .and_then(|(location, query)| format!("{location}?{query}").parse().ok());
    if let Some(location) = location {
        headers.insert(header::LOCATION, location);
    }
}

/// The chunks of a file.
struct Chunks(BoxBody);

impl Stream for Chunks {
    type Item = io::Result<Bytes>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        Pin::new(&mut self.0)
            .poll_next(cx)
            .map_err(|error| io::Error::other(error.to_string()))
    }
}
