//! What every ending of a session leaves behind, checked in one place: one log line, one count, and nothing open.

use serde_json::Value;

use super::gateway::Gateway;

/// Insists that the gateway's one session of `service` has ended in this way. Gives the log line.
#[track_caller]
pub(crate) fn expect_ending(
    gateway: &Gateway,
    service: &str,
    by: &str,
    reason: &str,
    code: Option<u16>,
) -> Value {
    let line = gateway.log_line("session ended", |_| true);
    assert_eq!(
        (line["by"].as_str(), line["reason"].as_str()),
        (Some(by), Some(reason)),
        "{line}"
    );
    assert_eq!(line["service"], service, "{line}");
    match code {
        Some(code) => assert_eq!(line["close_code"], code, "{line}"),
        None => assert!(line["close_code"].is_null(), "{line}"),
    }
    assert!(
        line["detail"]
            .as_str()
            .is_some_and(|detail| !detail.is_empty()),
        "{line}"
    );
    for number in [
        "bytes_from_client",
        "bytes_to_client",
        "messages_from_client",
        "messages_to_client",
    ] {
        assert!(line[number].is_u64(), "{number} in {line}");
    }
    assert!(
        line["duration_seconds"]
            .as_f64()
            .is_some_and(|seconds| seconds >= 0.0),
        "{line}"
    );

    let opened = gateway.log_line("session opened", |_| true);
    assert_eq!(opened["session"], line["session"], "{opened} {line}");
    assert_eq!(opened["client"], line["client"], "{opened} {line}");

    gateway.wait_nothing_left();
    assert_eq!(
        gateway.log_lines("session ended").len(),
        1,
        "told more than once"
    );
    let metrics = gateway.metrics();
    let series = format!(
        "smeuse_sessions_closed_total{{service=\"{service}\",by=\"{by}\",reason=\"{reason}\"}}"
    );
    assert_eq!(metrics.value(&series), 1.0, "{series}");
    assert_eq!(
        metrics.sum("smeuse_sessions_closed_total"),
        1.0,
        "another ending was counted as well"
    );
    assert_eq!(metrics.sum("smeuse_sessions_opened_total"), 1.0);
    line
}
