//! Rows of a rusqlite statement, decoded into what the other contestants return.

use anyhow::Result;
use harness::{
    ActorType, Agent, AgentRecord, Event, EventRecord, Transition, TransitionRecord, decode_body,
};
use rusqlite::Row;
use rusqlite::types::{Value, ValueRef};
use uuid::Uuid;

pub(super) fn decode_agent(row: &Row<'_>) -> Result<AgentRecord> {
    let codec = row.get(7)?;
    Ok(AgentRecord {
        key: row.get(0)?,
        namespace: row.get(1)?,
        agent: Agent {
            agent_id: row.get(2)?,
            name: row.get(3)?,
            status: row.get(4)?,
            metadata: serde_json::from_str(row.get_ref(5)?.as_str()?)?,
            state_data: body(row, 6, codec)?,
            version: row.get(8)?,
            created_at: row.get(9)?,
            updated_at: row.get(10)?,
        },
        codec,
        is_deleted: row.get(11)?,
        revision: row.get(12)?,
        recorded_at: row.get(13)?,
    })
}

fn body(row: &Row<'_>, column: usize, codec: i64) -> Result<String> {
    match row.get_ref(column)? {
        ValueRef::Text(text) if codec == 0 => decode_body(codec, text.to_vec()),
        ValueRef::Blob(bytes) if codec != 0 => decode_body(codec, bytes.to_vec()),
        other => {
            let found = Value::try_from(other)?;
            anyhow::bail!("codec {codec} over {found:?}")
        }
    }
}

/// Decodes the eight fields that a caller sees.
pub(super) fn decode_state(row: &Row<'_>) -> Result<Agent> {
    Ok(Agent {
        agent_id: row.get(0)?,
        name: row.get(1)?,
        status: row.get(2)?,
        metadata: serde_json::from_str(row.get_ref(3)?.as_str()?)?,
        state_data: body(row, 4, row.get(5)?)?,
        version: row.get(6)?,
        created_at: row.get(7)?,
        updated_at: row.get(8)?,
    })
}

pub(super) fn decode_event(row: &Row<'_>) -> Result<EventRecord> {
    Ok(EventRecord {
        seq: row.get(0)?,
        namespace: row.get(1)?,
        event: Event {
            id: Uuid::parse_str(row.get_ref(2)?.as_str()?)?,
            event_type: row.get(3)?,
            timestamp: row.get(4)?,
            session_id: row.get(5)?,
            actor_type: ActorType::parse(row.get_ref(6)?.as_str()?)?,
            actor_id: row.get(7)?,
            content: row.get(8)?,
            metadata: json(row, 9)?,
            git_commit: row.get(10)?,
        },
        created_at: row.get(11)?,
        recorded_at: row.get(12)?,
    })
}

pub(super) fn decode_transition(row: &Row<'_>) -> Result<TransitionRecord> {
    Ok(TransitionRecord {
        seq: row.get(0)?,
        namespace: row.get(1)?,
        id: Uuid::parse_str(row.get_ref(2)?.as_str()?)?,
        transition: Transition {
            agent_id: row.get(3)?,
            state_before: body(row, 4, row.get(5)?)?,
            state_after: body(row, 6, row.get(7)?)?,
            reason: row.get(8)?,
            metadata: json(row, 10)?,
        },
        timestamp: row.get(9)?,
        recorded_at: row.get(11)?,
    })
}

fn json(row: &Row<'_>, column: usize) -> Result<Option<serde_json::Value>> {
    Ok(row
        .get_ref(column)?
        .as_str_or_null()?
        .map(serde_json::from_str)
        .transpose()?)
}
