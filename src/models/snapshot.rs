//! Snapshots of agent states.

use diesel::prelude::*;
use serde::Serialize;
use serde_json::Value;

use super::body::{STATE_DATA, StoredBody};
use super::stored::{Place, StoredInteger, StoredJson, StoredRow, StoredText};
use super::{Bounded, Scope};
use crate::clock::new_id;
use crate::error::StateStoreError;
use crate::numbers::{Revision, Seq};
use crate::page::{Listed, OmittedRow, TimeRange};
use crate::schema::state_snapshots;

/// A whole state of an agent to go back to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SnapshotRecord {
    /// Its id, made by the store (UUIDv7).
    pub id: String,
    /// The agent.
    pub agent_id: String,
    /// The agent's name then.
    pub name: String,
    /// The agent's status then.
    pub status: String,
    /// The agent's metadata then.
    pub metadata: Value,
    /// The agent's state then.
    pub state_data: String,
    /// The format version of the state.
    pub version: i64,
    /// What the caller said of it.
    pub description: Option<String>,
    /// When it was made, in Unix seconds of the store's clock.
    pub created_at: i64,
    /// The first Unix second at which it no longer counts; `None` for never.
    pub expires_at: Option<i64>,
    /// Its place in the order of all snapshots.
    pub seq: Seq,
    /// The prefix.
    pub namespace: String,
    /// Which write of the row this is.
    pub revision: Revision,
    /// When the store wrote the row, in microseconds since the Unix epoch.
    pub recorded_at: i64,
}

/// What a snapshot is to say of itself.
///
/// ```
/// use descartes_state::SnapshotOptions;
///
/// let options = SnapshotOptions::default().description("before the upgrade").expires_at(1_800_000_000);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotOptions {
    pub(crate) description: Option<String>,
    pub(crate) expires_at: Option<i64>,
}

impl SnapshotOptions {
    /// Sets a description (at most 64 KiB).
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Sets the first Unix second at which the snapshot no longer counts: it isn't listed, can't be restored, and goes at
    /// the next `purge_expired`.
    #[must_use]
    pub fn expires_at(mut self, seconds: i64) -> Self {
        self.expires_at = Some(seconds);
        self
    }
}

/// Which snapshots a list holds; by default all that haven't expired.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotFilter {
    pub(crate) agent_id: Option<String>,
    pub(crate) created: TimeRange,
    pub(crate) include_expired: bool,
}

impl SnapshotFilter {
    /// Picks only this agent's.
    #[must_use]
    pub fn agent(mut self, agent_id: impl Into<String>) -> Self {
        self.agent_id = Some(agent_id.into());
        self
    }

    /// Picks only those whose `created_at` is in the range.
    #[must_use]
    pub fn created(mut self, range: TimeRange) -> Self {
        self.created = range;
        self
    }

    /// Picks expired snapshots too.
    #[must_use]
    pub fn include_expired(mut self) -> Self {
        self.include_expired = true;
        self
    }
}

impl Bounded for SnapshotFilter {
    fn is_bounded(&self) -> bool {
        // Those that have expired lie in the way until they are purged.
        !self.created.is_limited()
    }
}

/// A snapshot to be made of whatever state the agent has, checked.
#[derive(Debug, Clone)]
pub(crate) struct NewSnapshot {
    pub(crate) id: String,
    pub(crate) agent_id: String,
    pub(crate) agent_key: String,
    pub(crate) description: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) expires_at: Option<i64>,
    pub(crate) recorded_at: i64,
}

impl NewSnapshot {
    pub(crate) fn prepare(
        scope: &Scope,
        agent_id: &str,
        options: &SnapshotOptions,
    ) -> Result<Self, StateStoreError> {
        let agent_id = scope.limits.id("agent_id", agent_id)?;
        let description = options.description.as_deref();
        let now = scope.clock.now();
        Ok(Self {
            id: new_id().to_string(),
            agent_id: agent_id.to_owned(),
            agent_key: scope.namespace.key(agent_id),
            description: scope.limits.optional_text("description", description)?,
            created_at: now.seconds,
            expires_at: options.expires_at,
            recorded_at: now.micros,
        })
    }
}

/// What an update writes: both columns, whole.
#[derive(Debug, Clone, AsChangeset)]
#[diesel(table_name = state_snapshots, treat_none_as_null = true)]
pub(crate) struct SnapshotChange {
    pub(super) description: Option<String>,
    expires_at: Option<i64>,
    recorded_at: i64,
}

impl SnapshotChange {
    pub(crate) fn prepare(
        scope: &Scope,
        options: &SnapshotOptions,
    ) -> Result<Self, StateStoreError> {
        let description = options.description.as_deref();
        Ok(Self {
            description: scope.limits.optional_text("description", description)?,
            expires_at: options.expires_at,
            recorded_at: scope.clock.now().micros,
        })
    }
}

/// A row of `state_snapshots`.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = state_snapshots)]
pub(crate) struct SnapshotRow {
    seq: StoredInteger,
    id: StoredText,
    agent_id: StoredText,
    name: StoredText,
    status: StoredText,
    metadata: StoredJson,
    state_data: StoredBody,
    state_data_codec: StoredInteger,
    version: StoredInteger,
    description: Option<StoredText>,
    created_at: StoredInteger,
    expires_at: Option<StoredInteger>,
    revision: StoredInteger,
    recorded_at: StoredInteger,
}

impl StoredRow for SnapshotRow {
    fn bytes(&self) -> usize {
        let description = self.description.as_ref().map_or(0, StoredText::len);
        let small = self.name.len() + self.metadata.len() + description;
        self.state_data.len().saturating_add(small)
    }
}

impl SnapshotRow {
    pub(crate) fn decode(self, scope: &Scope) -> Result<SnapshotRecord, StateStoreError> {
        self.list(scope)?.shown()
    }

    /// Decodes a row of a list, which shows the others where this one is too large.
    pub(crate) fn list(self, scope: &Scope) -> Result<Listed<SnapshotRecord>, StateStoreError> {
        let id = self.id.key("state_snapshots", "id")?;
        let place = Place::new("state_snapshots", &id);
        let ceiling = scope.limits.decompressed_bytes();
        let seq = self.seq.integer(place, "seq")?.into();
        let body = self
            .state_data
            .state(self.state_data_codec, ceiling, place, STATE_DATA);
        let state_data = match body {
            Ok((text, _)) => text,
            Err(error) => {
                return OmittedRow::of(|| Ok(id.clone()), error)
                    .map(|row| Listed::Omitted(row, seq));
            }
        };
        Ok(Listed::Shown(SnapshotRecord {
            agent_id: self.agent_id.text(place, "agent_id")?,
            name: self.name.text(place, "name")?,
            status: self.status.text(place, "status")?,
            metadata: self.metadata.json(place, "metadata")?,
            state_data,
            version: self.version.integer(place, "version")?,
            description: place.optional(self.description, "description", StoredText::text)?,
            created_at: self.created_at.integer(place, "created_at")?,
            expires_at: place.optional(self.expires_at, "expires_at", StoredInteger::integer)?,
            seq,
            namespace: scope.namespace.as_str().to_owned(),
            revision: self.revision.integer(place, "revision")?.into(),
            recorded_at: self.recorded_at.integer(place, "recorded_at")?,
            id: id.clone(),
        }))
    }
}

/// What a list of snapshots shows without their states.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = state_snapshots)]
pub(crate) struct SnapshotSummary {
    id: StoredText,
    description: Option<StoredText>,
    created_at: StoredInteger,
}

impl StoredRow for SnapshotSummary {
    fn bytes(&self) -> usize {
        self.description.as_ref().map_or(0, StoredText::len)
    }
}

impl SnapshotSummary {
    pub(crate) fn decode(self) -> Result<(String, Option<String>, i64), StateStoreError> {
        let id = self.id.key("state_snapshots", "id")?;
        let place = Place::new("state_snapshots", &id);
        Ok((
            id.clone(),
            place.optional(self.description, "description", StoredText::text)?,
            self.created_at.integer(place, "created_at")?,
        ))
    }
}
