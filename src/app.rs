//! Builds the stages from their configs, hands out the metrics registry and the drain, and waits for
//! the end.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::process;
use std::sync::Arc;
use std::thread;

use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::Opts;
use prometheus::Registry;
use thiserror::Error;
use tokio::signal::unix::signal;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::admin::Admin;
use crate::config::ConfigError;
use crate::config::Settings;
use crate::control;
use crate::control::Control;
use crate::downstream;
use crate::downstream::checker::Checker;
use crate::downstream::gate::Backend;
use crate::downstream::gate::OncePerSecond;
use crate::downstream::listener::Listener;
use crate::downstream::tls::CertificateStore;
use crate::downstream::Gate;
use crate::downstream::Sessions;
use crate::drain;
use crate::handshake;
use crate::handshake::Kind;
use crate::handshake::Login;
use crate::logging;
use crate::pipeline;
use crate::pipeline::link::Extension;
use crate::pipeline::Catalogue;
use crate::relay;
use crate::relay::connection;
use crate::relay::tenant;
use crate::upstream;
use crate::upstream::config::Connections;
use crate::upstream::shared;
use crate::upstream::shared::Shared;
use crate::upstream::Brokers;
use crate::upstream::Readiness;
use crate::upstream::Upstream;
use crate::web;
use crate::web::applications;
use crate::web::Applications;
use crate::web::Library;

/// Why the gateway did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address could not be listened on.
    #[error("{what} {address} cannot be listened on: {error}")]
    Listen {
        /// The key of the address.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        error: io::Error,
    },
    /// A file that the configuration names cannot be used.
    #[error("{0}")]
    Configuration(String),
    /// The runtime or a listener failed.
    #[error("{0}")]
    System(#[from] io::Error),
    /// A metric was registered twice: an error of the gateway's authors.
    #[error("{0}")]
    Metrics(#[from] prometheus::Error),
}

/// Runs the gateway until a signal ends it.
///
/// SIGTERM and SIGINT drain it, the second one ends it at once; SIGHUP reads TLS files, users and the
/// log level again, the latter through `on_reload`.
///
/// # Errors
///
/// Why it did not start.
pub fn run(
    settings: Settings,
    extensions: Vec<Arc<dyn Extension>>,
    on_reload: impl Fn() -> Result<Settings, ConfigError> + Send + 'static,
    log: logging::Handle,
) -> Result<(), StartError> {
    let parts = Parts::build(&settings, extensions)?;
    actix_rt::System::new().block_on(serve(settings, parts, on_reload, log))
}

/// Everything that is built before the first socket is opened.
struct Parts {
    registry: Registry,
    gate: Arc<Gate>,
    drain: drain::Watch,
    certificates: Option<Arc<CertificateStore>>,
    upstreams: Vec<(String, Upstream)>,
    brokers: Brokers,
    control: Control,
    draining: IntGauge,
    library: Option<Library>,
    applications: Applications,
}

impl Parts {
    fn build(settings: &Settings, extensions: Vec<Arc<dyn Extension>>) -> Result<Self, StartError> {
        let registry = Registry::new();
        let draining = register_process(&registry)?;
        let names = settings
            .services
            .iter()
            .map(|service| service.name.as_str());
        let brokers = Brokers::new(upstream::Metrics::register(&registry)?);
        let control_metrics = control::Metrics::register(&registry)?;
        let control = Control::new(&settings.control, &brokers, control_metrics)
            .map_err(|text| StartError::Configuration(format!("control.{text}")))?;
        let events = control.events();
        let metrics = downstream::Metrics::register(&registry, names)?.telling(events.clone());
        let handshakes = handshake::Metrics::register(&registry)?;
        let catalogue = Catalogue::new(extensions, pipeline::Metrics::register(&registry)?);
        let logins = logins(settings, &handshakes)?;
        let relays = relay::Metrics::register(&registry)?;
        let shared_metrics = shared::Metrics::register(&registry)?;
        let certificates = match &settings.listen.tls {
            Some(tls) => Some(
                CertificateStore::load(tls)
                    .map_err(|text| StartError::Configuration(format!("listen.{text}")))?,
            ),
            None => None,
        };
        let mut backends = Vec::new();
        let mut upstreams = Vec::new();
        for service in &settings.services {
            let backend = match service.kind {
                Kind::Echo => Backend::Echo,
                Kind::Amqp => {
                    let upstream =
                        Upstream::among(&brokers, &service.upstream).map_err(|text| {
                            let name = &service.name;
                            StartError::Configuration(format!("services.{name}.upstream.{text}"))
                        })?;
                    upstreams.push((service.name.clone(), upstream.clone()));
                    relay_to(service, settings, upstream, &relays, &shared_metrics)?
                }
            };
            backends.push(backend);
        }
        let library = if settings.web.library {
            let library = Library::load(
                &settings.web,
                &settings.services,
                settings.websocket.message_before_login_bytes,
            );
            Some(library.map_err(StartError::Configuration)?)
        } else {
            None
        };
        let drain = drain::Watch::new(settings.drain.clone());
        let applications = Applications::load(
            &settings.web.applications,
            library.as_ref(),
            &settings.proxies,
            &drain,
            &applications::Metrics::register(&registry)?,
        );
        let applications = applications.map_err(StartError::Configuration)?;
        let name = |service: &handshake::Service| Arc::from(service.name.as_str());
        let gate = Arc::new(Gate {
            services: settings.services.clone(),
            names: settings.services.iter().map(name).collect(),
            backends,
            logins,
            checker: Checker::default(),
            catalogue,
            deadlines: settings.handshake.clone(),
            sessions: Arc::new(Sessions::new(settings.limits.clone())),
            websocket: settings.websocket.clone(),
            proxies: settings.proxies.clone(),
            drain: drain.clone(),
            metrics,
            events,
            handshakes,
            unheard: OncePerSecond::default(),
        });
        Ok(Self {
            registry,
            gate,
            drain,
            certificates,
            upstreams,
            brokers,
            control,
            draining,
            library,
            applications,
        })
    }
}

/// What stands behind a service that relays to these brokers.
fn relay_to(
    service: &handshake::Service,
    settings: &Settings,
    upstream: Upstream,
    metrics: &relay::Metrics,
    shared_metrics: &shared::Metrics,
) -> Result<Backend, StartError> {
    let (config, metrics) = (settings.amqp.clone(), metrics.clone());
    let close_deadline = settings.websocket.close_deadline;
    if service.upstream.connections == Connections::Dedicated {
        return Ok(Backend::Amqp(Arc::new(connection::Service {
            upstream,
            config,
            metrics,
            close_deadline,
        })));
    }
    let workers = match settings.listen.workers {
        0 => thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let shared = Shared::new(upstream, &service.upstream, workers, shared_metrics.clone());
    let shared = shared.map_err(|text| {
        let name = &service.name;
        StartError::Configuration(format!("services.{name}.upstream.{text}"))
    })?;
    Ok(Backend::Shared(Arc::new(tenant::Service {
        shared,
        config,
        metrics,
        close_deadline,
    })))
}

/// The login of each service that has one.
fn logins(
    settings: &Settings,
    metrics: &handshake::Metrics,
) -> Result<Vec<Option<Arc<Login>>>, StartError> {
    let mut logins = Vec::new();
    for service in &settings.services {
        let login = match &service.login {
            None => None,
            Some(config) => {
                let login = Login::load(config).map_err(|text| {
                    let name = &service.name;
                    StartError::Configuration(format!("services.{name}.login.{text}"))
                })?;
                metrics.expect_logins(&service.name);
                Some(Arc::new(login))
            }
        };
        logins.push(login);
    }
    Ok(logins)
}

async fn serve(
    settings: Settings,
    parts: Parts,
    on_reload: impl Fn() -> Result<Settings, ConfigError>,
    log: logging::Handle,
) -> Result<(), StartError> {
    let mut signals = Signals::new()?;
    let public = listen("listen.address", settings.listen.address)?;
    let private = listen("admin.address", settings.admin.address)?;
    let (public_address, private_address) = (public.local_addr()?, private.local_addr()?);
    let (pages, library) = (settings.web.clone(), parts.library.clone());
    let applications = parts.applications.clone();
    let listener = Listener {
        gate: Arc::clone(&parts.gate),
        elsewhere: Arc::new(parts.applications.clone()),
        limits: settings.limits.clone(),
        certificates: parts.certificates.clone(),
        pages: Arc::new(move |application| {
            web::pages(application, &pages, library.as_ref(), &applications);
        }),
    };
    let readiness =
        |(name, upstream): &(String, Upstream)| (name.clone(), Readiness::new(upstream.clone()));
    let admin = Admin {
        registry: parts.registry.clone(),
        sessions: Arc::clone(&parts.gate.sessions),
        drain: parts.drain.clone(),
        services: parts.upstreams.iter().map(readiness).collect(),
        brokers: parts.brokers.clone(),
        ready_while_blocked: settings.admin.ready_while_blocked,
        draining: parts.draining.clone(),
    };
    let public = listener.serve(public, settings.listen.workers)?;
    let private = admin.serve(private)?;
    let control = parts.control.start(Arc::clone(&parts.gate.sessions) as _)?;
    let handles = [public.handle(), private.handle()];
    actix_rt::spawn(watch_server("public", public));
    actix_rt::spawn(watch_server("admin", private));
    info!(
        public = %public_address,
        admin = %private_address,
        version = env!("CARGO_PKG_VERSION"),
        "listening"
    );
    while let Order::Reload = signals.next().await {
        reload(&parts, &on_reload, &log);
    }
    if drain(&parts, &mut signals).await {
        control.finish().await;
    }
    for handle in handles {
        handle.stop(false).await;
    }
    Ok(())
}

/// Waits for every session to end by the plan of the drain; false if a second signal cuts it short.
async fn drain(parts: &Parts, signals: &mut Signals) -> bool {
    let sessions = &parts.gate.sessions;
    parts.drain.begin();
    info!(sessions = sessions.count(), "draining");
    sessions.drain(&parts.drain);
    let emptied = async {
        tokio::join!(sessions.emptied(), parts.applications.emptied());
    };
    let finished = tokio::select! {
        () = emptied => true,
        () = signals.second() => false,
    };
    if finished {
        info!("drained");
    } else {
        warn!(
            sessions = sessions.count(),
            "drain cut short by a second signal"
        );
    }
    finished
}

fn reload(
    parts: &Parts,
    on_reload: &impl Fn() -> Result<Settings, ConfigError>,
    log: &logging::Handle,
) {
    let mut failures = Vec::new();
    match on_reload() {
        Ok(settings) => failures.extend(log.reload(&settings.log.level).err()),
        Err(error) => failures.push(error.to_string()),
    }
    if let Some(certificates) = &parts.certificates {
        failures.extend(certificates.reload().err());
    }
    for (_, upstream) in &parts.upstreams {
        failures.extend(upstream.reload().err());
    }
    if let Some(upstream) = parts.control.upstream() {
        failures.extend(upstream.reload().err());
    }
    for (name, login) in parts.gate.names.iter().zip(&parts.gate.logins) {
        let failure = login.as_ref().and_then(|login| login.reload().err());
        failures.extend(failure.map(|text| format!("services.{name}.login.{text}")));
    }
    for failure in &failures {
        error!(detail = %failure, "reload failed, the old setting stays");
    }
    if failures.is_empty() {
        info!("reloaded");
    }
}

async fn watch_server(
    name: &'static str,
    server: impl std::future::Future<Output = io::Result<()>>,
) {
    if let Err(error) = server.await {
        error!(%error, listener = name, "listener failed");
        process::exit(1);
    }
}

fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let bind = || {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    bind().map_err(|error| StartError::Listen {
        what,
        address,
        error,
    })
}

fn register_process(registry: &Registry) -> Result<IntGauge, prometheus::Error> {
    let build = IntGaugeVec::new(
        Opts::new("smeuse_build_info", "Always 1; the version is the label."),
        &["version"],
    )?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    let draining = IntGauge::new("smeuse_draining", "1 while the gateway is shutting down.")?;
    registry.register(Box::new(build))?;
    registry.register(Box::new(draining.clone()))?;
    let process = prometheus::process_collector::ProcessCollector::for_self();
    registry.register(Box::new(process))?;
    Ok(draining)
}

/// What a signal asks for.
enum Order {
    Finish,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::Finish,
            _ = self.interrupt.recv() => Order::Finish,
            _ = self.hangup.recv() => Order::Reload,
        }
    }

    /// Waits for another order to finish.
    async fn second(&mut self) {
        while let Order::Reload = self.next().await {}
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// Connections the kernel keeps for us while all workers are busy: as many as come at once when a
/// page with many tabs, or a load balancer, reconnects.
const BACKLOG: i32 = 1024;
