//! How each kind of record is shown: the columns for people, and the library's own shape as JSON.

use std::collections::BTreeMap;

use descartes_state::serde_json::value::{RawValue, to_raw_value};
use descartes_state::serde_json::{self, Map, Value};
use descartes_state::{
    AgentRecord, Event, EventRecord, SessionRecord, SnapshotRecord, TaskRecord, TransitionRecord,
};

use descartes_state_recorder::sweep::Liveness;

use crate::output::Cell::{self, Brief, Long, Status, Whole};
use crate::output::Row;
use crate::text::local_time;

/// Returns an event as JSON, its metadata as the text that is stored.
fn event_as_text(record: &EventRecord) -> serde_json::Result<Box<RawValue>> {
    let fields: Map<String, Value> = serde_json::from_value(serde_json::to_value(record)?)?;
    let mut texts = BTreeMap::new();
    for (key, value) in &fields {
        let text = match &record.metadata_text {
            // In one line: outside of strings a newline is a blank like any other, and within them there is none.
            Some(text) if key == "metadata" => {
                RawValue::from_string(text.replace(['\n', '\r'], " "))?
            }
            _ => to_raw_value(value)?,
        };
        texts.insert(key, text);
    }
    to_raw_value(&texts)
}

impl Row for &AgentRecord {
    const HEADERS: &'static [&'static str] = &["AGENT", "STATUS", "UPDATED", "REVISION", "NAME"];

    fn cells(&self) -> Vec<Cell> {
        let deleted = if self.is_deleted { " (deleted)" } else { "" };
        vec![
            Whole(format!("{}{deleted}", self.state.agent_id)),
            Status(self.state.status.clone()),
            Whole(local_time(self.state.updated_at)),
            Whole(self.revision.to_string()),
            Long(self.state.name.clone()),
        ]
    }

    fn json(&self) -> serde_json::Result<Box<RawValue>> {
        to_raw_value(&serde_json::to_value(self)?)
    }
}

impl Row for &TransitionRecord {
    const HEADERS: &'static [&'static str] = &["TIME", "REASON", "BEFORE", "AFTER"];

    fn cells(&self) -> Vec<Cell> {
        let transition = &self.transition;
        vec![
            Whole(local_time(transition.timestamp)),
            Brief(transition.reason.clone().unwrap_or_default()),
            Brief(transition.state_before.clone()),
            Brief(transition.state_after.clone()),
        ]
    }

    fn json(&self) -> serde_json::Result<Box<RawValue>> {
        to_raw_value(&serde_json::to_value(self)?)
    }
}

/// An event among those of its session.
pub(super) struct Said<'a>(pub(super) &'a EventRecord);

/// An event among those of any session.
pub(super) struct Found<'a>(pub(super) &'a EventRecord);

fn actor(event: &Event) -> String {
    let actor_type = event.actor_type.as_str();
    if event.actor_id == actor_type {
        return event.actor_id.clone();
    }
    format!("{actor_type} {}", event.actor_id)
}

impl Row for Said<'_> {
    const HEADERS: &'static [&'static str] = &["TIME", "TYPE", "ACTOR", "CONTENT"];

    fn cells(&self) -> Vec<Cell> {
        let event = &self.0.event;
        vec![
            Whole(local_time(event.timestamp)),
            Whole(event.event_type.clone()),
            Whole(actor(event)),
            Long(event.content.clone()),
        ]
    }

    fn json(&self) -> serde_json::Result<Box<RawValue>> {
        event_as_text(self.0)
    }
}

impl Row for Found<'_> {
    const HEADERS: &'static [&'static str] = &["TIME", "SESSION", "TYPE", "ACTOR", "CONTENT"];

    fn cells(&self) -> Vec<Cell> {
        let event = &self.0.event;
        vec![
            Whole(local_time(event.timestamp)),
            Whole(event.session_id.clone()),
            Whole(event.event_type.clone()),
            Whole(actor(event)),
            Long(event.content.clone()),
        ]
    }

    fn json(&self) -> serde_json::Result<Box<RawValue>> {
        event_as_text(self.0)
    }
}

impl Row for &TaskRecord {
    const HEADERS: &'static [&'static str] = &["TASK", "STATUS", "UPDATED", "ASSIGNED TO", "TITLE"];

    fn cells(&self) -> Vec<Cell> {
        let task = &self.task;
        vec![
            Whole(task.id.to_string()),
            Status(task.status.to_string()),
            Whole(local_time(task.updated_at)),
            Whole(task.assigned_to.clone().unwrap_or_default()),
            Long(task.title.clone()),
        ]
    }

    fn json(&self) -> serde_json::Result<Box<RawValue>> {
        to_raw_value(&serde_json::to_value(self)?)
    }
}

/// A session, and what is known of those who write to it.
pub(super) struct MarkedSession<'a> {
    pub(super) session: &'a SessionRecord,
    pub(super) liveness: Option<&'a Liveness>,
}

impl Row for MarkedSession<'_> {
    const HEADERS: &'static [&'static str] = &["SESSION", "AGENT", "STATUS", "STARTED", "ENDED"];

    fn cells(&self) -> Vec<Cell> {
        let session = self.session;
        let ended = match self.liveness {
            Some(Liveness::Dead(_)) => "dead: `sessions sweep` closes it".to_owned(),
            Some(Liveness::Silent) => {
                format!("silent since {}", local_time(session.updated_at))
            }
            _ => session.ended_at.map_or_else(String::new, local_time),
        };
        vec![
            Whole(session.id.clone()),
            Whole(session.agent_id.clone()),
            Status(session.status.to_string()),
            Whole(local_time(session.started_at)),
            Whole(ended),
        ]
    }

    fn json(&self) -> serde_json::Result<Box<RawValue>> {
        let mut value = serde_json::to_value(self.session)?;
        let liveness = self.liveness.map(|liveness| match liveness {
            Liveness::Alive => "alive",
            Liveness::Dead(_) => "dead",
            Liveness::Silent => "silent",
        });
        if let (Some(object), Some(liveness)) = (value.as_object_mut(), liveness) {
            object.insert("liveness".to_owned(), liveness.into());
        }
        to_raw_value(&value)
    }
}

impl Row for &SnapshotRecord {
    const HEADERS: &'static [&'static str] =
        &["SNAPSHOT", "AGENT", "CREATED", "STATUS", "DESCRIPTION"];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Whole(self.id.clone()),
            Whole(self.agent_id.clone()),
            Whole(local_time(self.created_at)),
            Status(self.status.clone()),
            Long(self.description.clone().unwrap_or_default()),
        ]
    }

    fn json(&self) -> serde_json::Result<Box<RawValue>> {
        to_raw_value(&serde_json::to_value(self)?)
    }
}
