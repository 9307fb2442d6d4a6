//! Agent states.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::body::{Body, STATE_DATA, StoredBody};
use super::stored::{Place, StoredFlag, StoredInteger, StoredJson, StoredRow, StoredText};
use super::{Bounded, Scope};
use crate::codec::Codec;
use crate::error::StateStoreError;
use crate::numbers::{Revision, Seq};
use crate::page::{Listed, OmittedRow, TimeRange};
use crate::schema::agent_states;

const TABLE: &str = "agent_states";

/// The state of an agent, as the application sees it.
///
/// These are exactly the guide's fields, for ever; build it as a struct literal. What the store adds is in
/// [`AgentRecord`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentState {
    /// The agent's id, unique within the prefix (512 bytes).
    pub agent_id: String,
    /// A name to show (64 KiB).
    pub name: String,
    /// What the agent is doing: any word, such as `idle`, `running`, `paused` (512 bytes).
    pub status: String,
    /// Anything, as JSON (1 MiB, 100 levels).
    pub metadata: Value,
    /// The serialized state: any text (64 MiB).
    pub state_data: String,
    /// When the agent was made, in Unix seconds. An update keeps the stored time.
    pub created_at: i64,
    /// When this state was made, in Unix seconds.
    pub updated_at: i64,
    /// The application's own format version of `state_data`, stored as it is.
    pub version: i64,
}

/// An agent's state with what the store keeps beside it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AgentRecord {
    /// The state.
    #[serde(flatten)]
    pub state: AgentState,
    /// `prefix:agent_id`, or the bare id without a prefix.
    pub key: String,
    /// The prefix.
    pub namespace: String,
    /// Which write of the row this is.
    pub revision: Revision,
    /// When the store wrote the row, in microseconds since the Unix epoch.
    pub recorded_at: i64,
    /// Whether the agent is soft-deleted.
    pub is_deleted: bool,
    /// How the state is stored.
    #[serde(serialize_with = "codec_name")]
    pub codec: Codec,
}

fn codec_name<S: serde::Serializer>(codec: &Codec, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(codec.as_str())
}

/// Which agents a list holds; by default all that aren't deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentFilter {
    pub(crate) status: Option<String>,
    pub(crate) updated: TimeRange,
    pub(crate) include_deleted: bool,
}

impl AgentFilter {
    /// Picks only agents with this status.
    #[must_use]
    pub fn status(mut self, status: impl Into<String>) -> Self {
        self.status = Some(status.into());
        self
    }

    /// Picks only agents whose `updated_at` is in the range.
    #[must_use]
    pub fn updated(mut self, range: TimeRange) -> Self {
        self.updated = range;
        self
    }

    /// Picks soft-deleted agents too.
    #[must_use]
    pub fn include_deleted(mut self) -> Self {
        self.include_deleted = true;
        self
    }
}

impl Bounded for AgentFilter {
    fn is_bounded(&self) -> bool {
        // By status the index has only agents that aren't deleted. Without one, those that are deleted lie in the way.
        !(self.updated.is_limited() || self.include_deleted && self.status.is_some())
    }
}

/// A state on its way in, checked and encoded.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = agent_states)]
pub(crate) struct NewAgent {
    pub(crate) key: String,
    pub(crate) namespace: String,
    pub(crate) agent_id: String,
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) metadata: String,
    pub(crate) state_data: Body,
    pub(crate) state_data_codec: i64,
    pub(crate) version: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) recorded_at: i64,
}

/// The checked id of an agent that is to be loaded.
#[derive(Debug, Clone)]
pub(crate) struct AgentId(String);

impl AgentId {
    pub(crate) fn prepare(scope: &Scope, agent_id: &str) -> Result<Self, StateStoreError> {
        let id = scope.limits.id("agent_id", agent_id)?;
        Ok(Self(id.to_owned()))
    }
}

impl std::ops::Deref for AgentId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl NewAgent {
    pub(crate) fn prepare(scope: &Scope, state: &AgentState) -> Result<Self, StateStoreError> {
        let limits = &scope.limits;
        let agent_id = limits.id("agent_id", &state.agent_id)?;
        let state_data = limits.state("state_data", &state.state_data)?;
        let encoded = scope.compression.encode("state_data", state_data)?;
        Ok(Self {
            key: scope.namespace.key(agent_id),
            namespace: scope.namespace.as_str().to_owned(),
            agent_id: agent_id.to_owned(),
            name: limits.text("name", &state.name)?.to_owned(),
            status: limits.id("status", &state.status)?.to_owned(),
            metadata: limits.metadata(&state.metadata)?,
            state_data_codec: encoded.codec().number(),
            state_data: Body(encoded),
            version: state.version,
            created_at: state.created_at,
            updated_at: state.updated_at,
            recorded_at: scope.clock.now().micros,
        })
    }
}

/// The guide's fields of a row of `agent_states`: nothing is read that nobody gets.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = agent_states)]
pub(crate) struct AgentStateRow {
    agent_id: StoredText,
    name: StoredText,
    status: StoredText,
    metadata: StoredJson,
    state_data: StoredBody,
    state_data_codec: StoredInteger,
    version: StoredInteger,
    created_at: StoredInteger,
    updated_at: StoredInteger,
}

impl StoredRow for AgentStateRow {
    fn bytes(&self) -> usize {
        let small = self.name.len() + self.metadata.len();
        self.state_data.len().saturating_add(small)
    }
}

impl AgentStateRow {
    /// Decodes a row of a list, which shows the others where this one is too large.
    pub(crate) fn list(self, scope: &Scope) -> Result<Listed<AgentState>, StateStoreError> {
        Ok(match self.decode(scope, None)? {
            Ok((state, _)) => Listed::Shown(state),
            Err(omitted) => Listed::Omitted(omitted, Seq::from(0)),
        })
    }

    /// Returns the state and how it is stored, or what is too large in it. `key` is the row's, where that was read.
    fn decode(
        self,
        scope: &Scope,
        key: Option<&str>,
    ) -> Result<Result<(AgentState, Codec), OmittedRow>, StateStoreError> {
        let agent_id = match key {
            Some(key) => self.agent_id.text(Place::new(TABLE, key), "agent_id")?,
            None => self.agent_id.key(TABLE, "agent_id")?,
        };
        let place = match key {
            Some(key) => Place::new(TABLE, key),
            None => Place::of_agent(&scope.namespace, &agent_id),
        };
        let ceiling = scope.limits.decompressed_bytes();
        let body = self
            .state_data
            .state(self.state_data_codec, ceiling, place, STATE_DATA);
        let (state_data, codec) = match body {
            Ok(body) => body,
            Err(error) => return OmittedRow::of(|| Ok(agent_id), error).map(Err),
        };
        let name = self.name.text(place, "name")?;
        let status = self.status.text(place, "status")?;
        let metadata = self.metadata.json(place, "metadata")?;
        let version = self.version.integer(place, "version")?;
        let created_at = self.created_at.integer(place, "created_at")?;
        let updated_at = self.updated_at.integer(place, "updated_at")?;
        let state = AgentState {
            agent_id,
            name,
            status,
            metadata,
            state_data,
            created_at,
            updated_at,
            version,
        };
        Ok(Ok((state, codec)))
    }
}

/// The guide's fields of one agent's row, which may be deleted.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = agent_states)]
pub(crate) struct AgentStateByKeyRow {
    #[diesel(embed)]
    state: AgentStateRow,
    is_deleted: StoredFlag,
}

impl StoredRow for AgentStateByKeyRow {
    fn bytes(&self) -> usize {
        self.state.bytes()
    }
}

impl AgentStateByKeyRow {
    /// Returns the state; `None` where it is deleted.
    pub(crate) fn decode(
        self,
        scope: &Scope,
        key: &str,
    ) -> Result<Option<AgentState>, StateStoreError> {
        if self.is_deleted.flag(Place::new(TABLE, key), "is_deleted")? {
            return Ok(None);
        }
        match self.state.decode(scope, Some(key))? {
            Ok((state, _)) => Ok(Some(state)),
            Err(omitted) => Err(omitted.into_error()),
        }
    }
}

/// A row of `agent_states`. Its namespace is that of the query.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = agent_states)]
pub(crate) struct AgentRow {
    key: StoredText,
    #[diesel(embed)]
    state: AgentStateRow,
    is_deleted: StoredFlag,
    revision: StoredInteger,
    recorded_at: StoredInteger,
}

impl StoredRow for AgentRow {
    fn bytes(&self) -> usize {
        self.state.bytes()
    }
}

impl AgentRow {
    pub(crate) fn decode(self, scope: &Scope) -> Result<AgentRecord, StateStoreError> {
        self.list(scope)?.shown()
    }

    /// Decodes a row of a list, which shows the others where this one is too large.
    pub(crate) fn list(self, scope: &Scope) -> Result<Listed<AgentRecord>, StateStoreError> {
        let key = self.key.key(TABLE, "key")?;
        let (state, codec) = match self.state.decode(scope, Some(&key))? {
            Ok(decoded) => decoded,
            Err(omitted) => return Ok(Listed::Omitted(omitted, Seq::from(0))),
        };
        let place = Place::new(TABLE, &key);
        Ok(Listed::Shown(AgentRecord {
            state,
            namespace: scope.namespace.as_str().to_owned(),
            revision: self.revision.integer(place, "revision")?.into(),
            recorded_at: self.recorded_at.integer(place, "recorded_at")?,
            is_deleted: self.is_deleted.flag(place, "is_deleted")?,
            codec,
            key,
        }))
    }
}
