//! Configuration texts that the suites have in common.

use std::fmt::Display;
use std::fmt::Write as _;

/// Where the `echo` service of [`echo`] listens.
pub(crate) const ECHO_PATH: &str = "/echo";

/// Where the `amqp` service of [`amqp`] listens.
pub(crate) const AMQP_PATH: &str = "/amqp";

/// No pings: where a test waits for `rabbitmqctl`, which a busy machine makes slow.
pub(crate) const PATIENT: &str =
    "\n[websocket]\nping_interval = \"10m\"\nsilence_limit = \"20m\"\n";

/// A service that returns every message, at [`ECHO_PATH`].
pub(crate) fn echo() -> String {
    service("echo", "echo", &[ECHO_PATH], "")
}

/// An `echo` service at [`ECHO_PATH`] with further lines.
pub(crate) fn echo_with_lines(lines: &str) -> String {
    service("echo", "echo", &[ECHO_PATH], lines)
}

/// A service that relays to this broker, at [`AMQP_PATH`].
pub(crate) fn amqp(uri: impl Display) -> String {
    amqp_with(uri, "")
}

/// True where `SMEUSE_TEST_CONNECTIONS` says that suites which run over either kind of broker connection shall run over
/// shared ones.
pub(crate) fn shared_is_asked_for() -> bool {
    std::env::var("SMEUSE_TEST_CONNECTIONS").is_ok_and(|kind| kind == "shared")
}

/// [`amqp`] over the kind of broker connection that the run asks for, dedicated ones if it says nothing.
pub(crate) fn amqp_of_the_run(uri: impl Display) -> String {
    if !shared_is_asked_for() {
        return amqp(uri);
    }
    let shared = "vhost = \"/\"\nlogin = \"service\"\nconnections = \"shared\"\n\
                  [services.upstream.shared]\nmessage_bytes = 16777216\nqueue_bytes = 16777216\ntrust_queue_types = true";
    amqp_with(uri, shared)
}

/// The same with further lines for its `upstream` table.
pub(crate) fn amqp_with(uri: impl Display, upstream: &str) -> String {
    amqp_to(&[uri], upstream)
}

/// The same for several brokers, tried in order.
pub(crate) fn amqp_to(uris: &[impl Display], upstream: &str) -> String {
    amqp_service("", uris, upstream)
}

/// An `amqp` service at [`AMQP_PATH`] with further lines of its own.
pub(crate) fn amqp_with_lines(uri: impl Display, lines: &str) -> String {
    amqp_service(lines, &[uri], "")
}

/// The same with further lines for its `upstream` table, too.
pub(crate) fn amqp_service(lines: &str, uris: &[impl Display], upstream: &str) -> String {
    let mut text = service("amqp", "amqp", &[AMQP_PATH], lines);
    let uris: Vec<_> = uris.iter().map(|uri| format!("\"{uri}\"")).collect();
    let _ = write!(
        text,
        "[services.upstream]\nuris = [{}]\n{upstream}\n",
        uris.join(", ")
    );
    text
}

/// A `[[services]]` entry; `lines` are further keys of it.
pub(crate) fn service(name: &str, kind: &str, paths: &[&str], lines: &str) -> String {
    format!("\n[[services]]\nname = \"{name}\"\nkind = \"{kind}\"\npaths = {paths:?}\n{lines}\n")
}
