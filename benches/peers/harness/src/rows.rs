//! Rows on their way out, decoded into what the other contestants return, for drivers that name a column's value by `try_get`.

use anyhow::Result;
use serde_json::Value;

/// Makes the functions that decode a driver's row, in the order of columns of the hand-written statements.
#[macro_export]
macro_rules! decoders {
    ($Row:ty) => {
        pub(crate) fn agent_of(row: &$Row) -> $crate::anyhow::Result<$crate::AgentRecord> {
            let codec = row.try_get(7)?;
            Ok($crate::AgentRecord {
                key: row.try_get(0)?,
                namespace: row.try_get(1)?,
                agent: $crate::Agent {
                    agent_id: row.try_get(2)?,
                    name: row.try_get(3)?,
                    status: row.try_get(4)?,
                    metadata: $crate::serde_json::from_str(row.try_get(5)?)?,
                    state_data: $crate::decode_body(codec, row.try_get(6)?)?,
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

        pub(crate) fn state_of(row: &$Row) -> $crate::anyhow::Result<$crate::Agent> {
            Ok($crate::Agent {
                agent_id: row.try_get(0)?,
                name: row.try_get(1)?,
                status: row.try_get(2)?,
                metadata: $crate::serde_json::from_str(row.try_get(3)?)?,
                state_data: $crate::decode_body(row.try_get(5)?, row.try_get(4)?)?,
                version: row.try_get(6)?,
                created_at: row.try_get(7)?,
                updated_at: row.try_get(8)?,
            })
        }

        pub(crate) fn transition_of(
            row: &$Row,
        ) -> $crate::anyhow::Result<$crate::TransitionRecord> {
            Ok($crate::TransitionRecord {
                seq: row.try_get(0)?,
                namespace: row.try_get(1)?,
                id: $crate::uuid::Uuid::parse_str(row.try_get(2)?)?,
                transition: $crate::Transition {
                    agent_id: row.try_get(3)?,
                    state_before: $crate::decode_body(row.try_get(5)?, row.try_get(4)?)?,
                    state_after: $crate::decode_body(row.try_get(7)?, row.try_get(6)?)?,
                    reason: row.try_get(8)?,
                    metadata: $crate::value_of(row.try_get(10)?)?,
                },
                timestamp: row.try_get(9)?,
                recorded_at: row.try_get(11)?,
            })
        }

        pub(crate) fn event_of(row: &$Row) -> $crate::anyhow::Result<$crate::EventRecord> {
            Ok($crate::EventRecord {
                seq: row.try_get(0)?,
                namespace: row.try_get(1)?,
                event: $crate::Event {
                    id: $crate::uuid::Uuid::parse_str(row.try_get(2)?)?,
                    event_type: row.try_get(3)?,
                    timestamp: row.try_get(4)?,
                    session_id: row.try_get(5)?,
                    actor_type: $crate::ActorType::parse(row.try_get(6)?)?,
                    actor_id: row.try_get(7)?,
                    content: row.try_get(8)?,
                    metadata: $crate::value_of(row.try_get(9)?)?,
                    git_commit: row.try_get(10)?,
                },
                created_at: row.try_get(11)?,
                recorded_at: row.try_get(12)?,
            })
        }
    };
}

/// Returns JSON as it is stored.
///
/// # Errors
/// Only serde_json's.
pub fn text_of(value: Option<&Value>) -> Result<Option<String>> {
    Ok(value.map(serde_json::to_string).transpose()?)
}

/// # Errors
/// For a text that is no JSON.
pub fn value_of(text: Option<&str>) -> Result<Option<Value>> {
    Ok(text.map(serde_json::from_str).transpose()?)
}
