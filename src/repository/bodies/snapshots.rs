//! Snapshots of agent states.

use diesel::dsl::not;
use diesel::prelude::*;

use super::agents::AgentTable;
use super::context::TableContext;
use super::dialect::{Connection, Db, Locked, OTHERS_WRITE, settled};
use super::lists::{decoded, decoded_one, whole_list};
use super::pages::in_sequence;
use super::revisioned::{Current, Subject, first_revision, remove_rows};
use super::writes::inserted_if_any;
use crate::commit_notes::CommitNotes;
use crate::condition::ChangeIf;
use crate::error::StateStoreError;
use crate::models::{
    NewSnapshot, Scope, SnapshotChange, SnapshotFilter, SnapshotRecord, SnapshotRow,
    SnapshotSummary, StoredInteger, StoredText,
};
use crate::numbers::Revision;
use crate::page::{Page, PageRequest, SequenceBounds};
use crate::read_budget::ReadBudget;
use crate::schema::{agent_states, state_snapshots};

pub(crate) struct SnapshotTable<'t> {
    connection: &'t mut Connection,
    scope: &'t Scope,
    notes: &'t mut CommitNotes,
    budget: Option<&'t ReadBudget>,
}

type Boxed = state_snapshots::BoxedQuery<'static, Db>;

/// What decides whether a snapshot may be used, and for which agent.
struct Head {
    current: Current,
    agent_id: String,
}

impl<'t> SnapshotTable<'t> {
    pub(crate) fn new(context: TableContext<'t>) -> Self {
        Self {
            connection: context.connection,
            scope: context.scope,
            notes: context.notes,
            budget: context.budget,
        }
    }

    /// Copies the agent's row into a new snapshot; returns its id.
    pub(crate) fn put(&mut self, snapshot: &NewSnapshot) -> Result<String, StateStoreError> {
        use agent_states as agent;
        use diesel::IntoSql;
        use diesel::sql_types::{BigInt, Nullable, Text};
        let namespace = self.scope.namespace.as_str();
        if OTHERS_WRITE {
            // Nobody purges it meanwhile, and with it the snapshots that there are.
            let context = TableContext::new(self.connection, self.scope, self.notes);
            AgentTable::new(context).current(&snapshot.agent_id)?;
        }
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
        if inserted_if_any!(self.connection, state_snapshots, copy).is_none() {
            return Err(StateStoreError::not_found("agent", &snapshot.agent_id));
        }
        Ok(snapshot.id.clone())
    }

    pub(crate) fn get(&mut self, id: &str) -> Result<Option<SnapshotRecord>, StateStoreError> {
        let query = self
            .unexpired(self.one(id))
            .select(SnapshotRow::as_select());
        decoded_one(query, self.connection, self.budget, |row| {
            SnapshotRow::decode(row, self.scope)
        })
    }

    pub(crate) fn list(
        &mut self,
        filter: &SnapshotFilter,
        page: &PageRequest,
    ) -> Result<Page<SnapshotRecord>, StateStoreError> {
        let bounds = page.by_sequence(self.scope.limits.page_rows)?;
        let bounds = settled(self.connection, self.notes, "state_snapshots", bounds)?;
        let matching = self.matching(filter)?;
        let by_time = filter.created.is_limited();
        let query = in_sequence!(state_snapshots, matching, by_time, bounds);
        let query = query.select(SnapshotRow::as_select());
        let rows = decoded(query, bounds.rows, self.connection, self.budget, |row| {
            SnapshotRow::list(row, self.scope)
        })?;
        Ok(Page::by_sequence(rows, bounds, |last: &SnapshotRecord| {
            last.seq
        }))
    }

    /// Returns id, description and time of every snapshot of the agent, newest first; the states stay where they are.
    pub(crate) fn all(
        &mut self,
        agent_id: &str,
    ) -> Result<Vec<(String, Option<String>, i64)>, StateStoreError> {
        let limit = self.scope.limits.list_rows;
        let bounds = SequenceBounds::newest(limit);
        let filter = SnapshotFilter::default().agent(agent_id);
        let matching = self.matching(&filter)?;
        let by_time = filter.created.is_limited();
        let query = in_sequence!(state_snapshots, matching, by_time, bounds);
        let query = query.select(SnapshotSummary::as_select());
        let decode = SnapshotSummary::decode;
        let rows = decoded(query, limit, self.connection, self.budget, decode)?;
        whole_list(rows, limit, "snapshots().list(..)")
    }

    pub(crate) fn count(&mut self, filter: &SnapshotFilter) -> Result<i64, StateStoreError> {
        Ok(self.matching(filter)?.count().get_result(self.connection)?)
    }

    /// Writes the snapshot's state over its agent's; the condition is of the agent's row. Returns the agent's new revision.
    pub(crate) fn restore(
        &mut self,
        id: &str,
        condition: ChangeIf,
    ) -> Result<Revision, StateStoreError> {
        let head = self.head(id)?;
        let head = head.ok_or_else(|| self.subject(id).not_found())?;
        let context = TableContext::new(self.connection, self.scope, self.notes);
        AgentTable::new(context).copy_from_snapshot(&head.agent_id, id, condition)
    }

    pub(crate) fn update(
        &mut self,
        id: &str,
        change: &SnapshotChange,
        condition: ChangeIf,
    ) -> Result<Revision, StateStoreError> {
        let current = self.head(id)?.map(|head| head.current);
        let subject = self.subject(id);
        let current = subject.may_change(condition, current)?;
        let revision = subject.next_revision(current)?;
        let one = state_snapshots::table
            .filter(state_snapshots::namespace.eq(self.scope.namespace.as_str()))
            .filter(state_snapshots::id.eq(id));
        diesel::update(one)
            .set((change, state_snapshots::revision.eq(revision.get())))
            .execute(self.connection)?;
        Ok(revision)
    }

    pub(crate) fn purge(&mut self, id: &str, condition: ChangeIf) -> Result<(), StateStoreError> {
        let current = self.read_head(id)?.map(|(head, _)| head.current);
        self.subject(id).may_reach(condition, current)?;
        let one = state_snapshots::id.eq(id);
        remove_rows!(self, state_snapshots, "snapshot", one);
        Ok(())
    }

    /// Removes every snapshot that has expired; returns how many.
    pub(crate) fn purge_expired(&mut self) -> Result<usize, StateStoreError> {
        let now = self.scope.clock.now().seconds;
        let expired = state_snapshots::expires_at.le(now);
        Ok(remove_rows!(self, state_snapshots, "snapshot", expired))
    }

    /// Reads what decides; an expired snapshot is an error.
    fn head(&mut self, id: &str) -> Result<Option<Head>, StateStoreError> {
        let now = self.scope.clock.now().seconds;
        match self.read_head(id)? {
            Some((_, Some(expires_at))) if expires_at <= now => {
                Err(StateStoreError::InvalidState {
                    entity: "snapshot",
                    id: id.to_owned(),
                    state: "expired",
                    reason: "it can be neither restored nor changed, only purged",
                })
            }
            found => Ok(found.map(|(head, _)| head)),
        }
    }

    /// Reads what decides, and when the snapshot expires.
    fn read_head(&mut self, id: &str) -> Result<Option<(Head, Option<i64>)>, StateStoreError> {
        type Columns = (StoredInteger, StoredText, Option<StoredInteger>);
        let row = self.one(id).select((
            state_snapshots::revision,
            state_snapshots::agent_id,
            state_snapshots::expires_at,
        ));
        let row: Option<Columns> = Locked(row).get_result(self.connection).optional()?;
        let place = self.subject(id).place();
        row.map(|(revision, agent_id, expires_at)| {
            let head = Head {
                current: Current {
                    revision: revision.integer(place, "revision")?.into(),
                    is_deleted: false,
                },
                agent_id: agent_id.text(place, "agent_id")?,
            };
            let expires_at = place.optional(expires_at, "expires_at", StoredInteger::integer)?;
            Ok((head, expires_at))
        })
        .transpose()
    }

    fn subject<'a>(&self, id: &'a str) -> Subject<'a>
    where
        't: 'a,
    {
        let scope: &'t Scope = self.scope;
        Subject {
            entity: "snapshot",
            table: "state_snapshots",
            namespace: scope.namespace.as_str(),
            id,
        }
    }

    fn one(&self, id: &str) -> Boxed {
        let namespace = self.scope.namespace.as_str().to_owned();
        state_snapshots::table
            .filter(state_snapshots::namespace.eq(namespace))
            .filter(state_snapshots::id.eq(id.to_owned()))
            .into_boxed()
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
