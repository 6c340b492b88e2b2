//! The settings of what the public listener serves besides WebSockets.

use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

/// The table `[web]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Static folder served on the public listener; nothing is served without
    /// it.
    pub root: Option<PathBuf>,
    /// Whether the browser library and its configuration are served under
    /// `/_smeuse/`.
    pub library: bool,
    /// Folder of modules that pages load, `name.js` for the extension `name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extensions: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            root: None,
            library: true,
            extensions: None,
        }
    }
}
