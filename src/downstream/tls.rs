//! The certificate of the public listener: read at the start, read again on SIGHUP, and shown to
//! every client that comes after.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::ClientHello;
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;
use rustls::ServerConfig;

use crate::downstream::config::Tls;
use crate::upstream::tls::certificates;
use crate::upstream::tls::expiry;
use crate::upstream::tls::private_key;
use crate::upstream::tls::provider;

/// The certificate now shown, and where the next one comes from.
pub struct CertificateStore {
    settings: Tls,
    current: ArcSwap<CertifiedKey>,
}

impl CertificateStore {
    /// Reads the certificate chain and its key.
    ///
    /// # Errors
    /// `key: reason`, the key relative to `[listen]`, if a file cannot be read or does not hold
    /// what it should, or if the two do not belong together.
    pub fn load(settings: &Tls) -> Result<Arc<Self>, String> {
        let current = ArcSwap::from_pointee(certified_key(settings)?);
        Ok(Arc::new(Self {
            settings: settings.clone(),
            current,
        }))
    }

    /// Reads the files again, for the clients to come; sessions that are open stay as they are.
    ///
    /// # Errors
    /// As [`Self::load`]; then the certificate from before stays.
    pub fn reload(&self) -> Result<(), String> {
        self.current.store(Arc::new(certified_key(&self.settings)?));
        Ok(())
    }

    /// When the certificate that is shown now expires, or one of its chain, in seconds since 1970.
    pub fn expiry(&self) -> Option<i64> {
        expiry(&self.current.load().cert)
    }

    /// The listener's side of TLS 1.2 and 1.3, for HTTP/1.1 only: a WebSocket opens with its
    /// upgrade (RFC 6455 section 4).
    ///
    /// # Errors
    /// If the cryptography lacks what these versions need, which is a fault of the build.
    pub fn server_config(self: &Arc<Self>) -> Result<ServerConfig, String> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("tls: {error}"))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![ALPN_HTTP_1_1.to_vec()];
        Ok(config)
    }
}

impl ResolvesServerCert for CertificateStore {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl fmt::Debug for CertificateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateStore")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

fn certified_key(settings: &Tls) -> Result<CertifiedKey, String> {
    let chain =
        certificates(&settings.certificate).map_err(|error| format!("tls.certificate: {error}"))?;
    let key = private_key(&settings.key).map_err(|error| format!("tls.key: {error}"))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| {
        format!(
            "tls.key: {} does not fit {}: {error}",
            settings.key.display(),
            settings.certificate.display()
        )
    })
}

/// RFC 7301 section 6.
const ALPN_HTTP_1_1: &[u8] = b"http/1.1";

#[cfg(test)]
mod tests;
