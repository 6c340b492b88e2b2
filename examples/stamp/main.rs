//! The gateway with one extension more than it ships with. `services.extensions` has to name it, too.

mod extension;

use std::error::Error;
use std::sync::Arc;

use clap::Parser;

use smeuse::app;
use smeuse::cli::Arguments;
use smeuse::config;
use smeuse::config::Settings;
use smeuse::logging;
use smeuse::pipeline::catalogue;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let settings = Settings::load(&arguments, config::variables())?;
    let log = logging::start(&settings.log)?;
    let mut extensions = catalogue::shipped();
    extensions.push(Arc::new(extension::Stamp));
    let on_reload = move || Settings::load(&arguments, config::variables());
    app::run(settings, extensions, on_reload, log)?;
    Ok(())
}
