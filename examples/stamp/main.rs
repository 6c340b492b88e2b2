//! The gateway with one extension more than it ships with. `services.extensions` has to name it, too.

mod extension;

use std::process::ExitCode;

use smeuse::Gateway;

fn main() -> ExitCode {
    Gateway::builder()
        .extension(extension::Stamp)
        .build()
        .main()
}
