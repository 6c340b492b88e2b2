//! The command line: what may be said on it, and nothing of what follows.

use std::path::PathBuf;

use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;

/// Puts browsers on RabbitMQ: an AMQP-over-WebSocket gateway.
///
/// Settings come from the defaults, then the file, then the environment
/// (SMEUSE__SECTION__KEY, AMQP_URL, PORT), then these flags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Parser)]
#[command(name = "smeuse", version, args_conflicts_with_subcommands = true)]
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
    /// Ask the gateway that runs with this configuration whether it is alive, or with =ready whether it takes sessions;
    /// print one line, and exit with 0 if so, else with 1
    #[arg(
        long,
        value_name = "alive|ready",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "alive",
        hide_possible_values = true,
        conflicts_with_all = ["check", "print_config"]
    )]
    pub health: Option<Health>,
    /// What to do instead of running the gateway.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What a health check wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Health {
    /// Whether the process lives: if not, start another.
    Alive,
    /// Whether new sessions would work: if not, send them elsewhere.
    Ready,
}

/// What the program can do besides being a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Make a [[users]] entry for a users file, from a password typed in or piped in
    HashPassword {
        /// The user's name
        #[arg(long, value_name = "NAME", default_value = "user")]
        user: String,
    },
    /// Make a token, and the [[tokens]] entry of a users file that admits it
    NewToken {
        /// Who the token stands for
        #[arg(long, value_name = "NAME", default_value = "token")]
        name: String,
        /// When it expires: 2027-01-31 or 2027-01-31T00:00:00Z, in UTC [default: never]
        #[arg(long, value_name = "DATE")]
        expires: Option<String>,
    },
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
            health: None,
            command: None,
        };
        assert_eq!(arguments, expected);
    }

    #[test]
    fn a_health_check_asks_one_of_two_things() {
        let parse = |words: &[&str]| Arguments::try_parse_from([&["smeuse"], words].concat());
        let health = |words: &[&str]| parse(words).expect("it is understood").health;
        assert_eq!(health(&[]), None);
        assert_eq!(health(&["--health"]), Some(Health::Alive));
        assert_eq!(health(&["--health=alive"]), Some(Health::Alive));
        assert_eq!(
            health(&["--config=a.toml", "--health=ready"]),
            Some(Health::Ready)
        );
        for wrong in [
            &["--health=well"][..],
            &["--health", "ready"],
            &["--health", "--check"],
            &["--health", "--print-config"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_command_stands_alone() {
        let parse = |words: &[&str]| Arguments::try_parse_from([&["smeuse"], words].concat());
        let user = |user: &str| Command::HashPassword {
            user: user.to_owned(),
        };
        let command = |words: &[&str]| parse(words).expect("it is understood").command;
        assert_eq!(command(&[]), None);
        assert_eq!(command(&["hash-password"]), Some(user("user")));
        assert_eq!(
            command(&["hash-password", "--user=alice"]),
            Some(user("alice"))
        );
        assert_eq!(
            command(&["new-token", "--name=dashboard", "--expires=2027-01-31"]),
            Some(Command::NewToken {
                name: "dashboard".to_owned(),
                expires: Some("2027-01-31".to_owned()),
            })
        );
        for wrong in [
            &["--check", "hash-password"][..],
            &["hash-password", "--check"],
            &["new-token", "x"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
