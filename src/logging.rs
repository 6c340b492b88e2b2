//! Starts the process's log: one line per event on standard output, as text
//! or as JSON, with a filter that can be changed while it runs.

use std::io::stdout;
use std::io::IsTerminal;
use std::str::FromStr;

use serde::Deserialize;
use serde::Serialize;
use tracing::level_filters::LevelFilter;
use tracing::Subscriber;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::Registry;

/// The table `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`, `off`) or a filter
    /// of `tracing_subscriber::EnvFilter`.
    pub level: String,
    /// What a line looks like. Fixed from the start of the process.
    pub format: Format,
}

impl Config {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    ///
    /// Text of the form `key: reason`, the key relative to `[log]`.
    pub fn validate(&self) -> Result<(), String> {
        filter(&self.level)
            .map(drop)
            .map_err(|reason| format!("level: {reason}"))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: Format::Text,
        }
    }
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people; coloured if standard output is a terminal.
    Text,
    /// For programs: one object per line with `timestamp` (RFC 3339, UTC),
    /// `level`, `message`, `target` and the event's fields beside them.
    Json,
}

/// The running log.
#[derive(Clone, Debug)]
pub struct Handle {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Handle {
    /// Puts another level or filter in place of the present one.
    ///
    /// # Errors
    ///
    /// The reason, if the text is not a filter; the old one stays.
    pub fn reload(&self, level: &str) -> Result<(), String> {
        let filter = filter(level)?;
        self.filter
            .reload(filter)
            .map_err(|error| error.to_string())
    }
}

/// Starts the log of the whole process, for which there can be one only.
///
/// A closed standard output loses lines and does nothing else.
///
/// # Errors
///
/// The reason, if the level is not a filter or a log has been started before.
pub fn start(config: &Config) -> Result<Handle, String> {
    let (subscriber, handle) = subscriber(config, stdout, stdout().is_terminal())?;
    subscriber.try_init().map_err(|error| error.to_string())?;
    Ok(handle)
}

fn subscriber<W>(
    config: &Config,
    writer: W,
    coloured: bool,
) -> Result<(impl Subscriber + Send + Sync, Handle), String>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(filter(&config.level)?);
    // A failed write is not reported on standard error either: it may be
    // closed as well, and then the report itself would panic.
    let lines = fmt::layer().with_writer(writer).log_internal_errors(false);
    let lines = match config.format {
        Format::Text => lines.with_ansi(coloured).boxed(),
        Format::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    Ok((subscriber, Handle { filter: handle }))
}

/// What is not logged unless asked for.
const QUIET: &str = "actix_server=warn,actix_http=off,lapin=off";

/// Parses a filter strictly.
///
/// `EnvFilter` takes any single word for the name of a module to be logged in
/// full, so that `inof` would be a filter that shows nothing. A single word
/// therefore has to be a level. White space beside commas is passed over.
fn filter(text: &str) -> Result<EnvFilter, String> {
    let directives: Vec<&str> = text.split(',').map(str::trim).collect();
    for directive in &directives {
        let is_word = directive
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        let is_level = LevelFilter::from_str(directive).is_ok() && !directive.is_empty();
        if is_word && !is_level {
            return Err(format!(
                "{directive:?} is not a level; use error, warn, info, debug, trace, off, or a filter such as \"info,smeuse::relay=debug\""
            ));
        }
    }
    // The HTTP server's lines about its threads say nothing to an operator, and those about requests
    // that are not HTTP (counted as abandoned) would let a stranger fill the log. What lapin has to say
    // is said once by whoever uses it, and at level trace it shows passwords. A directive of the
    // operator's for the same target comes later and wins.
    EnvFilter::builder()
        .parse(format!("{QUIET},{}", directives.join(",")))
        .map_err(|error| format!("{text:?} is not a filter: {error}"))
}

#[cfg(test)]
mod tests;
