//! TLS towards the broker: whom to trust, who we are, which name to ask for. Reads PEM files for the
//! public listener as well.

use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::ServerName;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::TlsConnector;
use x509_parser::parse_x509_certificate;

use crate::upstream::config::BrokerUri;
use crate::upstream::config::Config;
use crate::upstream::config::Tls;

/// What is needed to speak TLS with the brokers of one service.
pub struct Connector {
    settings: Tls,
    client: ArcSwap<Client>,
}

/// What one reading of the files gave.
pub struct Client {
    /// The client's side of TLS.
    pub config: Arc<ClientConfig>,
    /// When our own certificate expires, if there is one.
    pub expiry: Option<i64>,
}

impl Connector {
    /// Reads the files; none if no broker of `config` is spoken to over TLS.
    pub fn load(config: &Config) -> Result<Option<Self>, String> {
        if !config.uris.iter().any(BrokerUri::is_tls) {
            return Ok(None);
        }
        let settings = config.tls.clone().unwrap_or_default();
        for uri in config.uris.iter().filter(|uri| uri.is_tls()) {
            server_name(&settings, uri.host()).map_err(|error| match &settings.server_name {
                Some(name) => {
                    format!("tls.server_name: {name:?} is not a name or an address: {error}")
                }
                None => format!(
                    "uris: {:?} is not a name or an address: {error}",
                    uri.host()
                ),
            })?;
        }
        let client = ArcSwap::from_pointee(client(&settings)?);
        Ok(Some(Self { settings, client }))
    }

    /// Reads the files again. On an error everything stays as it was.
    pub(super) fn reload(&self) -> Result<(), String> {
        self.client.store(Arc::new(client(&self.settings)?));
        Ok(())
    }

    /// When the certificate that is shown to brokers expires; see [`expiry`].
    pub(super) fn expiry(&self) -> Option<i64> {
        self.client.load().expiry
    }

    /// The TLS handshake with the broker `host` at the other end of `stream`.
    pub(super) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = server_name(&self.settings, host)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        TlsConnector::from(Arc::clone(&self.client.load().config))
            .connect(name, stream)
            .await
    }
}

/// The certificates of a PEM file, at least one.
///
/// # Errors
/// The file and what is wrong with it.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(path, "certificate", &error))?;
    if certificates.is_empty() {
        return Err(unreadable(path, "certificate", &pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

/// When the first of these certificates expires, in seconds since 1970; none if that cannot be read.
pub fn expiry(chain: &[CertificateDer<'_>]) -> Option<i64> {
    let expiry = |certificate: &CertificateDer<'_>| {
        let (_, certificate) = parse_x509_certificate(certificate).ok()?;
        Some(certificate.validity().not_after.timestamp())
    };
    chain.iter().filter_map(expiry).min()
}

/// The first private key of a PEM file (PKCS #8, PKCS #1 or SEC 1).
///
/// # Errors
/// The file and what is wrong with it.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable(path, "private key", &error))
}

/// The cryptography of every TLS socket. Named wherever it is needed, since a default for the
/// whole process would be whichever crate came first.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// What is needed to speak TLS with whom these settings trust.
///
/// # Errors
/// The key and the file, and what is wrong with it.
pub fn client(settings: &Tls) -> Result<Client, String> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("tls: {error}"))?;
    let builder = match &settings.ca {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path).map_err(|error| format!("tls.ca: {error}"))? {
                roots
                    .add(certificate)
                    .map_err(|error| format!("tls.ca: {}: {error}", path.display()))?;
            }
            builder.with_root_certificates(roots)
        }
        None => builder.with_platform_verifier().map_err(|error| {
            format!("tls.ca: is not set, and the platform's roots are missing: {error}")
        })?,
    };
    let (Some(certificate), Some(key)) = (&settings.certificate, &settings.key) else {
        return Ok(Client {
            config: Arc::new(builder.with_no_client_auth()),
            expiry: None,
        });
    };
    let chain = certificates(certificate).map_err(|error| format!("tls.certificate: {error}"))?;
    let private_key = private_key(key).map_err(|error| format!("tls.key: {error}"))?;
    let expiry = expiry(&chain);
    let config = builder
        .with_client_auth_cert(chain, private_key)
        .map_err(|error| {
            format!(
                "tls.key: {} does not fit {}: {error}",
                key.display(),
                certificate.display()
            )
        })?;
    Ok(Client {
        config: Arc::new(config),
        expiry,
    })
}

/// The name to ask for and to verify: the settings', else `host`.
///
/// # Errors
/// What is neither a name nor an address.
pub fn server_name(
    settings: &Tls,
    host: &str,
) -> Result<ServerName<'static>, rustls::pki_types::InvalidDnsNameError> {
    ServerName::try_from(settings.server_name.as_deref().unwrap_or(host).to_owned())
}

fn unreadable(path: &Path, what: &str, error: &pem::Error) -> String {
    let path = path.display();
    match error {
        pem::Error::Io(error) => format!("{path} cannot be read: {error}"),
        pem::Error::NoItemsFound => format!("{path} holds no {what}"),
        error => format!("{path} is not a PEM file: {error}"),
    }
}
