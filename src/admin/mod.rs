//! The private listener: metrics, health, readiness, the list of sessions, and the operator's live view of all that.
//! Keep it private.

pub mod config;
pub mod guard;
pub mod hosts;
pub mod keys;
pub mod live;
pub mod login;
pub mod metrics;
pub mod sessions;
pub mod tickets;
pub mod view;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use actix::Addr;
use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web;
use actix_web::web::Data;
use actix_web::web::Payload;
use actix_web::web::ReqData;
use actix_web::App;
use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::HttpServer;
use prometheus::IntGauge;
use prometheus::Registry;
use prometheus::TextEncoder;
use socket2::SockRef;
use socket2::Socket;

pub use self::config::Config;
use self::hosts::Hosts;
use self::keys::Keys;
use self::keys::Pass;
use self::live::socket;
use self::live::socket::Places;
use self::live::Hub;
use self::live::Source;
pub use self::metrics::Metrics;
use self::metrics::Refused;
use crate::downstream::Sessions;
use crate::drain;
use crate::upstream::Brokers;
use crate::upstream::Readiness;

/// What the private listener shows and may do.
#[derive(Debug)]
pub struct Admin {
    /// Everything that is counted.
    pub registry: Registry,
    /// What the system says of the process, which is dear to ask while there are many sockets.
    pub process: Registry,
    /// Every session.
    pub sessions: Arc<Sessions>,
    /// Whether the process is finishing.
    pub drain: drain::Watch,
    /// Each service that needs a broker, by its name.
    pub services: Vec<(String, Readiness)>,
    /// What is known of each broker.
    pub brokers: Brokers,
    /// Whether sessions are wanted while a broker holds publishers back.
    pub ready_while_blocked: bool,
    /// 1 while the process is finishing.
    pub draining: IntGauge,
    /// Who may use it.
    pub keys: Arc<Keys>,
    /// By which names browsers may know it.
    pub hosts: Hosts,
    /// What it counts of itself.
    pub metrics: Metrics,
    /// Pages of the live view.
    pub places: Places,
    /// Looks at the gateway for them.
    pub hub: Addr<Hub>,
    /// What the cookie of a login is called: not like that of another gateway on the same host, because browsers send
    /// cookies to every port.
    pub cookie: String,
}

/// A second handle of a connection's socket, by which it can be cut off.
struct Cut(Arc<Socket>);

impl Admin {
    /// Serves `socket` on one thread of its own.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn serve(self, socket: TcpListener) -> io::Result<Server> {
        let admin = Data::new(self);
        let server = HttpServer::new(move || {
            App::new()
                .app_data(admin.clone())
                .app_data(web::FormConfig::default().limit(FORM_MAX))
                .wrap(from_fn(guard::guard))
                .configure(view::serve)
                .route("/live/socket", web::get().to(live_socket))
                .route(login::PATH, web::post().to(login::log_in))
                .route("/logout", web::post().to(login::log_out))
                .route("/metrics", web::get().to(scrape))
                .route("/healthz", web::get().to(healthz))
                .route("/readyz", web::get().to(readyz))
                .route("/sessions", web::get().to(sessions::list))
                .route("/sessions/{id}", web::delete().to(sessions::end))
        });
        let server = server.on_connect(|connection, data| {
            if let Some(stream) = connection.downcast_ref::<actix_rt::net::TcpStream>() {
                if let Ok(handle) = SockRef::from(stream).try_clone() {
                    data.insert(Cut(Arc::new(handle)));
                }
            }
        });
        let server = server.workers(1).max_connections(MOST_CONNECTIONS);
        Ok(server.disable_signals().listen(socket)?.run())
    }
}

/// A page of the live view wants to be shown what happens.
async fn live_socket(
    admin: Data<Admin>,
    request: HttpRequest,
    payload: Payload,
    pass: ReqData<Pass>,
) -> Result<HttpResponse, actix_web::Error> {
    let Some(place) = admin.places.take() else {
        return Ok(guard::refuse(&admin, Refused::TooManyViewers));
    };
    let cut = request.conn_data::<Cut>();
    let handle = cut.map_or_else(Default::default, |Cut(handle)| Arc::downgrade(handle));
    socket::open(&request, payload, admin.hub.clone(), place, handle, *pass)
}

/// What this gateway's cookie is called.
pub fn cookie_name(port: u16) -> String {
    format!("smeuse-admin-{port}")
}

/// The hub of the live view.
pub fn live_view(source: Source, keys: &Arc<Keys>, metrics: &Metrics) -> Addr<Hub> {
    Hub::begin(source, Arc::clone(keys), metrics.clone())
}

async fn scrape(admin: Data<Admin>) -> HttpResponse {
    admin.draining.set(admin.drain.is_draining().into());
    admin.brokers.count_time();
    let mut families = admin.registry.gather();
    families.extend(admin.process.gather());
    match TextEncoder::new().encode_to_string(&families) {
        Ok(text) => HttpResponse::Ok()
            .content_type("text/plain; version=0.0.4; charset=utf-8")
            .body(text),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type(TEXT).body("alive\n")
}

/// 200 while new sessions would work; otherwise 503 and a line for each reason. Brokers that are down while others do
/// their work, and those that hold publishers back, are named in either case.
async fn readyz(admin: Data<Admin>) -> HttpResponse {
    if admin.drain.is_draining() {
        return not_ready("draining: the gateway is shutting down\n".to_owned());
    }
    // All at once: one broker that hangs does not hold up the news of the others.
    let probes = (0..admin.services.len()).map(|index| {
        let admin = admin.clone();
        actix_rt::spawn(async move { admin.services[index].1.check().await })
    });
    let probes: Vec<_> = probes.collect();
    let mut reasons = String::new();
    for (probe, (service, _)) in probes.into_iter().zip(&admin.services) {
        let failure = match probe.await {
            Ok(Ok(())) => continue,
            Ok(Err(reason)) => reason,
            Err(error) => error.to_string(),
        };
        reasons.push_str(&format!("broker of service {service}: {failure}\n"));
    }
    let mut is_ready = reasons.is_empty();
    for broker in admin.brokers.all() {
        let name = broker.name();
        if let Some(failure) = broker.failure() {
            reasons.push_str(&format!("down: {failure}\n"));
        }
        if broker.is_blocked() {
            is_ready &= admin.ready_while_blocked;
            reasons.push_str(&format!(
                "blocked: broker {name} holds publishers back (an alarm)\n"
            ));
        }
    }
    if !is_ready {
        return not_ready(reasons);
    }
    HttpResponse::Ok()
        .content_type(TEXT)
        .body(format!("ready\n{reasons}"))
}

fn not_ready(reasons: String) -> HttpResponse {
    HttpResponse::ServiceUnavailable()
        .content_type(TEXT)
        .body(reasons)
}

const TEXT: &str = "text/plain; charset=utf-8";

/// The longest form: a token and its name.
const FORM_MAX: usize = 8 * 1024;

/// Scrapers, probes, and the tabs of some operators; each connection holds two descriptors here.
const MOST_CONNECTIONS: usize = 512;
