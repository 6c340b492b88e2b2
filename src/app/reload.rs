//! Takes over what may change while the gateway runs: all of it on SIGHUP, and what services say of extensions when the
//! configuration file has changed.
//!
//! Reading happens on a thread of its own, so a file that does not come keeps nobody from hearing the next signal.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::TrySendError;
use std::sync::Arc;
use std::thread;

use tracing::error;
use tracing::info;
use tracing::warn;

use super::watch;
use super::Parts;
use crate::config::ConfigError;
use crate::config::Settings;
use crate::logging;
use crate::upstream::Upstream;

/// Why the settings are to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// By a signal: everything.
    Everything,
    /// The file is another one.
    File,
}

/// Whoever asks for a reload.
#[derive(Clone, Debug)]
pub(super) struct Reloads {
    wake: SyncSender<()>,
    /// A signal has asked since the last reload began.
    everything: Arc<AtomicBool>,
}

/// Whoever reads.
struct Reader<R> {
    parts: Arc<Parts>,
    started_with: Settings,
    read: R,
    log: logging::Handle,
    /// What waits for a restart, as the log has said last.
    waiting: Vec<String>,
}

impl Reloads {
    /// Begins to wait for orders, and to look at the file.
    ///
    /// # Errors
    ///
    /// If there can be no thread.
    pub(super) fn begin(
        parts: Arc<Parts>,
        started_with: Settings,
        read: impl Fn() -> Result<Settings, ConfigError> + Send + 'static,
        file: Option<PathBuf>,
        log: logging::Handle,
    ) -> io::Result<Self> {
        // One order waits at most: whatever comes meanwhile is carried out with it.
        let (wake, orders) = sync_channel(1);
        let everything = Arc::<AtomicBool>::default();
        let reader = Reader {
            parts,
            started_with,
            read,
            log,
            waiting: Vec::new(),
        };
        let thread = thread::Builder::new().name("reload".to_owned());
        let reloads = Self {
            wake,
            everything: Arc::clone(&everything),
        };
        thread.spawn(move || reader.run(&orders, &everything))?;
        if let Some(path) = file {
            let reloads = reloads.clone();
            watch::look_at_file(path, move || reloads.order(Order::File))?;
        }
        Ok(reloads)
    }

    /// Asks for everything.
    pub(super) fn everything(&self) {
        if !self.order(Order::Everything) {
            error!("nothing is reloaded any more, an earlier reload has failed");
        }
    }

    /// Whether there is still somebody who reads.
    fn order(&self, order: Order) -> bool {
        if order == Order::Everything {
            self.everything.store(true, Ordering::SeqCst);
        }
        !matches!(self.wake.try_send(()), Err(TrySendError::Disconnected(())))
    }
}

impl<R: Fn() -> Result<Settings, ConfigError>> Reader<R> {
    fn run(mut self, orders: &Receiver<()>, everything: &AtomicBool) {
        for () in orders {
            if everything.swap(false, Ordering::SeqCst) {
                self.everything();
            } else {
                self.file();
            }
        }
    }

    fn file(&mut self) {
        let taken = (self.read)().and_then(|settings| {
            take_over(&self.parts, &settings)?;
            Ok(settings)
        });
        match taken {
            Ok(settings) => self.tell_of_waiting(&settings, Order::File),
            Err(failure) => {
                error!(detail = %failure, "the configuration file has changed and cannot be used, the old settings stay");
            }
        }
    }

    fn everything(&mut self) {
        let mut failures = Vec::new();
        match (self.read)() {
            Ok(settings) => {
                failures.extend(self.log.reload(&settings.log.level).err());
                let taken = take_over(&self.parts, &settings);
                failures.extend(taken.err().map(|error| error.to_string()));
                self.tell_of_waiting(&settings, Order::Everything);
            }
            Err(error) => failures.push(error.to_string()),
        }
        let parts = &self.parts;
        if let Some(certificates) = &parts.certificates {
            failures.extend(certificates.reload().err());
        }
        for (_, upstream) in &parts.upstreams {
            failures.extend(upstream.reload().err());
        }
        if let Some(upstream) = parts.control.upstream() {
            failures.extend(Upstream::reload(upstream).err());
        }
        for (name, login) in parts.gate.names.iter().zip(&parts.gate.logins) {
            let failure = login.as_ref().and_then(|login| login.reload().err());
            failures.extend(failure.map(|text| format!("services.{name}.login.{text}")));
        }
        failures.extend(parts.applications.reload());
        parts.show_expiries();
        failures.extend(parts.keys.reload().err());
        for failure in &failures {
            error!(detail = %failure, "reload failed, the old setting stays");
        }
        if failures.is_empty() {
            info!("reloaded");
        }
    }

    /// Says once what the file has that a running gateway does not take over, and again to whoever asks by a signal.
    fn tell_of_waiting(&mut self, settings: &Settings, order: Order) {
        let waiting = self.started_with.waiting_for_restart(settings);
        let is_known = waiting == self.waiting && order == Order::File;
        if !is_known && !waiting.is_empty() {
            let more = waiting.len().saturating_sub(NAMED);
            let keys = waiting.iter().take(NAMED).cloned();
            let keys: Vec<String> = keys.collect();
            warn!(
                keys = keys.join(", "),
                more, "settings have changed that wait for a restart"
            );
        }
        self.waiting = waiting;
    }
}

/// Takes over what these settings say of the services' extensions; sessions keep what they have agreed on.
fn take_over(parts: &Parts, settings: &Settings) -> Result<(), ConfigError> {
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

/// Keys that the log names at once.
const NAMED: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_not_forgotten_however_many_orders_wait() {
        let (wake, orders) = sync_channel(1);
        let reloads = Reloads {
            wake,
            everything: Arc::default(),
        };
        assert!((0..10).all(|_| reloads.order(Order::File)));
        assert!(!reloads.everything.load(Ordering::SeqCst));
        assert!(reloads.order(Order::Everything));
        // One order waits, and whoever takes it finds that everything is wanted.
        assert_eq!(orders.try_iter().count(), 1);
        assert!(reloads.everything.load(Ordering::SeqCst));
        drop(orders);
        assert!(!reloads.order(Order::File));
        assert!(!reloads.order(Order::Everything));
    }
}
