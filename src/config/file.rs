//! The configuration file: TOML, YAML or JSON, told apart by its extension.

use std::fs;
use std::path::Path;

use ::config::Config;
use ::config::File;
use ::config::FileFormat;
use ::config::Value;

use super::contract;
use super::key::Key;
use super::tree;
use super::ConfigError;
use super::DEFAULT_FILE;

/// Reads and checks the given file, or the default one if that is there.
pub(super) fn read(path: Option<&Path>, shape: &Value) -> Result<Option<Value>, ConfigError> {
    let Some(path) = self::path(path) else {
        return Ok(None);
    };
    let origin = path.display().to_string();
    let error = |reason: String| ConfigError::new(Some(origin.clone()), None, reason);
    let format = format(path).ok_or_else(|| {
        error("cannot tell the format; the name must end in .toml, .yaml, .yml or .json".to_owned())
    })?;
    let text = fs::read_to_string(path).map_err(|cause| error(cause.to_string()))?;
    let parsed = Config::builder()
        .add_source(File::from_str(&text, format))
        .build()
        .map_err(|cause| error(brief(&cause.to_string())))?;
    let value = tree::adopt(parsed.cache, Some(&origin));
    contract::check(&value, shape, &Key::default())?;
    Ok(Some(value))
}

/// The given file, or the default one if that is there.
pub(super) fn path(given: Option<&Path>) -> Option<&Path> {
    let default = Path::new(DEFAULT_FILE);
    given.or_else(|| default.is_file().then_some(default))
}

fn format(path: &Path) -> Option<FileFormat> {
    match path.extension()?.to_str()? {
        "toml" => Some(FileFormat::Toml),
        "yaml" | "yml" => Some(FileFormat::Yaml),
        "json" => Some(FileFormat::Json),
        _ => None,
    }
}

/// The place and the reason of a parser's report, without the excerpt of the
/// file between them, in which there may be a password.
fn brief(report: &str) -> String {
    let mut lines = report.lines().filter(|line| !line.trim().is_empty());
    match (lines.next(), lines.next_back()) {
        (Some(place), Some(reason)) => format!("{place}: {reason}"),
        (Some(only), None) => only.to_owned(),
        (None, _) => "not readable".to_owned(),
    }
}
