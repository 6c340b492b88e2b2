//! What may be set: the annotated configuration file, which is part of the
//! binary, read as the list of all keys and the kinds of their values.

use ::config::File;
use ::config::FileFormat;
use ::config::Value;
use ::config::ValueKind;

use super::key::Key;
use super::tree;
use super::ConfigError;

/// The values that hold when nothing is set.
pub(super) fn defaults() -> Result<Value, ConfigError> {
    parse(TEXT)
}

/// An example of every key, those included that have no default and stand in
/// the file behind a `#`.
pub(super) fn shape() -> Result<Value, ConfigError> {
    let lines: Vec<&str> = TEXT
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(example) if is_assignment(example) || is_list_of_tables(example) => example,
            _ => line,
        })
        .collect();
    parse(&lines.join("\n"))
}

/// Finds the example for a place among the settings.
///
/// # Errors
///
/// The reason why there can be no such place.
pub(super) fn example<'a>(shape: &'a Value, name: &str) -> Result<&'a Value, String> {
    match &shape.kind {
        ValueKind::Table(examples) => examples
            .get(name)
            .ok_or_else(|| unknown(name, examples.keys())),
        _ => Err("unknown key, nothing is below this one".to_owned()),
    }
}

/// The example for the items of a list; text if the list's own example is
/// empty.
pub(super) fn item_example(items: &[Value]) -> Value {
    items
        .first()
        .cloned()
        .unwrap_or_else(|| Value::new(None, ""))
}

/// Checks that every key is known and every value of the right kind.
pub(super) fn check(value: &Value, shape: &Value, key: &Key) -> Result<(), ConfigError> {
    let error = |key: &Key, value: &Value, reason: String| {
        Err(ConfigError::new(
            tree::first_origin(value),
            Some(key.to_string()),
            reason,
        ))
    };
    match (&value.kind, &shape.kind) {
        (ValueKind::Table(entries), ValueKind::Table(_)) => {
            for (name, entry) in tree::sorted(entries) {
                let key = key.field(name);
                match example(shape, name) {
                    Ok(shape) => check(entry, shape, &key)?,
                    Err(reason) => return error(&key, entry, reason),
                }
            }
            Ok(())
        }
        (ValueKind::Array(items), ValueKind::Array(examples)) => {
            let shape = item_example(examples);
            for (index, item) in items.iter().enumerate() {
                check(item, &shape, &key.index(index))?;
            }
            Ok(())
        }
        // Ten percent may be written without a point.
        (ValueKind::I64(_), ValueKind::Float(_)) => Ok(()),
        (found, example) if kind(found) == kind(example) => Ok(()),
        (found, example) => {
            let reason = format!("expected {}, found {}", expectation(example), kind(found));
            error(key, value, reason)
        }
    }
}

/// What should stand in an example's place. No value that was found is ever
/// quoted beside it: it might be a password in the wrong place.
pub(super) fn expectation(example: &ValueKind) -> String {
    let kind = kind(example);
    match example {
        ValueKind::String(text) if !text.is_empty() => format!("{kind} such as {text:?}"),
        ValueKind::I64(number) => format!("{kind} such as {number}"),
        ValueKind::Float(number) => format!("a number such as {number}"),
        _ => kind.to_owned(),
    }
}

fn kind(kind: &ValueKind) -> &'static str {
    match kind {
        ValueKind::Nil => "nothing",
        ValueKind::Boolean(_) => "true or false",
        ValueKind::I64(_) => "a whole number",
        ValueKind::U64(_) | ValueKind::I128(_) | ValueKind::U128(_) => "a number far too large",
        ValueKind::Float(_) => "a number with a fraction",
        ValueKind::String(_) => "text",
        ValueKind::Table(_) => "a table",
        ValueKind::Array(_) => "a list",
    }
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> String {
    let mut known: Vec<&str> = known.map(String::as_str).collect();
    known.sort_unstable();
    let nearest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .min()
        .filter(|(distance, _)| *distance <= SUGGESTION_DISTANCE);
    match nearest {
        Some((_, candidate)) => format!("unknown key, did you mean {candidate:?}?"),
        None => format!("unknown key, known here are {}", known.join(", ")),
    }
}

/// Whether a comment is an example: `name = value`.
fn is_assignment(comment: &str) -> bool {
    comment.split_once(" = ").is_some_and(|(name, _)| {
        name.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    })
}

/// Whether a comment begins a table of a list that is empty by default: `[[name]]`.
fn is_list_of_tables(comment: &str) -> bool {
    comment.starts_with("[[") && comment.ends_with("]]")
}

fn parse(text: &str) -> Result<Value, ConfigError> {
    ::config::Config::builder()
        .add_source(File::from_str(text, FileFormat::Toml))
        .build()
        .map(|parsed| tree::adopt(parsed.cache, None))
        .map_err(|error| ConfigError::new(Some("defaults".to_owned()), None, error))
}

const TEXT: &str = include_str!("../../config/smeuse.toml");
/// Two slips of the finger; with three, unrelated short words become alike.
const SUGGESTION_DISTANCE: usize = 2;
