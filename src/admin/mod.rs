//! The private listener: metrics, health, readiness, and the list of sessions. Keep it private.

pub mod config;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use actix_web::dev::Server;
use actix_web::web;
use actix_web::web::Data;
use actix_web::App;
use actix_web::HttpResponse;
use actix_web::HttpServer;
use prometheus::IntGauge;
use prometheus::Registry;
use prometheus::TextEncoder;

pub use self::config::Config;
use crate::downstream::SessionId;
use crate::downstream::Sessions;
use crate::drain;
use crate::upstream::Brokers;
use crate::upstream::Readiness;

/// What the private listener shows and may do.
#[derive(Debug)]
pub struct Admin {
    /// Everything that is counted.
    pub registry: Registry,
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
}

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
                .route("/metrics", web::get().to(metrics))
                .route("/healthz", web::get().to(healthz))
                .route("/readyz", web::get().to(readyz))
                .route("/sessions", web::get().to(sessions))
                .route("/sessions/{id}", web::delete().to(end_session))
        });
        Ok(server.workers(1).disable_signals().listen(socket)?.run())
    }
}

async fn metrics(admin: Data<Admin>) -> HttpResponse {
    admin.draining.set(admin.drain.is_draining().into());
    admin.brokers.count_time();
    match TextEncoder::new().encode_to_string(&admin.registry.gather()) {
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

async fn sessions(admin: Data<Admin>) -> HttpResponse {
    HttpResponse::Ok().json(admin.sessions.list())
}

async fn end_session(admin: Data<Admin>, id: web::Path<String>) -> HttpResponse {
    let ended = id
        .parse::<SessionId>()
        .is_ok_and(|id| admin.sessions.end(id));
    if ended {
        HttpResponse::NoContent().finish()
    } else {
        HttpResponse::NotFound()
            .content_type(TEXT)
            .body("session_not_found: no session has this id\n")
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
