//! The process: arguments, settings, log, the gateway, the exit code.

use std::fmt::Display;
use std::io;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use smeuse::app;
use smeuse::cli::Arguments;
use smeuse::commands;
use smeuse::config;
use smeuse::config::ConfigError;
use smeuse::config::Settings;
use smeuse::logging;
use smeuse::pipeline::catalogue;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
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
    match configure(&arguments) {
        Ok(Some(settings)) => run(arguments, settings),
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => fail(&error, WRONG_CONFIGURATION),
    }
}

/// The settings to run with; `None` if only a look at them was asked for.
fn configure(arguments: &Arguments) -> Result<Option<Settings>, ConfigError> {
    let settings = Settings::load(arguments, config::variables())?;
    if arguments.print_config {
        let _ = io::stdout().write_all(settings.to_toml()?.as_bytes());
        return Ok(None);
    }
    if arguments.check {
        let _ = writeln!(io::stdout(), "configuration is valid");
        return Ok(None);
    }
    Ok(Some(settings))
}

fn run(arguments: Arguments, settings: Settings) -> ExitCode {
    let log = match logging::start(&settings.log) {
        Ok(log) => log,
        Err(error) => return fail(&error, FAILED_START),
    };
    let on_reload = move || Settings::load(&arguments, config::variables());
    match app::run(settings, catalogue::shipped(), on_reload, log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, FAILED_START),
    }
}

fn fail(error: &dyn Display, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "smeuse: {error}");
    ExitCode::from(code)
}

const FAILED_START: u8 = 1;
/// `EX_USAGE` of `sysexits.h`: starting it again does not help.
const WRONG_CONFIGURATION: u8 = 64;
