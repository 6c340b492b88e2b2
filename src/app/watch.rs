//! What changes while the gateway runs, without a signal: the configuration file, and the folder of modules for pages.
//!
//! Both are looked at every second, by threads that carry no session. What services say of extensions is taken over from
//! the file; everything else in it waits for SIGHUP or for a restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::info;

use super::Parts;
use crate::config::ConfigError;
use crate::config::Settings;
use crate::web::library::Mark;
use crate::web::Library;

/// Takes over what these settings say of the services' extensions; sessions keep what they have agreed on.
///
/// # Errors
///
/// Why all of it stays as it was.
pub(super) fn take_over(parts: &Parts, settings: &Settings) -> Result<(), ConfigError> {
    let gate = &parts.gate;
    let current = gate.services.load_full();
    let known: Vec<&str> = gate.catalogue.names().collect();
    let services = settings.extensions_for(&current, &known)?;
    let services_changed = services.iter().zip(current.iter());
    let changed: Vec<&str> = services_changed
        .filter(|(newer, service)| newer != service)
        .map(|(newer, _)| newer.name.as_str())
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    info!(
        services = changed.join(", "),
        "extensions of services changed"
    );
    let page_only = services.iter().flat_map(|service| &service.page_only);
    gate.catalogue
        .declare_page_only(page_only.map(String::as_str));
    gate.trials.expect(&services);
    gate.services.store(Arc::new(services.clone()));
    // Last, so that no page asks for what is not agreed to yet.
    if let Some(library) = &parts.library {
        library.tell_of(&services);
    }
    Ok(())
}

/// Looks at the folder of modules as long as the gateway runs.
pub(super) async fn look_at_modules(library: Library) {
    loop {
        sleep(LOOK).await;
        let library = library.clone();
        // A file system that hangs holds up one thread, and this loop.
        if spawn_blocking(move || library.look(Instant::now()))
            .await
            .is_err()
        {
            return;
        }
    }
}

/// The configuration file, as far as one can see without reading it.
pub(super) struct WatchedFile {
    path: Option<PathBuf>,
    taken: Option<Mark>,
    seen: Option<Mark>,
}

impl WatchedFile {
    /// No look was taken yet. It may have changed since the settings were read from it, so it is taken over once.
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            taken: None,
            seen: None,
        }
    }

    /// Waits until the file is another one, and has stood still for a second; may be dropped and called again.
    pub(super) async fn changed(&mut self) {
        loop {
            let Some(path) = self.path.clone() else {
                return std::future::pending().await;
            };
            sleep(LOOK).await;
            let Ok(mark) = spawn_blocking(move || Mark::read(&path)).await else {
                return std::future::pending().await;
            };
            let is_settled = mark == self.seen;
            self.seen.clone_from(&mark);
            if is_settled && mark.is_some() && mark != self.taken {
                self.taken = mark;
                return;
            }
        }
    }
}

/// Between two looks. Changes are a person's doing, or a deployment's.
const LOOK: Duration = Duration::from_secs(1);
