//! What the public listener serves besides WebSockets: a static folder, off unless configured.

pub mod config;

use actix_files::Files;
use actix_web::web::ServiceConfig;

pub use self::config::Config;

/// Adds the pages to the public application.
pub fn pages(application: &mut ServiceConfig, config: &Config) {
    if let Some(root) = &config.root {
        application.service(
            Files::new("/", root)
                .index_file("index.html")
                .prefer_utf8(true),
        );
    }
}
