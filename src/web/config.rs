//! The settings of what the public listener serves besides WebSockets.

use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

/// The table `[web]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Static folder served on the public listener; nothing is served without
    /// it.
    pub root: Option<PathBuf>,
}
