//! Whether the files that the settings name can be used.

use std::path::Path;

use crate::downstream::tls::CertificateStore;
use crate::upstream;
use crate::upstream::tls::certificates;
use crate::upstream::tls::private_key;

use super::Settings;

/// The first file that cannot be used, if any, as `key: reason`.
pub(super) fn problem(settings: &Settings) -> Option<String> {
    if let Some(root) = &settings.web.root {
        if !root.is_dir() {
            return Some(format!("web.root: {} is not a folder", root.display()));
        }
    }
    if let Some(tls) = &settings.listen.tls {
        if let Err(text) = CertificateStore::load(tls) {
            return Some(format!("listen.{text}"));
        }
    }
    for service in settings.amqp_services() {
        if let Some(text) = service.upstream.tls.as_ref().and_then(upstream_problem) {
            return Some(format!("services.{}.upstream.tls.{text}", service.name));
        }
    }
    None
}

fn upstream_problem(tls: &upstream::config::Tls) -> Option<String> {
    let has_certificates = |path: &Path| certificates(path).map(drop);
    let has_key = |path: &Path| private_key(path).map(drop);
    let checks = [
        ("ca", tls.ca.as_deref().map(has_certificates)),
        (
            "certificate",
            tls.certificate.as_deref().map(has_certificates),
        ),
        ("key", tls.key.as_deref().map(has_key)),
    ];
    checks
        .into_iter()
        .find_map(|(key, result)| Some(format!("{key}: {}", result?.err()?)))
}
