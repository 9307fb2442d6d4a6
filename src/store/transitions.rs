//! The transitions of agents' states.

use super::SqliteStateStore;
use crate::engine::WriteKind;
use crate::error::StateStoreError;
use crate::models::{
    NewTransition, StateTransition, TransitionDraft, TransitionFilter, TransitionRecord,
};
use crate::page::{Page, PageRequest};

/// The transitions of agents' states.
#[derive(Debug, Clone, Copy)]
pub struct Transitions<'s> {
    store: &'s SqliteStateStore,
}

impl<'s> Transitions<'s> {
    pub(super) fn new(store: &'s SqliteStateStore) -> Self {
        Self { store }
    }

    /// Records a transition; gives its sequence number.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for a bad field.
    pub async fn record(&self, draft: &TransitionDraft) -> Result<i64, StateStoreError> {
        let row = NewTransition::prepare(self.store.scope()?, draft)?;
        self.store
            .write(
                "transitions.record",
                WriteKind::SingleStatement,
                move |tx| tx.transitions().put(&row),
            )
            .await
    }

    /// A page of transitions.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for a bad filter or page.
    pub async fn list(
        &self,
        filter: &TransitionFilter,
        page: &PageRequest,
    ) -> Result<Page<TransitionRecord>, StateStoreError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.store
            .read_many("transitions.list", move |tx| {
                tx.transitions().list(&filter, &page)
            })
            .await
    }

    /// How many transitions there are.
    ///
    /// # Errors
    /// `InvalidInput` for a bad filter.
    pub async fn count(&self, filter: &TransitionFilter) -> Result<i64, StateStoreError> {
        let filter = filter.clone();
        self.store
            .read_many("transitions.count", move |tx| {
                tx.transitions().count(&filter)
            })
            .await
    }

    /// Removes the transitions whose `timestamp` is before this Unix second; gives how many.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn purge_before(&self, seconds: i64) -> Result<usize, StateStoreError> {
        self.store
            .write("transitions.purge_before", WriteKind::Bulk, move |tx| {
                tx.transitions().purge_before(seconds)
            })
            .await
    }

    pub(super) async fn newest(
        &self,
        agent_id: &str,
        limit: u32,
    ) -> Result<Vec<StateTransition>, StateStoreError> {
        let agent_id = agent_id.to_owned();
        self.store
            .read_many("transitions.list", move |tx| {
                tx.transitions().newest(&agent_id, limit)
            })
            .await
    }
}
