//! State transitions: append-only.

use diesel::prelude::*;

use super::context::TableContext;
use super::dialect::{Connection, Db, settled};
use super::lists::{decoded, decoded_one, whole_list, within};
use super::pages::in_sequence;
use super::writes::{inserted, inserted_if_any};
use crate::commit_notes::CommitNotes;
use crate::condition::SaveIf;
use crate::error::StateStoreError;
use crate::models::{
    NewTransition, Scope, StateTransition, StateTransitionRow, TransitionFilter, TransitionRecord,
    TransitionRow,
};
use crate::numbers::{Revision, Seq};
use crate::page::{Listed, Page, PageRequest, SequenceBounds};
use crate::read_budget::ReadBudget;
use crate::schema::state_transitions;

pub(crate) struct TransitionTable<'t> {
    connection: &'t mut Connection,
    scope: &'t Scope,
    notes: &'t CommitNotes,
    budget: Option<&'t ReadBudget>,
}

impl<'t> TransitionTable<'t> {
    pub(crate) fn new(context: TableContext<'t>) -> Self {
        Self {
            connection: context.connection,
            scope: context.scope,
            notes: context.notes,
            budget: context.budget,
        }
    }

    pub(crate) fn put(&mut self, row: &NewTransition) -> Result<Seq, StateStoreError> {
        let insert = diesel::insert_into(state_transitions::table).values(row);
        if !row.has_given_id {
            return Ok(inserted!(self.connection, state_transitions, insert).into());
        }
        let insert = insert
            .on_conflict((state_transitions::namespace, state_transitions::id))
            .do_nothing();
        if let Some(seq) = inserted_if_any!(self.connection, state_transitions, insert) {
            return Ok(seq.into());
        }
        match self.find(&row.id)? {
            Some(stored) if row.says_the_same_as(&stored.transition) => Ok(stored.seq),
            // Recorded rows never change: each stays at its first revision.
            _ => Err(StateStoreError::Conflict {
                entity: "transition",
                id: row.id.clone(),
                expected: SaveIf::Absent,
                actual: Revision::from(1),
            }),
        }
    }

    pub(crate) fn find(&mut self, id: &str) -> Result<Option<TransitionRecord>, StateStoreError> {
        let query = state_transitions::table
            .filter(state_transitions::namespace.eq(self.scope.namespace.as_str()))
            .filter(state_transitions::id.eq(id))
            .select(TransitionRow::as_select());
        decoded_one(query, self.connection, self.budget, |row| {
            TransitionRow::decode(row, self.scope)
        })
    }

    pub(crate) fn list(
        &mut self,
        filter: &TransitionFilter,
        page: &PageRequest,
    ) -> Result<Page<TransitionRecord>, StateStoreError> {
        let bounds = page.by_sequence(self.scope.limits.page_rows)?;
        let bounds = settled(self.connection, self.notes, "state_transitions", bounds)?;
        let query = self
            .page(filter, bounds)?
            .select(TransitionRow::as_select());
        let rows = decoded(query, bounds.rows, self.connection, self.budget, |row| {
            TransitionRow::list(row, self.scope)
        })?;
        Ok(Page::by_sequence(
            rows,
            bounds,
            |last: &TransitionRecord| last.seq,
        ))
    }

    /// Returns the agent's newest transitions, at most `limit`, newest first.
    pub(crate) fn newest(
        &mut self,
        agent_id: &str,
        limit: u32,
    ) -> Result<Vec<StateTransition>, StateStoreError> {
        let most = self.scope.limits.list_rows;
        let wanted = limit as usize;
        let bounds = SequenceBounds::newest(wanted.min(most));
        let filter = TransitionFilter::default().agent(agent_id);
        let query = self.page(&filter, bounds)?;
        let query = query.select(StateTransitionRow::as_select());
        let mut rows = decoded(query, bounds.rows, self.connection, self.budget, |row| {
            StateTransitionRow::list(row, self.scope)
        })?;
        if wanted > most {
            rows = whole_list(rows, most, "transitions().list(..)")?;
        }
        rows.truncate(wanted);
        Ok(Listed::all_shown(rows))
    }

    pub(crate) fn count(&mut self, filter: &TransitionFilter) -> Result<i64, StateStoreError> {
        Ok(self.matching(filter)?.count().get_result(self.connection)?)
    }

    pub(crate) fn purge_before(&mut self, seconds: i64) -> Result<usize, StateStoreError> {
        let namespace = self.scope.namespace.as_str();
        let old = state_transitions::table
            .filter(state_transitions::namespace.eq(namespace))
            .filter(state_transitions::timestamp.lt(seconds));
        Ok(diesel::delete(old).execute(self.connection)?)
    }

    fn page(
        &self,
        filter: &TransitionFilter,
        bounds: SequenceBounds,
    ) -> Result<state_transitions::BoxedQuery<'static, Db>, StateStoreError> {
        Ok(in_sequence!(
            state_transitions,
            self.matching(filter)?,
            picks_by_time(filter),
            bounds
        ))
    }

    fn matching(
        &self,
        filter: &TransitionFilter,
    ) -> Result<state_transitions::BoxedQuery<'static, Db>, StateStoreError> {
        let namespace = self.scope.namespace.as_str().to_owned();
        let mut query = state_transitions::table
            .filter(state_transitions::namespace.eq(namespace))
            .into_boxed();
        if let Some(agent_id) = &filter.agent_id {
            let agent_id = self.scope.limits.id("agent_id", agent_id)?.to_owned();
            query = query.filter(state_transitions::agent_id.eq(agent_id));
        }
        Ok(within!(
            query,
            state_transitions::timestamp,
            filter.time,
            picks_by_time(filter)
        ))
    }
}

/// Whether the time range picks the index: the index of agents has the times as well, but in order of sequence.
fn picks_by_time(filter: &TransitionFilter) -> bool {
    filter.time.is_limited() && filter.agent_id.is_none()
}
