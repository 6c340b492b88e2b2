//! What a line of the log looks like, and which lines there are.

use std::io;
use std::io::Write;
use std::sync::Arc;
use std::sync::Mutex;

use serde_json::json;
use serde_json::Value;

use super::*;

/// Keeps what is written to it.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs the events with a log of their own.
fn log(config: &Config, events: impl FnOnce(&Handle)) -> String {
    let paper = Paper::default();
    let writer = paper.clone();
    let (subscriber, handle) = subscriber(config, move || writer.clone(), false).unwrap();
    tracing::subscriber::with_default(subscriber, || events(&handle));
    paper.text()
}

#[test]
fn json_has_the_fields_beside_the_message() {
    let config = Config {
        format: Format::Json,
        ..Config::default()
    };
    let text = log(&config, |_| {
        let span = tracing::info_span!("around", hidden = 1);
        let _entered = span.enter();
        tracing::info!(session = 7, client = %"192.0.2.1:5", detail = "a \"b\"\n", "session opened");
    });
    let mut line: Value = serde_json::from_str(text.strip_suffix('\n').unwrap()).unwrap();
    let timestamp = line["timestamp"].take();
    let timestamp = timestamp.as_str().unwrap();
    assert!(
        timestamp.ends_with('Z') && timestamp.as_bytes().get(10) == Some(&b'T'),
        "{timestamp}"
    );
    let expected = json!({
        "timestamp": null,
        "level": "INFO",
        "message": "session opened",
        "session": 7,
        "client": "192.0.2.1:5",
        "detail": "a \"b\"\n",
        "target": "smeuse::logging::tests",
    });
    assert_eq!(line, expected);
}

#[test]
fn text_is_one_plain_line() {
    let text = log(&Config::default(), |_| {
        tracing::warn!(session = 7, "session opened")
    });
    assert!(
        text.ends_with(" WARN smeuse::logging::tests: session opened session=7\n"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn the_level_can_be_changed_and_stays_if_the_new_one_is_wrong() {
    let text = log(&Config::default(), |handle| {
        tracing::debug!("first");
        handle.reload("smeuse=debug").unwrap();
        tracing::debug!("second");
        handle.reload("nonsense").unwrap_err();
        tracing::debug!("third");
        handle.reload("off").unwrap();
        tracing::error!("fourth");
    });
    let messages: Vec<&str> = text
        .lines()
        .filter_map(|line| line.rsplit(' ').next())
        .collect();
    assert_eq!(messages, ["second", "third"]);
}

/// At level trace lapin writes down what it sends, passwords among it.
#[test]
fn lapin_says_nothing_unless_it_is_named() {
    let say = || tracing::error!(target: "lapin::io_loop", "login");
    for (level, is_heard) in [
        ("trace", false),
        ("info", false),
        ("info,lapin=debug", true),
    ] {
        let config = Config {
            level: level.to_owned(),
            format: Format::Text,
        };
        assert_eq!(!log(&config, |_| say()).is_empty(), is_heard, "{level}");
    }
}

#[test]
fn a_writer_that_fails_loses_lines_only() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let (subscriber, _) = subscriber(&Config::default(), || Closed, false).unwrap();
    tracing::subscriber::with_default(subscriber, || tracing::info!("lost"));
}

#[test]
fn levels_and_filters_are_accepted_and_typing_errors_are_not() {
    for level in [
        "info",
        "WARN",
        "off",
        "info,smeuse::relay=debug",
        "smeuse=trace",
        "info, actix_server=warn",
    ] {
        assert!(filter(level).is_ok(), "{level}");
    }
    for level in ["", "inof", "info,", "info,smeuse=loud", "smeuse", "7"] {
        let config = Config {
            level: level.to_owned(),
            format: Format::Text,
        };
        let problem = config.validate().expect_err(level);
        assert!(problem.starts_with("level: "), "{problem}");
        assert!(!problem.contains('\n'), "{problem}");
    }
}
