//! What a page has to know of the services: `/_smeuse/config.json`.

use serde_json::json;
use serde_json::Value;

use crate::handshake::Service;
use crate::wire::websocket::header::parse_offers;

/// Where something is, and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// The path.
    pub(super) path: String,
    /// `sha384-...`.
    pub(super) integrity: String,
}

/// The whole document. `module` knows the modules of extensions by name.
pub(super) fn configuration(
    services: &[Service],
    message_bytes: u64,
    (script, library): (&Reference, &Reference),
    module: impl Fn(&str) -> Option<Reference>,
) -> Value {
    let extension = |service: &Service, text: &String| {
        let offer = parse_offers([text.as_str()]).ok()?.into_iter().next()?;
        let named = |names: &[String]| names.contains(&offer.name);
        let mut entry = json!({ "name": offer.name });
        if let Some((_, params)) = text.split_once(';') {
            entry["params"] = json!(params.trim());
        }
        if let Some(Reference { path, integrity }) = module(&offer.name) {
            entry["module"] = json!(path);
            entry["integrity"] = json!(integrity);
        }
        // Without these the gateway refuses the page anyhow.
        entry["required"] =
            json!(named(&service.page_required) || named(&service.require_extensions));
        Some(entry)
    };
    let endpoint = |service: &Service| {
        let offers = service.page_extensions.iter();
        let extensions: Vec<Value> = offers.filter_map(|text| extension(service, text)).collect();
        json!({
            "service": service.name,
            "kind": service.kind,
            "paths": service.paths,
            "extensions": extensions,
            "fallback": service.page_fallback,
            "messageBytes": message_bytes,
        })
    };
    let reference = |of: &Reference| json!({ "path": of.path, "integrity": of.integrity });
    json!({
        "version": 1,
        "library": { "script": reference(script), "module": reference(library) },
        "endpoints": services.iter().map(endpoint).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_modules_that_are_there_and_parameters_and_what_is_required() {
        let service = Service {
            page_extensions: [
                "x-kaazing-ping-pong",
                "acme-stamp; level=2; x",
                "acme-other",
            ]
            .map(str::to_owned)
            .to_vec(),
            page_required: vec!["acme-stamp".to_owned()],
            require_extensions: vec!["acme-other".to_owned()],
            ..Service::default()
        };
        let reference = Reference {
            path: "/there.js".to_owned(),
            integrity: "sha384-x".to_owned(),
        };
        let module = |name: &str| (name == "acme-stamp").then(|| reference.clone());
        let value = configuration(&[service], 4_096, (&reference, &reference), module);
        let endpoint = &value["endpoints"][0];
        assert_eq!(endpoint["messageBytes"], 4_096);
        let expected = json!([
            { "name": "x-kaazing-ping-pong", "required": false },
            {
                "name": "acme-stamp",
                "params": "level=2; x",
                "module": "/there.js",
                "integrity": "sha384-x",
                "required": true,
            },
            { "name": "acme-other", "required": true },
        ]);
        assert_eq!(endpoint["extensions"], expected);
    }
}
