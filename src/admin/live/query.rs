//! What a page of the live view says, as a value: which sessions it wants to see, and that it has taken a push.

use serde::Deserialize;

use crate::downstream::SessionId;

/// A message of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromViewer {
    /// It has taken the push of this number.
    Taken(u64),
    /// It wants to see these sessions from now on.
    Wants(View),
}

/// Which sessions a page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Part of a user's name, of an address, or the beginning of an id; lower case. Empty: all.
    pub search: String,
    /// Of this service alone.
    pub service: Option<String>,
    /// By what they are ordered.
    pub order: Order,
    /// The largest first.
    pub descending: bool,
    /// At most so many.
    pub limit: usize,
    /// The one that is looked at closely.
    pub selected: Option<SessionId>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            search: String::new(),
            service: None,
            order: Order::Bytes,
            descending: true,
            limit: MOST_ROWS / 2,
            selected: None,
        }
    }
}

/// What sessions can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Bytes per second, both ways.
    Rate,
    /// Bytes in all, both ways.
    Bytes,
    /// Time since it was opened.
    Age,
    /// Time since data last went either way.
    Idle,
    /// The user's name.
    User,
    /// The client's address.
    Client,
    /// The service's name.
    Service,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Message {
    Taken(u64),
    View(Wish),
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wish {
    search: String,
    service: Option<String>,
    order: Order,
    descending: bool,
    limit: usize,
    selected: Option<String>,
}

impl Default for Wish {
    fn default() -> Self {
        let view = View::default();
        Self {
            search: view.search,
            service: view.service,
            order: view.order,
            descending: view.descending,
            limit: view.limit,
            selected: None,
        }
    }
}

impl FromViewer {
    /// Reads a message.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wish = match serde_json::from_str(text).map_err(|error| error.to_string())? {
            Message::Taken(number) => return Ok(Self::Taken(number)),
            Message::View(wish) => wish,
        };
        let is_long = |text: &str| text.chars().count() > LONGEST_SEARCH;
        if is_long(&wish.search) || wish.service.as_deref().is_some_and(is_long) {
            return Err(format!("a search has at most {LONGEST_SEARCH} characters"));
        }
        let selected = match wish.selected.filter(|id| !id.is_empty()) {
            None => None,
            Some(id) => Some(id.parse().map_err(|_| "selected is no session's id")?),
        };
        Ok(Self::Wants(View {
            search: wish.search.trim().to_lowercase(),
            service: wish.service.filter(|service| !service.is_empty()),
            order: wish.order,
            descending: wish.descending,
            limit: wish.limit.clamp(1, MOST_ROWS),
            selected,
        }))
    }
}

/// More than anybody reads; whoever looks for one session searches.
pub const MOST_ROWS: usize = 200;

/// Longer than an IPv6 address and than most names.
const LONGEST_SEARCH: usize = 100;

/// The largest message of a page: a search, a service and an id, with room.
pub const MESSAGE_MAX: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_read_and_bounded() {
        let text = r#"{"view":{"search":" Alice ","service":"amqp","order":"age","descending":false,
            "limit":100000,"selected":"000000000000002a"}}"#;
        let expected = View {
            search: "alice".to_owned(),
            service: Some("amqp".to_owned()),
            order: Order::Age,
            descending: false,
            limit: MOST_ROWS,
            selected: "2a".parse().ok(),
        };
        assert_eq!(FromViewer::parse(text), Ok(FromViewer::Wants(expected)));
        let none = r#"{"view":{"service":"","selected":null,"limit":0}}"#;
        let expected = View {
            limit: 1,
            ..View::default()
        };
        assert_eq!(FromViewer::parse(none), Ok(FromViewer::Wants(expected)));
        assert_eq!(
            FromViewer::parse(r#"{"taken":7}"#),
            Ok(FromViewer::Taken(7))
        );
    }

    #[test]
    fn what_is_no_wish_is_refused() {
        let long = format!(r#"{{"view":{{"search":"{}"}}}}"#, "ä".repeat(101));
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"end":"000000000000002a"}"#,
            r#"{"view":{},"taken":1}"#,
            r#"{"view":{"sql":"1"}}"#,
            r#"{"view":{"order":"password"}}"#,
            r#"{"view":{"selected":"not an id"}}"#,
            r#"{"view":{"limit":-1}}"#,
            r#"{"taken":-1}"#,
            &long,
        ] {
            assert!(FromViewer::parse(wrong).is_err(), "{wrong}");
        }
    }
}
