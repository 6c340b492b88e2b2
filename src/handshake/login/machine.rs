//! All that the login asks of the machine: the users file, and the time of day.

use std::fs::File;
use std::io;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;
use std::time::SystemTime;

/// What is in the users file.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) text: String,
    /// Whether every user of the machine can read it.
    pub(super) is_world_readable: bool,
}

/// Reads the users file.
///
/// # Errors
/// The reason, without the path.
pub(super) fn read(path: &Path) -> Result<Text, String> {
    // Asked before it is opened, because opening a named pipe waits for a writer.
    let metadata = path.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("is not a file".to_owned());
    }
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(FILE_MAX + 1).read_to_string(&mut text))
        .map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => "is not UTF-8 text".to_owned(),
            _ => error.to_string(),
        })?;
    if text.len() as u64 > FILE_MAX {
        return Err(format!("has more than {FILE_MAX} bytes"));
    }
    Ok(Text {
        text,
        is_world_readable: metadata.mode() & 0o004 != 0,
    })
}

/// The time since the beginning of 1970 (UTC); zero on a machine that believes to be before.
pub(super) fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// A hundred thousand users. Who has more keeps them in a database and not in a file.
const FILE_MAX: u64 = 16 * 1024 * 1024;

#[cfg(test)]
mod tests;
