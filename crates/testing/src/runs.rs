//! Real input.

use std::error::Error;
use std::fs;

use descartes_state::Event;
use descartes_state::serde_json::{self, Value, json};

use crate::{event, repository};

/// Returns the real runs beside the repository, as events; `None` where the folder is absent.
pub fn real_events() -> Result<Option<Vec<Event>>, Box<dyn Error>> {
    let beside = "../shared/data/agent-runs.jsonl";
    let path = repository().join(beside);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(path)?;
    let mut events = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line)?;
        let field = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        events.push(Event {
            event_type: field("event_type"),
            session_id: field("run"),
            actor_type: field("actor_type").parse()?,
            actor_id: field("agent"),
            metadata: Some(json!({ "step": line["step"], "state": line["state"] })),
            ..event(&field("content"))
        });
    }
    Ok(Some(events))
}
