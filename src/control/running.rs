//! The connections of events and commands: made, kept, made again when they are lost. There are two, since a broker that
//! has an alarm holds back everything of a connection that publishes, and commands shall be heard even then.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use lapin::options::ExchangeDeclareOptions;
use lapin::types::FieldTable;
use lapin::Channel;
use lapin::ErrorKind;
use lapin::ExchangeKind;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio::time::timeout;
use tokio::time::timeout_at;
use tracing::info;
use tracing::warn;

use crate::control::consumer;
use crate::control::events::Events;
use crate::control::events::Queue;
use crate::control::metrics::Dropped;
use crate::control::metrics::Metrics;
use crate::control::publisher;
use crate::control::replies::Replies;
use crate::control::Config;
use crate::control::Sessions;
use crate::ending::OneLine;
use crate::upstream::own::Channels;
use crate::upstream::own::Own;
use crate::upstream::runtime;
use crate::upstream::Brokers;
use crate::upstream::Upstream;
use crate::wire::amqp::ReplyCode;

/// Events and commands before they begin.
#[derive(Debug)]
pub struct Control {
    events: Events,
    /// None where no exchange is named.
    parts: Option<Arc<Parts>>,
    upstream: Option<Upstream>,
}

pub(super) struct Parts {
    pub(super) gateway: Arc<str>,
    upstream: Upstream,
    pub(super) events: Option<(String, Arc<Queue>)>,
    pub(super) commands: Option<String>,
    pub(super) replies: Arc<Replies>,
    pub(super) metrics: Metrics,
    ready: Mutex<Ready>,
}

/// What one of the connections is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Events and replies.
    Publishing,
    /// Commands.
    Commands,
}

/// Which connections do their work.
#[derive(Debug, Default)]
struct Ready {
    publishing: bool,
    commands: bool,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

impl Control {
    /// What `config` asks for, which is valid. Reads the TLS files.
    ///
    /// # Errors
    /// `key: reason` if a file cannot be used, the key relative to the table `control`.
    pub fn new(config: &Config, brokers: &Brokers, metrics: Metrics) -> Result<Self, String> {
        let mut control = Self {
            events: Events::default(),
            parts: None,
            upstream: None,
        };
        if config.uris.is_empty() {
            return Ok(control);
        }
        let upstream = Upstream::among(brokers, &config.upstream())?;
        control.upstream = Some(upstream.clone());
        if config.events_exchange.is_none() && config.commands_exchange.is_none() {
            return Ok(control);
        }
        let gateway: Arc<str> = config.gateway().into();
        let queue = config.events_exchange.clone().map(|exchange| {
            let most = config.events_queue;
            let (events, queue) = Events::new(Arc::clone(&gateway), most, metrics.clone());
            control.events = events;
            (exchange, queue)
        });
        control.parts = Some(Arc::new(Parts {
            gateway,
            upstream,
            events: queue,
            commands: config.commands_exchange.clone(),
            replies: Arc::new(Replies::new(metrics.clone())),
            metrics,
            ready: Mutex::default(),
        }));
        Ok(control)
    }

    /// Where events go.
    pub fn events(&self) -> Events {
        self.events.clone()
    }

    /// The brokers, for the TLS files to be read again.
    pub fn upstream(&self) -> Option<&Upstream> {
        self.upstream.as_ref()
    }

    /// Begins; commands are about `sessions`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(&self, sessions: Arc<dyn Sessions>) -> io::Result<Running> {
        let (stop, stopped) = watch::channel(false);
        let queue = self.parts.as_ref().and_then(|parts| {
            let (_, queue) = parts.events.as_ref()?;
            Some((Arc::clone(queue), parts.metrics.clone()))
        });
        let mut tasks = Vec::new();
        if let Some(parts) = &self.parts {
            for purpose in parts.purposes() {
                let running = run(
                    purpose,
                    Arc::clone(parts),
                    Arc::clone(&sessions),
                    stopped.clone(),
                );
                tasks.push(runtime::handle()?.spawn(running));
            }
        }
        Ok(Running { tasks, queue, stop })
    }
}

impl Parts {
    /// Commands are replied to, so whoever hears them publishes as well.
    fn purposes(&self) -> impl Iterator<Item = Purpose> {
        let commands = self.commands.is_some().then_some(Purpose::Commands);
        [Purpose::Publishing].into_iter().chain(commands)
    }

    /// The connection for this does its work as long as the returned value lives.
    fn ready(&self, purpose: Purpose, own: &Own) -> Working<'_> {
        let mut ready = self.lock();
        *ready.of(purpose) = true;
        if ready.publishing && (ready.commands || self.commands.is_none()) {
            info!(broker = own.broker().name(), gateway = %self.gateway, "events and commands ready");
        }
        drop(ready);
        Working {
            parts: self,
            purpose,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ready {
    fn of(&mut self, purpose: Purpose) -> &mut bool {
        match purpose {
            Purpose::Publishing => &mut self.publishing,
            Purpose::Commands => &mut self.commands,
        }
    }
}

/// A connection that does its work.
struct Working<'a> {
    parts: &'a Parts,
    purpose: Purpose,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        *self.parts.lock().of(self.purpose) = false;
    }
}

impl Purpose {
    /// For the log, and for the broker's list of connections.
    fn name(self) -> &'static str {
        match self {
            Self::Publishing => "events and replies",
            Self::Commands => "commands",
        }
    }
}

/// Events and commands that have begun; dropped, they end.
#[derive(Debug)]
pub struct Running {
    tasks: Vec<JoinHandle<()>>,
    queue: Option<(Arc<Queue>, Metrics)>,
    stop: watch::Sender<bool>,
}

impl Running {
    /// Publishes what waits, as far as the broker takes it soon, and ends.
    pub async fn finish(self) {
        self.stop.send_replace(true);
        let end = tokio::time::Instant::now() + FAREWELL;
        for mut task in self.tasks {
            if timeout_at(end, &mut task).await.is_err() {
                // What it has under way goes back into the queue, and is counted there.
                task.abort();
                drop(task.await);
            }
        }
        if let Some((queue, metrics)) = self.queue {
            let lost = queue.len();
            if lost > 0 {
                metrics.dropped(Dropped::Shutdown, lost);
                warn!(events = lost, "events were not published before the end");
            }
        }
    }
}

async fn run(
    purpose: Purpose,
    parts: Arc<Parts>,
    sessions: Arc<dyn Sessions>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let serving = async {
            let name = format!("Smeuse {}: {}", parts.gateway, purpose.name());
            let opened = tokio::select! {
                opened = parts.upstream.open(&name) => opened,
                () = stop(&mut stopped) => return Ok(()),
            };
            let mut own = opened.map_err(|error| error.with_source())?;
            let served = match purpose {
                Purpose::Publishing => publish(&parts, &mut own, &mut stopped).await,
                Purpose::Commands => obey(&parts, &sessions, &mut own, &mut stopped).await,
            };
            own.close().await;
            served
        };
        let began = Instant::now();
        let served = serving.await;
        if began.elapsed() >= LASTING {
            pause = FIRST_PAUSE;
        }
        match served {
            Ok(()) => return,
            Err(detail) => {
                // The first of an outage; when it is over, the log says that as well.
                if pause == FIRST_PAUSE {
                    let of = purpose.name();
                    warn!(detail = %OneLine(&detail), of, "events and commands interrupted");
                }
            }
        }
        let wait = pause.mul_f64(1.0 - fastrand::f64() / 2.0);
        pause = (2 * pause).min(PAUSE);
        tokio::select! {
            () = sleep(wait) => {}
            () = stop(&mut stopped) => return,
        }
    }
}

/// Waits for the order to stop.
pub(super) async fn stop(stopped: &mut watch::Receiver<bool>) {
    // If whoever could order it is gone, that is the end as well.
    drop(stopped.wait_for(|stopped| *stopped).await);
}

/// Publishes events and replies over one connection until it is lost, which is an error, or all is said after the order to
/// stop.
async fn publish(
    parts: &Parts,
    own: &mut Own,
    stopped: &mut watch::Receiver<bool>,
) -> Result<(), String> {
    let channels = own.channels();
    let publisher = match &parts.events {
        Some((exchange, queue)) => {
            let setting_up = async {
                let channel = declared(&channels, exchange, ExchangeKind::Topic).await?;
                publisher::Publisher::new(channel, exchange, queue, &parts.metrics).await
            };
            Some(in_time(setting_up).await?)
        }
        None => None,
    };
    let _working = parts.ready(Purpose::Publishing, own);
    let (mut for_events, mut for_replies) = (stopped.clone(), stopped.clone());
    let events = async {
        match publisher {
            Some(mut publisher) => publisher.run(&mut for_events).await,
            None => Ok(()),
        }
    };
    let replies = parts.replies.publish(&channels, &mut for_replies);
    let both = async { tokio::try_join!(events, replies).map(drop) };
    tokio::select! {
        lost = own.keep() => Err(lost),
        published = both => published,
    }
}

/// Obeys commands that come over one connection until it is lost, which is an error, or until the order to stop.
async fn obey(
    parts: &Parts,
    sessions: &Arc<dyn Sessions>,
    own: &mut Own,
    stopped: &mut watch::Receiver<bool>,
) -> Result<(), String> {
    let Some(exchange) = &parts.commands else {
        return Ok(());
    };
    let setting_up = async {
        let channel = declared(&own.channels(), exchange, ExchangeKind::Fanout).await?;
        consumer::Consumer::new(channel, exchange, parts, sessions).await
    };
    let mut consumer = in_time(setting_up).await?;
    let _working = parts.ready(Purpose::Commands, own);
    tokio::select! {
        lost = own.keep() => Err(lost),
        failure = consumer.run() => Err(failure),
        () = stop(stopped) => Ok(()),
    }
}

async fn in_time<T>(setting_up: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let set_up = timeout(SET_UP, setting_up).await;
    set_up.map_err(|_| "the broker does not answer".to_owned())?
}

/// A channel, and the exchange is there: declared, or, where the login may not declare it or others have made it
/// otherwise, found.
async fn declared(
    channels: &Channels,
    exchange: &str,
    kind: ExchangeKind,
) -> Result<Channel, String> {
    let declare = async |channel: &Channel, passive: bool| {
        let options = ExchangeDeclareOptions {
            passive,
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let (name, kind) = (exchange.into(), kind.clone());
        channel
            .exchange_declare(name, kind, options, FieldTable::default())
            .await
    };
    let channel = channels.open().await.map_err(describe)?;
    match declare(&channel, false).await {
        Ok(()) => return Ok(channel),
        Err(error) if may_be_there(&error) => {}
        Err(error) => return Err(describe(error)),
    }
    let channel = channels.open().await.map_err(describe)?;
    declare(&channel, true).await.map_err(describe)?;
    Ok(channel)
}

fn may_be_there(error: &lapin::Error) -> bool {
    match error.kind() {
        ErrorKind::ProtocolError(error) => {
            let code = ReplyCode(error.get_id());
            code == ReplyCode::ACCESS_REFUSED || code == ReplyCode::PRECONDITION_FAILED
        }
        _ => false,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
pub(super) fn describe(error: lapin::Error) -> String {
    error.to_string()
}

/// A connection that lasted so long worked; one that is refused what it needs ends sooner, again and again.
const LASTING: Duration = Duration::from_secs(10);

/// Before a lost connection is made again, doubled up to the second; up to half is taken away at random.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_secs(10);

/// For a handful of declarations.
const SET_UP: Duration = Duration::from_secs(10);

/// For the last events of the process.
const FAREWELL: Duration = Duration::from_secs(3);
