//! The connection that events and commands share: made, kept, made again when it is lost.

use std::fmt;
use std::io;
use std::sync::Arc;
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
use tracing::info;
use tracing::warn;

use crate::control::consumer;
use crate::control::events::Events;
use crate::control::events::Queue;
use crate::control::metrics::Dropped;
use crate::control::metrics::Metrics;
use crate::control::publisher;
use crate::control::Config;
use crate::control::Sessions;
use crate::ending::OneLine;
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
    pub(super) metrics: Metrics,
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
            metrics,
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
        let task = match &self.parts {
            Some(parts) => {
                let running = run(Arc::clone(parts), sessions, stopped);
                Some(runtime::handle()?.spawn(running))
            }
            None => None,
        };
        Ok(Running { task, queue, stop })
    }
}

/// Events and commands that have begun; dropped, they end.
#[derive(Debug)]
pub struct Running {
    task: Option<JoinHandle<()>>,
    queue: Option<(Arc<Queue>, Metrics)>,
    stop: watch::Sender<bool>,
}

impl Running {
    /// Publishes what waits, as far as the broker takes it soon, and ends.
    pub async fn finish(self) {
        self.stop.send_replace(true);
        if let Some(mut task) = self.task {
            if timeout(FAREWELL, &mut task).await.is_err() {
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

async fn run(parts: Arc<Parts>, sessions: Arc<dyn Sessions>, mut stopped: watch::Receiver<bool>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let serving = async {
            let name = format!("Smeuse {}", parts.gateway);
            let opened = tokio::select! {
                opened = parts.upstream.open(&name) => opened,
                () = stop(&mut stopped) => return Ok(()),
            };
            let mut own = opened.map_err(|error| error.to_string())?;
            let served = serve(&parts, &sessions, &mut own, &mut stopped).await;
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
                    warn!(detail = %OneLine(&detail), "events and commands interrupted");
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

/// Serves over one connection until it is lost, which is an error, or all is said after the order to stop.
async fn serve(
    parts: &Parts,
    sessions: &Arc<dyn Sessions>,
    own: &mut Own,
    stopped: &mut watch::Receiver<bool>,
) -> Result<(), String> {
    let setting_up = async {
        let publisher = match &parts.events {
            Some((exchange, queue)) => {
                let channel = declared(own, exchange, ExchangeKind::Topic).await?;
                Some(publisher::Publisher::new(channel, exchange, queue, &parts.metrics).await?)
            }
            None => None,
        };
        let consumer = match &parts.commands {
            Some(exchange) => {
                let channel = declared(own, exchange, ExchangeKind::Fanout).await?;
                Some(consumer::Consumer::new(channel, exchange, parts, sessions).await?)
            }
            None => None,
        };
        Ok::<_, String>((publisher, consumer))
    };
    let set_up = timeout(SET_UP, setting_up).await;
    let (publisher, consumer) = set_up.map_err(|_| "the broker does not answer".to_owned())??;
    info!(broker = own.broker().name(), gateway = %parts.gateway, "events and commands ready");
    let publishing = async {
        match publisher {
            Some(mut publisher) => publisher.run(stopped).await,
            None => {
                stop(stopped).await;
                Ok(())
            }
        }
    };
    let consuming = async {
        match consumer {
            Some(mut consumer) => consumer.run().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        lost = own.keep() => Err(lost),
        published = publishing => published,
        failure = consuming => Err(failure),
    }
}

/// A channel, and the exchange is there: declared, or, where the login may not declare it or others have made it
/// otherwise, found.
async fn declared(own: &Own, exchange: &str, kind: ExchangeKind) -> Result<Channel, String> {
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
    let channel = own.channel().await.map_err(describe)?;
    match declare(&channel, false).await {
        Ok(()) => return Ok(channel),
        Err(error) if may_be_there(&error) => {}
        Err(error) => return Err(describe(error)),
    }
    let channel = own.channel().await.map_err(describe)?;
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
