//! Whether the files that the settings name can be used.

use crate::admin::keys::Keys;
use crate::downstream::tls::CertificateStore;
use crate::handshake::Login;
use crate::upstream::shared::Shared;
use crate::upstream::tls::Connector;
use crate::web::Library;

use super::Settings;

/// The first file that cannot be used, if any, as `key: reason`.
pub(super) fn problem(settings: &Settings) -> Option<String> {
    if let Some(root) = &settings.web.root {
        if !root.is_dir() {
            return Some(format!("web.root: {} is not a folder", root.display()));
        }
    }
    for (index, application) in settings.web.applications.iter().enumerate() {
        if let Err(text) = application.check_files() {
            return Some(format!("web.applications.{index}.{text}"));
        }
    }
    if let Some(tls) = &settings.listen.tls {
        if let Err(text) = CertificateStore::load(tls) {
            return Some(format!("listen.{text}"));
        }
    }
    if let Err(text) = Keys::load(&settings.admin) {
        return Some(text);
    }
    for service in &settings.services {
        if let Some(Err(text)) = service.login.as_ref().map(Login::load) {
            return Some(format!("services.{}.login.{text}", service.name));
        }
    }
    if let Err(text) = Connector::load(&settings.control.upstream()) {
        return Some(format!("control.{text}"));
    }
    for service in settings.amqp_services() {
        let checked = Connector::load(&service.upstream)
            .map(drop)
            .and_then(|()| Shared::check_files(&service.upstream));
        if let Err(text) = checked {
            return Some(format!("services.{}.upstream.{text}", service.name));
        }
    }
    None
}

/// What is wrong with the modules for pages, if anything.
pub(super) fn module_problem(settings: &Settings) -> Option<String> {
    if !settings.web.library {
        return None;
    }
    let message_bytes = settings.websocket.message_before_login_bytes;
    Library::load(&settings.web, &settings.services, message_bytes).err()
}
