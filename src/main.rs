//! The program as it comes: a gateway with the shipped extensions.

use std::process::ExitCode;

use smeuse::Gateway;

fn main() -> ExitCode {
    Gateway::builder().build().main()
}
