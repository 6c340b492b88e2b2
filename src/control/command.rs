//! What backends ask of the gateway: commands as JSON, and the replies to them.

use serde_json::json;
use serde_json::Map;
use serde_json::Value;

/// A command that can be obeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// End these sessions.
    End(Target),
}

/// Which sessions are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The one of this id: 16 hexadecimal digits, as in events and in the log.
    Session(String),
    /// Those of this user.
    User(String),
    /// Those of this service.
    Service(String),
    /// All.
    All,
}

impl Target {
    /// The metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Session(_) => "session",
            Self::User(_) => "user",
            Self::Service(_) => "service",
            Self::All => "all",
        }
    }
}

/// Why a command is not obeyed: a stable code, and a sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Does not change from version to version.
    pub code: &'static str,
    /// May change.
    pub detail: String,
}

impl Command {
    /// Reads a command. Whatever it has besides what is known makes it malformed: a restriction that this gateway does
    /// not know of must not be passed over.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        if body.len() > COMMAND_BYTES {
            let detail = format!("the command has more than {COMMAND_BYTES} bytes");
            return Err(malformed("malformed", detail));
        }
        let fields: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|error| malformed("malformed", format!("not an object of JSON: {error}")))?;
        match fields.get("command") {
            Some(Value::String(command)) if command == "end" => {}
            Some(Value::String(_)) => {
                return Err(malformed("command_unknown", "the only command is \"end\""))
            }
            _ => return Err(malformed("malformed", "there is no \"command\", a text")),
        }
        let mut target = None;
        for (name, value) in fields.iter().filter(|(name, _)| *name != "command") {
            let found = read_target(name, value)?;
            if target.replace(found).is_some() {
                let detail = "one of session, user, service and all is needed, not several";
                return Err(malformed("target_ambiguous", detail));
            }
        }
        let detail = "one of session, user, service and all is needed";
        target
            .map(Self::End)
            .ok_or_else(|| malformed("target_missing", detail))
    }
}

/// The reply of a gateway that has obeyed.
pub fn done(gateway: &str, ended: usize) -> Vec<u8> {
    json!({ "version": VERSION, "gateway": gateway, "ended": ended })
        .to_string()
        .into_bytes()
}

/// The reply of a gateway that could not.
pub fn refused(gateway: &str, error: &Malformed) -> Vec<u8> {
    let Malformed { code, detail } = error;
    json!({ "version": VERSION, "gateway": gateway, "error": code, "detail": detail })
        .to_string()
        .into_bytes()
}

fn read_target(name: &str, value: &Value) -> Result<Target, Malformed> {
    match (name, value) {
        ("session", Value::String(id)) if is_session(id) => Ok(Target::Session(id.clone())),
        ("user", Value::String(user)) if !user.is_empty() => Ok(Target::User(user.clone())),
        ("service", Value::String(service)) => Ok(Target::Service(service.clone())),
        ("all", Value::Bool(true)) => Ok(Target::All),
        ("session" | "user" | "service" | "all", _) => {
            let detail =
                "a session is 16 hexadecimal digits, user and service are texts, all is true";
            Err(malformed("target_malformed", detail))
        }
        _ => {
            let detail = "besides \"command\" there may be session, user, service or all";
            Err(malformed("field_unknown", detail))
        }
    }
}

fn is_session(id: &str) -> bool {
    id.len() == SESSION_DIGITS && id.bytes().all(|digit| digit.is_ascii_hexdigit())
}

fn malformed(code: &'static str, detail: impl Into<String>) -> Malformed {
    Malformed {
        code,
        detail: detail.into(),
    }
}

/// Of the replies' schema.
const VERSION: u8 = 1;

/// A command has less than a hundred; a user's name may be long.
const COMMAND_BYTES: usize = 4096;

const SESSION_DIGITS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_read() {
        for (body, target) in [
            (
                r#"{"command":"end","session":"00ff00ff00ff00FF"}"#,
                Target::Session("00ff00ff00ff00FF".to_owned()),
            ),
            (
                r#"{"user":"alice","command":"end"}"#,
                Target::User("alice".to_owned()),
            ),
            (
                r#"{"command":"end","service":"amqp"}"#,
                Target::Service("amqp".to_owned()),
            ),
            (r#"{"command":"end","all":true}"#, Target::All),
        ] {
            assert_eq!(Command::parse(body.as_bytes()), Ok(Command::End(target)));
        }
    }

    #[test]
    fn what_is_wrong_has_a_stable_code() {
        let long = format!(r#"{{"command":"end","user":"{}"}}"#, "u".repeat(5000));
        for (body, code) in [
            ("", "malformed"),
            ("[]", "malformed"),
            ("{}", "malformed"),
            ("\u{0}", "malformed"),
            (r#"{"command":1}"#, "malformed"),
            (long.as_str(), "malformed"),
            (r#"{"command":"restart","all":true}"#, "command_unknown"),
            (r#"{"command":"end"}"#, "target_missing"),
            (
                r#"{"command":"end","all":true,"user":"a"}"#,
                "target_ambiguous",
            ),
            (r#"{"command":"end","all":false}"#, "target_malformed"),
            (r#"{"command":"end","user":""}"#, "target_malformed"),
            (r#"{"command":"end","session":"ff"}"#, "target_malformed"),
            (
                r#"{"command":"end","session":"+0ff00ff00ff00ff"}"#,
                "target_malformed",
            ),
            (
                r#"{"command":"end","all":true,"unless":"idle"}"#,
                "field_unknown",
            ),
        ] {
            let error = Command::parse(body.as_bytes()).unwrap_err();
            assert_eq!(error.code, code, "{body}");
        }
    }

    #[test]
    fn replies_say_who_and_what() {
        let read = |body: Vec<u8>| serde_json::from_slice::<Value>(&body).unwrap();
        let reply = read(done("g1", 2));
        assert_eq!(reply, json!({ "version": 1, "gateway": "g1", "ended": 2 }));
        let reply = read(refused("g1", &malformed("target_missing", "why")));
        assert_eq!(
            (&reply["error"], &reply["gateway"]),
            (&json!("target_missing"), &json!("g1"))
        );
    }
}
