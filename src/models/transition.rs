//! State transitions.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::body::{Body, STATE_AFTER, STATE_BEFORE, StoredBody};
use super::stored::{Place, StoredId, StoredInteger, StoredJson, StoredRow, StoredText, is_json};
use super::{Bounded, Scope};
use crate::clock::new_id;
use crate::error::StateStoreError;
use crate::numbers::Seq;
use crate::page::{Listed, OmittedRow, TimeRange};
use crate::schema::state_transitions;

const TABLE: &str = "state_transitions";

/// A change of an agent's state, as it was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StateTransition {
    /// Its id, made by the store (UUIDv7).
    pub id: Uuid,
    /// The agent, which need not exist.
    pub agent_id: String,
    /// The state before.
    pub state_before: String,
    /// The state after.
    pub state_after: String,
    /// Why.
    pub reason: Option<String>,
    /// When it was recorded, in Unix seconds of the store's clock.
    pub timestamp: i64,
    /// Anything, as JSON.
    pub metadata: Option<Value>,
}

/// A transition with what the store keeps beside it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TransitionRecord {
    /// The transition.
    #[serde(flatten)]
    pub transition: StateTransition,
    /// Its place in the order of all transitions.
    pub seq: Seq,
    /// The prefix.
    pub namespace: String,
    /// When the store wrote the row, in microseconds since the Unix epoch.
    pub recorded_at: i64,
}

/// A transition to be recorded.
///
/// ```
/// use descartes_state::TransitionDraft;
///
/// let draft = TransitionDraft::new("agent_001", "idle", "running")
///     .reason("User initiated execution")
///     .metadata(serde_json::json!({ "by": "alice" }));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TransitionDraft {
    pub(crate) id: Option<Uuid>,
    pub(crate) agent_id: String,
    pub(crate) state_before: String,
    pub(crate) state_after: String,
    pub(crate) reason: Option<String>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) metadata: Option<Value>,
}

impl TransitionDraft {
    /// Describes a transition of this agent (512 bytes) between these states (64 MiB each).
    #[must_use]
    pub fn new(
        agent_id: impl Into<String>,
        state_before: impl Into<String>,
        state_after: impl Into<String>,
    ) -> Self {
        Self {
            id: None,
            agent_id: agent_id.into(),
            state_before: state_before.into(),
            state_after: state_after.into(),
            reason: None,
            timestamp: None,
            metadata: None,
        }
    }

    /// Sets its id (a new one). A draft with an id may be recorded again, as after an unknown outcome: one that is stored
    /// already, and says the same, is left as it is.
    #[must_use]
    pub fn id(mut self, id: Uuid) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets when it happened, in Unix seconds (when it is recorded).
    #[must_use]
    pub fn timestamp(mut self, seconds: i64) -> Self {
        self.timestamp = Some(seconds);
        self
    }

    /// Sets why (at most 64 KiB).
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Sets its metadata: anything, as JSON (at most 1 MiB, 100 levels).
    #[must_use]
    pub fn metadata(mut self, metadata: Value) -> Self {
        self.metadata = Some(metadata);
        self
    }
}

/// Which transitions a list holds; by default all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransitionFilter {
    pub(crate) agent_id: Option<String>,
    pub(crate) time: TimeRange,
}

impl TransitionFilter {
    /// Picks only this agent's.
    #[must_use]
    pub fn agent(mut self, agent_id: impl Into<String>) -> Self {
        self.agent_id = Some(agent_id.into());
        self
    }

    /// Picks only those whose `timestamp` is in the range.
    #[must_use]
    pub fn time(mut self, range: TimeRange) -> Self {
        self.time = range;
        self
    }
}

impl Bounded for TransitionFilter {
    fn is_bounded(&self) -> bool {
        !self.time.is_limited()
    }
}

/// A transition on its way in, checked and encoded.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = state_transitions, treat_none_as_default_value = false)]
pub(crate) struct NewTransition {
    pub(crate) namespace: String,
    pub(crate) id: String,
    pub(crate) agent_id: String,
    pub(crate) state_before: Body,
    pub(crate) state_before_codec: i64,
    pub(crate) state_after: Body,
    pub(crate) state_after_codec: i64,
    pub(crate) reason: Option<String>,
    pub(crate) timestamp: i64,
    pub(crate) metadata: Option<String>,
    pub(crate) recorded_at: i64,
    /// Whether the caller gave it its id, and its time.
    #[diesel(skip_insertion)]
    pub(crate) has_given_id: bool,
    #[diesel(skip_insertion)]
    pub(crate) has_given_time: bool,
}

impl NewTransition {
    pub(crate) fn prepare(scope: &Scope, draft: &TransitionDraft) -> Result<Self, StateStoreError> {
        let limits = &scope.limits;
        let agent_id = limits.id("agent_id", &draft.agent_id)?;
        let encode =
            |field, state: &str| scope.compression.encode(field, limits.state(field, state)?);
        let before = encode("state_before", &draft.state_before)?;
        let after = encode("state_after", &draft.state_after)?;
        let reason = draft.reason.as_deref();
        let now = scope.clock.now();
        Ok(Self {
            namespace: scope.namespace.as_str().to_owned(),
            id: draft.id.unwrap_or_else(new_id).to_string(),
            has_given_id: draft.id.is_some(),
            has_given_time: draft.timestamp.is_some(),
            agent_id: agent_id.to_owned(),
            state_before_codec: before.codec().number(),
            state_before: Body(before),
            state_after_codec: after.codec().number(),
            state_after: Body(after),
            reason: limits.optional_text("reason", reason)?,
            timestamp: draft.timestamp.unwrap_or(now.seconds),
            metadata: limits.optional_metadata(draft.metadata.as_ref())?,
            recorded_at: now.micros,
        })
    }

    /// Returns whether a stored transition says the same as this one.
    pub(crate) fn says_the_same_as(&self, stored: &StateTransition) -> bool {
        self.agent_id == stored.agent_id
            && self.state_before.is_text(&stored.state_before)
            && self.state_after.is_text(&stored.state_after)
            && self.reason == stored.reason
            && (!self.has_given_time || self.timestamp == stored.timestamp)
            && is_json(self.metadata.as_deref(), stored.metadata.as_ref())
    }
}

/// The guide's fields of a row of `state_transitions`.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = state_transitions)]
pub(crate) struct StateTransitionRow {
    id: StoredId,
    agent_id: StoredText,
    state_before: StoredBody,
    state_before_codec: StoredInteger,
    state_after: StoredBody,
    state_after_codec: StoredInteger,
    reason: Option<StoredText>,
    timestamp: StoredInteger,
    metadata: Option<StoredJson>,
}

impl StoredRow for StateTransitionRow {
    fn bytes(&self) -> usize {
        let states = self
            .state_before
            .len()
            .saturating_add(self.state_after.len());
        let reason = self.reason.as_ref().map_or(0, StoredText::len);
        let metadata = self.metadata.as_ref().map_or(0, StoredJson::len);
        states.saturating_add(reason + metadata)
    }
}

impl StateTransitionRow {
    /// Decodes a row of a list, which shows the others where this one is too large.
    pub(crate) fn list(self, scope: &Scope) -> Result<Listed<StateTransition>, StateStoreError> {
        Ok(match self.decode(scope)? {
            (Ok(transition), _) => Listed::Shown(transition),
            (Err(omitted), _) => Listed::Omitted(omitted, Seq::from(0)),
        })
    }

    /// Returns the transition, or what is too large in it; and which row it is.
    fn decode(
        self,
        scope: &Scope,
    ) -> Result<(Result<StateTransition, OmittedRow>, Place<'static>), StateStoreError> {
        let (id, place) = self.id.id(TABLE, "id")?;
        let ceiling = scope.limits.decompressed_bytes();
        let state = |body: StoredBody, codec, columns| {
            body.state(codec, ceiling, place, columns)
                .map(|(text, _)| text)
        };
        let states =
            state(self.state_before, self.state_before_codec, STATE_BEFORE).and_then(|before| {
                Ok((
                    before,
                    state(self.state_after, self.state_after_codec, STATE_AFTER)?,
                ))
            });
        let (state_before, state_after) = match states {
            Ok(states) => states,
            Err(error) => {
                let omitted = OmittedRow::of(|| Ok(id.to_string()), error)?;
                return Ok((Err(omitted), place));
            }
        };
        let transition = StateTransition {
            id,
            agent_id: self.agent_id.text(place, "agent_id")?,
            state_before,
            state_after,
            reason: place.optional(self.reason, "reason", StoredText::text)?,
            timestamp: self.timestamp.integer(place, "timestamp")?,
            metadata: place.optional(self.metadata, "metadata", StoredJson::json)?,
        };
        Ok((Ok(transition), place))
    }
}

/// A row of `state_transitions`. Its namespace is that of the query.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = state_transitions)]
pub(crate) struct TransitionRow {
    seq: StoredInteger,
    #[diesel(embed)]
    transition: StateTransitionRow,
    recorded_at: StoredInteger,
}

impl StoredRow for TransitionRow {
    fn bytes(&self) -> usize {
        self.transition.bytes()
    }
}

impl TransitionRow {
    pub(crate) fn decode(self, scope: &Scope) -> Result<TransitionRecord, StateStoreError> {
        self.list(scope)?.shown()
    }

    /// Decodes a row of a list, which shows the others where this one is too large.
    pub(crate) fn list(self, scope: &Scope) -> Result<Listed<TransitionRecord>, StateStoreError> {
        let (transition, place) = self.transition.decode(scope)?;
        let seq = self.seq.integer(place, "seq")?.into();
        let transition = match transition {
            Ok(transition) => transition,
            Err(omitted) => return Ok(Listed::Omitted(omitted, seq)),
        };
        Ok(Listed::Shown(TransitionRecord {
            transition,
            seq,
            namespace: scope.namespace.as_str().to_owned(),
            recorded_at: self.recorded_at.integer(place, "recorded_at")?,
        }))
    }
}
