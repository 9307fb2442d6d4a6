//! Rows on their way out, decoded into what the other contestants return.

use anyhow::Result;
use harness::{
    ActorType, Agent, AgentRecord, Event, EventRecord, Transition, TransitionRecord, decode_body,
};
use serde_json::Value;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

pub(crate) fn agent(row: &SqliteRow) -> Result<AgentRecord> {
    let codec = row.try_get(7)?;
    Ok(AgentRecord {
        key: row.try_get(0)?,
        namespace: row.try_get(1)?,
        agent: Agent {
            agent_id: row.try_get(2)?,
            name: row.try_get(3)?,
            status: row.try_get(4)?,
            metadata: serde_json::from_str(row.try_get(5)?)?,
            state_data: decode_body(codec, row.try_get(6)?)?,
            version: row.try_get(8)?,
            created_at: row.try_get(9)?,
            updated_at: row.try_get(10)?,
        },
        codec,
        is_deleted: row.try_get(11)?,
        revision: row.try_get(12)?,
        recorded_at: row.try_get(13)?,
    })
}

/// Decodes the eight fields that a caller sees.
pub(crate) fn state(row: &SqliteRow) -> Result<Agent> {
    Ok(Agent {
        agent_id: row.try_get(0)?,
        name: row.try_get(1)?,
        status: row.try_get(2)?,
        metadata: serde_json::from_str(row.try_get(3)?)?,
        state_data: decode_body(row.try_get(5)?, row.try_get(4)?)?,
        version: row.try_get(6)?,
        created_at: row.try_get(7)?,
        updated_at: row.try_get(8)?,
    })
}

pub(crate) fn event(row: &SqliteRow) -> Result<EventRecord> {
    Ok(EventRecord {
        seq: row.try_get(0)?,
        namespace: row.try_get(1)?,
        event: Event {
            id: Uuid::parse_str(row.try_get(2)?)?,
            event_type: row.try_get(3)?,
            timestamp: row.try_get(4)?,
            session_id: row.try_get(5)?,
            actor_type: ActorType::parse(row.try_get(6)?)?,
            actor_id: row.try_get(7)?,
            content: row.try_get(8)?,
            metadata: value_of(row.try_get(9)?)?,
            git_commit: row.try_get(10)?,
        },
        created_at: row.try_get(11)?,
        recorded_at: row.try_get(12)?,
    })
}

pub(crate) fn transition(row: &SqliteRow) -> Result<TransitionRecord> {
    Ok(TransitionRecord {
        seq: row.try_get(0)?,
        namespace: row.try_get(1)?,
        id: Uuid::parse_str(row.try_get(2)?)?,
        transition: Transition {
            agent_id: row.try_get(3)?,
            state_before: decode_body(row.try_get(5)?, row.try_get(4)?)?,
            state_after: decode_body(row.try_get(7)?, row.try_get(6)?)?,
            reason: row.try_get(8)?,
            metadata: value_of(row.try_get(10)?)?,
        },
        timestamp: row.try_get(9)?,
        recorded_at: row.try_get(11)?,
    })
}

fn value_of(text: Option<&str>) -> Result<Option<Value>> {
    Ok(text.map(serde_json::from_str).transpose()?)
}

pub(crate) fn text_of(value: Option<&Value>) -> Result<Option<String>> {
    Ok(value.map(serde_json::to_string).transpose()?)
}
