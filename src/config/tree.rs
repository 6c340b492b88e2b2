//! The settings before they have types: a tree of values, each of which knows
//! the file, variable or flag it comes from.

use std::collections::BTreeMap;

use ::config::Map;
use ::config::Value;
use ::config::ValueKind;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::key::Key;
use super::key::Step;
use super::ConfigError;

/// Which services are given another broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Every service of kind `amqp`.
    All,
    /// Those among them that name no broker of their own.
    WithoutOne,
}

/// Says of every value in the tree where it comes from. Empty values (`null`
/// in JSON and YAML) are left out: they set nothing.
pub(super) fn adopt(value: Value, origin: Option<&String>) -> Value {
    let kind = match value.kind {
        ValueKind::Table(entries) => ValueKind::Table(
            entries
                .into_iter()
                .filter(|(_, entry)| entry.kind != ValueKind::Nil)
                .map(|(name, entry)| (name, adopt(entry, origin)))
                .collect(),
        ),
        ValueKind::Array(items) => {
            ValueKind::Array(items.into_iter().map(|item| adopt(item, origin)).collect())
        }
        // Formats differ in which integer they make of a small number.
        ValueKind::U64(number) => match i64::try_from(number) {
            Ok(number) => ValueKind::I64(number),
            Err(_) => ValueKind::U64(number),
        },
        other => other,
    };
    Value::new(origin, kind)
}

/// Puts one tree over another: tables entry by entry, all else replaced.
pub(super) fn merge(below: &mut Value, above: Value) {
    let ValueKind::Table(entries) = above.kind else {
        *below = above;
        return;
    };
    for (name, entry) in entries {
        merge(table(below).entry(name).or_default(), entry);
    }
}

/// Puts a value in its place, making tables on the way. A list can be longer
/// by one item, not more.
pub(super) fn place(root: &mut Value, key: &Key, value: Value) -> Result<(), ConfigError> {
    let mut node = root;
    for step in key.steps() {
        node = match step {
            Step::Field(name) => table(node).entry(name.clone()).or_default(),
            Step::Index(index) => {
                let items = list(node);
                let length = items.len();
                if *index == length {
                    items.push(Value::default());
                }
                items.get_mut(*index).ok_or_else(|| {
                    ConfigError::new(
                        first_origin(&value),
                        Some(key.to_string()),
                        format!("the list ends before it, its next item is [{length}]"),
                    )
                })?
            }
        };
    }
    merge(node, value);
    Ok(())
}

/// Gives services of kind `amqp` one broker in place of what they have.
pub(super) fn set_upstreams(root: &mut Value, origin: &str, uri: &str, which: Which) {
    let origin = origin.to_owned();
    let Some(Value {
        kind: ValueKind::Array(services),
        ..
    }) = table(root).get_mut("services")
    else {
        return;
    };
    for service in services {
        let service = table(service);
        // A service that does not say is of kind amqp by default.
        let is_amqp = match service.get("kind") {
            Some(kind) => kind.kind == ValueKind::String("amqp".to_owned()),
            None => true,
        };
        if !is_amqp {
            continue;
        }
        let upstream = table(service.entry("upstream".to_owned()).or_default());
        if which == Which::WithoutOne && upstream.contains_key("uris") {
            continue;
        }
        let uris = vec![Value::new(Some(&origin), uri)];
        upstream.insert("uris".to_owned(), Value::new(Some(&origin), uris));
    }
}

/// Finds the value at a key. An item of a list can also be called by its name,
/// as the checks of the services do.
pub(super) fn find<'a>(root: &'a Value, key: &Key) -> Option<&'a Value> {
    let mut node = root;
    for step in key.steps() {
        node = match (step, &node.kind) {
            (Step::Field(name), ValueKind::Table(entries)) => entries.get(name)?,
            (Step::Index(index), ValueKind::Array(items)) => items.get(*index)?,
            (Step::Field(name), ValueKind::Array(items)) => {
                items.iter().find(|item| is_called(item, name))?
            }
            _ => return None,
        };
    }
    Some(node)
}

/// Gives the tree types. An error that a type reports is followed by the value
/// that the shape has in that place.
pub(super) fn deserialize<T: DeserializeOwned>(
    root: &Value,
    shape: &Value,
) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(to_json(root)).map_err(|error| {
        let key = Key::parse(&error.path().to_string());
        let mut reason = error.inner().to_string();
        if let Some(ValueKind::String(text)) =
            find(shape, &key.of_first_items()).map(|example| &example.kind)
        {
            reason = format!("{reason} (example: {text:?})");
        }
        ConfigError::new(origin(root, &key), Some(key.to_string()), reason)
    })
}

/// Makes an error of a text `key: reason`, with where the key was set.
pub(super) fn blame(root: &Value, text: &str) -> ConfigError {
    let key = text.split_once(": ").map_or("", |(key, _)| key);
    ConfigError::from_text(origin(root, &Key::parse(key)), text)
}

/// Where a value, or the first one in it that was set, comes from.
pub(super) fn first_origin(value: &Value) -> Option<String> {
    if let Some(origin) = value.origin() {
        return Some(origin.to_owned());
    }
    match &value.kind {
        ValueKind::Table(entries) => sorted(entries).into_values().find_map(first_origin),
        ValueKind::Array(items) => items.iter().find_map(first_origin),
        _ => None,
    }
}

/// The entries of a table in an order that does not change from run to run.
pub(super) fn sorted(entries: &Map<String, Value>) -> BTreeMap<&str, &Value> {
    entries
        .iter()
        .map(|(name, entry)| (name.as_str(), entry))
        .collect()
}

/// Where the value at a key was set. If it is a default that does not go with
/// a neighbour, it is the neighbour in the same table that was set.
fn origin(root: &Value, key: &Key) -> Option<String> {
    let mut place = Some(key.clone());
    while let Some(key) = place.filter(|key| !key.steps().is_empty()) {
        if let Some(origin) = find(root, &key).and_then(first_origin) {
            return Some(origin);
        }
        place = key.parent();
    }
    None
}

fn is_called(item: &Value, name: &str) -> bool {
    match &item.kind {
        ValueKind::Table(entries) => entries
            .get("name")
            .is_some_and(|entry| entry.kind == ValueKind::String(name.to_owned())),
        _ => false,
    }
}

fn table(value: &mut Value) -> &mut Map<String, Value> {
    if !matches!(value.kind, ValueKind::Table(_)) {
        value.kind = ValueKind::Table(Map::new());
    }
    match &mut value.kind {
        ValueKind::Table(entries) => entries,
        _ => unreachable!("made a table just now"),
    }
}

fn list(value: &mut Value) -> &mut Vec<Value> {
    if !matches!(value.kind, ValueKind::Array(_)) {
        value.kind = ValueKind::Array(Vec::new());
    }
    match &mut value.kind {
        ValueKind::Array(items) => items,
        _ => unreachable!("made a list just now"),
    }
}

fn to_json(value: &Value) -> Json {
    match &value.kind {
        ValueKind::Nil => Json::Null,
        ValueKind::Boolean(value) => Json::from(*value),
        ValueKind::I64(number) => Json::from(*number),
        ValueKind::U64(number) => Json::from(*number),
        // Numbers beyond 64 bits fit no setting; as text they are refused.
        ValueKind::I128(number) => Json::from(number.to_string()),
        ValueKind::U128(number) => Json::from(number.to_string()),
        ValueKind::Float(number) => Json::from(*number),
        ValueKind::String(text) => Json::from(text.as_str()),
        ValueKind::Table(entries) => Json::Object(
            entries
                .iter()
                .map(|(name, entry)| (name.clone(), to_json(entry)))
                .collect(),
        ),
        ValueKind::Array(items) => Json::Array(items.iter().map(to_json).collect()),
    }
}
