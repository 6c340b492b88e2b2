//! The whole program as a value: what `main` runs, and what a team builds that adds extensions of its own.

use std::ffi::OsString;
use std::fmt::Display;
use std::io;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use crate::app;
use crate::cli::Arguments;
use crate::cli::Health;
use crate::commands;
use crate::config;
use crate::config::ConfigError;
use crate::config::Settings;
use crate::health;
use crate::logging;
use crate::pipeline::catalogue;
use crate::pipeline::link::Extension;

/// A gateway that has not been started.
///
/// ```no_run
/// # use smeuse::pipeline::extensions::PingPong as Stamp;
/// fn main() -> std::process::ExitCode {
///     smeuse::Gateway::builder().extension(Stamp).build().main()
/// }
/// ```
#[derive(Debug)]
pub struct Gateway {
    extensions: Vec<Arc<dyn Extension>>,
}

/// A gateway that is being put together.
#[derive(Debug)]
pub struct Builder {
    extensions: Vec<Arc<dyn Extension>>,
}

impl Builder {
    /// Adds an extension; in place of a shipped one if it has the same name. A service uses it once its
    /// `extensions` list the name.
    #[must_use]
    pub fn extension(mut self, extension: impl Extension + 'static) -> Self {
        self.extensions.push(Arc::new(extension));
        self
    }

    /// The gateway.
    #[must_use]
    pub fn build(self) -> Gateway {
        Gateway {
            extensions: self.extensions,
        }
    }
}

impl Gateway {
    /// A gateway with the shipped extensions.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            extensions: catalogue::shipped(),
        }
    }

    /// Does what the command line of this process asks for, which is to run until a signal ends it unless it says
    /// otherwise; the exit code is what a supervisor should see.
    #[must_use]
    pub fn main(self) -> ExitCode {
        self.main_with(std::env::args_os())
    }

    /// The same with another command line, the program's name first.
    #[must_use]
    pub fn main_with(self, words: impl IntoIterator<Item = OsString>) -> ExitCode {
        let arguments = match Arguments::try_parse_from(words) {
            Ok(arguments) => arguments,
            Err(error) => {
                // Also the way of --help and --version, which are no mistakes.
                let _ = error.print();
                let code = if error.use_stderr() {
                    WRONG_CONFIGURATION
                } else {
                    0
                };
                return ExitCode::from(code);
            }
        };
        if let Some(command) = &arguments.command {
            return match commands::run(command) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&error, WRONG_CONFIGURATION),
            };
        }
        if let Some(what) = arguments.health {
            return ask_health(&arguments, what);
        }
        match self.configure(&arguments) {
            Ok(Some(settings)) => self.run(arguments, settings),
            Ok(None) => ExitCode::SUCCESS,
            Err(error) => fail(&error, WRONG_CONFIGURATION),
        }
    }

    /// The settings to run with; none if only a look at them was asked for.
    fn configure(&self, arguments: &Arguments) -> Result<Option<Settings>, ConfigError> {
        let settings = Settings::load(arguments, config::variables())?;
        if arguments.print_config {
            let _ = io::stdout().write_all(settings.to_toml()?.as_bytes());
            return Ok(None);
        }
        let names: Vec<&str> = self.extensions.iter().map(|own| own.name()).collect();
        settings.check_extensions(&names)?;
        if arguments.check {
            let _ = writeln!(io::stdout(), "configuration is valid");
            return Ok(None);
        }
        Ok(Some(settings))
    }

    fn run(self, arguments: Arguments, settings: Settings) -> ExitCode {
        let log = match logging::start(&settings.log) {
            Ok(log) => log,
            Err(error) => return fail(&error, FAILED_START),
        };
        let file = Settings::file(&arguments);
        let on_reload = move || Settings::load_again(&arguments, config::variables());
        match app::run(settings, self.extensions, on_reload, file, log) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, FAILED_START),
        }
    }
}

/// A health check's exit code is 0 or 1, whatever the reason: container engines keep others for themselves.
fn ask_health(arguments: &Arguments, what: Health) -> ExitCode {
    let answer = Settings::load(arguments, config::variables())
        .map_err(|error| error.to_string())
        .and_then(|settings| {
            let times = settings
                .services
                .iter()
                .map(|service| service.upstream.connect_deadline);
            let longest = times.max().unwrap_or_default();
            health::ask(settings.admin.address, what, longest)
        });
    let (line, code) = match answer {
        Ok(line) => (line, ExitCode::SUCCESS),
        Err(line) => (line, ExitCode::from(UNHEALTHY)),
    };
    let _ = writeln!(io::stdout(), "{line}");
    code
}

fn fail(error: &dyn Display, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "smeuse: {error}");
    ExitCode::from(code)
}

const UNHEALTHY: u8 = 1;
const FAILED_START: u8 = 1;
/// `EX_USAGE` of `sysexits.h`: starting it again does not help.
const WRONG_CONFIGURATION: u8 = 64;
