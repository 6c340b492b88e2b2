//! AMQP connections of the gateway's own: lapin over a socket of ours, held under the eye of a deadline, and ended for
//! certain when dropped.

use std::future::poll_fn;
use std::future::Future;
use std::io;
use std::pin::Pin;
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
use lapin::Event;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::sync::oneshot;
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

/// A connection of the gateway's own to one broker.
pub struct Own {
    connection: Connection,
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
                Err(OpenError::Unreachable(error) | OpenError::Refused(error)) => {
                    failed = Some(error);
                }
            }
        }
        Err(failed.unwrap_or_else(nobody))
    }

    /// Logs in at the broker of this index, under this name if there is one. What comes of it counts as for sessions,
    /// apart from metrics. Runs where lapin does.
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
                    connection,
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
        let stream = Mortal {
            socket: answered.socket,
            end_of_life,
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
        let opened = timeout_at(end, opening)
            .await
            .map_err(|_| Failure::Deadline(Step::Answer))?;
        let (connection, probe) = opened.map_err(|error: lapin::Error| {
            tracing::debug!(%error, "no connection of the gateway's own");
            if kit::is_refusal(&error) {
                Failure::LoginRefused
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

    /// A channel.
    ///
    /// # Errors
    /// lapin's.
    pub async fn channel(&self) -> Result<Channel, lapin::Error> {
        self.connection.create_channel().await
    }

    /// Takes care of the connection until it is lost: a round trip every few seconds, and what the broker says of
    /// publishers. A broker that does not answer in time is down. Says how the connection was lost.
    ///
    /// basic.qos costs a broker one method each way, and no line in its log.
    pub async fn keep(&mut self) -> String {
        loop {
            let events = self
                .events
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner);
            let event = timeout(
                ROUND_TRIP_PAUSE,
                poll_fn(|cx| events.as_mut().poll_next(cx)),
            );
            match event.await {
                Ok(Some(Event::ConnectionBlocked(_))) => {
                    let name = self.broker.name().to_owned();
                    self.blocked = Some(Blocked::new(self.upstream.clone(), name));
                }
                Ok(Some(Event::ConnectionUnblocked)) => self.blocked = None,
                // The end of a channel is an error as well, and the affair of whoever uses it.
                Ok(Some(Event::Error(_))) if self.connection.status().connected() => {}
                Ok(Some(Event::Error(error))) => return self.lost(&error.to_string()),
                Ok(None) => return self.lost("closed"),
                Ok(Some(_)) => {}
                // What a broker holds back would not be read, and that it does is an answer.
                Err(_) if self.blocked.is_some() => {}
                Err(_) => match self.round_trip().await {
                    Ok(()) => {}
                    Err(how) => return self.lost(&how),
                },
            }
        }
    }

    /// Ends it in order, if the broker answers soon.
    pub async fn close(self) {
        let closing = self.connection.close(OK, "".into());
        // However it goes, the socket ends.
        drop(timeout(ROUND_TRIP, closing).await);
    }

    async fn round_trip(&mut self) -> Result<(), String> {
        match timeout(
            ROUND_TRIP,
            self.probe.basic_qos(1, BasicQosOptions::default()),
        )
        .await
        {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    fn lost(&self, how: &str) -> String {
        let name = self.broker.name();
        let detail = format!("broker {name} lost a connection of the gateway's own: {how}");
        self.upstream.lost_own(&self.broker, &detail);
        detail
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
        Pin::new(&mut self.socket).poll_read(cx, buffer)
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
