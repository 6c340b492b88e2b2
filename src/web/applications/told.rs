//! Answers that had begun and cannot be finished: the browser can only be cut off, so the log says why.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::ready;
use std::task::Context;
use std::task::Poll;

use actix_web::body::BodySize;
use actix_web::body::BoxBody;
use actix_web::body::MessageBody;
use actix_web::web::Bytes;
use actix_web::HttpResponse;
use tracing::info;

use crate::web::applications::metrics::BROKEN_OFF;
use crate::web::applications::proxy;
use crate::web::applications::Application;

/// A body that passes as it is, with a line in the log if it ends with an error.
struct Told {
    body: BoxBody,
    application: Arc<Application>,
    client: SocketAddr,
    path: String,
}

/// Has the log told of this answer if it cannot be finished.
pub(super) fn told(
    answer: HttpResponse,
    application: &Arc<Application>,
    client: SocketAddr,
    path: &str,
) -> HttpResponse {
    answer.map_body(|_, body| {
        BoxBody::new(Told {
            body,
            application: Arc::clone(application),
            client,
            path: proxy::shown(path),
        })
    })
}

impl MessageBody for Told {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = &mut *self;
        let next = ready!(Pin::new(&mut this.body).poll_next(cx));
        if let Some(Err(error)) = &next {
            info!(
                application = this.application.config.name,
                client = %this.client,
                path = this.path,
                code = code(&**error),
                detail = %error,
                "answer cut off"
            );
        }
        Poll::Ready(next)
    }
}

/// The code under which the failure is counted.
fn code(error: &(dyn Error + 'static)) -> &'static str {
    let [stalled, broken] = BROKEN_OFF;
    match error.downcast_ref::<io::Error>() {
        Some(error) if error.kind() == io::ErrorKind::TimedOut => stalled,
        _ => broken,
    }
}
