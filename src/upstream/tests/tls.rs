//! TLS towards the broker: whom it trusts, which name it asks for, and what it says when it fails.

use std::sync::Arc;
use std::sync::Mutex;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::CertifiedIssuer;
use rcgen::IsCa;
use rcgen::KeyPair;
use rustls::server::WebPkiClientVerifier;
use rustls::RootCertStore;
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::upstream::error::Failure;
use crate::upstream::error::Step;
use crate::upstream::tls::certificates;
use crate::upstream::tls::private_key;
use crate::upstream::tls::provider;

/// An authority with its files, and what it signs.
struct Authority {
    folder: Folder,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = Folder::new();
        folder.write("ca.pem", &issuer.pem());
        Self { folder, issuer }
    }

    fn ca(&self) -> PathBuf {
        self.folder.file("ca.pem")
    }

    /// A certificate for these names, and its key.
    fn issue(&self, name: &str, subjects: &[&str]) -> (PathBuf, PathBuf) {
        let subjects: Vec<String> = subjects.iter().map(|&subject| subject.to_owned()).collect();
        self.sign(name, CertificateParams::new(subjects).unwrap())
    }

    fn sign(&self, name: &str, params: CertificateParams) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (
            self.folder
                .write(&format!("{name}.crt"), &certificate.pem()),
            self.folder
                .write(&format!("{name}.key"), &key.serialize_pem()),
        )
    }
}

/// A broker behind TLS that notes the names asked for (SNI).
struct TlsBroker {
    address: SocketAddr,
    names: Arc<Mutex<Vec<Option<String>>>>,
}

impl TlsBroker {
    async fn start((certificate, key): (PathBuf, PathBuf), clients_of: Option<&Authority>) -> Self {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients_of {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(certificates(&authority.ca()).unwrap());
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                        .build()
                        .unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let config = builder
            .with_single_cert(
                certificates(&certificate).unwrap(),
                private_key(&key).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let names = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&names);
        let address = broker(move |stream| {
            let (acceptor, noted) = (acceptor.clone(), Arc::clone(&noted));
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                noted
                    .lock()
                    .unwrap()
                    .push(stream.get_ref().1.server_name().map(str::to_owned));
                assert_eq!(read(&mut stream).await, HEADER);
                stream.write_all(b"\x01").await.unwrap();
                stream.flush().await.unwrap();
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        })
        .await;
        Self { address, names }
    }

    fn uri(&self, host: &str) -> String {
        format!("amqps://{host}:{}", self.address.port())
    }

    fn name_asked(&self) -> Option<String> {
        self.names.lock().unwrap().pop().expect("no handshake")
    }
}

fn config(uri: &str, tls: &str) -> String {
    format!("uris = ['{uri}']\ntls = {{ {tls} }}")
}

async fn connect(toml: &str) -> Result<Connected, ConnectError> {
    let (upstream, _) = upstream(toml);
    soon(upstream.connect(HEADER, None, None)).await
}

async fn failed_tls(toml: &str) -> String {
    let (upstream, registry) = upstream(toml);
    let error = soon(upstream.connect(HEADER, None, None))
        .await
        .unwrap_err();
    assert!(matches!(error.failure(), Failure::Tls(_)), "{error:?}");
    assert_eq!(outcome(&registry, "tls_failed"), 1.0);
    error.to_string()
}

#[tokio::test]
async fn an_own_authority_is_trusted_and_the_host_is_asked_for() {
    let authority = Authority::new();
    let broker =
        TlsBroker::start(authority.issue("broker", &["localhost", "127.0.0.1"]), None).await;
    let ca = authority.ca();
    let connected = connect(&config(
        &broker.uri("localhost"),
        &format!("ca = '{}'", show(&ca)),
    ))
    .await
    .unwrap();
    assert!(connected.socket.is_tls());
    assert_eq!(connected.first, b"\x01");
    assert_eq!(broker.name_asked().as_deref(), Some("localhost"));
    // An address is verified but not asked for (RFC 6066 section 3).
    connect(&config(
        &broker.uri("127.0.0.1"),
        &format!("ca = '{}'", show(&ca)),
    ))
    .await
    .unwrap();
    assert_eq!(broker.name_asked(), None);
}

#[tokio::test]
async fn the_server_name_is_asked_for_and_verified_instead_of_the_host() {
    let authority = Authority::new();
    let broker = TlsBroker::start(authority.issue("broker", &["rabbit.internal"]), None).await;
    let ca = authority.ca();
    let toml = config(
        &broker.uri("127.0.0.1"),
        &format!("ca = '{}', server_name = 'rabbit.internal'", show(&ca)),
    );
    connect(&toml).await.unwrap();
    assert_eq!(broker.name_asked().as_deref(), Some("rabbit.internal"));
}

#[tokio::test]
async fn a_certificate_that_proves_nothing_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let trust = |authority: &Authority| format!("ca = '{}'", show(&authority.ca()));
    let broker = TlsBroker::start(authority.issue("broker", &["rabbit.internal"]), None).await;
    let text = failed_tls(&config(&broker.uri("localhost"), &trust(&authority))).await;
    assert!(text.contains("its certificate has another name"), "{text}");

    let broker = TlsBroker::start(authority.issue("broker", &["localhost"]), None).await;
    let text = failed_tls(&config(&broker.uri("localhost"), &trust(&other))).await;
    assert!(text.contains("its certificate is not trusted"), "{text}");

    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2001, 1, 1);
    params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    let broker = TlsBroker::start(authority.sign("expired", params), None).await;
    let text = failed_tls(&config(&broker.uri("localhost"), &trust(&authority))).await;
    assert!(text.contains("its certificate has expired"), "{text}");
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_one_is_required() {
    let authority = Authority::new();
    let broker =
        TlsBroker::start(authority.issue("broker", &["localhost"]), Some(&authority)).await;
    let (certificate, key) = authority.issue("gateway", &["gateway"]);
    let ca = format!("ca = '{}'", show(&authority.ca()));
    let with = format!(
        "{ca}, certificate = '{}', key = '{}'",
        show(&certificate),
        show(&key)
    );
    connect(&config(&broker.uri("localhost"), &with))
        .await
        .unwrap();
    let text = failed_tls(&config(&broker.uri("localhost"), &ca)).await;
    assert!(text.contains("it refused the client certificate"), "{text}");
}

#[tokio::test]
async fn a_broker_without_tls_is_told_apart() {
    let authority = Authority::new();
    let ca = format!("ca = '{}'", show(&authority.ca()));
    // RabbitMQ's plain listener takes the ClientHello for a wrong protocol header.
    let plain = broker(|mut stream| async move {
        let _: [u8; 8] = read(&mut stream).await;
        stream.write_all(&HEADER).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let text = failed_tls(&config(&format!("amqps://{plain}"), &ca)).await;
    assert!(text.contains("it does not speak TLS"), "{text}");

    let silent = silent_broker().await;
    let toml = format!(
        "{}\nconnect_deadline = '100ms'",
        config(&format!("amqps://{silent}"), &ca)
    );
    let error = connect(&toml).await.unwrap_err();
    assert!(
        matches!(error.failure(), Failure::Deadline(Step::Tls)),
        "{error:?}"
    );

    let closing = broker(|stream| async move { drop(stream) }).await;
    let error = connect(&config(&format!("amqps://{closing}"), &ca))
        .await
        .unwrap_err();
    assert!(matches!(error.failure(), Failure::ClosedEarly), "{error:?}");
}

#[tokio::test]
async fn the_proxy_header_goes_before_tls() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("broker", &["localhost"]);
    let config_of_broker = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            certificates(&certificate).unwrap(),
            private_key(&key).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config_of_broker));
    let address = broker(move |mut stream| {
        let acceptor = acceptor.clone();
        async move {
            assert_eq!(
                &read(&mut stream).await,
                b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n"
            );
            let mut stream = acceptor.accept(stream).await.unwrap();
            assert_eq!(read(&mut stream).await, HEADER);
            stream.write_all(b"\x01").await.unwrap();
            stream.flush().await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    })
    .await;
    let ca = format!("ca = '{}'", show(&authority.ca()));
    let toml = format!(
        "proxy_protocol = 'v1'\n{}",
        config(&format!("amqps://localhost:{}", address.port()), &ca)
    );
    let (upstream, _) = upstream(&toml);
    let (client, gateway) = ("192.0.2.7:1".parse().ok(), "192.0.2.1:2".parse().ok());
    soon(upstream.connect(HEADER, client, gateway))
        .await
        .unwrap();
}

#[tokio::test]
async fn files_that_do_not_serve_are_named() {
    let authority = Authority::new();
    let (certificate, _) = authority.issue("one", &["one"]);
    let (_, key) = authority.issue("two", &["two"]);
    let empty = authority.folder.write("empty.pem", "");
    let broken = authority.folder.write(
        "broken.pem",
        "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
    );
    let ca = authority.ca();
    for (tls, key_named, reason) in [
        (
            "ca = '/nowhere/ca.pem'".to_owned(),
            "tls.ca: /nowhere/ca.pem ",
            "cannot be read",
        ),
        (
            format!("ca = '{}'", show(&empty)),
            "tls.ca: ",
            "holds no certificate",
        ),
        (
            format!("ca = '{}'", show(&broken)),
            "tls.ca: ",
            "not a PEM file",
        ),
        (
            format!(
                "ca = '{}', certificate = '{}', key = '/nowhere/k'",
                show(&ca),
                show(&certificate)
            ),
            "tls.key: ",
            "/nowhere/k",
        ),
        (
            format!(
                "ca = '{}', certificate = '{}', key = '{}'",
                show(&ca),
                show(&certificate),
                show(&certificate)
            ),
            "tls.key: ",
            "holds no private key",
        ),
        (
            format!(
                "ca = '{}', certificate = '{}', key = '{}'",
                show(&ca),
                show(&certificate),
                show(&key)
            ),
            "tls.key: ",
            "does not fit",
        ),
        (
            format!("ca = '{}', server_name = 'a b'", show(&ca)),
            "tls.server_name: ",
            "\"a b\"",
        ),
    ] {
        let config: Config = toml::from_str(&config("amqps://localhost", &tls)).unwrap();
        config.validate().unwrap();
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let error = Upstream::new(&config, metrics).expect_err(&tls);
        assert!(
            error.starts_with(key_named) && error.contains(reason),
            "{tls}: {error}"
        );
    }
}

#[tokio::test]
async fn renewed_files_are_taken_and_spoiled_ones_are_not() {
    let (old, new) = (Authority::new(), Authority::new());
    let broker = TlsBroker::start(new.issue("broker", &["localhost"]), None).await;
    let (upstream, _) = upstream(&config(
        &broker.uri("localhost"),
        &format!("ca = '{}'", show(&old.ca())),
    ));
    assert_eq!(
        soon(upstream.connect(HEADER, None, None))
            .await
            .unwrap_err()
            .outcome(),
        "tls_failed"
    );
    old.folder.write("ca.pem", &new.issuer.pem());
    assert_eq!(upstream.reload(), Ok(()));
    soon(upstream.connect(HEADER, None, None)).await.unwrap();
    old.folder.write("ca.pem", "");
    assert!(upstream
        .reload()
        .is_err_and(|error| error.starts_with("tls.ca: ")));
    soon(upstream.connect(HEADER, None, None)).await.unwrap();
}
