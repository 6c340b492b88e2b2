//! What the public listener serves besides WebSockets: the browser library, web applications that it is put into, and a
//! static folder if there is one.

pub mod applications;
pub mod config;
pub mod library;

use actix_files::Files;
use actix_web::web::ServiceConfig;

pub use self::applications::Applications;
pub use self::config::Config;
pub use self::library::Library;

/// Adds the pages to the public application.
pub fn pages(
    application: &mut ServiceConfig,
    config: &Config,
    library: Option<&Library>,
    applications: &Applications,
) {
    if let Some(library) = library {
        library.serve(application);
    }
    applications.serve(application);
    if let Some(root) = &config.root {
        application.service(
            Files::new("/", root)
                .index_file("index.html")
                .prefer_utf8(true),
        );
    }
}
