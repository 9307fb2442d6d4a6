//! Agent states.

use diesel::dsl::{case_when, not};
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::context::TableContext;
use super::dialect::{Connection, Db, Locked};
use super::limited::limited;
use super::lists::{decoded, decoded_one, whole_list};
use super::prepared::prepared;
use super::revisioned::{Current, Subject, change, remove_rows, revisioned};
use super::writes::{inserted_as_new, upserted};
use crate::commit_notes::CommitNotes;
use crate::condition::{ChangeIf, SaveIf};
use crate::error::StateStoreError;
use crate::models::{
    AgentFilter, AgentRecord, AgentRow, AgentState, AgentStateByKeyRow, AgentStateRow, NewAgent,
    Scope,
};
use crate::numbers::Revision;
use crate::page::{IdBounds, Listed, Order, Page, PageRequest, fetch};
use crate::read_budget::ReadBudget;
use crate::schema::{agent_states, state_snapshots};

pub(crate) struct AgentTable<'t> {
    pub(super) connection: &'t mut Connection,
    pub(super) scope: &'t Scope,
    pub(super) notes: &'t mut CommitNotes,
    budget: Option<&'t ReadBudget>,
}

revisioned! {
    AgentTable on agent_states by agent_id, "agent", NewAgent:
    [name, status, metadata, state_data, state_data_codec, version]
}

impl<'t> AgentTable<'t> {
    pub(crate) fn new(context: TableContext<'t>) -> Self {
        Self {
            connection: context.connection,
            scope: context.scope,
            notes: context.notes,
            budget: context.budget,
        }
    }

    pub(crate) fn get(&mut self, agent_id: &str) -> Result<Option<AgentRecord>, StateStoreError> {
        let found = self.find(agent_id)?;
        Ok(found.filter(|record| !record.is_deleted))
    }

    /// Returns the agent's record, deleted or not.
    fn find(&mut self, agent_id: &str) -> Result<Option<AgentRecord>, StateStoreError> {
        // By the key, which holds the namespace: SQLite compares one text faster than two columns.
        // No LIMIT on a unique key: SQLite prepares a statement with a bound LIMIT again at every call.
        let query = agent_states::table
            .filter(agent_states::key.eq(self.scope.namespace.key(agent_id)))
            .select(AgentRow::as_select());
        decoded_one(query, self.connection, self.budget, |row| {
            AgentRow::decode(row, self.scope)
        })
    }

    /// As [`find`](Self::find), for a change that is decided by it.
    fn find_to_change(&mut self, agent_id: &str) -> Result<Option<AgentRecord>, StateStoreError> {
        let query = agent_states::table
            .filter(agent_states::key.eq(self.scope.namespace.key(agent_id)))
            .select(AgentRow::as_select());
        decoded_one(Locked(query), self.connection, self.budget, |row| {
            AgentRow::decode(row, self.scope)
        })
    }

    /// Returns the state of an agent that isn't deleted.
    pub(crate) fn state(&mut self, agent_id: &str) -> Result<Option<AgentState>, StateStoreError> {
        let key = self.scope.namespace.key(agent_id);
        let query = agent_states::table
            .filter(agent_states::key.eq(&key))
            .select(AgentStateByKeyRow::as_select());
        let found = decoded_one(query, self.connection, self.budget, |row| {
            AgentStateByKeyRow::decode(row, self.scope, &key)
        })?;
        Ok(found.flatten())
    }

    pub(crate) fn list(
        &mut self,
        filter: &AgentFilter,
        page: &PageRequest,
    ) -> Result<Page<AgentRecord>, StateStoreError> {
        let bounds = page.by_id(self.scope.limits.page_rows)?;
        let query = limited(
            self.page(filter, &bounds)?.select(AgentRow::as_select()),
            fetch(bounds.rows),
        );
        let rows = decoded(query, bounds.rows, self.connection, self.budget, |row| {
            AgentRow::list(row, self.scope)
        })?;
        Ok(Page::by_id(rows, &bounds, |last: &AgentRecord| {
            &last.state.agent_id
        }))
    }

    pub(crate) fn states(
        &mut self,
        filter: &AgentFilter,
        page: &PageRequest,
    ) -> Result<Page<AgentState>, StateStoreError> {
        let bounds = page.by_id(self.scope.limits.page_rows)?;
        let rows = self.load_states(filter, &bounds)?;
        Ok(Page::by_id(rows, &bounds, |last: &AgentState| {
            &last.agent_id
        }))
    }

    /// Returns every agent that isn't deleted, by id.
    pub(crate) fn all(&mut self) -> Result<Vec<AgentState>, StateStoreError> {
        let limit = self.scope.limits.list_rows;
        let rows = self.load_states(&AgentFilter::default(), &IdBounds::first(limit))?;
        let rows = whole_list(rows, limit, "agents().list(..)")?;
        Ok(Listed::all_shown(rows))
    }

    pub(crate) fn count(&mut self, filter: &AgentFilter) -> Result<i64, StateStoreError> {
        let query = self.matching(filter)?;
        Ok(query.count().get_result(self.connection)?)
    }

    pub(crate) fn set_status(
        &mut self,
        agent_id: &str,
        status: &str,
        condition: ChangeIf,
    ) -> Result<Revision, StateStoreError> {
        let current = self.current(agent_id)?;
        let current = self.subject(agent_id).may_change(condition, current)?;
        self.write_status(agent_id, status, current)
    }

    /// Changes the status of the current row; returns its new revision.
    pub(super) fn write_status(
        &mut self,
        agent_id: &str,
        status: &str,
        current: Current,
    ) -> Result<Revision, StateStoreError> {
        let now = self.scope.clock.now();
        let change = agent_states::status.eq(status);
        change!(self, agent_states by agent_id, agent_id, current, now, change)
    }

    /// Reads the agent's state, lets the caller change it, and writes it.
    pub(crate) fn update(
        &mut self,
        agent_id: &str,
        condition: ChangeIf,
        change: impl FnOnce(&mut AgentState) -> Result<(), StateStoreError>,
    ) -> Result<Revision, StateStoreError> {
        let found = self.find_to_change(agent_id)?;
        let current = found.as_ref().map(|record| Current {
            revision: record.revision,
            is_deleted: record.is_deleted,
        });
        let subject = self.subject(agent_id);
        let current = subject.may_change(condition, current)?;
        let mut state = found.ok_or_else(|| subject.not_found())?.state;
        state.updated_at = self.scope.clock.now().seconds;
        change(&mut state)?;
        if state.agent_id != agent_id {
            return Err(StateStoreError::invalid(
                "agent_id",
                format!("{agent_id:?} can't become {:?}", state.agent_id),
            ));
        }
        let row = NewAgent::prepare(self.scope, &state)?;
        self.put(&row, SaveIf::Revision(current.revision))
    }

    pub(crate) fn purge(
        &mut self,
        agent_id: &str,
        condition: ChangeIf,
    ) -> Result<(), StateStoreError> {
        self.remove(agent_id, condition)?;
        let of_agent = state_snapshots::agent_id.eq(agent_id);
        remove_rows!(self, state_snapshots, "snapshot", of_agent);
        Ok(())
    }

    /// Writes a snapshot's state over the agent's, or in the place of a deleted one; returns the agent's new revision. The
    /// state is copied inside SQL, in its stored form.
    pub(super) fn copy_from_snapshot(
        &mut self,
        agent_id: &str,
        snapshot_id: &str,
        condition: ChangeIf,
    ) -> Result<Revision, StateStoreError> {
        loop {
            let current = self.current(agent_id)?;
            match condition {
                // An agent that is gone comes back.
                ChangeIf::Any => {}
                ChangeIf::Revision(_) => {
                    self.subject(agent_id).may_change(condition, current)?;
                }
            }
            if let Some(revision) = self.copy_over(agent_id, snapshot_id, current)? {
                return Ok(revision);
            }
        }
    }

    /// Copies a snapshot's state over the current row, or in its place; returns the new revision, or `None` where there was none
    /// to write over, and somebody else was faster.
    fn copy_over(
        &mut self,
        agent_id: &str,
        snapshot_id: &str,
        current: Option<Current>,
    ) -> Result<Option<Revision>, StateStoreError> {
        use agent_states as agent;
        use diesel::sql_types::Text;
        use diesel::upsert::excluded;
        use state_snapshots as snapshot;
        let subject = self.subject(agent_id);
        let revision = subject.saved_revision(self.connection, current)?;
        let now = self.scope.clock.now();
        let key = self.scope.namespace.key(agent_id);
        let copy = snapshot::table
            .filter(snapshot::namespace.eq(self.scope.namespace.as_str()))
            .filter(snapshot::id.eq(snapshot_id))
            .select((
                key.into_sql::<Text>(),
                snapshot::namespace,
                snapshot::agent_id,
                snapshot::name,
                snapshot::status,
                snapshot::metadata,
                snapshot::state_data,
                snapshot::state_data_codec,
                snapshot::version,
                now.seconds.into_sql::<BigInt>(),
                now.seconds.into_sql::<BigInt>(),
                revision.get().into_sql::<BigInt>(),
                now.micros.into_sql::<BigInt>(),
            ))
            .insert_into(agent::table)
            .into_columns((
                agent::key,
                agent::namespace,
                agent::agent_id,
                agent::name,
                agent::status,
                agent::metadata,
                agent::state_data,
                agent::state_data_codec,
                agent::version,
                agent::created_at,
                agent::updated_at,
                agent::revision,
                agent::recorded_at,
            ))
            .on_conflict(agent::key)
            .do_update()
            .set((
                agent::name.eq(excluded(agent::name)),
                agent::status.eq(excluded(agent::status)),
                agent::metadata.eq(excluded(agent::metadata)),
                agent::state_data.eq(excluded(agent::state_data)),
                agent::state_data_codec.eq(excluded(agent::state_data_codec)),
                agent::version.eq(excluded(agent::version)),
                agent::created_at.eq(case_when(agent::is_deleted, excluded(agent::created_at))
                    .otherwise(agent::created_at)),
                agent::updated_at.eq(excluded(agent::updated_at)),
                agent::is_deleted.eq(false),
                agent::revision.eq(excluded(agent::revision)),
                agent::recorded_at.eq(excluded(agent::recorded_at)),
            ));
        // Somebody may have inserted it meanwhile.
        let copy = diesel::query_dsl::methods::FilterDsl::filter(
            copy,
            agent::revision.lt(excluded(agent::revision)),
        );
        let is_written = upserted!(self.connection, agent, copy);
        if is_written && current.is_none() {
            return self.above_floor(agent_id, revision).map(Some);
        }
        Ok(is_written.then_some(revision))
    }

    fn matching(
        &self,
        filter: &AgentFilter,
    ) -> Result<agent_states::BoxedQuery<'static, Db>, StateStoreError> {
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

    fn load_states(
        &mut self,
        filter: &AgentFilter,
        bounds: &IdBounds,
    ) -> Result<Vec<Listed<AgentState>>, StateStoreError> {
        let query = self
            .page(filter, bounds)?
            .select(AgentStateRow::as_select());
        let query = limited(query, fetch(bounds.rows));
        decoded(query, bounds.rows, self.connection, self.budget, |row| {
            AgentStateRow::list(row, self.scope)
        })
    }

    fn page(
        &self,
        filter: &AgentFilter,
        bounds: &IdBounds,
    ) -> Result<agent_states::BoxedQuery<'static, Db>, StateStoreError> {
        let mut query = self.matching(filter)?;
        let after = bounds.after.clone();
        query = match (after, bounds.order) {
            (None, _) => query,
            (Some(after), Order::Ascending) => query.filter(agent_states::agent_id.gt(after)),
            (Some(after), Order::Descending) => query.filter(agent_states::agent_id.lt(after)),
        };
        Ok(match bounds.order {
            Order::Ascending => query.order(agent_states::agent_id.asc()),
            Order::Descending => query.order(agent_states::agent_id.desc()),
        })
    }
}
