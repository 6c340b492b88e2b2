//! ACTOR: one shared connection to a broker. The shell around [`Core`] that owns the socket: it dials, lets lapin log in,
//! carries lapin's frames beside the sessions', and tells everybody when it is over.

mod lapin_side;
mod wire;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::ready;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::Actor;
use actix::ActorContext;
use actix::AsyncContext;
use tokio::time::Instant;
use tokio::time::Sleep;
use tracing::info;
use tracing::warn;

use crate::upstream::connect::Blocked;
use crate::upstream::shared::connection::lapin_side::LapinSide;
use crate::upstream::shared::connection::wire::Wire;
use crate::upstream::shared::core::Core;
use crate::upstream::shared::core::Phase;
use crate::upstream::shared::metrics::Gauged;
use crate::upstream::shared::pool::Opening;
use crate::upstream::shared::pool::Pool;
use crate::upstream::shared::Facts;
use crate::upstream::shared::Loss;
use crate::upstream::shared::SeatError;
use crate::upstream::shared::BASE;
use crate::upstream::ConnectError;
use crate::upstream::Connected;
use crate::wire::amqp::frame::PROTOCOL_HEADER;

/// One shared connection, from its dialing on.
pub(super) struct Connection {
    pool: Rc<Pool>,
    opening: Rc<Opening>,
    stage: Stage,
    /// Of the login, then of the time without sessions, then of the end.
    sleep: Pin<Box<Sleep>>,
    _counted: Option<Gauged>,
}

enum Stage {
    Dialing(Pin<Box<dyn Future<Output = Result<Connected, ConnectError>>>>),
    Talking(Box<Talk>),
    Over,
}

/// A connection whose broker has answered.
struct Talk {
    broker: String,
    wire: Wire,
    lapin: LapinSide,
    /// There once lapin has logged in.
    core: Option<Rc<Core>>,
    blocked: Option<Blocked>,
    /// Why it ends, if the broker has said so; lapin still answers.
    ending: Option<Loss>,
}

/// What has become of a connection.
#[derive(Debug)]
enum Event {
    /// It goes on.
    Changed,
    /// It is over.
    Lost(Loss),
}

impl Connection {
    /// A connection that is opened for a pool.
    pub(super) fn new(pool: Rc<Pool>, opening: Rc<Opening>) -> Self {
        let upstream = pool.inner.upstream.clone();
        let counted = pool.inner.metrics.count_opening();
        Self {
            pool,
            opening,
            stage: Stage::Dialing(Box::pin(async move {
                upstream.connect(PROTOCOL_HEADER, None, None).await
            })),
            // The dialing has a deadline of its own; this one bounds what comes behind it.
            sleep: Box::pin(tokio::time::sleep(LOGIN_DEADLINE)),
            _counted: Some(counted),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.stage {
                Stage::Over => return Poll::Ready(()),
                Stage::Dialing(connect) => match ready!(connect.as_mut().poll(cx)) {
                    Ok(connected) => self.talk(connected),
                    Err(error) => self.fail(error.to_string()),
                },
                Stage::Talking(talk) => match talk.poll(cx) {
                    Poll::Ready(Event::Lost(loss)) => self.lost(&loss),
                    Poll::Ready(Event::Changed) => self.changed(),
                    Poll::Pending => {
                        ready!(self.sleep.as_mut().poll(cx));
                        self.time_passed();
                    }
                },
            }
        }
    }

    fn talk(&mut self, connected: Connected) {
        let account = self.pool.account(connected.login);
        let mut lapin = match LapinSide::start(&account) {
            Ok(lapin) => lapin,
            Err(error) => return self.fail(format!("lapin cannot run: {error}")),
        };
        let mut wire = Wire::new(connected.socket, account.heartbeat);
        if let Some(loss) = wire.begin(&connected.first, lapin.inbox()) {
            return self.fail(format!("broker {}: {loss}", connected.broker));
        }
        self.sleep_for(LOGIN_DEADLINE);
        self.stage = Stage::Talking(Box::new(Talk {
            broker: connected.broker,
            wire,
            lapin,
            core: None,
            blocked: None,
            ending: None,
        }));
    }

    /// No session will have a seat on it.
    fn fail(&mut self, why: String) {
        self.stage = Stage::Over;
        self.pool
            .opened(&self.opening, Err(SeatError::Unreachable(why)));
    }

    /// lapin has logged in, or the broker has said something that concerns the sessions.
    fn changed(&mut self) {
        let Stage::Talking(talk) = &mut self.stage else {
            return;
        };
        if let (Some(reason), Some(core)) = (talk.wire.take_blocked(), &talk.core) {
            match reason {
                Some(reason) => {
                    core.with(|state| state.block(reason));
                    let upstream = self.pool.inner.upstream.clone();
                    talk.blocked = Some(Blocked::new(upstream, talk.broker.clone()));
                    self.sleep.as_mut().reset(Instant::now() + COUNT_BLOCKED);
                }
                None => {
                    core.with(|state| state.unblock());
                    talk.blocked = None;
                }
            }
        }
        if let Some(loss) = talk.wire.take_close() {
            return self.closed_by_broker(loss);
        }
        if talk.core.is_none() && talk.lapin.is_open() {
            self.open();
        }
    }

    fn open(&mut self) {
        let Stage::Talking(talk) = &mut self.stage else {
            return;
        };
        let tuning = talk.wire.tuning();
        let Some(offered) = tuning.offered else {
            return self.lost(&Loss {
                reply_code: None,
                text: "has agreed on no limits".to_owned(),
            });
        };
        let config = &self.pool.inner.config;
        let of_sessions = offered.channel_max.saturating_sub(BASE - 1);
        let each = usize::from(of_sessions) / config.sessions_per_connection.get();
        let facts = Rc::new(Facts {
            server_properties: tuning.server_properties.clone(),
            locales: tuning.locales.clone(),
            version: tuning.version,
            frame_max: offered.frame_max,
            channel_max: u16::try_from(each).unwrap_or(u16::MAX).max(1),
            heartbeat: offered.heartbeat,
            broker: talk.broker.clone(),
            vhost: self.pool.inner.vhost.clone(),
            policy: self.pool.policy(),
        });
        info!(broker = %talk.broker, "shared connection opened");
        let core = Rc::new(Core::new(
            facts,
            offered.channel_max,
            config.queue_bytes,
            self.pool.inner.kinds.clone(),
            self.pool.inner.metrics.clone(),
        ));
        talk.core = Some(Rc::clone(&core));
        self._counted = None;
        let idle = config.idle;
        self.sleep_for(idle);
        self.pool.opened(&self.opening, Ok(core));
    }

    /// The broker has closed the connection: sessions hear it at once, lapin has a moment to answer.
    fn closed_by_broker(&mut self, loss: Loss) {
        let Stage::Talking(talk) = &mut self.stage else {
            return;
        };
        talk.ending = Some(loss.clone());
        self.tell_lost(&loss);
        self.sleep_for(FAREWELL);
    }

    fn lost(&mut self, loss: &Loss) {
        self.tell_lost(loss);
        self.stage = Stage::Over;
    }

    fn tell_lost(&mut self, loss: &Loss) {
        let Stage::Talking(talk) = &mut self.stage else {
            return;
        };
        talk.blocked = None;
        let Some(core) = talk.core.clone() else {
            let why = talk.lapin.why(&loss.to_string());
            let why = format!("broker {}: {why}", talk.broker);
            warn!(detail = %why, "shared connection not opened");
            // A broker that refuses the account works; one that does not get so far is passed over for a while.
            if loss.reply_code.is_none() && !talk.lapin.is_refused() {
                self.pool.inner.upstream.note_lost(&talk.broker);
            }
            self.pool
                .opened(&self.opening, Err(SeatError::Unreachable(why)));
            return;
        };
        let was_closing = core.with(|state| state.phase() == Phase::Closing);
        let seated = core.with(|state| state.seated());
        self.pool.forget(&core);
        if !core.with(|state| state.lose(loss)) {
            return;
        }
        if was_closing {
            info!(broker = %talk.broker, "shared connection closed");
        } else {
            self.pool.inner.metrics.lost();
            self.pool.inner.upstream.note_lost(&talk.broker);
            warn!(
                broker = %talk.broker,
                sessions = seated,
                detail = %loss,
                "shared connection lost"
            );
        }
    }

    fn time_passed(&mut self) {
        let Stage::Talking(talk) = &mut self.stage else {
            return self.sleep_for(LOGIN_DEADLINE);
        };
        if let Some(loss) = talk.ending.clone() {
            return self.lost(&loss);
        }
        let Some(core) = talk.core.clone() else {
            return self.lost(&Loss {
                reply_code: None,
                text: "did not finish the login in time".to_owned(),
            });
        };
        let is_blocked = core.with(|state| {
            state.count_blocked();
            state.blocked().is_some()
        });
        let mut idle = self.pool.inner.config.idle;
        let empty_for = core.with(|state| state.empty_for());
        match empty_for {
            Some(empty_for) if empty_for >= idle => {
                core.with(|state| state.begin_closing());
                self.pool.forget(&core);
                talk.lapin.close();
                talk.ending = Some(Loss {
                    reply_code: None,
                    text: "was closed because no session needs it".to_owned(),
                });
                self.sleep_for(FAREWELL);
            }
            Some(empty_for) => self.sleep_for(idle.saturating_sub(empty_for)),
            None => {
                if is_blocked {
                    idle = idle.min(COUNT_BLOCKED);
                }
                self.sleep_for(idle);
            }
        }
    }

    fn sleep_for(&mut self, time: Duration) {
        // A connection that is kept for no time at all is still not looked at in a circle.
        let at = Instant::now() + time.max(SHORTEST);
        self.sleep.as_mut().reset(at);
    }
}

impl Talk {
    /// One turn of everything; ready when something has changed that concerns others.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(core) = &self.core {
            core.with(|state| state.watch(cx.waker()));
        }
        if let Some(loss) = self.poll_all(cx) {
            let loss = self.ending.clone().unwrap_or(loss);
            return Poll::Ready(Event::Lost(loss));
        }
        let has_opened = self.core.is_none() && self.lapin.is_open();
        if has_opened || self.wire.has_news() {
            return Poll::Ready(Event::Changed);
        }
        Poll::Pending
    }

    fn poll_all(&mut self, cx: &mut Context<'_>) -> Option<Loss> {
        let core = self.core.as_deref();
        if let Some(loss) = self.wire.poll_read(core, self.lapin.inbox(), cx) {
            return Some(loss);
        }
        if let Some(core) = core {
            core.with(|state| {
                while let Some(queue) = state.next_deletion() {
                    self.lapin.delete(queue);
                }
                while let Some(deleted) = self.lapin.poll_deleted(cx) {
                    state.deleted(&deleted.queue, deleted.is_gone);
                }
            });
        }
        let is_over = self.lapin.poll(self.wire.tuning(), cx);
        self.wire.push_own(self.lapin.take_outgoing());
        if let Some(loss) = self.wire.poll_write(core, cx) {
            return Some(loss);
        }
        is_over.err()
    }
}

impl Actor for Connection {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(Pump);
    }
}

/// Whatever ends the actor, a panic included: who waits or sits learns of it.
impl Drop for Connection {
    fn drop(&mut self) {
        if let Stage::Talking(talk) = &self.stage {
            // Without sessions nothing is lost, as when the gateway stops.
            if let Some(core) = talk.core.as_ref() {
                core.with(|state| {
                    if state.seated() == 0 {
                        state.begin_closing();
                    }
                });
            }
        }
        if !matches!(self.stage, Stage::Over) {
            self.tell_lost(&Loss {
                reply_code: None,
                text: "ended with its worker".to_owned(),
            });
            let why = "the connection ended with its worker".to_owned();
            self.pool
                .opened(&self.opening, Err(SeatError::Unreachable(why)));
        }
    }
}

/// Drives [`Connection::poll`] for as long as the actor lives.
struct Pump;

impl ActorFuture<Connection> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        connection: &mut Connection,
        ctx: &mut actix::Context<Connection>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        ready!(connection.poll(cx));
        ctx.stop();
        Poll::Ready(())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// For the login behind the broker's first bytes; RabbitMQ's own is 10 seconds.
const LOGIN_DEADLINE: Duration = Duration::from_secs(10);

/// For lapin's last words.
const FAREWELL: Duration = Duration::from_secs(2);

/// How often the time in which the broker holds the connection back is counted.
const COUNT_BLOCKED: Duration = Duration::from_secs(1);

const SHORTEST: Duration = Duration::from_millis(10);
