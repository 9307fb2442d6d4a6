//! Rows for Diesel: on their way in, borrowed; on their way out, decoded into what the other contestants return.

use anyhow::Result;
use descartes_state::schema::{agent_states, events, state_transitions};
use diesel::prelude::*;
use harness::{
    ActorType, Agent, AgentRecord, Event, EventRecord, Transition, TransitionRecord, UnixTime,
    decode_body,
};
use uuid::Uuid;

use super::diesel_queries::new_id;

#[derive(Insertable)]
#[diesel(table_name = agent_states)]
pub(super) struct NewAgent<'a> {
    key: &'a str,
    namespace: &'a str,
    agent_id: &'a str,
    name: &'a str,
    status: &'a str,
    metadata: String,
    state_data: &'a str,
    state_data_codec: i64,
    version: i64,
    created_at: i64,
    updated_at: i64,
    recorded_at: i64,
}

impl<'a> NewAgent<'a> {
    pub(super) fn new(agent: &'a Agent) -> Result<Self> {
        Ok(Self {
            key: &agent.agent_id,
            namespace: "",
            agent_id: &agent.agent_id,
            name: &agent.name,
            status: &agent.status,
            metadata: serde_json::to_string(&agent.metadata)?,
            state_data: &agent.state_data,
            state_data_codec: 0,
            version: agent.version,
            created_at: agent.created_at,
            updated_at: agent.updated_at,
            recorded_at: UnixTime::now().micros,
        })
    }
}

#[derive(Insertable)]
#[diesel(table_name = events)]
pub(super) struct NewEvent<'a> {
    namespace: &'a str,
    id: String,
    event_type: &'a str,
    timestamp: i64,
    session_id: &'a str,
    actor_type: &'a str,
    actor_id: &'a str,
    content: &'a str,
    metadata: Option<String>,
    git_commit: Option<&'a str>,
    created_at: i64,
    recorded_at: i64,
}

impl<'a> NewEvent<'a> {
    pub(super) fn new(event: &'a Event) -> Result<Self> {
        let now = UnixTime::now();
        Ok(Self {
            namespace: "",
            id: event.id.to_string(),
            event_type: &event.event_type,
            timestamp: event.timestamp,
            session_id: &event.session_id,
            actor_type: event.actor_type.as_str(),
            actor_id: &event.actor_id,
            content: &event.content,
            metadata: event
                .metadata
                .as_ref()
                .map(serde_json::to_string)
                .transpose()?,
            git_commit: event.git_commit.as_deref(),
            created_at: now.seconds,
            recorded_at: now.micros,
        })
    }
}

#[derive(Insertable)]
#[diesel(table_name = state_transitions)]
pub(super) struct NewTransition<'a> {
    namespace: &'a str,
    id: String,
    agent_id: &'a str,
    state_before: &'a str,
    state_after: &'a str,
    reason: Option<&'a str>,
    timestamp: i64,
    metadata: Option<String>,
    recorded_at: i64,
}

impl<'a> NewTransition<'a> {
    pub(super) fn new(transition: &'a Transition) -> Result<Self> {
        let now = UnixTime::now();
        Ok(Self {
            namespace: "",
            id: new_id(),
            agent_id: &transition.agent_id,
            state_before: &transition.state_before,
            state_after: &transition.state_after,
            reason: transition.reason.as_deref(),
            timestamp: now.seconds,
            metadata: transition
                .metadata
                .as_ref()
                .map(serde_json::to_string)
                .transpose()?,
            recorded_at: now.micros,
        })
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = agent_states)]
pub(super) struct AgentRow {
    key: String,
    namespace: String,
    agent_id: String,
    name: String,
    status: String,
    metadata: String,
    state_data: String,
    state_data_codec: i64,
    version: i64,
    created_at: i64,
    updated_at: i64,
    is_deleted: bool,
    revision: i64,
    recorded_at: i64,
}

impl AgentRow {
    pub(super) fn decode(self) -> Result<AgentRecord> {
        Ok(AgentRecord {
            agent: Agent {
                agent_id: self.agent_id,
                name: self.name,
                status: self.status,
                metadata: serde_json::from_str(&self.metadata)?,
                state_data: decode_body(self.state_data_codec, self.state_data.into_bytes())?,
                created_at: self.created_at,
                updated_at: self.updated_at,
                version: self.version,
            },
            key: self.key,
            namespace: self.namespace,
            revision: self.revision,
            recorded_at: self.recorded_at,
            is_deleted: self.is_deleted,
            codec: self.state_data_codec,
        })
    }
}

/// The eight fields that a caller sees.
#[derive(Queryable, Selectable)]
#[diesel(table_name = agent_states)]
pub(super) struct StateRow {
    agent_id: String,
    name: String,
    status: String,
    metadata: String,
    state_data: String,
    state_data_codec: i64,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

impl StateRow {
    pub(super) fn decode(self) -> Result<Agent> {
        Ok(Agent {
            agent_id: self.agent_id,
            name: self.name,
            status: self.status,
            metadata: serde_json::from_str(&self.metadata)?,
            state_data: decode_body(self.state_data_codec, self.state_data.into_bytes())?,
            created_at: self.created_at,
            updated_at: self.updated_at,
            version: self.version,
        })
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = events)]
pub(super) struct EventRow {
    seq: i64,
    namespace: String,
    id: String,
    event_type: String,
    timestamp: i64,
    session_id: String,
    actor_type: String,
    actor_id: String,
    content: String,
    metadata: Option<String>,
    git_commit: Option<String>,
    created_at: i64,
    recorded_at: i64,
}

impl EventRow {
    pub(super) fn decode(self) -> Result<EventRecord> {
        Ok(EventRecord {
            event: Event {
                id: Uuid::parse_str(&self.id)?,
                event_type: self.event_type,
                timestamp: self.timestamp,
                session_id: self.session_id,
                actor_type: ActorType::parse(&self.actor_type)?,
                actor_id: self.actor_id,
                content: self.content,
                metadata: self
                    .metadata
                    .as_deref()
                    .map(serde_json::from_str)
                    .transpose()?,
                git_commit: self.git_commit,
            },
            seq: self.seq,
            namespace: self.namespace,
            created_at: self.created_at,
            recorded_at: self.recorded_at,
        })
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = state_transitions)]
pub(super) struct TransitionRow {
    seq: i64,
    namespace: String,
    id: String,
    agent_id: String,
    state_before: String,
    state_before_codec: i64,
    state_after: String,
    state_after_codec: i64,
    reason: Option<String>,
    timestamp: i64,
    metadata: Option<String>,
    recorded_at: i64,
}

impl TransitionRow {
    pub(super) fn decode(self) -> Result<TransitionRecord> {
        Ok(TransitionRecord {
            transition: Transition {
                agent_id: self.agent_id,
                state_before: decode_body(self.state_before_codec, self.state_before.into_bytes())?,
                state_after: decode_body(self.state_after_codec, self.state_after.into_bytes())?,
                reason: self.reason,
                metadata: self
                    .metadata
                    .as_deref()
                    .map(serde_json::from_str)
                    .transpose()?,
            },
            id: Uuid::parse_str(&self.id)?,
            timestamp: self.timestamp,
            seq: self.seq,
            namespace: self.namespace,
            recorded_at: self.recorded_at,
        })
    }
}
