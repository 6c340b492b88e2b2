//! The browser library, its configuration, and the modules of extensions, under `/_smeuse/`: what a page needs to speak
//! the extended handshake.
//!
//! Nothing in it is secret, so any page may load it. The library is part of the program; the modules come from a folder
//! that is looked at while the gateway runs, and the configuration follows them and the services. What pages get is
//! exchanged as a whole: none sees a configuration that names what is not there.

mod asset;
mod configuration;
mod folder;
mod metrics;
mod shelf;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Instant;

use actix_web::http::header;
use actix_web::http::Method;
use actix_web::web;
use actix_web::web::ServiceConfig;
use actix_web::HttpRequest;
use actix_web::HttpResponse;
use arc_swap::ArcSwap;
use prometheus::Registry;
use tracing::error;
use tracing::info;

use self::asset::Asset;
use self::asset::JAVASCRIPT;
use self::asset::JSON;
use self::configuration::Reference;
pub(crate) use self::folder::Mark;
use self::metrics::Metrics;
use self::shelf::Change;
use self::shelf::Fault;
use self::shelf::Shelf;
use crate::handshake::Service;
use crate::web::config::Config;

/// Everything that is served under `/_smeuse/`; clones serve the same.
#[derive(Debug, Clone)]
pub struct Library {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// What is part of the program.
    fixed: BTreeMap<&'static str, Asset>,
    /// What is served besides, by path.
    current: ArcSwap<BTreeMap<String, Asset>>,
    /// What that is made of; only who changes it looks here.
    sources: Mutex<Sources>,
    folder: Option<PathBuf>,
    message_bytes: u64,
    metrics: Metrics,
}

#[derive(Debug)]
struct Sources {
    services: Vec<Service>,
    shelf: Shelf,
    /// The folder could not be read at the last look, and the log says so.
    is_folder_lost: bool,
}

impl Library {
    /// The library for these services, with the modules in the folder of `web.extensions`. Pages are told that a message
    /// may have `message_bytes` at any time, before the login too.
    ///
    /// # Errors
    ///
    /// `web.extensions: reason` if a module cannot be used.
    pub fn load(config: &Config, services: &[Service], message_bytes: u64) -> Result<Self, String> {
        let fixed = [(SCRIPT, CLASSIC), (MODULE, ES_MODULE), (INSTALL, INSTALLER)]
            .map(|(path, content)| (path, Asset::new(content, JAVASCRIPT)));
        let mut shelf = Shelf::default();
        if let Some(folder) = &config.extensions {
            let found = folder::list(folder)
                .map_err(|error| format!("web.extensions: {}: {error}", folder.display()))?;
            let filled = shelf.fill(found, |name, mark| folder::read(folder, name, mark));
            filled.map_err(|(name, fault)| {
                format!("web.extensions: {}/{name}.js: {fault}", folder.display())
            })?;
        }
        let library = Self {
            shared: Arc::new(Shared {
                fixed: fixed.into(),
                current: ArcSwap::default(),
                sources: Mutex::new(Sources {
                    services: services.to_vec(),
                    shelf,
                    is_folder_lost: false,
                }),
                folder: config.extensions.clone(),
                message_bytes,
                metrics: Metrics::new().map_err(|error| error.to_string())?,
            }),
        };
        library.change(|_| ());
        Ok(library)
    }

    /// Shows what it counts.
    ///
    /// # Errors
    ///
    /// If `registry` has one of the names already.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        self.shared.metrics.register(registry)
    }

    /// The hash of a part of the library itself, as the attribute `integrity` has it.
    pub fn integrity(&self, path: &str) -> Option<&str> {
        let asset = self.shared.fixed.get(path)?;
        Some(&asset.integrity)
    }

    /// Whether there is a folder to look at.
    pub fn has_folder(&self) -> bool {
        self.shared.folder.is_some()
    }

    /// Tells pages of these services from now on.
    pub fn tell_of(&self, services: &[Service]) {
        self.change(|sources| sources.services = services.to_vec());
    }

    /// Looks at the folder and takes over what has changed. Takes the time of a few calls of the system, of which a
    /// worker has none.
    pub fn look(&self, now: Instant) {
        let Some(folder) = &self.shared.folder else {
            return;
        };
        let metrics = &self.shared.metrics;
        let found = match folder::list(folder) {
            Ok(found) => found,
            Err(error) => {
                if !std::mem::replace(&mut self.sources().is_folder_lost, true) {
                    metrics.folder_unreadable();
                    error!(folder = %folder.display(), %error, "modules cannot be looked for, those there were stay");
                }
                return;
            }
        };
        // Nobody waits for files that are slow to come.
        let wanted = self.sources().shelf.wanted(&found);
        let contents: BTreeMap<String, _> = wanted
            .into_iter()
            .map(|(name, mark)| {
                let content = folder::read(folder, &name, &mark);
                (name, content)
            })
            .collect();
        let read =
            |name: &str, _: &Mark| contents.get(name).cloned().unwrap_or(Err(Fault::Unsettled));
        let mut sources = self.sources();
        sources.is_folder_lost = false;
        let changes = sources.shelf.look(found, read, now);
        let is_changed = sources.shelf.forget(now) || !changes.is_empty();
        for change in &changes {
            metrics.count(change);
            match change {
                Change::Added(extension) => info!(extension, "module added"),
                Change::Replaced(extension) => info!(extension, "module replaced"),
                Change::Removed(extension) => info!(extension, "module removed"),
                Change::Refused(extension, fault) => {
                    error!(extension, detail = %fault, "module not used, what there was stays");
                }
            }
        }
        if is_changed {
            self.publish(&sources);
        }
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        let sources = self.shared.sources.lock();
        sources.unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Sources)) {
        let mut sources = self.sources();
        change(&mut sources);
        self.publish(&sources);
    }

    fn publish(&self, sources: &Sources) {
        let shared = &self.shared;
        let reference = |path: &str, asset: &Asset| Reference {
            path: path.to_owned(),
            integrity: asset.integrity.clone(),
        };
        let fixed = |path| reference(path, &shared.fixed[path]);
        let module = |name: &str| {
            let (path, asset) = sources.shelf.find(name)?;
            Some(reference(&format!("{EXTENSIONS}{path}"), asset))
        };
        let text = configuration::configuration(
            &sources.services,
            shared.message_bytes,
            (&fixed(SCRIPT), &fixed(MODULE)),
            module,
        );
        let assets = sources.shelf.assets().into_iter();
        let mut current: BTreeMap<String, Asset> = assets
            .map(|(path, asset)| (format!("{EXTENSIONS}{path}"), asset))
            .collect();
        current.insert(CONFIGURATION.to_owned(), Asset::new(text.to_string(), JSON));
        shared
            .metrics
            .modules
            .set(i64::try_from(sources.shelf.count()).unwrap_or(i64::MAX));
        shared.current.store(Arc::new(current));
    }

    /// Adds it to the public application.
    pub fn serve(&self, application: &mut ServiceConfig) {
        let library = self.clone();
        let handler = move |request: HttpRequest| {
            let answer = library.answer(&request);
            async move { answer }
        };
        application.service(web::resource("/_smeuse/{path:.*}").route(web::to(handler)));
    }

    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return HttpResponse::MethodNotAllowed()
                .insert_header((header::ALLOW, "GET, HEAD"))
                .finish();
        }
        let path = request.path();
        if let Some(asset) = self.shared.fixed.get(path) {
            return asset.answer(request);
        }
        match self.shared.current.load().get(path) {
            Some(asset) => asset.answer(request),
            None => HttpResponse::NotFound()
                .content_type("text/plain; charset=utf-8")
                .body("the library has nothing there\n"),
        }
    }
}

const CLASSIC: &[u8] = include_bytes!("../../client/dist/smeuse.js");
const ES_MODULE: &[u8] = include_bytes!("../../client/dist/smeuse.mjs");
const INSTALLER: &[u8] = include_bytes!("../../client/dist/install.mjs");

/// The library as a classic script, which replaces the page's `WebSocket`.
pub const SCRIPT: &str = "/_smeuse/smeuse.js";
/// The library as a module, which replaces nothing.
pub const MODULE: &str = "/_smeuse/smeuse.mjs";
/// A module that does what the classic script does: it replaces the `WebSocket` of whoever imports it.
pub const INSTALL: &str = "/_smeuse/install.mjs";
const CONFIGURATION: &str = "/_smeuse/config.json";
const EXTENSIONS: &str = "/_smeuse/extensions/";
