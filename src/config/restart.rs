//! What changed settings wait for: the keys that only a restart takes over.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde_json::Value;

use super::Settings;

impl Settings {
    /// The keys in which `newer` settings differ from these, but for those that a running gateway takes over. A service
    /// or an application that is new or gone counts by its name, a secret by the table it is in.
    pub fn waiting_for_restart(&self, newer: &Self) -> Vec<String> {
        let mut newer = newer.clone();
        // SIGHUP sees to it.
        newer.log.level.clone_from(&self.log.level);
        for service in &mut newer.services {
            let known = self.services.iter().find(|old| old.name == service.name);
            if let Some(known) = known {
                *service = service.with_extensions_of(known);
            }
        }
        let mut keys = BTreeSet::new();
        // What a file says can be written.
        if let (Ok(old), Ok(new)) = (serde_json::to_value(self), serde_json::to_value(&newer)) {
            compare("", Some(&old), Some(&new), &mut keys);
        }
        // Secrets are written alike.
        let names_one = |table: &str, keys: &BTreeSet<String>| {
            let inside = format!("{table}.");
            keys.iter().any(|key| key.starts_with(&inside))
        };
        let mut hidden = Vec::new();
        if self.control != newer.control && !names_one("control", &keys) {
            hidden.push("control".to_owned());
        }
        for service in &newer.services {
            let table = format!("services.{}.upstream", service.name);
            let known = self.services.iter().find(|old| old.name == service.name);
            let is_other = known.is_some_and(|known| known.upstream != service.upstream);
            if is_other && !names_one(&table, &keys) {
                hidden.push(table);
            }
        }
        keys.extend(hidden);
        keys.into_iter().collect()
    }
}

/// Adds the keys below this one in which two values differ.
fn compare(key: &str, old: Option<&Value>, new: Option<&Value>, keys: &mut BTreeSet<String>) {
    if old == new {
        return;
    }
    let parts = old.and_then(parts).zip(new.and_then(parts));
    let Some((old, new)) = parts else {
        keys.insert(key.to_owned());
        return;
    };
    let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    for name in names {
        let below = if key.is_empty() {
            name.to_owned()
        } else {
            format!("{key}.{name}")
        };
        compare(&below, old.get(name).copied(), new.get(name).copied(), keys);
    }
}

/// What a table is made of, or a list of tables that have names, by them.
fn parts(value: &Value) -> Option<BTreeMap<&str, &Value>> {
    match value {
        Value::Object(table) => Some(table.iter().map(|(k, v)| (k.as_str(), v)).collect()),
        Value::Array(list) => {
            let named = list
                .iter()
                .map(|value| Some((value.get("name")?.as_str()?, value)));
            named.collect()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Settings;

    /// The defaults with these lines.
    fn settings(text: &str) -> Settings {
        toml::from_str(text).unwrap()
    }

    #[track_caller]
    fn waits(old: &str, new: &str, keys: &[&str]) {
        let waiting = settings(old).waiting_for_restart(&settings(new));
        assert_eq!(waiting, keys, "from {old:?} to {new:?}");
    }

    #[test]
    fn what_a_running_gateway_takes_over_does_not_wait() {
        waits("", "", &[]);
        waits("", "log.level = \"debug\"", &[]);
        let extensions =
            "[[services]]\nextensions = []\npage_only = [\"a\"]\npage_extensions = [\"a\"]\n\
                          page_required = [\"a\"]\npage_fallback = \"error\"\n\
                          trials = [{ extension = \"a\", percent = 1 }]\n";
        waits("", extensions, &[]);
    }

    #[test]
    fn keys_are_named_as_they_stand_in_the_file() {
        waits(
            "listen.workers = 1\ndrain.deadline = \"9s\"",
            "listen.workers = 2\nlog.format = \"json\"",
            &["drain.deadline", "listen.workers", "log.format"],
        );
        waits(
            "[[services]]\nname = \"one\"\n[[services]]\nname = \"two\"",
            "[[services]]\nname = \"two\"\npaths = [\"/two\"]\nidle_timeout = \"1s\"\n[[services]]\nname = \"three\"",
            &[
                "services.one",
                "services.three",
                "services.two.idle_timeout",
                "services.two.paths",
            ],
        );
        waits(
            "",
            "[[services]]\n[services.redirect]\nto = \"wss://other.example/\"",
            &["services.amqp.redirect"],
        );
    }

    #[test]
    fn a_secret_is_named_by_its_table_alone() {
        let service =
            |password| format!("[[services]]\n[services.upstream]\npassword = \"{password}\"");
        waits(
            &service("one"),
            &service("another"),
            &["services.amqp.upstream"],
        );
        let uri = |password| format!("[control]\nuris = [\"amqp://u:{password}@127.0.0.1\"]");
        waits(&uri("one"), &uri("another"), &["control"]);
    }
}
