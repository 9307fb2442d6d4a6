//! Tasks.

use diesel::dsl::{case_when, not};
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::context::TableContext;
use super::dialect::{Connection, Db};
use super::lists::{in_sequence, whole_list};
use super::prepared::prepared;
use super::revisioned::{Current, Subject, change, revisioned};
use crate::condition::{ChangeIf, SaveIf};
use crate::error::StateStoreError;
use crate::models::{NewTask, Scope, Task, TaskFilter, TaskRecord, TaskRow, TaskStatus};
use crate::numbers::Revision;
use crate::page::{Page, PageRequest, SequenceBounds};
use crate::schema::tasks;

pub(crate) struct TaskTable<'t> {
    connection: &'t mut Connection,
    scope: &'t Scope,
}

revisioned! {
    TaskTable on tasks by id, "task", NewTask:
    [title, description, status, assigned_to, metadata]
}

impl<'t> TaskTable<'t> {
    pub(crate) fn new(context: TableContext<'t>) -> Self {
        Self {
            connection: context.connection,
            scope: context.scope,
        }
    }

    pub(crate) fn get(&mut self, id: &str) -> Result<Option<TaskRecord>, StateStoreError> {
        let found = tasks::table
            .filter(tasks::namespace.eq(self.scope.namespace.as_str()))
            .filter(tasks::id.eq(id))
            .select(TaskRow::as_select())
            .get_result(self.connection)
            .optional()?
            .map(TaskRow::decode)
            .transpose()?;
        Ok(found.filter(|record| !record.is_deleted))
    }

    pub(crate) fn list(
        &mut self,
        filter: &TaskFilter,
        page: &PageRequest,
    ) -> Result<Page<TaskRecord>, StateStoreError> {
        let bounds = page.by_sequence(self.scope.limits.page_rows)?;
        let rows = self.load(filter, bounds)?;
        Ok(Page::by_sequence(rows, bounds, |last: &TaskRecord| {
            last.seq
        }))
    }

    /// Returns every task that isn't deleted, newest first.
    pub(crate) fn all(&mut self) -> Result<Vec<Task>, StateStoreError> {
        let limit = self.scope.limits.list_rows;
        let rows = self.load(&TaskFilter::default(), SequenceBounds::newest(limit))?;
        let rows = whole_list(rows, limit, "tasks().list(..)")?;
        Ok(rows.into_iter().map(|record| record.task).collect())
    }

    pub(crate) fn count(&mut self, filter: &TaskFilter) -> Result<i64, StateStoreError> {
        Ok(self.matching(filter)?.count().get_result(self.connection)?)
    }

    pub(crate) fn set_status(
        &mut self,
        id: &str,
        status: TaskStatus,
        condition: ChangeIf,
    ) -> Result<Revision, StateStoreError> {
        let current = self.current(id)?;
        let current = self.subject(id).may_change(condition, current)?;
        let now = self.scope.clock.now();
        change!(self, tasks by id, id, current, now, tasks::status.eq(status))
    }

    pub(crate) fn purge(&mut self, id: &str, condition: ChangeIf) -> Result<(), StateStoreError> {
        self.remove(id, condition)
    }

    fn load(
        &mut self,
        filter: &TaskFilter,
        bounds: SequenceBounds,
    ) -> Result<Vec<TaskRecord>, StateStoreError> {
        in_sequence!(
            tasks,
            self.matching(filter)?,
            filter.updated.is_limited(),
            bounds
        )
        .select(TaskRow::as_select())
        .load(self.connection)?
        .into_iter()
        .map(TaskRow::decode)
        .collect()
    }

    fn matching(
        &self,
        filter: &TaskFilter,
    ) -> Result<tasks::BoxedQuery<'static, Db>, StateStoreError> {
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
