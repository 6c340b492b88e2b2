//! Tests of pushes: they are never above their bound, and say what they leave out.

use std::time::Instant;

use serde_json::Value;

use super::*;
use crate::admin::live::figures::Extension;
use crate::admin::live::figures::Service;
use crate::admin::live::table::Before;

fn name(kind: &str, number: usize) -> String {
    format!("{kind}-{number:0>90}")
}

fn extension(sessions: f64) -> Extension {
    let ways = || {
        let ways = ["from_client", "to_client"].map(|way| (way.to_owned(), 123_456_789.0));
        BTreeMap::from(ways)
    };
    Extension {
        sessions,
        messages: ways(),
        bytes: ways(),
        controls: BTreeMap::from([("ping".to_owned(), ways())]),
        ..Extension::default()
    }
}

fn now<'a>(count: usize, happened: &'a [Count], rates: &'a [f64]) -> Now<'a> {
    let brokers = (0..count).map(|number| BrokerState {
        name: name("broker", number),
        failure: Some("no route to host".repeat(10)),
        passed_over_seconds: Some(1.5),
        blocked: 0,
    });
    Now {
        at: 1,
        draining: false,
        figures: Figures {
            extensions: (0..count)
                .map(|number| (name("extension", number), extension(number as f64)))
                .collect(),
            services: (0..count)
                .map(|number| (name("service", number), Service::default()))
                .collect(),
            ..Figures::default()
        },
        rates,
        happened,
        brokers: brokers.collect(),
        left_out: LeftOut::default(),
    }
}

#[test]
fn what_all_pages_get_has_a_bound_and_says_what_is_left_out() {
    let text = now(3, &[], &[]).text();
    let whole: Value = serde_json::from_str(&text).unwrap();
    for list in ["extensions", "services", "brokers"] {
        assert_eq!(whole["left_out"][list], 0, "{list}");
    }
    let count = |value: &Value| match value {
        Value::Object(table) => table.len(),
        list => list.as_array().unwrap().len(),
    };
    let text = now(500, &[], &[]).text();
    assert!(text.len() <= NOW_MAX, "{} bytes", text.len());
    let cut: Value = serde_json::from_str(&text).unwrap();
    for list in ["extensions", "services", "brokers"] {
        let shown = count(&cut[list]);
        assert!(shown > 0, "{list}");
        let left_out = cut["left_out"][list].as_u64().unwrap();
        assert_eq!(shown as u64 + left_out, 500, "{list}");
    }
    let most_used = &cut["extensions"][&name("extension", 499)];
    assert_eq!(most_used["sessions"], 499.0);
    assert_eq!(cut["extensions"][&name("extension", 0)], Value::Null);
}

/// With as much of everything as there can be.
#[test]
fn a_first_push_has_the_same_bound() {
    let services: Vec<_> = (0..500)
        .map(|number| (name("service", number), "dedicated"))
        .collect();
    let mut history = History::default();
    for _ in 0..400 {
        history.add(&[1e12; SERIES.len()]);
    }
    let happened: Vec<_> = (0..200)
        .map(|number| Count {
            name: format!("refused/reason_{number}"),
            total: u64::MAX,
            recent: u64::MAX,
        })
        .collect();
    let now = now(500, &happened, &[1e12; SERIES.len()]).text();
    let start = Start::new(&services, &history, true);
    let table = Table::new(Vec::new(), &Before::default(), None, Instant::now());
    let text = text(1, &now, Some(start), &table, &View::default());
    assert!(text.len() <= PUSH_MAX, "{} bytes", text.len());
    let push: Value = serde_json::from_str(&text).unwrap();
    let start = &push["own"]["start"];
    assert!(start["services"].as_array().unwrap().len() > 10);
    // The oldest points go first, and all series have as many.
    for points in start["history"].as_array().unwrap() {
        let points = points.as_array().unwrap().len();
        assert!(
            (50..super::super::history::SECONDS).contains(&points),
            "{points}"
        );
    }
}
