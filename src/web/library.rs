//! The browser library, its configuration, and the modules of extensions, under `/_smeuse/`: what a page needs to speak
//! the extended handshake.
//!
//! All of it is read when the gateway starts. Nothing in it is secret, so any page may load it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use actix_web::http::header;
use actix_web::web;
use actix_web::web::Bytes;
use actix_web::web::ServiceConfig;
use actix_web::HttpRequest;
use actix_web::HttpResponse;
use base64::prelude::BASE64_STANDARD;
use base64::Engine;
use serde_json::json;
use serde_json::Value;
use sha2::Digest;
use sha2::Sha384;

use crate::handshake::Service;
use crate::web::config::Config;
use crate::wire::websocket::header::parse_offers;

/// Everything that is served under `/_smeuse/`, by path.
#[derive(Debug, Clone)]
pub struct Library {
    assets: BTreeMap<String, Asset>,
}

#[derive(Debug, Clone)]
struct Asset {
    content: Bytes,
    content_type: &'static str,
    /// `sha384-...`, as the attribute `integrity` has it.
    integrity: String,
}

impl Asset {
    fn new(content: impl Into<Bytes>, content_type: &'static str) -> Self {
        let content = content.into();
        let integrity = format!(
            "sha384-{}",
            BASE64_STANDARD.encode(Sha384::digest(&content))
        );
        Self {
            content,
            content_type,
            integrity,
        }
    }

    /// RFC 9110 section 8.8.3.
    fn etag(&self) -> String {
        format!("\"{}\"", self.integrity)
    }
}

impl Library {
    /// The library for these services, with the modules in the folder of `web.extensions`. Pages are told that a message
    /// may have `message_bytes` at any time, before the login too.
    ///
    /// # Errors
    ///
    /// `web.extensions: reason` if a module cannot be read, or is larger than [`MODULE_BYTES`].
    pub fn load(config: &Config, services: &[Service], message_bytes: u64) -> Result<Self, String> {
        let mut assets = BTreeMap::new();
        assets.insert(SCRIPT.to_owned(), Asset::new(CLASSIC, JAVASCRIPT));
        assets.insert(MODULE.to_owned(), Asset::new(ES_MODULE, JAVASCRIPT));
        if let Some(folder) = &config.extensions {
            let modules = modules(folder)
                .map_err(|error| format!("web.extensions: {}: {error}", folder.display()))?;
            for (name, content) in modules {
                let path = format!("{EXTENSIONS}{name}");
                assets.insert(path, Asset::new(content, JAVASCRIPT));
            }
        }
        let text = configuration(services, message_bytes, &assets).to_string();
        assets.insert(CONFIGURATION.to_owned(), Asset::new(text, JSON));
        Ok(Self { assets })
    }

    /// The hash of what is served at a path, as the attribute `integrity` has it.
    pub fn integrity(&self, path: &str) -> Option<&str> {
        self.assets.get(path).map(|asset| asset.integrity.as_str())
    }

    /// Adds it to the public application.
    pub fn serve(&self, application: &mut ServiceConfig) {
        for (path, asset) in &self.assets {
            let asset = asset.clone();
            let handler = move |request: HttpRequest| {
                let answer = answer(&asset, &request);
                async move { answer }
            };
            let resource = web::resource(path.as_str())
                .route(web::get().to(handler.clone()))
                .route(web::head().to(handler));
            application.service(resource);
        }
    }
}

/// What a page has to know of the services: `/_smeuse/config.json`.
fn configuration(
    services: &[Service],
    message_bytes: u64,
    assets: &BTreeMap<String, Asset>,
) -> Value {
    let reference = |path: &str| {
        let integrity = assets.get(path).map(|asset| asset.integrity.as_str());
        json!({ "path": path, "integrity": integrity })
    };
    let extension = |text: &String| {
        let offer = parse_offers([text.as_str()]).ok()?.into_iter().next()?;
        let mut entry = json!({ "name": offer.name });
        if let Some((_, params)) = text.split_once(';') {
            entry["params"] = json!(params.trim());
        }
        let module = format!("{EXTENSIONS}{}.js", offer.name);
        if let Some(asset) = assets.get(&module) {
            entry["module"] = json!(module);
            entry["integrity"] = json!(asset.integrity);
        }
        Some(entry)
    };
    let endpoint = |service: &Service| {
        let extensions: Vec<Value> = service
            .page_extensions
            .iter()
            .filter_map(extension)
            .collect();
        json!({
            "service": service.name,
            "kind": service.kind,
            "paths": service.paths,
            "extensions": extensions,
            "fallback": service.page_fallback,
            "messageBytes": message_bytes,
        })
    };
    json!({
        "version": 1,
        "library": { "script": reference(SCRIPT), "module": reference(MODULE) },
        "endpoints": services.iter().map(endpoint).collect::<Vec<_>>(),
    })
}

/// The files `*.js` of a folder, by name.
fn modules(folder: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut modules = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(name) = name.filter(|name| is_module_name(name)) else {
            continue;
        };
        let metadata = path.metadata()?;
        // Opening a named pipe would wait for a writer.
        if !metadata.is_file() {
            continue;
        }
        if metadata.len() > MODULE_BYTES {
            return Err(io::Error::other(format!(
                "{name} has more than {MODULE_BYTES} bytes"
            )));
        }
        modules.push((name.to_owned(), fs::read(&path)?));
    }
    Ok(modules)
}

/// `name.js`, where the name is one that an extension can have and a path need not encode.
fn is_module_name(name: &str) -> bool {
    name.strip_suffix(".js").is_some_and(|stem| {
        !stem.is_empty()
            && stem
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    })
}

fn answer(asset: &Asset, request: &HttpRequest) -> HttpResponse {
    let etag = asset.etag();
    let known = request.headers().get(header::IF_NONE_MATCH);
    let is_known = known
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(',').any(|known| is_same(known.trim(), &etag)));
    let mut response = if is_known {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .insert_header((header::ETAG, etag))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header(("Cross-Origin-Resource-Policy", "cross-origin"));
    if is_known {
        return response.finish();
    }
    response
        .content_type(asset.content_type)
        .body(asset.content.clone())
}

/// RFC 9110 section 13.1.2: compared weakly, because a proxy that compresses makes strong tags weak.
fn is_same(known: &str, etag: &str) -> bool {
    known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag
}

const CLASSIC: &[u8] = include_bytes!("../../client/dist/smeuse.js");
const ES_MODULE: &[u8] = include_bytes!("../../client/dist/smeuse.mjs");

/// The library as a classic script, which replaces the page's `WebSocket`.
pub const SCRIPT: &str = "/_smeuse/smeuse.js";
/// The library as a module, which replaces nothing.
pub const MODULE: &str = "/_smeuse/smeuse.mjs";
const CONFIGURATION: &str = "/_smeuse/config.json";
const EXTENSIONS: &str = "/_smeuse/extensions/";

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const JSON: &str = "application/json";

/// The largest module, in bytes. All of them stay in memory, and every page loads those it is told of.
const MODULE_BYTES: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_modules_are_those_of_extensions() {
        for (name, is_one) in [
            ("acme-stamp.js", true),
            ("a.b_c.js", true),
            (".js", false),
            ("acme-stamp.mjs", false),
            ("acme stamp.js", false),
            ("acme%2f.js", false),
            ("é.js", false),
        ] {
            assert_eq!(is_module_name(name), is_one, "{name}");
        }
    }

    #[test]
    fn the_configuration_names_modules_that_are_there_and_parameters() {
        let service = Service {
            page_extensions: vec![
                "x-kaazing-ping-pong".to_owned(),
                "acme-stamp; level=2; x".to_owned(),
            ],
            ..Service::default()
        };
        let module = "/_smeuse/extensions/acme-stamp.js";
        let assets = BTreeMap::from([(module.to_owned(), Asset::new("", JAVASCRIPT))]);
        let value = configuration(&[service], 4_096, &assets);
        let extensions = &value["endpoints"][0]["extensions"];
        assert_eq!(extensions[0], json!({ "name": "x-kaazing-ping-pong" }));
        assert_eq!(extensions[1]["params"], "level=2; x");
        assert_eq!(value["endpoints"][0]["messageBytes"], 4_096);
        assert_eq!(extensions[1]["module"], module);
        // SHA-384 of nothing.
        assert_eq!(
            extensions[1]["integrity"],
            "sha384-OLBgp1GsljhM2TJ+sbHjaiH9txEUvgdDTAzHv2P24donTt6/529l+9Ua0vFImLlb"
        );
    }
}
