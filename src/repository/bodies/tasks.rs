//! Tasks.

use diesel::dsl::{case_when, not};
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::context::TableContext;
use super::dialect::{Connection, Db, Locked, settled};
use super::lists::{decoded, decoded_one, whole_list};
use super::pages::in_sequence;
use super::prepared::prepared;
use super::revisioned::{Current, Subject, change, revisioned};
use super::writes::inserted_as_new;
use crate::commit_notes::CommitNotes;
use crate::condition::{ChangeIf, SaveIf};
use crate::error::StateStoreError;
use crate::models::{
    GuideTaskRow, NewTask, Scope, Task, TaskFilter, TaskRecord, TaskRow, TaskStatus,
};
use crate::numbers::Revision;
use crate::page::{Page, PageRequest, SequenceBounds};
use crate::read_budget::ReadBudget;
use crate::schema::tasks;

pub(crate) struct TaskTable<'t> {
    connection: &'t mut Connection,
    scope: &'t Scope,
    notes: &'t CommitNotes,
    budget: Option<&'t ReadBudget>,
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
            notes: context.notes,
            budget: context.budget,
        }
    }

    pub(crate) fn get(&mut self, id: &str) -> Result<Option<TaskRecord>, StateStoreError> {
        let query = tasks::table
            .filter(tasks::namespace.eq(self.scope.namespace.as_str()))
            .filter(tasks::id.eq(id))
            .select(TaskRow::as_select());
        let found = decoded_one(query, self.connection, self.budget, |row| {
            TaskRow::decode(row, self.scope)
        })?;
        Ok(found.filter(|record| !record.is_deleted))
    }

    pub(crate) fn list(
        &mut self,
        filter: &TaskFilter,
        page: &PageRequest,
    ) -> Result<Page<TaskRecord>, StateStoreError> {
        let bounds = page.by_sequence(self.scope.limits.page_rows)?;
        let bounds = settled(self.connection, self.notes, "tasks", bounds)?;
        let query = self.page(filter, bounds)?.select(TaskRow::as_select());
        let rows = decoded(query, bounds.rows, self.connection, self.budget, |row| {
            TaskRow::decode(row, self.scope)
        })?;
        Ok(Page::by_sequence(rows, bounds, |last: &TaskRecord| {
            last.seq
        }))
    }

    /// Returns every task that isn't deleted, newest first.
    pub(crate) fn all(&mut self) -> Result<Vec<Task>, StateStoreError> {
        let limit = self.scope.limits.list_rows;
        let query = self.page(&TaskFilter::default(), SequenceBounds::newest(limit))?;
        let query = query.select(GuideTaskRow::as_select());
        let decode = GuideTaskRow::decode;
        let rows = decoded(query, limit, self.connection, self.budget, decode)?;
        whole_list(rows, limit, "tasks().list(..)")
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

    fn page(
        &self,
        filter: &TaskFilter,
        bounds: SequenceBounds,
    ) -> Result<tasks::BoxedQuery<'static, Db>, StateStoreError> {
        let matching = self.matching(filter)?;
        let by_time = filter.updated.is_limited();
        Ok(in_sequence!(tasks, matching, by_time, bounds))
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
