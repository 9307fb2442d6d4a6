//! A line that is a JSON object, as `--jsonl` reads it.

use descartes_state::serde_json::{self, Map, Value};
use descartes_state::{ActorType, Limits};

/// What an object says of an event; `None` is for the run to fill in.
#[derive(Debug, PartialEq)]
pub(crate) struct Structured {
    pub(crate) event_type: Option<String>,
    pub(crate) content: Option<String>,
    pub(crate) actor_type: ActorType,
    pub(crate) actor_id: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) session: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) metadata: Option<Value>,
}

/// Reads a line; `Ok(None)` for one that isn't meant as an object, `Err` with the reason for one that can't be used. What
/// is above a limit of the store is refused here, so that one bad line doesn't take a whole batch down.
pub(crate) fn parse(line: &str, limits: &Limits) -> Result<Option<Structured>, String> {
    if !line.trim_start().starts_with('{') {
        return Ok(None);
    }
    let mut object: Map<String, Value> =
        serde_json::from_str(line).map_err(|error| error.to_string())?;
    object.retain(|_, value| !value.is_null());
    let actor_type = match text_of(&mut object, "actor_type", limits)? {
        None => ActorType::Agent,
        Some(actor_type) => actor_type
            .parse()
            .map_err(|error: descartes_state::StateStoreError| error.to_string())?,
    };
    let session = match text_of(&mut object, "session_id", limits)? {
        Some(session) => Some(session),
        None => text_of(&mut object, "run", limits)?,
    };
    Ok(Some(Structured {
        event_type: text_of(&mut object, "event_type", limits)?,
        content: body_of(&mut object, "content", limits.max_content_bytes())?,
        actor_type,
        actor_id: text_of(&mut object, "actor_id", limits)?,
        agent: text_of(&mut object, "agent", limits)?,
        session,
        state: body_of(&mut object, "state", limits.max_state_bytes())?,
        metadata: metadata_of(object, limits)?,
    }))
}

/// Takes an id, or another short word.
fn text_of(
    object: &mut Map<String, Value>,
    key: &str,
    limits: &Limits,
) -> Result<Option<String>, String> {
    let longest = limits.max_id_bytes();
    match object.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Err(format!("{key} is empty")),
        Some(Value::String(text)) if text.contains('\0') => {
            Err(format!("{key} holds a NUL character"))
        }
        Some(Value::String(text)) if text.len() > longest => {
            Err(format!("{key} has more than {longest} bytes"))
        }
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{key} is no string")),
    }
}

/// Takes a text of any kind; what isn't a string is kept as JSON.
fn body_of(
    object: &mut Map<String, Value>,
    key: &str,
    longest: usize,
) -> Result<Option<String>, String> {
    let text = match object.remove(key) {
        None => return Ok(None),
        Some(Value::String(text)) => text,
        Some(value) => value.to_string(),
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
            (json!({"agent": 7}).to_string(), "agent is no string"),
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
