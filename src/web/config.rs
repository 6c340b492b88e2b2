//! The settings of what the public listener serves besides WebSockets.

use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::web::applications;

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
    /// Web applications that are served through the gateway.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub applications: Vec<applications::config::Application>,
}

impl Config {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    ///
    /// Text of the form `key: reason`, the key relative to `[web]`.
    pub fn validate(&self) -> Result<(), String> {
        applications::config::validate(&self.applications, self.library)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            root: None,
            library: true,
            extensions: None,
            applications: Vec::new(),
        }
    }
}
