//! A line that is a JSON object, as `--jsonl` reads it.
//!
//! What has one meaning is repaired: half of a surrogate pair, a mark of the byte order or of a record before the object, a
//! number where an id is wanted, the usual names of roles. What can't be used is kept as plain output, with the reason.

use std::borrow::Cow;
use std::collections::BTreeMap;

use descartes_state::serde_json;
use descartes_state::serde_json::value::RawValue;
use descartes_state::{ActorType, Limits};
use serde::de::IgnoredAny;

use crate::fields::{Fields, FieldsUpTo};
use crate::object_text::ObjectText;
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
    /// A JSON object, whose values are as the sender wrote them.
    pub(crate) metadata: Option<ObjectText>,
}

/// Reads a line; `Ok(None)` for one that isn't meant as an object, `Err` with the reason for one that can't be used. What
/// is above a limit of the store is refused here, so that one bad line doesn't take a whole batch down.
pub(crate) fn parse(line: &str, limits: &Limits) -> Result<Option<Structured>, String> {
    // A mark of the byte order, and what parts the records of a JSON text sequence (RFC 7464).
    let line = line.trim_start_matches(['\u{feff}', '\u{1e}', ' ', '\t', '\r']);
    if !line.starts_with('{') {
        return Ok(None);
    }
    let repaired;
    let reader = FieldsUpTo::new(limits);
    let mut fields = match reader.read(line) {
        Ok(fields) => fields,
        // Half of a pair in a key.
        Err(error) => match with_whole_surrogates(line) {
            Cow::Owned(whole) => {
                repaired = whole;
                reader.read(&repaired).map_err(|_| error.to_string())?
            }
            Cow::Borrowed(_) => return Err(error.to_string()),
        },
    };
    fields.drop_nulls();
    let (actor_type, role) = actor_of(&mut fields, limits)?;
    let session = match text_of(&mut fields, "session_id", limits)? {
        Some(session) => Some(session),
        None => text_of(&mut fields, "run", limits)?,
    };
    // It stays in the metadata: an event keeps whole seconds.
    let timestamp = fields
        .get("timestamp")
        .and_then(|value| times::seconds(value.get()));
    let id = text_of(&mut fields, "id", limits)?;
    Ok(Some(Structured {
        event_type: text_of(&mut fields, "event_type", limits)?,
        content: content_of(&mut fields, limits)?,
        actor_type,
        actor_id: text_of(&mut fields, "actor_id", limits)?.or(role),
        agent: text_of(&mut fields, "agent", limits)?,
        session,
        timestamp,
        state: body_of(&mut fields, "state", limits.max_state_bytes())?,
        metadata: metadata_of(fields, id.as_deref(), limits)?,
        id,
    }))
}

/// Returns who acted: by `actor_type`, or by `role`, which stays in the metadata. A role under its usual name becomes the
/// actor's id where there is none.
fn actor_of(
    fields: &mut Fields<'_>,
    limits: &Limits,
) -> Result<(ActorType, Option<String>), String> {
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

/// Takes an id, or another short word; a number is its digits.
fn text_of(fields: &mut Fields<'_>, key: &str, limits: &Limits) -> Result<Option<String>, String> {
    let longest = limits.max_id_bytes();
    let Some(value) = fields.remove(key) else {
        return Ok(None);
    };
    let text = match value.get().as_bytes().first() {
        Some(b'"') => decode::<String>(value).map_err(|error| format!("{key}: {error}"))?,
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

/// Takes the content, as far as the store can keep it.
fn content_of(fields: &mut Fields<'_>, limits: &Limits) -> Result<Option<String>, String> {
    let content = body_of(fields, "content", limits.max_content_bytes())?;
    match content {
        Some(content) if !limits.keeps_nul() && content.contains('\0') => {
            Err("content holds a NUL character".to_owned())
        }
        content => Ok(content),
    }
}

/// Takes a text of any kind; what isn't a string is kept as JSON, as the sender wrote it.
fn body_of(fields: &mut Fields<'_>, key: &str, longest: usize) -> Result<Option<String>, String> {
    let Some(value) = fields.remove(key) else {
        return Ok(None);
    };
    let text = if value.get().starts_with('"') {
        decode(value).map_err(|error| format!("{key}: {error}"))?
    } else {
        value.get().to_owned()
    };
    if text.len() > longest {
        return Err(format!("{key} has more than {longest} bytes"));
    }
    Ok(Some(text))
}

/// By how much metadata may grow once it is checked: by a mark.
const ROOM_FOR_A_MARK: usize = 64;

/// Returns the object under `metadata`, and every other key beside what is in it, also the event's own id. The values stay
/// as the sender wrote them.
fn metadata_of(
    mut fields: Fields<'_>,
    id: Option<&str>,
    limits: &Limits,
) -> Result<Option<ObjectText>, String> {
    let largest = limits.max_metadata_bytes();
    let too_large = || format!("the metadata has more than {largest} bytes");
    // Before anything is copied: it may be all of a long line.
    if fields.bytes() > largest {
        return Err(too_large());
    }
    let mut metadata = ObjectText::default();
    let mut keys = BTreeMap::new();
    if let Some(value) = fields.remove("metadata") {
        let text = with_whole_surrogates(value.get());
        match ObjectText::of(&text).filter(|_| text.starts_with('{')) {
            Some(object) => {
                metadata = object;
                keys = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(&text)
                    .map_err(|error| format!("metadata: {error}"))?;
            }
            None => {
                metadata.push("metadata", &text);
                keys.insert("metadata".to_owned(), IgnoredAny);
            }
        }
    }
    let mut add = |mut key: String, json: &str| {
        while keys.contains_key(&key) {
            key.push('_');
        }
        metadata.push(&key, json);
        keys.insert(key, IgnoredAny);
    };
    if let Some(id) = id {
        add("id".to_owned(), &serde_json::Value::from(id).to_string());
    }
    for (key, value) in fields.in_order() {
        add(key, &with_whole_surrogates(value.get()));
    }
    if metadata.is_empty() {
        return Ok(None);
    }
    let text = metadata.clone().into_json();
    if text.len() + ROOM_FOR_A_MARK > largest {
        return Err(too_large());
    }
    match limits.check_metadata_text(&text) {
        Ok(()) => Ok(Some(metadata)),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use descartes_state::serde_json::{self, Value, json};
    use descartes_state::{ActorType, Limits};

    use super::parse;
    use crate::object_text::ObjectText;

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
        assert_eq!(metadata_of(parsed), Some(metadata));
    }

    fn metadata_of(read: super::Structured) -> Option<Value> {
        let text = read.metadata?.into_json();
        Some(serde_json::from_str(&text).unwrap())
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
            assert_eq!(metadata_of(found), Some(json!({ "x": shown })), "{text}");
        }
        assert_eq!(
            metadata_of(read(r#"{"k\ud83d":1}"#)),
            Some(json!({"k\u{fffd}": 1}))
        );
        for (word, actor_type) in [
            ("assistant", ActorType::Agent),
            ("tool", ActorType::System),
            ("human", ActorType::User),
        ] {
            let found = read(&json!({ "role": word }).to_string());
            assert_eq!(found.actor_type, actor_type);
            assert_eq!(metadata_of(found), Some(json!({ "role": word })));
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
    fn metadata_is_the_senders_text() {
        for (line, kept) in [
            (
                r#"{"z":1.10,"a":{"n":12345678901234567890123,"m": [1e400]},"m":-0.0}"#,
                r#"{"z":1.10,"a":{"n":12345678901234567890123,"m": [1e400]},"m":-0.0}"#,
            ),
            (
                r#"{"metadata":{"z": 1.10, "a":1E5 , "z":2.50},"z":3.0,"content":"c","id":7}"#,
                r#"{"z": 1.10, "a":1E5 , "z":2.50,"id":"7","z_":3.0}"#,
            ),
            (
                r#"{"metadata":[1.10],"x":1.0}"#,
                r#"{"metadata":[1.10],"x":1.0}"#,
            ),
            (r#"{"metadata":{ },"x":0.10}"#, r#"{ "x":0.10}"#),
        ] {
            let found = read(line).metadata.map(ObjectText::into_json);
            assert_eq!(found.as_deref(), Some(kept), "{line}");
        }
        assert_eq!(read(r#"{"metadata":{ },"content":"c"}"#).metadata, None);
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
