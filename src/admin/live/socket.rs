//! ACTOR: one page of the live view, by `actix-web-actors`. No other module names that crate.
//!
//! Its context keeps whatever it is told to send, and its decoder whatever comes, without a bound. So both are bounded
//! here: the hub sends nothing before the page has taken the last push, a page may say only so much in a time, and who
//! takes nothing is cut off from outside.

use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::sync::Weak;
use std::task::Context;
use std::task::Poll;
use std::time::Instant;

use actix::Actor;
use actix::ActorContext;
use actix::Addr;
use actix::AsyncContext;
use actix::Handler;
use actix::StreamHandler;
use actix_http::ws::Codec;
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use actix_web::web::Payload;
use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web_actors::ws;
use futures_core::Stream;
use prometheus::IntGauge;
use socket2::Socket;

use crate::admin::keys::Pass;
use crate::admin::live::hub::Join;
use crate::admin::live::hub::Left;
use crate::admin::live::hub::Push;
use crate::admin::live::hub::Said;
use crate::admin::live::query::FromViewer;
use crate::admin::live::query::MESSAGE_MAX;
use crate::admin::live::Hub;

/// The places for pages, of which there are [`MOST_VIEWERS`].
#[derive(Clone, Debug)]
pub struct Places {
    taken: Arc<AtomicUsize>,
    next: Arc<AtomicU64>,
    gauge: IntGauge,
}

/// One place; dropping it makes room for another page.
#[derive(Debug)]
pub struct Place {
    places: Places,
    viewer: u64,
}

impl Places {
    /// All free; `gauge` shows how many are not.
    pub fn new(gauge: IntGauge) -> Self {
        Self {
            taken: Arc::default(),
            next: Arc::default(),
            gauge,
        }
    }

    /// A place, if there is one.
    pub fn take(&self) -> Option<Place> {
        let one_more = |taken: usize| (taken < MOST_VIEWERS).then_some(taken + 1);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        self.taken.fetch_update(set, fetch, one_more).ok()?;
        self.gauge.inc();
        Some(Place {
            places: self.clone(),
            viewer: self.next.fetch_add(1, Ordering::Relaxed),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
        self.places.gauge.dec();
    }
}

/// One page.
struct Viewer {
    hub: Addr<Hub>,
    place: Place,
    socket: Weak<Socket>,
    pass: Pass,
}

/// Answers the opening handshake of a page.
///
/// # Errors
/// What is wrong with it.
pub fn open(
    request: &HttpRequest,
    payload: Payload,
    hub: Addr<Hub>,
    place: Place,
    socket: Weak<Socket>,
    pass: Pass,
) -> Result<HttpResponse, actix_web::Error> {
    let viewer = Viewer {
        hub,
        place,
        socket,
        pass,
    };
    let bounded = Bounded {
        payload,
        left: SAID_AT_ONCE,
        at: Instant::now(),
    };
    ws::WsResponseBuilder::new(viewer, request, bounded)
        .codec(Codec::new().max_size(MESSAGE_MAX))
        .start()
}

impl Viewer {
    #[expect(
        clippy::disallowed_methods,
        reason = "a page may say only so much in a time; join and leave come once"
    )]
    fn tell<M>(&self, message: M)
    where
        M: actix::Message<Result = ()> + Send + 'static,
        Hub: Handler<M>,
    {
        self.hub.do_send(message);
    }

    fn end(ctx: &mut ws::WebsocketContext<Self>, code: ws::CloseCode, why: &str) {
        ctx.close(Some(ws::CloseReason {
            code,
            description: Some(why.to_owned()),
        }));
        ctx.stop();
    }
}

impl Actor for Viewer {
    type Context = ws::WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.tell(Join {
            viewer: self.place.viewer,
            pushes: ctx.address().recipient(),
            socket: Weak::clone(&self.socket),
            pass: self.pass,
        });
    }
}

/// Also where the connection is dropped under it.
impl Drop for Viewer {
    fn drop(&mut self) {
        self.tell(Left(self.place.viewer));
    }
}

impl Handler<Push> for Viewer {
    type Result = ();

    fn handle(&mut self, push: Push, ctx: &mut Self::Context) {
        match push {
            Push::Show(text) => ctx.text(text),
            Push::LoggedOut => Self::end(ctx, ws::CloseCode::Other(LOGGED_OUT), "logged out"),
        }
    }
}

impl StreamHandler<Result<ws::Message, ws::ProtocolError>> for Viewer {
    fn handle(&mut self, message: Result<ws::Message, ws::ProtocolError>, ctx: &mut Self::Context) {
        match message {
            Ok(ws::Message::Text(text)) => match FromViewer::parse(&text) {
                Ok(said) => self.tell(Said(self.place.viewer, said)),
                Err(why) => {
                    let why: String = why.chars().take(REASON_MAX).collect();
                    Self::end(ctx, ws::CloseCode::Policy, &why);
                }
            },
            // A browser sends none; how many come is bounded with the rest.
            Ok(ws::Message::Ping(payload)) => ctx.pong(&payload),
            Ok(ws::Message::Pong(_) | ws::Message::Nop) => {}
            Ok(ws::Message::Close(reason)) => {
                ctx.close(reason);
                ctx.stop();
            }
            Ok(ws::Message::Binary(_) | ws::Message::Continuation(_)) => {
                Self::end(ctx, ws::CloseCode::Unsupported, "whole text messages only");
            }
            // The decoder would say the same for ever.
            Err(ws::ProtocolError::Overflow) => {
                Self::end(ctx, ws::CloseCode::Size, "the message is too big");
            }
            Err(ws::ProtocolError::Io(_)) => {
                Self::end(ctx, ws::CloseCode::Policy, "too much at once")
            }
            Err(_) => Self::end(ctx, ws::CloseCode::Protocol, "not the WebSocket protocol"),
        }
    }
}

/// What a page sends, as long as it is little: the decoder behind it would keep any amount.
struct Bounded {
    payload: Payload,
    left: usize,
    at: Instant,
}

impl Stream for Bounded {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.payload).poll_next(cx);
        let Poll::Ready(Some(Ok(bytes))) = polled else {
            return polled;
        };
        let now = Instant::now();
        let seconds = usize::try_from((now - self.at).as_secs()).unwrap_or(usize::MAX);
        if seconds > 0 {
            self.at = now;
            let more = seconds.saturating_mul(SAID_IN_A_SECOND);
            self.left = self.left.saturating_add(more).min(SAID_AT_ONCE);
        }
        match self.left.checked_sub(bytes.len()) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Some(Ok(bytes)))
            }
            None => Poll::Ready(Some(Err(PayloadError::Overflow))),
        }
    }
}

/// Operators who look at one gateway at the same time, with several tabs each.
pub const MOST_VIEWERS: usize = 16;

/// Tells the page that it has to log in again; one of those that applications may use.
const LOGGED_OUT: u16 = 4401;

/// What a page may say at once: some dozen changes of its view, which is more than a person makes.
const SAID_AT_ONCE: usize = 16 * 1024;

/// And in each second after that.
const SAID_IN_A_SECOND: usize = 2 * 1024;

/// A Close frame has 123 bytes for the reason, and a character up to four.
const REASON_MAX: usize = 30;
