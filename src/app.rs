//! Builds the stages from their configs, hands out the metrics registry and the drain, and waits for
//! the end.

mod private;
mod reload;
mod socket;
mod watch;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::thread;

use arc_swap::ArcSwap;
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

use self::reload::Reloads;
use crate::admin;
use crate::admin::hosts::Hosts;
use crate::admin::keys::Keys;
use crate::app::socket::listen;
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
use crate::downstream::trials;
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
use crate::upstream::shared::Kinds;
use crate::upstream::shared::Shared;
use crate::upstream::Brokers;
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
/// SIGTERM and SIGINT drain it, the second one ends it at once; SIGHUP reads TLS files, users, the
/// log level and what services say of extensions again, the last two through `on_reload`. The latter is
/// also taken over when the `file` of the settings changes.
///
/// # Errors
///
/// Why it did not start.
pub fn run(
    settings: Settings,
    extensions: Vec<Arc<dyn Extension>>,
    on_reload: impl Fn() -> Result<Settings, ConfigError> + Send + 'static,
    file: Option<PathBuf>,
    log: logging::Handle,
) -> Result<(), StartError> {
    let parts = Parts::build(&settings, extensions)?;
    actix_rt::System::new().block_on(serve(settings, parts, on_reload, file, log))
}

/// Everything that is built before the first socket is opened.
struct Parts {
    registry: Registry,
    process: Registry,
    admin_metrics: admin::Metrics,
    keys: Arc<Keys>,
    hosts: Hosts,
    gate: Arc<Gate>,
    drain: drain::Watch,
    certificates: Option<Arc<CertificateStore>>,
    upstreams: Vec<(String, Upstream)>,
    brokers: Brokers,
    control: Control,
    draining: IntGauge,
    expiries: IntGaugeVec,
    library: Option<Library>,
    applications: Applications,
}

impl Parts {
    fn build(settings: &Settings, extensions: Vec<Arc<dyn Extension>>) -> Result<Self, StartError> {
        let registry = Registry::new();
        let (draining, process) = register_process(&registry, settings)?;
        let expiries = IntGaugeVec::new(
            Opts::new(
                "smeuse_certificate_expiry_timestamp_seconds",
                "When a certificate that the gateway shows expires, in seconds since 1970, by the key of its file.",
            ),
            &["certificate"],
        )?;
        registry.register(Box::new(expiries.clone()))?;
        let admin_metrics = admin::Metrics::register(&registry)?;
        let keys = Keys::load(&settings.admin).map_err(StartError::Configuration)?;
        let hosts = Hosts::new(&settings.admin.hosts)
            .map_err(|text| StartError::Configuration(format!("admin.hosts: {text}")))?;
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
        let page_only = settings.services.iter();
        let page_only = page_only.flat_map(|service| &service.page_only);
        catalogue.declare_page_only(page_only.map(String::as_str));
        let trials = trials::Metrics::register(&registry)?;
        trials.expect(&settings.services);
        let logins = logins(settings, &handshakes)?;
        let relays = relay::Metrics::register(&registry)?;
        let shared_metrics = shared::Metrics::register(&registry)?;
        let kinds = Kinds::default();
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
                    relay_to(
                        service,
                        settings,
                        upstream,
                        &kinds,
                        &relays,
                        &shared_metrics,
                    )?
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
            let library = library.map_err(StartError::Configuration)?;
            library.register(&registry)?;
            Some(library)
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
            services: ArcSwap::from_pointee(settings.services.clone()),
            trials,
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
        let parts = Self {
            registry,
            process,
            admin_metrics,
            keys: Arc::new(keys),
            hosts,
            gate,
            drain,
            certificates,
            upstreams,
            brokers,
            control,
            draining,
            expiries,
            library,
            applications,
        };
        parts.show_expiries();
        Ok(parts)
    }

    /// Tells the metrics when the certificates expire that are in force now.
    fn show_expiries(&self) {
        let show = |key: &str, expiry: Option<i64>| {
            if let Some(expiry) = expiry {
                self.expiries.with_label_values(&[key]).set(expiry);
            }
        };
        let listen = self.certificates.as_ref();
        show("listen.tls", listen.and_then(|store| store.expiry()));
        for (name, upstream) in &self.upstreams {
            let key = format!("services.{name}.upstream.tls");
            show(&key, upstream.certificate_expiry());
        }
        for (name, expiry) in self.applications.certificate_expiries() {
            show(&format!("web.applications.{name}.tls"), Some(expiry));
        }
        let control = self.control.upstream();
        show(
            "control.tls",
            control.and_then(Upstream::certificate_expiry),
        );
    }
}

/// What stands behind a service that relays to these brokers.
fn relay_to(
    service: &handshake::Service,
    settings: &Settings,
    upstream: Upstream,
    kinds: &Kinds,
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
    let shared = Shared::new(
        upstream,
        &service.upstream,
        workers,
        kinds,
        shared_metrics.clone(),
    );
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
    on_reload: impl Fn() -> Result<Settings, ConfigError> + Send + 'static,
    file: Option<PathBuf>,
    log: logging::Handle,
) -> Result<(), StartError> {
    let parts = Arc::new(parts);
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
    let admin = private::admin(&parts, &settings, private_address);
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
    if let Some(library) = parts.library.clone().filter(Library::has_folder) {
        watch::look_at_modules(library)?;
    }
    let reloads = Reloads::begin(Arc::clone(&parts), settings, on_reload, file, log)?;
    while let Order::Reload = signals.next().await {
        reloads.everything();
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
    // An answer may have no end, such as a stream of events, and a busy application always has one under way.
    let answers = tokio::time::timeout(parts.drain.deadline(), parts.applications.emptied());
    let emptied = async {
        let ((), answered) = tokio::join!(sessions.emptied(), answers);
        if answered.is_err() {
            warn!("answers of web applications are cut off at the deadline");
        }
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

async fn watch_server(
    name: &'static str,
    server: impl std::future::Future<Output = io::Result<()>>,
) {
    if let Err(error) = server.await {
        error!(%error, listener = name, "listener failed");
        process::exit(1);
    }
}

fn register_process(
    registry: &Registry,
    settings: &Settings,
) -> Result<(IntGauge, Registry), prometheus::Error> {
    let build = IntGaugeVec::new(
        Opts::new("smeuse_build_info", "Always 1; the version is the label."),
        &["version"],
    )?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    let draining = IntGauge::new("smeuse_draining", "1 while the gateway is shutting down.")?;
    let limit = IntGauge::new("smeuse_sessions_limit", "The setting limits.sessions.")?;
    limit.set(i64::try_from(settings.limits.sessions.get()).unwrap_or(i64::MAX));
    registry.register(Box::new(build))?;
    registry.register(Box::new(limit))?;
    registry.register(Box::new(draining.clone()))?;
    let process = Registry::new();
    let collector = prometheus::process_collector::ProcessCollector::for_self();
    process.register(Box::new(collector))?;
    Ok((draining, process))
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
