//! The listener's certificate with a real client: shown, renewed, and kept when the files are spoiled.

use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rcgen::generate_simple_self_signed;
use rcgen::CertifiedKey as Generated;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::ClientConfig;
use rustls::RootCertStore;
use tokio::io::duplex;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::TlsConnector;

use super::*;

/// A folder with `tls.crt` and `tls.key` that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("smeuse-downstream-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn settings(&self) -> Tls {
        Tls {
            certificate: self.0.join("tls.crt"),
            key: self.0.join("tls.key"),
        }
    }

    fn write(&self, (certificate, key): (&str, &str)) {
        std::fs::write(self.0.join("tls.crt"), certificate).unwrap();
        std::fs::write(self.0.join("tls.key"), key).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn generated() -> (String, String, CertificateDer<'static>) {
    let Generated { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    (cert.pem(), signing_key.serialize_pem(), cert.der().clone())
}

/// Whether a client that trusts only `certificate` gets through, and what ALPN chose.
async fn handshake(
    store: &Arc<CertificateStore>,
    certificate: &CertificateDer<'static>,
) -> Option<Option<Vec<u8>>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(store.server_config().unwrap()));
    let connector = TlsConnector::from(Arc::new(client));
    let (near, far) = duplex(16 * 1024);
    let name = ServerName::try_from("localhost").unwrap();
    let both = async { tokio::join!(connector.connect(name, near), acceptor.accept(far)) };
    let (connected, _) = timeout(Duration::from_secs(20), both)
        .await
        .expect("took too long");
    connected
        .ok()
        .map(|stream| stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
}

#[tokio::test]
async fn the_certificate_is_shown_renewed_and_kept() {
    let folder = Folder::new();
    let (first, second) = (generated(), generated());
    folder.write((&first.0, &first.1));
    let store = CertificateStore::load(&folder.settings()).unwrap();
    let http_1_1 = Some(Some(b"http/1.1".to_vec()));
    assert_eq!(handshake(&store, &first.2).await, http_1_1);
    assert_eq!(handshake(&store, &second.2).await, None);

    folder.write((&second.0, &second.1));
    assert_eq!(handshake(&store, &first.2).await, http_1_1);
    assert_eq!(store.reload(), Ok(()));
    assert_eq!(handshake(&store, &second.2).await, http_1_1);
    assert_eq!(handshake(&store, &first.2).await, None);

    // In the middle of a renewal the two files may belong to two certificates.
    folder.write((&first.0, &second.1));
    assert!(store
        .reload()
        .is_err_and(|error| error.contains("does not fit")));
    assert_eq!(handshake(&store, &second.2).await, http_1_1);
}

#[test]
fn files_that_do_not_serve_are_named() {
    let folder = Folder::new();
    let (certificate, key, _) = generated();
    let settings = folder.settings();
    let error = |settings: &Tls| CertificateStore::load(settings).expect_err("loaded");
    let named = |path: &Path| path.display().to_string();
    assert!(error(&settings).starts_with(&format!(
        "tls.certificate: {} cannot be read",
        named(&settings.certificate)
    )));
    folder.write((&certificate, ""));
    assert_eq!(
        error(&settings),
        format!("tls.key: {} holds no private key", named(&settings.key))
    );
    folder.write((&key, &key));
    assert_eq!(
        error(&settings),
        format!(
            "tls.certificate: {} holds no certificate",
            named(&settings.certificate)
        )
    );
}
