//! The public listener: TLS where configured, upgrade requests to sessions, and everything else to
//! the actix-web application.

use std::io;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use std::time::Instant;

use actix_codec::Framed;
use actix_http::body::BodySize;
use actix_http::body::BoxBody;
use actix_http::body::MessageBody;
use actix_http::error::DispatchError;
use actix_http::h1::Codec;
use actix_http::ConnectionType;
use actix_http::HttpService;
use actix_http::HttpServiceBuilder;
use actix_http::KeepAlive;
use actix_http::Protocol;
use actix_http::Request;
use actix_http::Response;
use actix_rt::net::TcpStream;
use actix_server::Server;
use actix_server::ServerBuilder;
use actix_service::fn_service;
use actix_service::map_config;
use actix_service::IntoServiceFactory;
use actix_service::Service;
use actix_service::ServiceFactory;
use actix_service::ServiceFactoryExt;
use actix_tls::accept::rustls_0_23::Acceptor;
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_tls::accept::TlsError;
use actix_web::dev::AppConfig;
use actix_web::dev::ServiceResponse;
use actix_web::http::header;
use actix_web::web;
use actix_web::web::Bytes;
use actix_web::web::ServiceConfig;
use actix_web::App;
use actix_web::HttpRequest;
use actix_web::HttpResponse;
use socket2::SockRef;

use crate::downstream::config::Limits;
use crate::downstream::gate::Newcomer;
use crate::downstream::patience::Patient;
use crate::downstream::patience::Times;
use crate::downstream::patience::Wait;
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
    fn times(&self) -> Times {
        Times {
            head: self.limits.request_head,
            pause: self.limits.keep_alive,
            stall: self.gate.websocket.write_stall_limit,
        }
    }

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
            let times = self.times();
            let service = self
                .protocol(address)
                .upgrade(fn_service(
                    move |(request, framed): (Request, Framed<Patient<TcpStream>, Codec>)| {
                        let (gate, elsewhere) = (Arc::clone(&gate), Arc::clone(&elsewhere));
                        upgraded(gate, elsewhere, false, request, framed)
                    },
                ))
                .finish(self.application(false));
            fn_service(move |socket: TcpStream| async move {
                let peer = socket.client_address();
                // Answers are written whole; there is nothing to wait for.
                socket.set_nodelay(true)?;
                Ok::<_, DispatchError>((Patient::new(socket, times), Protocol::Http1, peer))
            })
            .and_then(service)
        })
    }

    fn listen_tls(
        self,
        builder: ServerBuilder,
        socket: TcpListener,
        address: SocketAddr,
        certificates: &Arc<CertificateStore>,
    ) -> io::Result<ServerBuilder> {
        let mut config = certificates.server_config().map_err(io::Error::other)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        builder.listen("public", socket, move || {
            let (gate, elsewhere) = (Arc::clone(&self.gate), Arc::clone(&self.elsewhere));
            let times = self.times();
            let service = self
                .protocol(address)
                .secure()
                .upgrade(fn_service(
                    move |(request, framed): (
                        Request,
                        Framed<Patient<TlsStream<TcpStream>>, Codec>,
                    )| {
                        let (gate, elsewhere) = (Arc::clone(&gate), Arc::clone(&elsewhere));
                        upgraded(gate, elsewhere, true, request, framed)
                    },
                ))
                .finish(self.application(true));
            let mut acceptor = Acceptor::new(config.clone());
            acceptor.set_handshake_timeout(self.limits.request_head);
            acceptor
                .map_init_err(|_| ())
                .map_err(TlsError::into_service_error)
                .and_then(fn_service(move |socket: TlsStream<TcpStream>| async move {
                    let peer = socket.client_address();
                    // Answers are written whole; there is nothing to wait for.
                    let nodelay = socket.get_ref().0.set_nodelay(true);
                    nodelay.map_err(|error| TlsError::Service(DispatchError::Io(error)))?;
                    Ok((Patient::new(socket, times), Protocol::Http1, peer))
                }))
                .and_then(service.map_err(TlsError::Service))
        })
    }

    /// HTTP/1.1 with deadlines, each connection counted until its handshake is finished.
    fn protocol<T, S>(&self, address: SocketAddr) -> HttpServiceBuilder<Patient<T>, S>
    where
        T: Socket,
        S: ServiceFactory<Request, Config = ()>,
        S::Error: Into<Response<BoxBody>> + 'static,
        S::InitError: std::fmt::Debug,
        S::Response: Into<Response<BoxBody>> + 'static,
        <S::Service as Service<Request>>::Future: 'static,
    {
        let gate = Arc::clone(&self.gate);
        let keep_alive = match self.limits.keep_alive {
            Duration::ZERO => KeepAlive::Disabled,
            // The socket has the same deadline, and one for the head that may follow, which the HTTP server has not.
            pause => KeepAlive::Timeout(pause),
        };
        HttpService::<Patient<T>, S, BoxBody>::build()
            .keep_alive(keep_alive)
            .client_request_timeout(self.limits.request_head)
            .client_disconnect_timeout(LINGER)
            .h1_allow_half_closed(false)
            .local_addr(address)
            .on_connect_ext(move |socket: &Patient<T>, extensions| {
                socket.keep_little_unsent();
                extensions.insert(socket.wait());
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
                let wait = request.conn_data::<Rc<Wait>>().cloned();
                if let Some(wait) = &wait {
                    wait.requested();
                }
                let newcomer = request.conn_data::<Newcomer>();
                // RFC 9112 section 9.6: what stands behind the last request of a connection is no request.
                let is_behind_the_last = newcomer.is_some_and(Newcomer::is_closing);
                let answering = newcomer.map(Newcomer::answer);
                let answer = if is_behind_the_last {
                    Err(request.into_response(HttpResponse::BadRequest()))
                } else {
                    Ok(next.call(request))
                };
                async move {
                    let answer = match answer {
                        Ok(answer) => answer.await?,
                        Err(refused) => refused,
                    };
                    Ok(kept_or_closed(answer, answering, wait))
                }
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

/// Says in the head of an answer whether the connection is kept for another request.
fn kept_or_closed(
    mut answer: ServiceResponse<BoxBody>,
    answering: Option<()>,
    wait: Option<Rc<Wait>>,
) -> ServiceResponse<BoxBody> {
    let wants = |kind: ConnectionType| kind == ConnectionType::KeepAlive;
    let is_wanted = wants(answer.request().head().connection_type())
        && answer.response().head().connection_type() != ConnectionType::Close;
    let newcomer = answer.request().conn_data::<Newcomer>();
    let is_kept = is_wanted && answering.is_some() && newcomer.is_some_and(Newcomer::keep);
    if !is_kept {
        if let Some(newcomer) = newcomer {
            newcomer.close();
        }
        let head = answer.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
    }
    let head = answer.request().head();
    let length = head.headers().get(header::CONTENT_LENGTH);
    let has_body = head.headers().contains_key(header::TRANSFER_ENCODING)
        || length.is_some_and(|length| length != "0");
    let Some(wait) = wait.filter(|_| is_kept || has_body) else {
        return answer;
    };
    answer.map_body(|_, body| {
        let _answered = Answered { wait, is_kept };
        BoxBody::new(Watched { body, _answered })
    })
}

/// A body behind which the next request is waited for, or the end.
struct Watched {
    body: BoxBody,
    _answered: Answered,
}

struct Answered {
    wait: Rc<Wait>,
    is_kept: bool,
}

impl Drop for Answered {
    fn drop(&mut self) {
        if self.is_kept {
            self.wait.answered();
        } else {
            self.wait.closing();
        }
    }
}

impl MessageBody for Watched {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }

    fn try_into_bytes(self) -> Result<Bytes, Self> {
        let Self { body, _answered } = self;
        body.try_into_bytes()
            .map_err(|body| Self { body, _answered })
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
    framed: Framed<Patient<S>, Codec>,
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
