//! A line that is a JSON object, as `--jsonl` reads it.
//!
//! What has one meaning is repaired: half of a surrogate pair, a mark of the byte order or of a record before the object, a
//! number where an id is wanted, the usual names of roles. What can't be used is kept as plain output, with the reason.

use std::borrow::Cow;
use std::collections::BTreeMap;

use descartes_state::serde_json::value::RawValue;
use descartes_state::serde_json::{self, Map, Value};
use descartes_state::{ActorType, Limits};

use crate::times;

/// What an object says of an event; `None` is for the run to fill in.
#[derive(Debug, PartialEq)]
pub(crate) struct Structured {
    /// The sender's own, to know the event by.
    pub(crate) id: Option<String>,
    pub(crate) event_type: Option<String>,
    pub(crate) content: Option<String>,
    pub(crate) actor_type: ActorType,
    pub(crate) actor_id: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) session: Option<String>,
    /// In Unix seconds.
    pub(crate) timestamp: Option<i64>,
    pub(crate) state: Option<String>,
    pub(crate) metadata: Option<Value>,
}

/// The fields of an object as the sender wrote them.
type Fields = BTreeMap<String, Box<RawValue>>;

/// Reads a line; `Ok(None)` for one that isn't meant as an object, `Err` with the reason for one that can't be used. What
/// is above a limit of the store is refused here, so that one bad line doesn't take a whole batch down.
pub(crate) fn parse(line: &str, limits: &Limits) -> Result<Option<Structured>, String> {
    // A mark of the byte order, and what parts the records of a JSON text sequence (RFC 7464).
    let line = line.trim_start_matches(['\u{feff}', '\u{1e}', ' ', '\t', '\r']);
    if !line.starts_with('{') {
        return Ok(None);
    }
    let mut fields: Fields = match serde_json::from_str(line) {
        Ok(fields) => fields,
        // Half of a pair in a key.
        Err(error) => match with_whole_surrogates(line) {
            Cow::Owned(repaired) => {
                serde_json::from_str(&repaired).map_err(|_| error.to_string())?
            }
            Cow::Borrowed(_) => return Err(error.to_string()),
        },
    };
    fields.retain(|_, value| value.get() != "null");
    let (actor_type, role) = actor_of(&mut fields, limits)?;
    let session = match text_of(&mut fields, "session_id", limits)? {
        Some(session) => Some(session),
        None => text_of(&mut fields, "run", limits)?,
    };
    // It stays in the metadata: an event keeps whole seconds.
    let timestamp = fields
        .get("timestamp")
        .and_then(|value| times::seconds(value.get()));
    Ok(Some(Structured {
        id: text_of(&mut fields, "id", limits)?,
        event_type: text_of(&mut fields, "event_type", limits)?,
        content: body_of(&mut fields, "content", limits.max_content_bytes())?,
        actor_type,
        actor_id: text_of(&mut fields, "actor_id", limits)?.or(role),
        agent: text_of(&mut fields, "agent", limits)?,
        session,
        timestamp,
        state: body_of(&mut fields, "state", limits.max_state_bytes())?,
        metadata: metadata_of(values(fields)?, limits)?,
    }))
}

/// Returns who acted: by `actor_type`, or by `role`, which stays in the metadata. A role under its usual name becomes the
/// actor's id where there is none.
fn actor_of(fields: &mut Fields, limits: &Limits) -> Result<(ActorType, Option<String>), String> {
    let Some(word) = text_of(fields, "actor_type", limits)? else {
        let role = fields
            .get("role")
            .and_then(|role| decode::<String>(role).ok());
        let known = role.as_deref().and_then(actor_type);
        return Ok((known.unwrap_or(ActorType::Agent), None));
    };
    match word.parse() {
        Ok(actor_type) => Ok((actor_type, None)),
        Err(error) => match actor_type(&word) {
            Some(actor_type) => Ok((actor_type, Some(word))),
            None => Err(descartes_state::StateStoreError::to_string(&error)),
        },
    }
}

/// Returns the type that a role's usual name stands for.
fn actor_type(role: &str) -> Option<ActorType> {
    match role {
        "user" | "human" => Some(ActorType::User),
        "agent" | "assistant" | "model" | "ai" => Some(ActorType::Agent),
        "system" | "developer" | "tool" | "function" => Some(ActorType::System),
        _ => None,
    }
}

/// Decodes a value, halves of surrogate pairs as U+FFFD.
fn decode<T: serde::de::DeserializeOwned>(value: &RawValue) -> serde_json::Result<T> {
    serde_json::from_str(value.get()).or_else(|error| match with_whole_surrogates(value.get()) {
        Cow::Owned(repaired) => serde_json::from_str(&repaired),
        Cow::Borrowed(_) => Err(error),
    })
}

/// Puts `\ufffd` in the place of each escape that is half of a surrogate pair, and stands for no character.
fn with_whole_surrogates(json: &str) -> Cow<'_, str> {
    let unit = |at: usize| {
        let digits = json.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut repaired = String::new();
    let mut kept = 0;
    let mut at = 0;
    while let Some(found) = json.get(at..).and_then(|rest| rest.find('\\')) {
        at += found;
        match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => at += 12,
            Some(0xd800..=0xdfff) => {
                repaired.push_str(&json[kept..at]);
                repaired.push_str("\\ufffd");
                at += 6;
                kept = at;
            }
            // Also an escaped backslash, whose second half begins no escape.
            _ => at += 2,
        }
    }
    if kept == 0 {
        return Cow::Borrowed(json);
    }
    repaired.push_str(&json[kept..]);
    Cow::Owned(repaired)
}

fn values(fields: Fields) -> Result<Map<String, Value>, String> {
    fields
        .into_iter()
        .map(|(key, value)| match decode(&value) {
            Ok(value) => Ok((key, value)),
            Err(error) => Err(format!("{key}: {error}")),
        })
        .collect()
}

/// Takes an id, or another short word; a number is its digits.
fn text_of(fields: &mut Fields, key: &str, limits: &Limits) -> Result<Option<String>, String> {
    let longest = limits.max_id_bytes();
    let Some(value) = fields.remove(key) else {
        return Ok(None);
    };
    let text = match value.get().as_bytes().first() {
        Some(b'"') => decode::<String>(&value).map_err(|error| format!("{key}: {error}"))?,
        Some(b'-' | b'0'..=b'9') => value.get().to_owned(),
        _ => return Err(format!("{key} is no string")),
    };
    if text.is_empty() {
        Err(format!("{key} is empty"))
    } else if text.contains('\0') {
        Err(format!("{key} holds a NUL character"))
    } else if text.len() > longest {
        Err(format!("{key} has more than {longest} bytes"))
    } else {
        Ok(Some(text))
    }
}

/// Takes a text of any kind; what isn't a string is kept as JSON, as the sender wrote it.
fn body_of(fields: &mut Fields, key: &str, longest: usize) -> Result<Option<String>, String> {
    let Some(value) = fields.remove(key) else {
        return Ok(None);
    };
    let text = if value.get().starts_with('"') {
        decode(&value).map_err(|error| format!("{key}: {error}"))?
    } else {
        value.get().to_owned()
    };
    if text.len() > longest {
        return Err(format!("{key} has more than {longest} bytes"));
    }
    Ok(Some(text))
}

/// Returns the object under `metadata`, and every other key beside what is in it.
fn metadata_of(mut object: Map<String, Value>, limits: &Limits) -> Result<Option<Value>, String> {
    let (deepest, largest) = (limits.max_metadata_levels(), limits.max_metadata_bytes());
    let mut metadata = match object.remove("metadata") {
        Some(Value::Object(metadata)) => metadata,
        Some(other) => Map::from_iter([("metadata".to_owned(), other)]),
        None => Map::new(),
    };
    for (mut key, value) in object {
        while metadata.contains_key(&key) {
            key.push('_');
        }
        metadata.insert(key, value);
    }
    if metadata.is_empty() {
        return Ok(None);
    }
    let metadata = Value::Object(metadata);
    if !is_within(&metadata, deepest) {
        return Err(format!("the metadata has more than {deepest} levels"));
    }
    if metadata.to_string().len() > largest {
        return Err(format!("the metadata has more than {largest} bytes"));
    }
    Ok(Some(metadata))
}

/// Returns whether arrays and objects are nested no deeper; what was parsed is never so deep that this recursion matters.
fn is_within(value: &Value, levels: usize) -> bool {
    let all = |mut values: Box<dyn Iterator<Item = &Value> + '_>| {
        levels > 0 && values.all(|value| is_within(value, levels - 1))
    };
    match value {
        Value::Array(items) => all(Box::new(items.iter())),
        Value::Object(fields) => all(Box::new(fields.values())),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use descartes_state::serde_json::json;
    use descartes_state::{ActorType, Limits};

    use super::parse;

    #[test]
    fn every_key_has_its_place_and_nothing_is_dropped() {
        let line = json!({
            "event_type": "thought", "content": "so", "actor_type": "system", "actor_id": "me",
            "agent": "a", "session_id": "s", "run": "r", "state": {"x": 1},
            "metadata": {"step": 1}, "step": 2, "step_": 3, "nothing": null,
        });
        let parsed = parse(&line.to_string(), &Limits::default())
            .unwrap()
            .unwrap();
        assert_eq!(parsed.event_type.as_deref(), Some("thought"));
        assert_eq!(parsed.content.as_deref(), Some("so"));
        assert_eq!(parsed.actor_type, ActorType::System);
        assert_eq!(parsed.actor_id.as_deref(), Some("me"));
        assert_eq!(parsed.agent.as_deref(), Some("a"));
        assert_eq!(parsed.session.as_deref(), Some("s"));
        assert_eq!(parsed.state.as_deref(), Some(r#"{"x":1}"#));
        let metadata = json!({"run": "r", "step": 1, "step_": 2, "step__": 3});
        assert_eq!(parsed.metadata, Some(metadata));
    }

    fn read(line: &str) -> super::Structured {
        parse(line, &Limits::default()).unwrap().unwrap()
    }

    #[test]
    fn what_has_one_meaning_is_repaired() {
        assert_eq!(
            read("\u{feff}{\"agent\":\"a\"}").agent.as_deref(),
            Some("a")
        );
        assert_eq!(read("\u{1e}{\"run\":7}").session.as_deref(), Some("7"));
        let big = "123456789012345678901234567890";
        let line = format!("{{\"session_id\":{big}}}");
        assert_eq!(read(&line).session.as_deref(), Some(big));
        for (text, shown) in [
            (r#""a\ud83db""#, "a\u{fffd}b"),
            (r#""\ude00""#, "\u{fffd}"),
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\\ud83d""#, r"\ud83d"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
        ] {
            let line = format!("{{\"content\":{text},\"x\":{text}}}");
            let found = read(&line);
            assert_eq!(found.content.as_deref(), Some(shown), "{text}");
            assert_eq!(found.metadata, Some(json!({ "x": shown })), "{text}");
        }
        assert_eq!(
            read(r#"{"k\ud83d":1}"#).metadata,
            Some(json!({"k\u{fffd}": 1}))
        );
        for (word, actor_type) in [
            ("assistant", ActorType::Agent),
            ("tool", ActorType::System),
            ("human", ActorType::User),
        ] {
            let found = read(&json!({ "role": word }).to_string());
            assert_eq!(found.actor_type, actor_type);
            assert_eq!(found.metadata, Some(json!({ "role": word })));
            let found = read(&json!({ "actor_type": word }).to_string());
            assert_eq!(
                (found.actor_type, found.actor_id.as_deref()),
                (actor_type, Some(word))
            );
        }
    }

    #[test]
    fn a_state_is_the_senders_text() {
        let state = r#"{"z":1.10, "a":1e400,"n":123456789012345678901234567890,"a":"\ud83d"}"#;
        let line = format!("{{\"state\":{state},\"content\":[1.50]}}");
        let found = read(&line);
        assert_eq!(found.state.as_deref(), Some(state));
        assert_eq!(found.content.as_deref(), Some("[1.50]"));
    }

    #[test]
    fn what_is_no_object_is_not_structured() {
        for line in ["", "plain", "[1]", "\"text\"", "12"] {
            assert_eq!(parse(line, &Limits::default()), Ok(None), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_stored_is_refused_with_the_reason() {
        let deep = "[".repeat(100) + &"]".repeat(100);
        for (line, reason) in [
            ("{\"a\":".to_owned(), "EOF"),
            (json!({"actor_type": "robot"}).to_string(), "robot"),
            (json!({"agent": true}).to_string(), "agent is no string"),
            (json!({"agent": ""}).to_string(), "agent is empty"),
            (json!({"run": "a\0b"}).to_string(), "NUL"),
            (json!({"event_type": "x".repeat(513)}).to_string(), "512"),
            (json!({"m": "x".repeat(1024 * 1024)}).to_string(), "bytes"),
            (format!("{{\"m\":{deep}}}"), "levels"),
        ] {
            let refused = parse(&line, &Limits::default()).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
    }
}
