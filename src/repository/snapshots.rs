//! Snapshots of agent states.

use diesel::dsl::not;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;

use super::dialect::changes;
use super::prepared::prepared;
use super::revision::{Current, Subject, first_revision};
use super::{AgentRepository, Connection, in_sequence, whole_list};
use crate::error::StateStoreError;
use crate::expected::Expected;
use crate::models::{
    NewAgent, NewSnapshot, Scope, SnapshotChange, SnapshotFilter, SnapshotOptions, SnapshotRecord,
    SnapshotRow, SnapshotSummary,
};
use crate::page::{Page, PageRequest, SequenceBounds};
use crate::schema::{agent_states, state_snapshots};

/// The snapshots of agents' states, within one transaction and namespace.
pub struct SnapshotRepository<'t> {
    connection: &'t mut Connection,
    scope: &'t Scope,
}

type Boxed = state_snapshots::BoxedQuery<'static, Sqlite>;

impl<'t> SnapshotRepository<'t> {
    pub(super) fn new(connection: &'t mut Connection, scope: &'t Scope) -> Self {
        Self { connection, scope }
    }

    /// Keeps the agent's whole state as it is now; gives the snapshot's id.
    ///
    /// # Errors
    /// `NotFound` where there is no such agent, `InvalidInput` or `TooLarge` for a bad argument.
    pub fn create(
        &mut self,
        agent_id: &str,
        options: &SnapshotOptions,
    ) -> Result<String, StateStoreError> {
        let snapshot = NewSnapshot::prepare(self.scope, agent_id, options)?;
        self.put(&snapshot)
    }

    pub(crate) fn put(&mut self, snapshot: &NewSnapshot) -> Result<String, StateStoreError> {
        use agent_states as agent;
        use diesel::IntoSql;
        use diesel::sql_types::{BigInt, Nullable, Text};
        let namespace = self.scope.namespace.as_str();
        // The row is copied inside SQLite, in its stored form: a compressed state stays compressed.
        let copy = agent::table
            .filter(agent::key.eq(&snapshot.agent_key))
            .filter(not(agent::is_deleted))
            .select((
                agent::namespace,
                (&snapshot.id).into_sql::<Text>(),
                agent::agent_id,
                agent::name,
                agent::status,
                agent::metadata,
                agent::state_data,
                agent::state_data_codec,
                agent::version,
                (&snapshot.description).into_sql::<Nullable<Text>>(),
                snapshot.created_at.into_sql::<BigInt>(),
                snapshot.expires_at.into_sql::<Nullable<BigInt>>(),
                first_revision!(namespace, "snapshot"),
                snapshot.recorded_at.into_sql::<BigInt>(),
            ))
            .insert_into(state_snapshots::table)
            .into_columns((
                state_snapshots::namespace,
                state_snapshots::id,
                state_snapshots::agent_id,
                state_snapshots::name,
                state_snapshots::status,
                state_snapshots::metadata,
                state_snapshots::state_data,
                state_snapshots::state_data_codec,
                state_snapshots::version,
                state_snapshots::description,
                state_snapshots::created_at,
                state_snapshots::expires_at,
                state_snapshots::revision,
                state_snapshots::recorded_at,
            ));
        prepared!(copy).write(self.connection)?;
        let copied: i64 = diesel::select(changes()).get_result(self.connection)?;
        if copied == 0 {
            return Err(StateStoreError::not_found("agent", &snapshot.agent_id));
        }
        Ok(snapshot.id.clone())
    }

    /// A snapshot; `None` where there is none or it has expired.
    ///
    /// # Errors
    /// `InvalidInput` for a bad id, `Corrupt` for a row that can't be decoded.
    pub fn get(&mut self, id: &str) -> Result<Option<SnapshotRecord>, StateStoreError> {
        self.unexpired(self.one(id)?)
            .select(SnapshotRow::as_select())
            .get_result(self.connection)
            .optional()?
            .map(|row| row.decode(self.scope))
            .transpose()
    }

    /// A page of snapshots.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for a bad filter or page.
    pub fn list(
        &mut self,
        filter: &SnapshotFilter,
        page: &PageRequest,
    ) -> Result<Page<SnapshotRecord>, StateStoreError> {
        let bounds = page.by_sequence(self.scope.limits.page_rows)?;
        let rows = in_sequence!(
            state_snapshots,
            self.matching(filter)?,
            filter.created,
            bounds
        )
        .select(SnapshotRow::as_select())
        .load(self.connection)?
        .into_iter()
        .map(|row| row.decode(self.scope))
        .collect::<Result<_, _>>()?;
        Ok(Page::by_sequence(rows, bounds, |last: &SnapshotRecord| {
            last.seq
        }))
    }

    /// Id, description and time of every snapshot of the agent, newest first; the states stay where they are.
    pub(crate) fn all(
        &mut self,
        agent_id: &str,
    ) -> Result<Vec<(String, Option<String>, i64)>, StateStoreError> {
        let limit = self.scope.limits.list_rows;
        let bounds = SequenceBounds::newest(limit);
        let filter = SnapshotFilter::default().agent(agent_id);
        let rows = in_sequence!(
            state_snapshots,
            self.matching(&filter)?,
            filter.created,
            bounds
        )
        .select(SnapshotSummary::as_select())
        .load(self.connection)?;
        whole_list(rows, limit, "snapshots().list(..)")?
            .into_iter()
            .map(SnapshotSummary::decode)
            .collect()
    }

    /// How many snapshots there are.
    ///
    /// # Errors
    /// `InvalidInput` for a bad filter.
    pub fn count(&mut self, filter: &SnapshotFilter) -> Result<i64, StateStoreError> {
        Ok(self.matching(filter)?.count().get_result(self.connection)?)
    }

    /// Gives the agent the snapshot's whole state; also an agent that was soft-deleted since. `expected` is of the
    /// agent's row. Gives the agent's new revision.
    ///
    /// # Errors
    /// `NotFound` where there is no such snapshot or it has expired, and what [`Expected`] says.
    pub fn restore(&mut self, id: &str, expected: Expected) -> Result<i64, StateStoreError> {
        let snapshot = self
            .get(id)?
            .ok_or_else(|| StateStoreError::not_found("snapshot", id))?;
        let row = NewAgent::restored(self.scope, snapshot)?;
        AgentRepository::new(self.connection, self.scope).put(&row, expected)
    }

    /// Sets description and expiry, both; gives the row's new revision. What was snapshotted never changes.
    ///
    /// # Errors
    /// `NotFound` where there is no such snapshot, and what [`Expected`] says.
    pub fn update(
        &mut self,
        id: &str,
        options: &SnapshotOptions,
        expected: Expected,
    ) -> Result<i64, StateStoreError> {
        let change = SnapshotChange::prepare(self.scope, options)?;
        let current = self.current(id)?;
        let subject = subject(id);
        let current = subject.may_change(expected, current)?;
        let revision = subject.next_revision(current)?;
        let one = state_snapshots::table
            .filter(state_snapshots::namespace.eq(self.scope.namespace.as_str()))
            .filter(state_snapshots::id.eq(id));
        diesel::update(one)
            .set((change, state_snapshots::revision.eq(revision)))
            .execute(self.connection)?;
        Ok(revision)
    }

    /// Removes a snapshot for good.
    ///
    /// # Errors
    /// `NotFound` where there is no such snapshot, and what [`Expected`] says.
    pub fn delete(&mut self, id: &str, expected: Expected) -> Result<(), StateStoreError> {
        let current = self.current(id)?;
        subject(id).may_change(expected, current)?;
        let namespace = self.scope.namespace.as_str();
        remove!(self.connection, namespace, state_snapshots::id.eq(id));
        Ok(())
    }

    /// Removes every snapshot that has expired; gives how many.
    ///
    /// # Errors
    /// Only the database's.
    pub fn purge_expired(&mut self) -> Result<usize, StateStoreError> {
        let namespace = self.scope.namespace.as_str();
        let now = self.scope.clock.now().seconds;
        let expired = state_snapshots::expires_at.le(now);
        Ok(remove!(self.connection, namespace, expired))
    }

    fn one(&self, id: &str) -> Result<Boxed, StateStoreError> {
        let id = self.scope.limits.id("snapshot_id", id)?.to_owned();
        let namespace = self.scope.namespace.as_str().to_owned();
        Ok(state_snapshots::table
            .filter(state_snapshots::namespace.eq(namespace))
            .filter(state_snapshots::id.eq(id))
            .into_boxed())
    }

    fn current(&mut self, id: &str) -> Result<Option<Current>, StateStoreError> {
        // An expired row still holds its id and revision, but no longer counts.
        let revision = self
            .unexpired(self.one(id)?)
            .select(state_snapshots::revision)
            .get_result(self.connection)
            .optional()?;
        subject(id).undeletable(revision)
    }

    fn unexpired(&self, query: Boxed) -> Boxed {
        let now = self.scope.clock.now().seconds;
        query.filter(
            state_snapshots::expires_at
                .is_null()
                .or(state_snapshots::expires_at.gt(now)),
        )
    }

    fn matching(&self, filter: &SnapshotFilter) -> Result<Boxed, StateStoreError> {
        let namespace = self.scope.namespace.as_str().to_owned();
        let mut query = state_snapshots::table
            .filter(state_snapshots::namespace.eq(namespace))
            .into_boxed();
        if let Some(agent_id) = &filter.agent_id {
            let agent_id = self.scope.limits.id("agent_id", agent_id)?.to_owned();
            query = query.filter(state_snapshots::agent_id.eq(agent_id));
        }
        if let Some(from) = filter.created.from {
            query = query.filter(state_snapshots::created_at.ge(from));
        }
        if let Some(until) = filter.created.until {
            query = query.filter(state_snapshots::created_at.lt(until));
        }
        if !filter.include_expired {
            query = self.unexpired(query);
        }
        Ok(query)
    }
}

/// Removes the snapshots that the condition picks, and notes the highest of their revisions.
macro_rules! remove {
    ($connection:expr, $namespace:expr, $condition:expr) => {{
        use crate::schema::state_snapshots as columns;
        let picked = columns::table
            .filter(columns::namespace.eq($namespace))
            .filter($condition);
        let highest: Option<i64> = picked
            .select(diesel::dsl::max(columns::revision))
            .get_result($connection)?;
        if let Some(highest) = highest {
            crate::repository::snapshots::subject("").raise_floor(
                $connection,
                $namespace,
                highest,
            )?;
        }
        diesel::delete(picked).execute($connection)?
    }};
}
pub(super) use remove;

pub(super) fn subject(id: &str) -> Subject<'_> {
    Subject {
        entity: "snapshot",
        table: "state_snapshots",
        id,
    }
}
