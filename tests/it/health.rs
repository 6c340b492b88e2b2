//! `smeuse --health`: exit code and line, of gateways that are well, busy, ending, hanging or not there.

use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use crate::harness::broker::Broker;
use crate::harness::client::Client;
use crate::harness::configuration;
use crate::harness::configuration::ECHO_PATH;
use crate::harness::gateway::Gateway;
use crate::harness::DEADLINE;

/// What one check said and took.
struct Check {
    code: Option<i32>,
    line: String,
    took: Duration,
}

/// Runs a check with these arguments and variables, and nothing else in its environment.
#[track_caller]
fn check(arguments: &[&str], variables: &[(&str, &str)]) -> Check {
    let began = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_smeuse"))
        .args(arguments)
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .expect("the binary starts");
    let took = began.elapsed();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.stderr.is_empty(), "{output:?}");
    let line = text.strip_suffix('\n').expect("a line").to_owned();
    assert!(!line.contains('\n'), "one line: {line:?}");
    Check {
        code: output.status.code(),
        line,
        took,
    }
}

/// The configuration that names the gateway's private listener, as the environment of its container would.
fn at(gateway: &Gateway) -> String {
    gateway.private().to_string()
}

#[track_caller]
fn expect(check: &Check, code: i32, line: &str) {
    assert_eq!((check.code, check.line.as_str()), (Some(code), line));
}

/// The address comes from where the gateway itself takes it: file, environment, flag.
#[test]
fn the_address_is_that_of_the_configuration() {
    let gateway = Gateway::start(&configuration::echo());
    let address = at(&gateway);
    let by_variable = [("SMEUSE__ADMIN__ADDRESS", address.as_str())];
    expect(&check(&["--health"], &by_variable), 0, "healthy: alive");
    expect(&check(&["--health=ready"], &by_variable), 0, "ready: ready");
    expect(
        &check(&["--health", "--admin", &address], &[]),
        0,
        "healthy: alive",
    );
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("health-{}.toml", std::process::id()));
    // The files of TLS are the gateway's affair.
    let tls = "[listen]\ntls = { certificate = \"/nowhere.crt\", key = \"/nowhere.key\" }\n";
    let text = format!("{tls}[admin]\naddress = \"{address}\"\n");
    std::fs::write(&file, text).expect("a file can be written");
    let by_file = check(&["--health", "--config", &file.display().to_string()], &[]);
    std::fs::remove_file(&file).expect("it is there");
    expect(&by_file, 0, "healthy: alive");
}

/// A container's private listener is at every address; it is asked at the loopback one.
#[test]
fn a_wildcard_is_asked_at_the_loopback_address() {
    let gateway = Gateway::start(&configuration::echo());
    let wildcard = format!("0.0.0.0:{}", gateway.private().port());
    expect(
        &check(&["--health", "--admin", &wildcard], &[]),
        0,
        "healthy: alive",
    );
}

/// A broker that is away makes the gateway not ready, and leaves it alive.
#[test]
fn a_gateway_without_its_broker_is_alive_and_not_ready() {
    let broker = Broker::polite();
    let gateway = Gateway::start(&configuration::amqp(broker.uri()));
    let (address, name) = (at(&gateway), broker.address().to_string());
    let variables = [("SMEUSE__ADMIN__ADDRESS", address.as_str())];
    expect(&check(&["--health=ready"], &variables), 0, "ready: ready");
    drop(broker);
    let deadline = Instant::now() + DEADLINE;
    let check_ready = || check(&["--health=ready"], &variables);
    let mut ready = check_ready();
    while ready.code == Some(0) && Instant::now() < deadline {
        ready = check_ready();
    }
    assert_eq!(ready.code, Some(1), "{}", ready.line);
    assert!(
        ready
            .line
            .starts_with("not ready: 503 broker of service amqp: "),
        "{}",
        ready.line
    );
    assert!(ready.line.contains(&name), "{}", ready.line);
    expect(&check(&["--health"], &variables), 0, "healthy: alive");
}

/// A drain takes the gateway out of the rotation and must not get it killed.
#[test]
fn a_draining_gateway_is_alive_and_not_ready() {
    let drain = "[drain]\ndeadline = \"60s\"\nspread = \"1s\"\n";
    let mut gateway = Gateway::start(&(drain.to_owned() + &configuration::echo()));
    let mut client = Client::open(gateway.public(), ECHO_PATH);
    let address = at(&gateway);
    let variables = [("SMEUSE__ADMIN__ADDRESS", address.as_str())];
    gateway.signal("TERM");
    gateway.log_line("draining", |_| true);
    expect(&check(&["--health"], &variables), 0, "healthy: alive");
    let line = "not ready: 503 draining: the gateway is shutting down";
    expect(&check(&["--health=ready"], &variables), 1, line);
    client.send_close(1000, "");
    client.read_to_close();
    assert!(gateway.exit_status(DEADLINE).success());
    let gone = check(&["--health"], &variables);
    assert_eq!(gone.code, Some(1), "{}", gone.line);
    let start = format!("unhealthy: {address} does not answer: ");
    assert!(gone.line.starts_with(&start), "{}", gone.line);
}

/// A process that hangs still has its socket: the kernel accepts for it.
#[test]
fn a_gateway_that_hangs_is_unhealthy_within_seconds() {
    let gateway = Gateway::start(&configuration::echo());
    let address = at(&gateway);
    gateway.signal("STOP");
    let hanging = check(&["--health", "--admin", &address], &[]);
    gateway.signal("CONT");
    let line = format!("unhealthy: {address} does not answer: not in time");
    expect(&hanging, 1, &line);
    assert!(hanging.took < DEADLINE, "{:?}", hanging.took);
    expect(
        &check(&["--health", "--admin", &address], &[]),
        0,
        "healthy: alive",
    );
}

/// Container engines know 0 and 1: also a mistake in the configuration is the latter.
#[test]
fn a_wrong_configuration_is_unhealthy() {
    let wrong = check(&["--health"], &[("SMEUSE__ADMIN__ADDRES", "127.0.0.1:1")]);
    assert_eq!(wrong.code, Some(1), "{}", wrong.line);
    assert!(wrong.line.contains("admin.addres"), "{}", wrong.line);
    let unknown = check(&["--health", "--admin", "127.0.0.1:0"], &[]);
    assert_eq!(unknown.code, Some(1), "{}", unknown.line);
    assert!(unknown.line.contains("port 0"), "{}", unknown.line);
}
