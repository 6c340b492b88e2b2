//! AMQP connections of the gateway's own: lapin over a socket of ours, held under the eye of a deadline, and ended for
//! certain when dropped.

use std::future::poll_fn;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use futures_core::Stream;
use lapin::options::BasicQosOptions;
use lapin::uri::AMQPAuthority;
use lapin::uri::AMQPQueryString;
use lapin::uri::AMQPScheme;
use lapin::uri::AMQPUri;
use lapin::uri::AMQPUserInfo;
use lapin::Channel;
use lapin::Connection;
use lapin::ConnectionProperties;
use lapin::ErrorKind;
use lapin::Event;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio::time::timeout;
use tokio::time::timeout_at;
use tokio::time::Instant;

use crate::upstream::brokers::LookedAfter;
use crate::upstream::connect::nobody;
use crate::upstream::connect::Blocked;
use crate::upstream::connect::Upstream;
use crate::upstream::dial::fair_part;
use crate::upstream::dial::Ask;
use crate::upstream::error::ConnectError;
use crate::upstream::error::Failure;
use crate::upstream::error::Step;
use crate::upstream::kit;
use crate::upstream::probe::Account;
use crate::upstream::socket::Socket;
use crate::upstream::Broker;
use crate::wire::amqp::FrameKind;

/// A connection of the gateway's own to one broker.
pub struct Own {
    connection: Arc<Connection>,
    /// For round trips; nothing else happens on it.
    probe: Channel,
    /// In a mutex so that the whole may be shared; nobody waits for it.
    events: Mutex<Pin<Box<dyn Stream<Item = Event> + Send>>>,
    upstream: Upstream,
    broker: Arc<Broker>,
    blocked: Option<Blocked>,
    /// There if it counts as one that looks after itself.
    looked_after: Option<LookedAfter>,
    /// The socket ends when this is dropped, whatever lapin waits for.
    _life: oneshot::Sender<()>,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum OpenError {
    /// The broker could not be reached, or does not answer.
    Unreachable(ConnectError),
    /// The broker is there, and refuses the login or the vhost.
    Refused(ConnectError),
    /// The fault may be with the settings of the gateway's own login, such as TLS's, or the broker is there and the login
    /// came to nothing otherwise: it says nothing of how sessions would fare.
    NotLetIn(ConnectError),
}

impl Upstream {
    /// A connection of the gateway's own to the first broker that takes it, those out of back-off first, under this
    /// name. To be called where lapin runs ([`runtime`](crate::upstream::runtime)).
    ///
    /// # Errors
    /// Why the last broker failed, if all did.
    pub async fn open(&self, name: &str) -> Result<Own, ConnectError> {
        let end = Instant::now() + self.config().connect_deadline;
        let mut tour = self.tour();
        let mut failed = None;
        loop {
            let now = std::time::Instant::now();
            let standing = |index: usize| self.brokers()[index].standing(now);
            let Some(index) = tour.next_at_any_rate(standing) else {
                break;
            };
            let part = fair_part(end, tour.left());
            tour.has_tried(index);
            let Some(account) = self.account(index) else {
                continue;
            };
            match self.open_own(index, account, Some(name), part).await {
                Ok(mut own) => {
                    own.looked_after = Some(own.broker.look_after());
                    return Ok(own);
                }
                Err(
                    OpenError::Unreachable(error)
                    | OpenError::Refused(error)
                    | OpenError::NotLetIn(error),
                ) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(nobody))
    }

    /// Logs in at the broker of this index, under this name if there is one. That it succeeds, or that nobody can reach the
    /// broker, counts as for sessions, apart from metrics. Runs where lapin does.
    pub(super) async fn open_own(
        &self,
        index: usize,
        account: Account,
        name: Option<&str>,
        end: Instant,
    ) -> Result<Own, OpenError> {
        let broker = Arc::clone(&self.brokers()[index]);
        let opened = self.try_own(index, account, name, end).await;
        match opened {
            Ok((connection, probe, life)) => {
                broker.succeeded();
                Ok(Own {
                    events: Mutex::new(Box::pin(connection.events_listener())),
                    connection: Arc::new(connection),
                    probe,
                    upstream: self.clone(),
                    broker,
                    blocked: None,
                    looked_after: None,
                    _life: life,
                })
            }
            Err(failure) => {
                let error = ConnectError::new(broker.name().to_owned(), failure, 1);
                if error.is_refusal() {
                    broker.succeeded();
                    return Err(OpenError::Refused(error));
                }
                if !error.failure().is_for_all() {
                    return Err(OpenError::NotLetIn(error));
                }
                broker.failed(self.config().backoff_terms(), &error.sentence());
                Err(OpenError::Unreachable(error))
            }
        }
    }

    async fn try_own(
        &self,
        index: usize,
        account: Account,
        name: Option<&str>,
        end: Instant,
    ) -> Result<(Connection, Channel, oneshot::Sender<()>), Failure> {
        let ask = Ask {
            protocol_header: None,
            client: None,
            gateway: None,
        };
        let answered = self.dial(index, &ask, end).await?;
        let (life, end_of_life) = oneshot::channel();
        let heard = Arc::new(AtomicBool::new(false));
        let stream = Mortal {
            socket: answered.socket,
            end_of_life,
            heard: Some(Arc::clone(&heard)),
        };
        let uri = AMQPUri {
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: account.user,
                    password: account.password.expose().to_owned(),
                },
                host: answered.uri.host().to_owned(),
                port: answered.uri.port(),
            },
            vhost: account.vhost,
            query: AMQPQueryString {
                // Small, and so lapin's buffers are.
                frame_max: Some(FRAME_MAX),
                heartbeat: Some(HEARTBEAT),
                ..AMQPQueryString::default()
            },
        };
        let mut properties = ConnectionProperties::default();
        if let Some(name) = name {
            properties = properties.with_connection_name(name.into());
        }
        let opening = async {
            let connection = kit::connect(Box::new(stream), uri, properties).await?;
            let probe = connection.create_channel().await?;
            Ok((connection, probe))
        };
        let opened = timeout_at(end, opening).await;
        let is_heard = heard.load(Ordering::Relaxed);
        let opened = opened.map_err(|_| {
            if is_heard {
                Failure::NotLetIn(io::ErrorKind::TimedOut.into())
            } else {
                Failure::Deadline(Step::Answer)
            }
        })?;
        let (connection, probe) = opened.map_err(|error: lapin::Error| {
            tracing::debug!(%error, "no connection of the gateway's own");
            if kit::is_refusal(&error) {
                Failure::LoginRefused
            } else if is_heard {
                Failure::NotLetIn(io::Error::other(error.to_string()))
            } else {
                Failure::ClosedEarly
            }
        })?;
        Ok((connection, probe, life))
    }
}

impl Own {
    /// The broker at its other end.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// Where its channels come from.
    pub fn channels(&self) -> Channels {
        Channels(Arc::clone(&self.connection))
    }

    /// Takes care of the connection until it is lost: a round trip every few seconds, and what the broker says of
    /// publishers. A broker that does not answer in time is down. Says how the connection was lost.
    ///
    /// basic.qos costs a broker one method each way, and no line in its log.
    pub async fn keep(&mut self) -> String {
        let mut round_trip: Option<RoundTrip> = None;
        let mut time = Box::pin(sleep(ROUND_TRIP_PAUSE));
        loop {
            let events = self.events.get_mut();
            let events = events.unwrap_or_else(PoisonError::into_inner);
            tokio::select! {
                // What the broker says of publishers comes before the judgement that it says nothing.
                biased;
                event = poll_fn(|cx| events.as_mut().poll_next(cx)) => match event {
                    Some(Event::ConnectionBlocked(_)) => {
                        let name = self.broker.name().to_owned();
                        self.blocked = Some(Blocked::new(self.upstream.clone(), name));
                    }
                    Some(Event::ConnectionUnblocked) => {
                        self.blocked = None;
                        // What was asked before is read and answered from now on.
                        time.as_mut().reset(Instant::now() + ROUND_TRIP);
                    }
                    // The end of a channel is an error as well, and the affair of whoever uses it.
                    Some(Event::Error(_)) if self.connection.status().connected() => {}
                    Some(Event::Error(error)) => return self.lost(&error),
                    None => return self.failed("closed"),
                    Some(_) => {}
                },
                answer = answer(&mut round_trip) => {
                    round_trip = None;
                    if let Err(error) = answer {
                        return self.lost(&error);
                    }
                    time.as_mut().reset(Instant::now() + ROUND_TRIP_PAUSE);
                }
                // What a broker holds back is not read, and that it does is an answer.
                () = &mut time, if self.blocked.is_none() => {
                    if round_trip.is_some() {
                        return self.failed("no answer in time");
                    }
                    let probe = self.probe.clone();
                    let options = BasicQosOptions::default();
                    round_trip = Some(Box::pin(async move { probe.basic_qos(1, options).await }));
                    time.as_mut().reset(Instant::now() + ROUND_TRIP);
                }
            }
        }
    }

    /// Ends it in order, if the broker answers soon.
    pub async fn close(self) {
        let closing = self.connection.close(OK, "".into());
        // However it goes, the socket ends.
        drop(timeout(ROUND_TRIP, closing).await);
    }

    /// A broker that closes a connection in order works, whatever it has against this one.
    fn lost(&self, error: &lapin::Error) -> String {
        if matches!(error.kind(), ErrorKind::ProtocolError(_)) {
            return self.detail(&error.to_string());
        }
        self.failed(&error.to_string())
    }

    /// It is the broker that has failed.
    fn failed(&self, how: &str) -> String {
        let detail = self.detail(how);
        self.upstream.lost_own(&self.broker, &detail);
        detail
    }

    fn detail(&self, how: &str) -> String {
        let name = self.broker.name();
        format!("broker {name} lost a connection of the gateway's own: {how}")
    }
}

/// Opens channels on a connection, also while it is taken care of.
#[derive(Clone)]
pub struct Channels(Arc<Connection>);

impl Channels {
    /// A channel.
    ///
    /// # Errors
    /// lapin's.
    pub async fn open(&self) -> Result<Channel, lapin::Error> {
        self.0.create_channel().await
    }
}

impl std::fmt::Debug for Channels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Channels").finish()
    }
}

/// A question to the broker that it has not answered.
type RoundTrip = Pin<Box<dyn Future<Output = Result<(), lapin::Error>> + Send>>;

/// The broker's answer, never if there is no question.
async fn answer(round_trip: &mut Option<RoundTrip>) -> Result<(), lapin::Error> {
    match round_trip {
        Some(round_trip) => round_trip.await,
        None => std::future::pending().await,
    }
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Own")
            .field("broker", &self.broker.name())
            .finish_non_exhaustive()
    }
}

/// A socket that is closed by the other end of `end_of_life`.
struct Mortal {
    socket: Socket,
    end_of_life: oneshot::Receiver<()>,
    /// Told once if the first thing that comes is AMQP's; then gone.
    heard: Option<Arc<AtomicBool>>,
}

impl Mortal {
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        // Once it has ended it may not be polled again.
        self.end_of_life.is_terminated() || Pin::new(&mut self.end_of_life).poll(cx).is_ready()
    }
}

impl AsyncRead for Mortal {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_over(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if let Some(first) = buffer.filled().get(before) {
            if let Some(heard) = self.heard.take() {
                heard.store(*first == FrameKind::METHOD.0, Ordering::Relaxed);
            }
        }
        read
    }
}

impl AsyncWrite for Mortal {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// Between two round trips: what a broker that hangs may go unnoticed, with the one below.
const ROUND_TRIP_PAUSE: Duration = Duration::from_secs(3);

/// For one round trip; a broker that takes longer serves nobody.
const ROUND_TRIP: Duration = Duration::from_secs(3);

const FRAME_MAX: u32 = 8192;

/// Seconds; the round trips are the better news.
const HEARTBEAT: u16 = 10;

/// AMQP's reply-success.
const OK: u16 = 200;
