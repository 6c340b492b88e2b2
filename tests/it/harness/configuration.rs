//! Configuration texts that the suites have in common.

use std::fmt::Display;
use std::fmt::Write as _;

/// Where the `echo` service of [`echo`] listens.
pub(crate) const ECHO_PATH: &str = "/echo";

/// Where the `amqp` service of [`amqp`] listens.
pub(crate) const AMQP_PATH: &str = "/amqp";

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
