//! State transitions: append-only.

use diesel::prelude::*;
use diesel::sqlite::Sqlite;

use super::dialect::last_insert_rowid;
use super::prepared::prepared;
use super::{Connection, in_sequence, whole_list};
use crate::error::StateStoreError;
use crate::models::{
    NewTransition, Scope, StateTransition, TransitionDraft, TransitionFilter, TransitionRecord,
    TransitionRow,
};
use crate::page::{Page, PageRequest, SequenceBounds};
use crate::schema::state_transitions;

/// The transitions of agents' states, within one transaction and namespace.
pub struct TransitionRepository<'t> {
    connection: &'t mut Connection,
    scope: &'t Scope,
}

impl<'t> TransitionRepository<'t> {
    pub(super) fn new(connection: &'t mut Connection, scope: &'t Scope) -> Self {
        Self { connection, scope }
    }

    /// Records a transition; gives its sequence number.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for a bad field.
    pub fn record(&mut self, draft: &TransitionDraft) -> Result<i64, StateStoreError> {
        let row = NewTransition::prepare(self.scope, draft)?;
        self.put(&row)
    }

    pub(crate) fn put(&mut self, row: &NewTransition) -> Result<i64, StateStoreError> {
        let insert = diesel::insert_into(state_transitions::table).values(row);
        prepared!(insert).write(self.connection)?;
        Ok(diesel::select(last_insert_rowid()).get_result(self.connection)?)
    }

    /// A page of transitions.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for a bad filter or page.
    pub fn list(
        &mut self,
        filter: &TransitionFilter,
        page: &PageRequest,
    ) -> Result<Page<TransitionRecord>, StateStoreError> {
        let bounds = page.by_sequence(self.scope.limits.page_rows)?;
        let rows = self.load(filter, bounds)?;
        Ok(Page::by_sequence(rows, bounds, |last| last.seq))
    }

    /// The agent's newest transitions, at the most `limit`, newest first.
    pub(crate) fn newest(
        &mut self,
        agent_id: &str,
        limit: u32,
    ) -> Result<Vec<StateTransition>, StateStoreError> {
        let most = self.scope.limits.list_rows;
        let wanted = limit as usize;
        let bounds = SequenceBounds::newest(wanted.min(most));
        let mut rows = self.load(&TransitionFilter::default().agent(agent_id), bounds)?;
        if wanted > most {
            rows = whole_list(rows, most, "transitions().list(..)")?;
        }
        rows.truncate(wanted);
        Ok(rows.into_iter().map(|record| record.transition).collect())
    }

    /// How many transitions there are.
    ///
    /// # Errors
    /// `InvalidInput` for a bad filter.
    pub fn count(&mut self, filter: &TransitionFilter) -> Result<i64, StateStoreError> {
        Ok(self.matching(filter)?.count().get_result(self.connection)?)
    }

    /// Removes the transitions whose `timestamp` is before this Unix second; gives how many.
    ///
    /// # Errors
    /// Only the database's.
    pub fn purge_before(&mut self, seconds: i64) -> Result<usize, StateStoreError> {
        let namespace = self.scope.namespace.as_str();
        let old = state_transitions::table
            .filter(state_transitions::namespace.eq(namespace))
            .filter(state_transitions::timestamp.lt(seconds));
        Ok(diesel::delete(old).execute(self.connection)?)
    }

    fn load(
        &mut self,
        filter: &TransitionFilter,
        bounds: SequenceBounds,
    ) -> Result<Vec<TransitionRecord>, StateStoreError> {
        in_sequence!(
            state_transitions,
            self.matching(filter)?,
            filter.time,
            bounds
        )
        .select(TransitionRow::as_select())
        .load(self.connection)?
        .into_iter()
        .map(|row| row.decode(self.scope))
        .collect()
    }

    fn matching(
        &self,
        filter: &TransitionFilter,
    ) -> Result<state_transitions::BoxedQuery<'static, Sqlite>, StateStoreError> {
        let namespace = self.scope.namespace.as_str().to_owned();
        let mut query = state_transitions::table
            .filter(state_transitions::namespace.eq(namespace))
            .into_boxed();
        if let Some(agent_id) = &filter.agent_id {
            let agent_id = self.scope.limits.id("agent_id", agent_id)?.to_owned();
            query = query.filter(state_transitions::agent_id.eq(agent_id));
        }
        if let Some(from) = filter.time.from {
            query = query.filter(state_transitions::timestamp.ge(from));
        }
        if let Some(until) = filter.time.until {
            query = query.filter(state_transitions::timestamp.lt(until));
        }
        Ok(query)
    }
}
