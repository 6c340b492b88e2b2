//! The public listener: TLS where configured, upgrade requests to sessions, and everything else to
//! the actix-web application.

use std::io;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use actix_codec::Framed;
use actix_http::body::BoxBody;
use actix_http::h1::Codec;
use actix_http::HttpService;
use actix_http::HttpServiceBuilder;
use actix_http::KeepAlive;
use actix_http::Request;
use actix_http::Response;
use actix_http::TlsAcceptorConfig;
use actix_rt::net::TcpStream;
use actix_server::Server;
use actix_server::ServerBuilder;
use actix_service::fn_service;
use actix_service::map_config;
use actix_service::IntoServiceFactory;
use actix_service::Service;
use actix_service::ServiceFactory;
use actix_service::ServiceFactoryExt;
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::AppConfig;
use actix_web::dev::ServiceResponse;
use actix_web::web;
use actix_web::web::ServiceConfig;
use actix_web::App;
use actix_web::HttpRequest;
use actix_web::HttpResponse;
use socket2::SockRef;

use crate::downstream::config::Limits;
use crate::downstream::gate::Newcomer;
use crate::downstream::session::Socket;
use crate::downstream::tls::CertificateStore;
use crate::downstream::upgrade;
use crate::downstream::upgrade::Elsewhere;
use crate::downstream::Gate;

/// What the public listener needs.
#[derive(Clone)]
pub struct Listener {
    /// Decides on requests and starts sessions.
    pub gate: Arc<Gate>,
    /// Takes upgrades that no service has.
    pub elsewhere: Arc<dyn Elsewhere>,
    /// Deadlines of what is not a session yet.
    pub limits: Limits,
    /// The certificate; none for plain TCP.
    pub certificates: Option<Arc<CertificateStore>>,
    /// Adds what is served besides WebSockets.
    pub pages: Pages,
}

/// Adds routes to the application of one worker.
pub type Pages = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

impl Socket for TcpStream {
    fn gateway_address(&self) -> Option<SocketAddr> {
        self.local_addr().ok()
    }

    fn client_address(&self) -> Option<SocketAddr> {
        self.peer_addr().ok()
    }

    fn keep_little_unsent(&self) {
        // Without it the kernel takes megabytes for a slow client before it says that it is full.
        #[cfg(target_os = "linux")]
        if let Err(error) = SockRef::from(self).set_tcp_notsent_lowat(UNSENT) {
            tracing::debug!(%error, "TCP_NOTSENT_LOWAT could not be set");
        }
    }

    fn shut_down(&self) {
        // It fails only for a socket that is down already.
        let _ = SockRef::from(self).shutdown(Shutdown::Both);
    }
}

impl Socket for TlsStream<TcpStream> {
    fn gateway_address(&self) -> Option<SocketAddr> {
        self.get_ref().0.gateway_address()
    }

    fn client_address(&self) -> Option<SocketAddr> {
        self.get_ref().0.client_address()
    }

    fn keep_little_unsent(&self) {
        self.get_ref().0.keep_little_unsent();
    }

    fn shut_down(&self) {
        self.get_ref().0.shut_down();
    }
}

impl Listener {
    /// Serves `socket` with `workers` threads; 0 means one per core.
    ///
    /// # Errors
    ///
    /// The system's, or a certificate that cannot be used.
    pub fn serve(self, socket: TcpListener, workers: usize) -> io::Result<Server> {
        let address = socket.local_addr()?;
        let mut builder = Server::build().disable_signals();
        if workers > 0 {
            builder = builder.workers(workers);
        }
        let builder = match self.certificates.clone() {
            None => self.listen_plain(builder, socket, address)?,
            Some(certificates) => self.listen_tls(builder, socket, address, &certificates)?,
        };
        Ok(builder.run())
    }

    fn listen_plain(
        self,
        builder: ServerBuilder,
        socket: TcpListener,
        address: SocketAddr,
    ) -> io::Result<ServerBuilder> {
        builder.listen("public", socket, move || {
            let (gate, elsewhere) = (Arc::clone(&self.gate), Arc::clone(&self.elsewhere));
            self.protocol(address)
                .upgrade(fn_service(
                    move |(request, framed): (Request, Framed<TcpStream, Codec>)| {
                        let (gate, elsewhere) = (Arc::clone(&gate), Arc::clone(&elsewhere));
                        upgraded(gate, elsewhere, false, request, framed)
                    },
                ))
                .finish(self.application(false))
                .tcp()
        })
    }

    fn listen_tls(
        self,
        builder: ServerBuilder,
        socket: TcpListener,
        address: SocketAddr,
        certificates: &Arc<CertificateStore>,
    ) -> io::Result<ServerBuilder> {
        let config = certificates.server_config().map_err(io::Error::other)?;
        builder.listen("public", socket, move || {
            let (gate, elsewhere) = (Arc::clone(&self.gate), Arc::clone(&self.elsewhere));
            self.protocol(address)
                .secure()
                .upgrade(fn_service(
                    move |(request, framed): (Request, Framed<TlsStream<TcpStream>, Codec>)| {
                        let (gate, elsewhere) = (Arc::clone(&gate), Arc::clone(&elsewhere));
                        upgraded(gate, elsewhere, true, request, framed)
                    },
                ))
                .finish(self.application(true))
                .rustls_0_23_with_config(
                    config.clone(),
                    TlsAcceptorConfig::default().handshake_timeout(self.limits.request_head),
                )
        })
    }

    /// HTTP/1.1 with deadlines, each connection counted until its handshake is finished.
    fn protocol<T, S>(&self, address: SocketAddr) -> HttpServiceBuilder<T, S>
    where
        T: Socket,
        S: ServiceFactory<Request, Config = ()>,
        S::Error: Into<Response<BoxBody>> + 'static,
        S::InitError: std::fmt::Debug,
        S::Response: Into<Response<BoxBody>> + 'static,
        <S::Service as Service<Request>>::Future: 'static,
    {
        let gate = Arc::clone(&self.gate);
        HttpService::<T, S, BoxBody>::build()
            // A second request on a connection has no deadline in the HTTP server.
            .keep_alive(KeepAlive::Disabled)
            .client_request_timeout(self.limits.request_head)
            .client_disconnect_timeout(LINGER)
            .h1_allow_half_closed(false)
            .tcp_nodelay(true)
            .local_addr(address)
            .on_connect_ext(move |socket: &T, extensions| {
                socket.keep_little_unsent();
                match gate.begin_handshake(socket.client_address()) {
                    // Each request of the connection shares it; it goes with the last of them.
                    Some(newcomer) => {
                        extensions.insert(newcomer);
                    }
                    None => socket.shut_down(),
                }
            })
    }

    /// What is served besides WebSockets, and the refusals of requests that ask for none.
    fn application(
        &self,
        secure: bool,
    ) -> impl ServiceFactory<
        Request,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = HttpResponse<BoxBody>,
        InitError = (),
        Future: 'static,
        Service: Service<Request, Future: 'static>,
    > {
        let pages = Arc::clone(&self.pages);
        let gate = Arc::clone(&self.gate);
        let application = App::new()
            .app_data(web::Data::from(Arc::clone(&gate)))
            .app_data(Secure(secure))
            .wrap_fn(|request, next| {
                if let Some(newcomer) = request.conn_data::<Newcomer>() {
                    newcomer.answer();
                }
                next.call(request)
            })
            .configure(move |config| {
                let services = gate.services.load();
                for path in services.iter().flat_map(|service| &service.paths) {
                    config.route(path, web::to(no_upgrade));
                    // The published Kaazing client for Java asks this before it opens, and gives up on anything but 200.
                    let cookies = format!("{path}/;e/cookies");
                    config.route(&cookies, web::get().to(HttpResponse::Ok));
                }
                pages(config);
            })
            .default_service(web::to(no_upgrade));
        let factory = application
            .into_factory()
            .map_err(|error: actix_web::Error| error.error_response());
        map_config(factory, |()| AppConfig::default())
    }
}

/// Whether the listener speaks TLS.
struct Secure(bool);

/// Whether a request has come over TLS.
pub fn is_secure(request: &HttpRequest) -> bool {
    request.app_data::<Secure>().is_some_and(|secure| secure.0)
}

async fn upgraded<S: Socket>(
    gate: Arc<Gate>,
    elsewhere: Arc<dyn Elsewhere>,
    secure: bool,
    request: Request,
    framed: Framed<S, Codec>,
) -> Result<(), actix_http::Error> {
    if let Err(error) = upgrade::upgrade(gate, &*elsewhere, secure, request, framed).await {
        tracing::debug!(%error, "a refusal could not be sent");
    }
    Ok(())
}

/// Answers a request that is not an upgrade and that no page serves.
async fn no_upgrade(request: HttpRequest, gate: web::Data<Gate>) -> HttpResponse {
    let secure = is_secure(&request);
    let began = began(request.conn_data());
    let refusal = gate.into_inner().refuse(request.head(), secure, began);
    upgrade::response(&refusal).map_into_boxed_body().into()
}

/// Bytes the kernel keeps for a client beyond those under way: enough to fill the pause until this
/// thread's next turn, few enough that a slow client shows, and costs, little.
const UNSENT: u32 = 256 * 1024;

/// When the connection of a request came.
pub(super) fn began(newcomer: Option<&Newcomer>) -> Instant {
    newcomer.map_or_else(Instant::now, Newcomer::began)
}

/// Time for a client to close its end after an answer that closes the connection.
const LINGER: Duration = Duration::from_millis(200);
