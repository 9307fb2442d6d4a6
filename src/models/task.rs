//! Tasks.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::stored::{
    Place, StoredEnum, StoredFlag, StoredId, StoredInteger, StoredJson, StoredRow, StoredText,
};
use super::{Bounded, Scope, TaskStatus};
use crate::error::StateStoreError;
use crate::numbers::{Revision, Seq};
use crate::page::TimeRange;
use crate::schema::tasks;

/// A piece of work.
///
/// These are exactly the guide's fields, for ever; build it as a struct literal. What the store adds is in
/// [`TaskRecord`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its id, unique within the prefix.
    pub id: Uuid,
    /// What is to be done (64 KiB).
    pub title: String,
    /// More about it (64 KiB).
    pub description: Option<String>,
    /// What has become of it.
    pub status: TaskStatus,
    /// The agent that does it, which need not exist (512 bytes).
    pub assigned_to: Option<String>,
    /// When it was made, in Unix seconds. An update keeps the stored time.
    pub created_at: i64,
    /// When this form of it was made, in Unix seconds.
    pub updated_at: i64,
    /// Anything, as JSON (1 MiB, 100 levels).
    pub metadata: Option<Value>,
}

/// A task with what the store keeps beside it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TaskRecord {
    /// The task.
    #[serde(flatten)]
    pub task: Task,
    /// Its place in the order in which tasks were first saved.
    pub seq: Seq,
    /// The prefix.
    pub namespace: String,
    /// Which write of the row this is.
    pub revision: Revision,
    /// When the store wrote the row, in microseconds since the Unix epoch.
    pub recorded_at: i64,
    /// Whether the task is soft-deleted.
    pub is_deleted: bool,
}

/// Which tasks a list holds; by default all that aren't deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskFilter {
    pub(crate) status: Option<TaskStatus>,
    pub(crate) assigned_to: Option<String>,
    pub(crate) updated: TimeRange,
    pub(crate) include_deleted: bool,
}

impl TaskFilter {
    /// Picks only tasks with this status.
    #[must_use]
    pub fn status(mut self, status: TaskStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// Picks only tasks of this agent.
    #[must_use]
    pub fn assigned_to(mut self, agent_id: impl Into<String>) -> Self {
        self.assigned_to = Some(agent_id.into());
        self
    }

    /// Picks only tasks whose `updated_at` is in the range.
    #[must_use]
    pub fn updated(mut self, range: TimeRange) -> Self {
        self.updated = range;
        self
    }

    /// Picks soft-deleted tasks too.
    #[must_use]
    pub fn include_deleted(mut self) -> Self {
        self.include_deleted = true;
        self
    }
}

impl Bounded for TaskFilter {
    fn is_bounded(&self) -> bool {
        // By status and agent the indexes have only tasks that aren't deleted. Without either, those that are lie in the way.
        let is_chosen = self.status.is_some() || self.assigned_to.is_some();
        !(self.updated.is_limited() || self.include_deleted && is_chosen)
    }
}

/// A task on its way in, checked.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = tasks, treat_none_as_default_value = false)]
pub(crate) struct NewTask {
    pub(crate) namespace: String,
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) description: Option<String>,
    pub(crate) status: TaskStatus,
    pub(crate) assigned_to: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) metadata: Option<String>,
    pub(crate) recorded_at: i64,
}

impl NewTask {
    pub(crate) fn prepare(scope: &Scope, task: &Task) -> Result<Self, StateStoreError> {
        let limits = &scope.limits;
        Ok(Self {
            namespace: scope.namespace.as_str().to_owned(),
            id: task.id.to_string(),
            title: limits.text("title", &task.title)?.to_owned(),
            description: limits.optional_text("description", task.description.as_deref())?,
            status: task.status,
            assigned_to: limits.optional_id("assigned_to", task.assigned_to.as_deref())?,
            created_at: task.created_at,
            updated_at: task.updated_at,
            metadata: limits.optional_metadata(task.metadata.as_ref())?,
            recorded_at: scope.clock.now().micros,
        })
    }
}

/// The guide's fields of a row of `tasks`.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = tasks)]
pub(crate) struct GuideTaskRow {
    id: StoredId,
    title: StoredText,
    description: Option<StoredText>,
    status: StoredEnum<TaskStatus>,
    assigned_to: Option<StoredText>,
    created_at: StoredInteger,
    updated_at: StoredInteger,
    metadata: Option<StoredJson>,
}

impl StoredRow for GuideTaskRow {
    fn bytes(&self) -> usize {
        self.title.len()
            + self.description.as_ref().map_or(0, StoredText::len)
            + self.metadata.as_ref().map_or(0, StoredJson::len)
    }
}

impl GuideTaskRow {
    pub(crate) fn decode(self) -> Result<Task, StateStoreError> {
        self.decode_in_place().map(|(task, _)| task)
    }

    fn decode_in_place(self) -> Result<(Task, Place<'static>), StateStoreError> {
        let (id, place) = self.id.id("tasks", "id")?;
        let task = Task {
            id,
            title: self.title.text(place, "title")?,
            description: place.optional(self.description, "description", StoredText::text)?,
            status: self.status.parse(place, "status")?,
            assigned_to: place.optional(self.assigned_to, "assigned_to", StoredText::text)?,
            created_at: self.created_at.integer(place, "created_at")?,
            updated_at: self.updated_at.integer(place, "updated_at")?,
            metadata: place.optional(self.metadata, "metadata", StoredJson::json)?,
        };
        Ok((task, place))
    }
}

/// A row of `tasks`. Its namespace is that of the query.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = tasks)]
pub(crate) struct TaskRow {
    seq: StoredInteger,
    #[diesel(embed)]
    task: GuideTaskRow,
    is_deleted: StoredFlag,
    revision: StoredInteger,
    recorded_at: StoredInteger,
}

impl StoredRow for TaskRow {
    fn bytes(&self) -> usize {
        self.task.bytes()
    }
}

impl TaskRow {
    pub(crate) fn decode(self, scope: &Scope) -> Result<TaskRecord, StateStoreError> {
        let (task, place) = self.task.decode_in_place()?;
        Ok(TaskRecord {
            task,
            seq: self.seq.integer(place, "seq")?.into(),
            namespace: scope.namespace.as_str().to_owned(),
            revision: self.revision.integer(place, "revision")?.into(),
            recorded_at: self.recorded_at.integer(place, "recorded_at")?,
            is_deleted: self.is_deleted.flag(place, "is_deleted")?,
        })
    }
}
