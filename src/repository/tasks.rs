//! Tasks.

use diesel::dsl::{And, Eq, case_when, not};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::Sqlite;
use uuid::Uuid;

use super::prepared::prepared;
use super::revision::{Current, Subject, change};
use super::{Connection, in_sequence, whole_list};
use crate::error::StateStoreError;
use crate::expected::Expected;
use crate::models::{NewTask, Scope, Task, TaskFilter, TaskRecord, TaskRow, TaskStatus};
use crate::page::{Page, PageRequest, SequenceBounds};
use crate::schema::tasks;

/// The tasks, within one transaction and namespace.
pub struct TaskRepository<'t> {
    connection: &'t mut Connection,
    scope: &'t Scope,
}

/// Picks one row by its key.
type OneRow<'t> = And<Eq<tasks::namespace, &'t str>, Eq<tasks::id, String>>;

impl<'t> TaskRepository<'t> {
    pub(super) fn new(connection: &'t mut Connection, scope: &'t Scope) -> Self {
        Self { connection, scope }
    }

    /// Saves a task, over whatever is there; gives the row's new revision.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for a bad field.
    pub fn save(&mut self, task: &Task) -> Result<i64, StateStoreError> {
        self.save_if(task, Expected::Any)
    }

    /// Saves a task if the stored row is as expected; gives the row's new revision.
    ///
    /// # Errors
    /// As [`save`](Self::save), and what [`Expected`] says.
    pub fn save_if(&mut self, task: &Task, expected: Expected) -> Result<i64, StateStoreError> {
        let row = NewTask::prepare(self.scope, task)?;
        self.put(&row, expected)
    }

    pub(crate) fn put(
        &mut self,
        row: &NewTask,
        expected: Expected,
    ) -> Result<i64, StateStoreError> {
        let current = self.current(&row.id)?;
        let subject = subject(&row.id);
        subject.may_save(expected, current)?;
        let revision = subject.saved_revision(self.connection, &row.namespace, current)?;
        use tasks as columns;
        if current.is_none() {
            let insert =
                diesel::insert_into(tasks::table).values((row, columns::revision.eq(revision)));
            prepared!(insert).write(self.connection)?;
            return Ok(revision);
        }
        // Not an upsert: that would check and build the row twice.
        let update = diesel::update(tasks::table.filter(self.row(&row.id))).set((
            columns::title.eq(&row.title),
            columns::description.eq(&row.description),
            columns::status.eq(row.status),
            columns::assigned_to.eq(&row.assigned_to),
            columns::metadata.eq(&row.metadata),
            columns::updated_at.eq(row.updated_at),
            columns::recorded_at.eq(row.recorded_at),
            // An update keeps the stored time; a deleted row begins anew.
            columns::created_at.eq(case_when(
                columns::is_deleted,
                row.created_at.into_sql::<BigInt>(),
            )
            .otherwise(columns::created_at)),
            columns::is_deleted.eq(false),
            columns::revision.eq(revision),
        ));
        prepared!(update).write(self.connection)?;
        Ok(revision)
    }

    /// The task's record; `None` where there is none or it is soft-deleted.
    ///
    /// # Errors
    /// `Corrupt` for a row that can't be decoded.
    pub fn get(&mut self, id: &Uuid) -> Result<Option<TaskRecord>, StateStoreError> {
        tasks::table
            .filter(tasks::namespace.eq(self.scope.namespace.as_str()))
            .filter(tasks::id.eq(id.to_string()))
            .filter(not(tasks::is_deleted))
            .select(TaskRow::as_select())
            .get_result(self.connection)
            .optional()?
            .map(TaskRow::decode)
            .transpose()
    }

    /// A page of tasks, in the order in which they were first saved.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for a bad filter or page.
    pub fn list(
        &mut self,
        filter: &TaskFilter,
        page: &PageRequest,
    ) -> Result<Page<TaskRecord>, StateStoreError> {
        let bounds = page.by_sequence(self.scope.limits.page_rows)?;
        let rows = self.load(filter, bounds)?;
        Ok(Page::by_sequence(rows, bounds, |last| last.seq))
    }

    /// Every task that isn't deleted, newest first.
    pub(crate) fn all(&mut self) -> Result<Vec<Task>, StateStoreError> {
        let limit = self.scope.limits.list_rows;
        let rows = self.load(&TaskFilter::default(), SequenceBounds::newest(limit))?;
        let rows = whole_list(rows, limit, "tasks().list(..)")?;
        Ok(rows.into_iter().map(|record| record.task).collect())
    }

    /// How many tasks there are.
    ///
    /// # Errors
    /// `InvalidInput` for a bad filter.
    pub fn count(&mut self, filter: &TaskFilter) -> Result<i64, StateStoreError> {
        Ok(self.matching(filter)?.count().get_result(self.connection)?)
    }

    /// Changes the task's status, and its `updated_at` to now; gives the row's new revision.
    ///
    /// # Errors
    /// `NotFound` where there is no such task, and what [`Expected`] says.
    pub fn set_status(
        &mut self,
        id: &Uuid,
        status: TaskStatus,
        expected: Expected,
    ) -> Result<i64, StateStoreError> {
        let id = id.to_string();
        let current = self.current(&id)?;
        let subject = subject(&id);
        let current = subject.may_change(expected, current)?;
        let revision = subject.next_revision(current)?;
        let now = self.scope.clock.now();
        let row = self.row(&id);
        let change = tasks::status.eq(status);
        Ok(change!(self.connection, now, tasks, row, revision, change))
    }

    /// Soft-deletes the task: it is kept, but no longer found. Gives the row's new revision.
    ///
    /// # Errors
    /// `NotFound` where there is no such task, and what [`Expected`] says.
    pub fn delete(&mut self, id: &Uuid, expected: Expected) -> Result<i64, StateStoreError> {
        let id = id.to_string();
        let current = self.current(&id)?;
        let subject = subject(&id);
        let current = subject.may_change(expected, current)?;
        self.mark(&id, subject.next_revision(current)?, true)
    }

    /// Takes a soft-delete back; on a task that isn't deleted it does nothing. Gives the row's revision.
    ///
    /// # Errors
    /// `NotFound` where there never was such a task or it was purged, `Conflict` where [`Expected`] says so.
    pub fn undelete(&mut self, id: &Uuid, expected: Expected) -> Result<i64, StateStoreError> {
        let id = id.to_string();
        let current = self.current(&id)?;
        let subject = subject(&id);
        let current = subject.may_touch(expected, current)?;
        if !current.is_deleted {
            return Ok(current.revision);
        }
        self.mark(&id, subject.next_revision(current)?, false)
    }

    /// Removes the task for good, deleted or not.
    ///
    /// # Errors
    /// `NotFound` where there is no such task, `Conflict` where [`Expected`] says so.
    pub fn purge(&mut self, id: &Uuid, expected: Expected) -> Result<(), StateStoreError> {
        let id = id.to_string();
        let current = self.current(&id)?;
        let current = subject(&id).may_touch(expected, current)?;
        let namespace = self.scope.namespace.as_str();
        subject(&id).raise_floor(self.connection, namespace, current.revision)?;
        let row = tasks::table.filter(self.row(&id));
        diesel::delete(row).execute(self.connection)?;
        Ok(())
    }

    fn mark(&mut self, id: &str, revision: i64, is_deleted: bool) -> Result<i64, StateStoreError> {
        let now = self.scope.clock.now();
        let row = self.row(id);
        let change = tasks::is_deleted.eq(is_deleted);
        Ok(change!(self.connection, now, tasks, row, revision, change))
    }

    fn row(&self, id: &str) -> OneRow<'t> {
        let namespace = self.scope.namespace.as_str();
        tasks::namespace
            .eq(namespace)
            .and(tasks::id.eq(id.to_owned()))
    }

    fn current(&mut self, id: &str) -> Result<Option<Current>, StateStoreError> {
        let row = tasks::table
            .filter(self.row(id))
            .select((tasks::revision, tasks::is_deleted))
            .get_result(self.connection)
            .optional()?;
        subject(id).current(row)
    }

    fn load(
        &mut self,
        filter: &TaskFilter,
        bounds: SequenceBounds,
    ) -> Result<Vec<TaskRecord>, StateStoreError> {
        in_sequence!(tasks, self.matching(filter)?, filter.updated, bounds)
            .select(TaskRow::as_select())
            .load(self.connection)?
            .into_iter()
            .map(TaskRow::decode)
            .collect()
    }

    fn matching(
        &self,
        filter: &TaskFilter,
    ) -> Result<tasks::BoxedQuery<'static, Sqlite>, StateStoreError> {
        let namespace = self.scope.namespace.as_str().to_owned();
        let mut query = tasks::table
            .filter(tasks::namespace.eq(namespace))
            .into_boxed();
        if !filter.include_deleted {
            query = query.filter(not(tasks::is_deleted));
        }
        if let Some(status) = filter.status {
            query = query.filter(tasks::status.eq(status));
        }
        if let Some(agent_id) = &filter.assigned_to {
            let agent_id = self.scope.limits.id("assigned_to", agent_id)?.to_owned();
            query = query.filter(tasks::assigned_to.eq(agent_id));
        }
        if let Some(from) = filter.updated.from {
            query = query.filter(tasks::updated_at.ge(from));
        }
        if let Some(until) = filter.updated.until {
            query = query.filter(tasks::updated_at.lt(until));
        }
        Ok(query)
    }
}

fn subject(id: &str) -> Subject<'_> {
    Subject {
        entity: "task",
        table: "tasks",
        id,
    }
}
