//! What every refused opening has in common, checked in one place.

use super::client::Client;
use super::gateway::Gateway;
use super::http::Response;
use super::CLOSE_DEADLINE;

/// Sends a request and insists on this refusal: status, code and sentence in the body, headers of every refusal, the
/// end of the socket at once, one more in the metric and one log line.
#[track_caller]
pub(crate) fn expect_refusal(
    gateway: &Gateway,
    request: &[u8],
    status: u16,
    code: &str,
) -> Response {
    let outcome = outcome(code);
    let before = gateway.metric(&outcome);
    let mut client = Client::connect(gateway.public());
    client.send(request);
    let response = expect_refused(&mut client, status, code);

    gateway.wait_metric(&outcome, before + 1.0);
    let local = client.local_address().to_string();
    let line = gateway.log_line("handshake refused", |line| {
        line["code"] == code
            && line["client"]
                .as_str()
                .is_some_and(|client| local.starts_with(client))
    });
    assert_eq!(line["status"], status, "{line}");
    assert!(line["path"].is_string(), "{line}");
    assert!(
        line["detail"]
            .as_str()
            .is_some_and(|detail| !detail.is_empty()),
        "{line}"
    );
    response
}

/// Reads an answer and insists on this refusal as far as a client sees it.
#[track_caller]
pub(crate) fn expect_refused(client: &mut Client, status: u16, code: &str) -> Response {
    let response = client.response();
    assert_eq!(response.status, status, "{response:?}");
    let sentence = response.body.strip_prefix(&format!("{code}: "));
    let sentence = sentence.unwrap_or_else(|| panic!("not the code {code} but {response:?}"));
    assert!(
        sentence.len() > 10 && sentence.ends_with('\n'),
        "no sentence: {response:?}"
    );
    assert_eq!(
        sentence.matches('\n').count(),
        1,
        "more than a line: {response:?}"
    );
    let connection = response.header("Connection").unwrap_or_default();
    // A 426 names the upgrade as well, as RFC 9110 section 7.8 asks of whoever sends an Upgrade header.
    assert!(
        connection
            .split(", ")
            .any(|token| token.eq_ignore_ascii_case("close")),
        "{response:?}"
    );
    let kind = response.header("Content-Type").unwrap_or_default();
    assert!(kind.starts_with("text/plain"), "{response:?}");
    client.expect_end(CLOSE_DEADLINE);
    response
}

/// The series that counts openings with this outcome.
pub(crate) fn outcome(code: &str) -> String {
    // What is decided once the opening itself is right counts as both handshakes in one.
    let handshake = match code {
        "extension_malformed"
        | "extension_required"
        | "credentials_required"
        | "credentials_wrong"
        | "credentials_refused"
        | "forbidden"
        | "login_unavailable" => "combined",
        _ => "opening",
    };
    format!(
        "smeuse_handshakes_total{{dialect=\"none\",handshake=\"{handshake}\",outcome=\"{code}\"}}"
    )
}
