//! Settings from the environment: `SMEUSE__SECTION__KEY`, and the short forms
//! `AMQP_URL` and `PORT`.

use std::env;
use std::net::SocketAddr;

use ::config::Config;
use ::config::File;
use ::config::FileFormat;
use ::config::Value;
use ::config::ValueKind;

use super::contract;
use super::key::Key;
use super::tree;
use super::tree::Which;
use super::ConfigError;

/// The process's environment as text. Bytes that are not UTF-8 become
/// U+FFFD, which no setting takes for anything else.
pub fn variables() -> impl Iterator<Item = (String, String)> {
    env::vars_os().map(|(name, value)| {
        (
            name.to_string_lossy().into_owned(),
            value.to_string_lossy().into_owned(),
        )
    })
}

/// Puts what the variables say over the tree, short forms first because they
/// are weaker.
pub(super) fn apply(
    root: &mut Value,
    variables: impl Iterator<Item = (String, String)>,
    shape: &Value,
) -> Result<(), ConfigError> {
    let mut settings = Vec::new();
    let mut amqp_url = None;
    let mut port = None;
    for (name, text) in variables {
        match name.as_str() {
            "AMQP_URL" => amqp_url = Some(text).filter(|text| !text.is_empty()),
            "PORT" => port = Some(text).filter(|text| !text.is_empty()),
            _ => settings.extend(setting(&name, &text, shape).transpose()?),
        }
    }
    if let Some(port) = port {
        apply_port(root, &port)?;
    }
    if let Some(uri) = &amqp_url {
        tree::set_upstreams(root, "environment AMQP_URL", uri, Which::All);
    }
    // Sorted, so that whole tables and lists come before what is put into
    // them, and the items of a list in their order.
    settings.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (key, value) in settings {
        tree::place(root, &key, value)?;
    }
    if let Some(uri) = &amqp_url {
        tree::set_upstreams(root, "environment AMQP_URL", uri, Which::WithoutOne);
    }
    Ok(())
}

/// The key and value of one variable; `None` if it is not one of ours.
fn setting(name: &str, text: &str, shape: &Value) -> Option<Result<(Key, Value), ConfigError>> {
    let path = name.strip_prefix(PREFIX)?;
    let origin = format!("environment {name}");
    Some(locate(path, &origin, shape).and_then(|(key, example)| {
        let value = typed(text, &example, &key, &origin)?;
        Ok((key, value))
    }))
}

/// Finds the key that a variable's name means, and the example for its value.
fn locate(path: &str, origin: &str, shape: &Value) -> Result<(Key, Value), ConfigError> {
    let mut key = Key::default();
    let mut example = shape.clone();
    for part in path.split(SEPARATOR) {
        let part = part.to_ascii_lowercase();
        let found = match &example.kind {
            ValueKind::Array(items) => {
                let index = part.parse().ok();
                key = index.map_or_else(|| key.field(&part), |index| key.index(index));
                index
                    .map(|_| contract::item_example(items))
                    .ok_or_else(|| "unknown key, items of a list are numbered from 0".to_owned())
            }
            _ => {
                key = key.field(&part);
                contract::example(&example, &part).cloned()
            }
        };
        example = found.map_err(|reason| {
            ConfigError::new(Some(origin.to_owned()), Some(key.to_string()), reason)
        })?;
    }
    Ok((key, example))
}

/// Reads a variable's text as what its key needs: lists and tables are
/// written as TOML.
fn typed(text: &str, example: &Value, key: &Key, origin: &String) -> Result<Value, ConfigError> {
    let error = |wanted: String| {
        ConfigError::new(
            Some(origin.clone()),
            Some(key.to_string()),
            format!("expected {wanted}"),
        )
    };
    match &example.kind {
        ValueKind::I64(_) => match text.trim().parse::<i64>() {
            Ok(number) => Ok(Value::new(Some(origin), number)),
            Err(_) => Err(error(contract::expectation(&example.kind))),
        },
        ValueKind::Float(_) => match text.trim().parse::<f64>() {
            Ok(number) => Ok(Value::new(Some(origin), number)),
            Err(_) => Err(error(contract::expectation(&example.kind))),
        },
        ValueKind::Boolean(_) => match text.trim().parse::<bool>() {
            Ok(answer) => Ok(Value::new(Some(origin), answer)),
            Err(_) => Err(error(contract::expectation(&example.kind))),
        },
        ValueKind::Array(_) | ValueKind::Table(_) => {
            let value = toml_value(text).ok_or_else(|| {
                let list = matches!(example.kind, ValueKind::Array(_));
                let wanted = if list {
                    "a list in TOML, such as [\"a\", \"b\"]"
                } else {
                    "a table in TOML, such as { key = \"value\" }"
                };
                error(wanted.to_owned())
            })?;
            let value = tree::adopt(value, Some(origin));
            contract::check(&value, example, key)?;
            Ok(value)
        }
        _ => Ok(Value::new(Some(origin), text)),
    }
}

fn toml_value(text: &str) -> Option<Value> {
    let text = format!("value = {text}");
    let parsed = Config::builder()
        .add_source(File::from_str(&text, FileFormat::Toml))
        .build()
        .ok()?;
    parsed.get("value").ok()
}

/// Changes the port of `listen.address` and leaves its address.
fn apply_port(root: &mut Value, text: &str) -> Result<(), ConfigError> {
    let origin = "environment PORT".to_owned();
    let key = Key::parse("listen.address");
    let Ok(port) = text.trim().parse::<u16>() else {
        let reason = format!("{text:?} is not a port");
        return Err(ConfigError::new(
            Some(origin),
            Some(key.to_string()),
            reason,
        ));
    };
    // An address that is none is reported later, unless something stronger
    // takes its place.
    let address = match tree::find(root, &key).map(|value| &value.kind) {
        Some(ValueKind::String(text)) => text.parse::<SocketAddr>().ok(),
        _ => None,
    };
    if let Some(mut address) = address {
        address.set_port(port);
        let value = Value::new(Some(&origin), address.to_string());
        tree::place(root, &key, value)?;
    }
    Ok(())
}

const PREFIX: &str = "SMEUSE__";
const SEPARATOR: &str = "__";
