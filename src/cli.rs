//! The command line: what may be said on it, and nothing of what follows.

use std::path::PathBuf;

use clap::Parser;

/// Puts browsers on RabbitMQ: an AMQP-over-WebSocket gateway.
///
/// Settings come from the defaults, then the file, then the environment
/// (SMEUSE__SECTION__KEY, AMQP_URL, PORT), then these flags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Parser)]
#[command(name = "smeuse", version)]
pub struct Arguments {
    /// Configuration file: TOML, YAML or JSON [default: config/smeuse.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address of the public listener, such as 0.0.0.0:15670
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Address of the private listener, such as 127.0.0.1:15673
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<String>,
    /// The broker of every amqp service, such as amqp://127.0.0.1:5672
    #[arg(long, value_name = "URI")]
    pub upstream: Option<String>,
    /// Log level or filter, such as debug or info,smeuse::relay=debug
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// Check the configuration and exit
    #[arg(long, conflicts_with = "print_config")]
    pub check: bool,
    /// Print the effective configuration as TOML, secrets masked, and exit
    #[arg(long)]
    pub print_config: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_flag_is_understood() {
        Arguments::command().debug_assert();
        let arguments = Arguments::parse_from([
            "smeuse",
            "--config=a.yaml",
            "--listen=127.0.0.1:0",
            "--admin=127.0.0.1:0",
            "--upstream=amqp://broker",
            "--log=debug",
            "--check",
        ]);
        let expected = Arguments {
            config: Some(PathBuf::from("a.yaml")),
            listen: Some("127.0.0.1:0".to_owned()),
            admin: Some("127.0.0.1:0".to_owned()),
            upstream: Some("amqp://broker".to_owned()),
            log: Some("debug".to_owned()),
            check: true,
            print_config: false,
        };
        assert_eq!(arguments, expected);
    }
}
