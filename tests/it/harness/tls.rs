//! A certificate authority of the test's own, and both ends of TLS with it.

use std::fs;
use std::io;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use rcgen::date_time_ymd;
use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::DnType;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use rustls::ClientConfig;
use rustls::ClientConnection;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::ServerConnection;
use rustls::StreamOwned;

/// Signs what its [`Identity`]s show.
pub(crate) struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    files: Files,
}

/// A certificate and its key, in memory and as PEM files.
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    files: Files,
}

/// PEM files that go away with their owner.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are valid names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority of the tests");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let files = Files::write(&certificate.pem(), "");
        Self {
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
            files,
        }
    }

    /// A certificate for these names (host names or addresses), for a server or a client.
    pub(crate) fn issue(&self, names: &[&str]) -> Identity {
        self.issue_until(names, 2099)
    }

    /// The same; it expires when this year begins.
    pub(crate) fn issue_until(&self, names: &[&str], year: i32) -> Identity {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("valid names");
        params
            .distinguished_name
            .push(DnType::CommonName, "somebody the tests know");
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity {
            chain: vec![certificate.der().clone()],
            files: Files::write(&certificate.pem(), &key.serialize_pem()),
            key: key.serialize_der().try_into().expect("a key in DER"),
        }
    }

    /// The PEM file of the authority's own certificate.
    pub(crate) fn path(&self) -> &PathBuf {
        &self.files.certificate
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.certificate.clone())
            .expect("a certificate that can be a root");
        Arc::new(roots)
    }

    /// Starts TLS as a client that trusts this authority alone; the handshake happens at the first byte.
    pub(crate) fn client(
        &self,
        socket: TcpStream,
        name: &str,
    ) -> StreamOwned<ClientConnection, TcpStream> {
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(self.roots(), provider.clone());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .with_webpki_verifier(verifier.build().expect("a verifier"))
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).expect("a valid name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("a TLS client");
        StreamOwned::new(connection, socket)
    }
}

impl Identity {
    pub(crate) fn certificate_path(&self) -> &PathBuf {
        &self.files.certificate
    }

    pub(crate) fn key_path(&self) -> &PathBuf {
        &self.files.key
    }

    /// The certificate as a peer sees it.
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    /// What a server needs to show this identity and, with an authority, to ask clients for one of it.
    pub(crate) fn server_config(&self, clients: Option<&Authority>) -> Arc<ServerConfig> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(authority.roots(), provider);
                builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
        };
        let config = builder
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .expect("a valid identity");
        Arc::new(config)
    }
}

impl Files {
    fn write(certificate: &str, key: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let stem = format!("it-{}-{count}", std::process::id());
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let files = Self {
            certificate: folder.join(format!("{stem}.crt")),
            key: folder.join(format!("{stem}.key")),
        };
        fs::write(&files.certificate, certificate).expect("the certificate can be written");
        fs::write(&files.key, key).expect("the key can be written");
        files
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.certificate);
        let _ = fs::remove_file(&self.key);
    }
}

/// Starts TLS as a server and completes the handshake.
///
/// # Errors
/// The client does not agree, or goes away.
pub(crate) fn accept(
    config: Arc<ServerConfig>,
    mut socket: TcpStream,
) -> io::Result<StreamOwned<ServerConnection, TcpStream>> {
    let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(connection, socket))
}
