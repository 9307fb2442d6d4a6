//! Agent states.

use diesel::dsl::{case_when, not};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::Sqlite;

use super::dialect::{UnindexedText, limited};
use super::prepared::prepared;
use super::revision::{Current, Subject, change};
use super::snapshots::remove as remove_snapshots;
use super::{Connection, whole_list};
use crate::error::StateStoreError;
use crate::expected::Expected;
use crate::models::{AgentFilter, AgentRecord, AgentRow, AgentState, NewAgent, Scope};
use crate::page::{Page, PageRequest, fetch};
use crate::schema::{agent_states, state_snapshots};

/// The states of agents, within one transaction and namespace.
pub struct AgentRepository<'t> {
    connection: &'t mut Connection,
    scope: &'t Scope,
}

impl<'t> AgentRepository<'t> {
    pub(super) fn new(connection: &'t mut Connection, scope: &'t Scope) -> Self {
        Self { connection, scope }
    }

    /// Saves a state, over whatever is there; gives the row's new revision.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for a bad field.
    pub fn save(&mut self, state: &AgentState) -> Result<i64, StateStoreError> {
        self.save_if(state, Expected::Any)
    }

    /// Saves a state if the stored row is as expected; gives the row's new revision.
    ///
    /// # Errors
    /// As [`save`](Self::save), and what [`Expected`] says.
    pub fn save_if(
        &mut self,
        state: &AgentState,
        expected: Expected,
    ) -> Result<i64, StateStoreError> {
        let row = NewAgent::prepare(self.scope, state)?;
        self.put(&row, expected)
    }

    pub(crate) fn put(
        &mut self,
        row: &NewAgent,
        expected: Expected,
    ) -> Result<i64, StateStoreError> {
        let current = self.current(&row.key, &row.agent_id)?;
        let subject = subject(&row.agent_id);
        subject.may_save(expected, current)?;
        let revision = subject.saved_revision(self.connection, &row.namespace, current)?;
        use agent_states as columns;
        if current.is_none() {
            let insert = diesel::insert_into(agent_states::table)
                .values((row, columns::revision.eq(revision)));
            prepared!(insert).write(self.connection)?;
            return Ok(revision);
        }
        // Not an upsert: that would check and build the row twice.
        let update = diesel::update(agent_states::table.filter(columns::key.eq(&row.key))).set((
            columns::name.eq(&row.name),
            columns::status.eq(&row.status),
            columns::metadata.eq(&row.metadata),
            columns::state_data.eq(&row.state_data),
            columns::state_data_codec.eq(row.state_data_codec),
            columns::version.eq(row.version),
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

    /// The agent's record; `None` where there is none or it is soft-deleted.
    ///
    /// # Errors
    /// `InvalidInput` for a bad id, `Corrupt` for a row that can't be decoded.
    pub fn get(&mut self, agent_id: &str) -> Result<Option<AgentRecord>, StateStoreError> {
        let key = self.key(agent_id)?;
        // No LIMIT on a unique key: SQLite prepares a statement with a bound LIMIT anew at every call.
        agent_states::table
            .filter(agent_states::key.eq(key))
            .filter(not(agent_states::is_deleted))
            .select(AgentRow::as_select())
            .get_result(self.connection)
            .optional()?
            .map(|row| row.decode(self.scope))
            .transpose()
    }

    /// A page of agents, by id.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for a bad filter or page.
    pub fn list(
        &mut self,
        filter: &AgentFilter,
        page: &PageRequest,
    ) -> Result<Page<AgentRecord>, StateStoreError> {
        let bounds = page.by_id(self.scope.limits.page_rows)?;
        let mut query = self.matching(filter)?;
        if let Some(after) = bounds.after.clone() {
            query = if filter.updated.is_limited() {
                // The time range is to choose the index, not the cursor.
                query.filter(UnindexedText::new(agent_states::agent_id).gt(after))
            } else {
                query.filter(agent_states::agent_id.gt(after))
            };
        }
        let rows = self.load(query, fetch(bounds.rows))?;
        Ok(Page::by_id(rows, &bounds, |last| &last.state.agent_id))
    }

    /// Every agent that isn't deleted, by id.
    ///
    /// # Errors
    /// `TooManyRows` above `max_list_rows`: use [`list`](Self::list).
    pub(crate) fn all(&mut self) -> Result<Vec<AgentState>, StateStoreError> {
        let limit = self.scope.limits.list_rows;
        let query = self.matching(&AgentFilter::default())?;
        let rows = self.load(query, fetch(limit))?;
        let rows = whole_list(rows, limit, "agents().list(..)")?;
        Ok(rows.into_iter().map(|record| record.state).collect())
    }

    /// How many agents there are.
    ///
    /// # Errors
    /// `InvalidInput` for a bad filter.
    pub fn count(&mut self, filter: &AgentFilter) -> Result<i64, StateStoreError> {
        let query = self.matching(filter)?;
        Ok(query.count().get_result(self.connection)?)
    }

    /// Changes the agent's status, and its `updated_at` to now; gives the row's new revision.
    ///
    /// # Errors
    /// `NotFound` where there is no such agent, and what [`Expected`] says.
    pub fn set_status(
        &mut self,
        agent_id: &str,
        status: &str,
        expected: Expected,
    ) -> Result<i64, StateStoreError> {
        let status = self.scope.limits.id("status", status)?;
        let key = self.key(agent_id)?;
        let current = self.current(&key, agent_id)?;
        let subject = subject(agent_id);
        let current = subject.may_change(expected, current)?;
        let revision = subject.next_revision(current)?;
        let now = self.scope.clock.now();
        let row = agent_states::key.eq(key);
        let change = agent_states::status.eq(status);
        Ok(change!(
            self.connection,
            now,
            agent_states,
            row,
            revision,
            change
        ))
    }

    /// Soft-deletes the agent: it is kept, but no longer found. Gives the row's new revision.
    ///
    /// # Errors
    /// `NotFound` where there is no such agent, and what [`Expected`] says.
    pub fn delete(&mut self, agent_id: &str, expected: Expected) -> Result<i64, StateStoreError> {
        let key = self.key(agent_id)?;
        let current = self.current(&key, agent_id)?;
        let subject = subject(agent_id);
        let current = subject.may_change(expected, current)?;
        self.mark(&key, subject.next_revision(current)?, true)
    }

    /// Takes a soft-delete back; on an agent that isn't deleted it does nothing. Gives the row's revision.
    ///
    /// # Errors
    /// `NotFound` where there never was such an agent or it was purged, `Conflict` where [`Expected`] says so.
    pub fn undelete(&mut self, agent_id: &str, expected: Expected) -> Result<i64, StateStoreError> {
        let key = self.key(agent_id)?;
        let current = self.current(&key, agent_id)?;
        let subject = subject(agent_id);
        let current = subject.may_touch(expected, current)?;
        if !current.is_deleted {
            return Ok(current.revision);
        }
        self.mark(&key, subject.next_revision(current)?, false)
    }

    /// Removes the agent for good, deleted or not, and its snapshots. Its events, transitions, tasks and sessions stay.
    ///
    /// # Errors
    /// `NotFound` where there is no such agent, `Conflict` where [`Expected`] says so.
    pub fn purge(&mut self, agent_id: &str, expected: Expected) -> Result<(), StateStoreError> {
        let key = self.key(agent_id)?;
        let current = self.current(&key, agent_id)?;
        let current = subject(agent_id).may_touch(expected, current)?;
        let namespace = self.scope.namespace.as_str();
        subject(agent_id).raise_floor(self.connection, namespace, current.revision)?;
        diesel::delete(agent_states::table.filter(agent_states::key.eq(key)))
            .execute(self.connection)?;
        let of_agent = state_snapshots::agent_id.eq(agent_id);
        remove_snapshots!(self.connection, namespace, of_agent);
        Ok(())
    }

    fn mark(&mut self, key: &str, revision: i64, is_deleted: bool) -> Result<i64, StateStoreError> {
        let now = self.scope.clock.now();
        let row = agent_states::key.eq(key);
        let change = agent_states::is_deleted.eq(is_deleted);
        Ok(change!(
            self.connection,
            now,
            agent_states,
            row,
            revision,
            change
        ))
    }

    fn key(&self, agent_id: &str) -> Result<String, StateStoreError> {
        let agent_id = self.scope.limits.id("agent_id", agent_id)?;
        Ok(self.scope.namespace.key(agent_id))
    }

    fn current(&mut self, key: &str, agent_id: &str) -> Result<Option<Current>, StateStoreError> {
        let row = agent_states::table
            .filter(agent_states::key.eq(key))
            .select((agent_states::revision, agent_states::is_deleted))
            .get_result(self.connection)
            .optional()?;
        subject(agent_id).current(row)
    }

    fn matching(
        &self,
        filter: &AgentFilter,
    ) -> Result<agent_states::BoxedQuery<'static, Sqlite>, StateStoreError> {
        let namespace = self.scope.namespace.as_str().to_owned();
        let mut query = agent_states::table
            .filter(agent_states::namespace.eq(namespace))
            .into_boxed();
        if !filter.include_deleted {
            query = query.filter(not(agent_states::is_deleted));
        }
        if let Some(status) = &filter.status {
            let status = self.scope.limits.id("status", status)?.to_owned();
            query = query.filter(agent_states::status.eq(status));
        }
        if let Some(from) = filter.updated.from {
            query = query.filter(agent_states::updated_at.ge(from));
        }
        if let Some(until) = filter.updated.until {
            query = query.filter(agent_states::updated_at.lt(until));
        }
        Ok(query)
    }

    fn load(
        &mut self,
        query: agent_states::BoxedQuery<'static, Sqlite>,
        rows: i64,
    ) -> Result<Vec<AgentRecord>, StateStoreError> {
        let query = query
            .order(agent_states::agent_id.asc())
            .select(AgentRow::as_select());
        limited(query, rows)
            .load::<AgentRow>(self.connection)?
            .into_iter()
            .map(|row| row.decode(self.scope))
            .collect()
    }
}

fn subject(agent_id: &str) -> Subject<'_> {
    Subject {
        entity: "agent",
        table: "agent_states",
        id: agent_id,
    }
}
