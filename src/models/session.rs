//! Sessions.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::stored::{
    Place, StoredEnum, StoredFlag, StoredInteger, StoredJson, StoredRow, StoredText,
};
use super::{Bounded, Scope, SessionStatus};
use crate::error::StateStoreError;
use crate::numbers::{Revision, Seq};
use crate::page::TimeRange;
use crate::schema::sessions;

/// One stretch of work of an agent.
///
/// ```
/// use descartes_state::Session;
///
/// let session = Session::new("session_001", "agent_001").metadata(serde_json::json!({ "host": "a" }));
/// assert_eq!(session.status.as_str(), "active");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Session {
    /// Its id, unique within the prefix (512 bytes).
    pub id: String,
    /// The agent, which need not exist (512 bytes).
    pub agent_id: String,
    /// When it began, in Unix seconds. Where the caller leaves it out, a new session begins now, by the store's clock, and
    /// one that is saved again keeps the time that is stored.
    pub started_at: Option<i64>,
    /// When it ended, in Unix seconds; `None` while it is under way.
    pub ended_at: Option<i64>,
    /// What has become of it.
    pub status: SessionStatus,
    /// Anything, as JSON (1 MiB, 100 levels).
    pub metadata: Option<Value>,
}

impl Session {
    /// Describes a session of this agent, active, to begin when it is started.
    #[must_use]
    pub fn new(id: impl Into<String>, agent_id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            agent_id: agent_id.into(),
            started_at: None,
            ended_at: None,
            status: SessionStatus::Active,
            metadata: None,
        }
    }

    /// Sets when it began, in Unix seconds, for a session that began earlier.
    #[must_use]
    pub fn started_at(mut self, seconds: i64) -> Self {
        self.started_at = Some(seconds);
        self
    }

    /// Sets its metadata: anything, as JSON.
    #[must_use]
    pub fn metadata(mut self, metadata: Value) -> Self {
        self.metadata = Some(metadata);
        self
    }
}

/// A session as it is stored, with what the store keeps beside it.
///
/// To change and save it again, make a [`Session`] of it: `Session::from(record)`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SessionRecord {
    /// Its id.
    pub id: String,
    /// The agent.
    pub agent_id: String,
    /// When it began, in Unix seconds.
    pub started_at: i64,
    /// When it ended, in Unix seconds; `None` while it is under way.
    pub ended_at: Option<i64>,
    /// What has become of it.
    pub status: SessionStatus,
    /// Anything, as JSON.
    pub metadata: Option<Value>,
    /// Its place in the order in which sessions were first started.
    pub seq: Seq,
    /// The prefix.
    pub namespace: String,
    /// When the row was first written, in Unix seconds of the store's clock.
    pub created_at: i64,
    /// When the session was last started, touched or ended, in Unix seconds of the store's clock.
    pub updated_at: i64,
    /// Which write of the row this is.
    pub revision: Revision,
    /// When the store wrote the row, in microseconds since the Unix epoch.
    pub recorded_at: i64,
    /// Whether the session is soft-deleted.
    pub is_deleted: bool,
}

impl From<SessionRecord> for Session {
    fn from(record: SessionRecord) -> Self {
        Self {
            id: record.id,
            agent_id: record.agent_id,
            started_at: Some(record.started_at),
            ended_at: record.ended_at,
            status: record.status,
            metadata: record.metadata,
        }
    }
}

/// Which sessions a list holds; by default all that aren't deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionFilter {
    pub(crate) agent_id: Option<String>,
    pub(crate) status: Option<SessionStatus>,
    pub(crate) started: TimeRange,
    pub(crate) include_deleted: bool,
}

impl SessionFilter {
    /// Picks only this agent's.
    #[must_use]
    pub fn agent(mut self, agent_id: impl Into<String>) -> Self {
        self.agent_id = Some(agent_id.into());
        self
    }

    /// Picks only sessions with this status.
    #[must_use]
    pub fn status(mut self, status: SessionStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// Picks only sessions whose `started_at` is in the range.
    #[must_use]
    pub fn started(mut self, range: TimeRange) -> Self {
        self.started = range;
        self
    }

    /// Picks soft-deleted sessions too.
    #[must_use]
    pub fn include_deleted(mut self) -> Self {
        self.include_deleted = true;
        self
    }
}

impl Bounded for SessionFilter {
    fn is_bounded(&self) -> bool {
        // By status and agent the indexes have only sessions that aren't deleted. Without either, those that are lie in the way.
        let is_chosen = self.status.is_some() || self.agent_id.is_some();
        !(self.started.is_limited() || self.include_deleted && is_chosen)
    }
}

/// A session on its way in, checked.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = sessions, treat_none_as_default_value = false)]
pub(crate) struct NewSession {
    pub(crate) namespace: String,
    pub(crate) id: String,
    pub(crate) agent_id: String,
    pub(crate) started_at: i64,
    /// As the caller wrote it.
    #[diesel(skip_insertion)]
    pub(crate) given_start: Option<i64>,
    pub(crate) ended_at: Option<i64>,
    pub(crate) status: SessionStatus,
    pub(crate) metadata: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) recorded_at: i64,
}

impl NewSession {
    pub(crate) fn prepare(scope: &Scope, session: &Session) -> Result<Self, StateStoreError> {
        let limits = &scope.limits;
        let now = scope.clock.now();
        if session.status.is_final() != session.ended_at.is_some() {
            return Err(StateStoreError::invalid(
                "session",
                format!(
                    "it is {} and its ended_at is {:?}: a session has an end when, and only when, it is over",
                    session.status, session.ended_at
                ),
            ));
        }
        Ok(Self {
            namespace: scope.namespace.as_str().to_owned(),
            id: limits.id("session_id", &session.id)?.to_owned(),
            agent_id: limits.id("agent_id", &session.agent_id)?.to_owned(),
            started_at: session.started_at.unwrap_or(now.seconds),
            given_start: session.started_at,
            ended_at: session.ended_at,
            status: session.status,
            metadata: limits.optional_metadata(session.metadata.as_ref())?,
            created_at: now.seconds,
            updated_at: now.seconds,
            recorded_at: now.micros,
        })
    }
}

/// A row of `sessions`. Its namespace is that of the query.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = sessions)]
pub(crate) struct SessionRow {
    seq: StoredInteger,
    id: StoredText,
    agent_id: StoredText,
    started_at: StoredInteger,
    ended_at: Option<StoredInteger>,
    status: StoredEnum<SessionStatus>,
    metadata: Option<StoredJson>,
    created_at: StoredInteger,
    updated_at: StoredInteger,
    is_deleted: StoredFlag,
    revision: StoredInteger,
    recorded_at: StoredInteger,
}

impl StoredRow for SessionRow {
    fn bytes(&self) -> usize {
        self.metadata.as_ref().map_or(0, StoredJson::len)
    }
}

impl SessionRow {
    pub(crate) fn decode(self, scope: &Scope) -> Result<SessionRecord, StateStoreError> {
        let id = self.id.key("sessions", "id")?;
        let place = Place::new("sessions", &id);
        Ok(SessionRecord {
            agent_id: self.agent_id.text(place, "agent_id")?,
            started_at: self.started_at.integer(place, "started_at")?,
            ended_at: place.optional(self.ended_at, "ended_at", StoredInteger::integer)?,
            status: self.status.parse(place, "status")?,
            metadata: place.optional(self.metadata, "metadata", StoredJson::json)?,
            seq: self.seq.integer(place, "seq")?.into(),
            namespace: scope.namespace.as_str().to_owned(),
            created_at: self.created_at.integer(place, "created_at")?,
            updated_at: self.updated_at.integer(place, "updated_at")?,
            revision: self.revision.integer(place, "revision")?.into(),
            recorded_at: self.recorded_at.integer(place, "recorded_at")?,
            is_deleted: self.is_deleted.flag(place, "is_deleted")?,
            id: id.clone(),
        })
    }
}
