//! The states of agents.

use super::SqliteStateStore;
use crate::engine::WriteKind;
use crate::error::StateStoreError;
use crate::expected::Expected;
use crate::models::{AgentFilter, AgentRecord, AgentState, NewAgent};
use crate::page::{Page, PageRequest};

/// The states of agents.
#[derive(Debug, Clone, Copy)]
pub struct Agents<'s> {
    store: &'s SqliteStateStore,
}

impl<'s> Agents<'s> {
    pub(super) fn new(store: &'s SqliteStateStore) -> Self {
        Self { store }
    }

    /// Saves an agent's state, over whatever is there; gives the row's new revision.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for a bad field.
    pub async fn save(&self, state: &AgentState) -> Result<i64, StateStoreError> {
        self.save_if(state, Expected::Any).await
    }

    /// Saves an agent's state if the stored row is as expected; gives the row's new revision.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for a bad field, and what [`Expected`] says.
    pub async fn save_if(
        &self,
        state: &AgentState,
        expected: Expected,
    ) -> Result<i64, StateStoreError> {
        let row = NewAgent::prepare(self.store.scope()?, state)?;
        self.store
            .write("agents.save", WriteKind::SingleStatement, move |tx| {
                tx.agents().put(&row, expected)
            })
            .await
    }

    /// The agent's record; `None` where there is none or it is soft-deleted.
    ///
    /// # Errors
    /// `Corrupt` for a row that can't be decoded.
    pub async fn get(&self, agent_id: &str) -> Result<Option<AgentRecord>, StateStoreError> {
        let agent_id = agent_id.to_owned();
        self.store
            .read_one("agents.get", move |tx| tx.agents().get(&agent_id))
            .await
    }

    /// A page of agents, by id.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for a bad filter or page.
    pub async fn list(
        &self,
        filter: &AgentFilter,
        page: &PageRequest,
    ) -> Result<Page<AgentRecord>, StateStoreError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.store
            .read_many("agents.list", move |tx| tx.agents().list(&filter, &page))
            .await
    }

    /// How many agents there are.
    ///
    /// # Errors
    /// `InvalidInput` for a bad filter.
    pub async fn count(&self, filter: &AgentFilter) -> Result<i64, StateStoreError> {
        let filter = filter.clone();
        self.store
            .read_many("agents.count", move |tx| tx.agents().count(&filter))
            .await
    }

    /// Changes the agent's status, and its `updated_at` to now; gives the row's new revision.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `NotFound` where there is no such agent, and what [`Expected`] says.
    pub async fn set_status(
        &self,
        agent_id: &str,
        status: &str,
        expected: Expected,
    ) -> Result<i64, StateStoreError> {
        let (agent_id, status) = (agent_id.to_owned(), status.to_owned());
        self.store
            .write("agents.set_status", WriteKind::SingleStatement, move |tx| {
                tx.agents().set_status(&agent_id, &status, expected)
            })
            .await
    }

    /// Soft-deletes the agent: it is kept, but no longer found. Gives the row's new revision.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `NotFound` where there is no such agent, and what [`Expected`] says.
    pub async fn delete(&self, agent_id: &str, expected: Expected) -> Result<i64, StateStoreError> {
        let agent_id = agent_id.to_owned();
        self.store
            .write("agents.delete", WriteKind::SingleStatement, move |tx| {
                tx.agents().delete(&agent_id, expected)
            })
            .await
    }

    /// Takes a soft-delete back; on a row that isn't deleted it does nothing. Gives the row's revision.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `NotFound` where there never was such an agent or it was purged, `Conflict` where [`Expected`] says so.
    pub async fn undelete(
        &self,
        agent_id: &str,
        expected: Expected,
    ) -> Result<i64, StateStoreError> {
        let agent_id = agent_id.to_owned();
        self.store
            .write("agents.undelete", WriteKind::SingleStatement, move |tx| {
                tx.agents().undelete(&agent_id, expected)
            })
            .await
    }

    /// Removes the agent for good, deleted or not, and its snapshots. Its events, transitions, tasks and
    /// sessions stay.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `NotFound` where there is no such agent, `Conflict` where [`Expected`] says so.
    pub async fn purge(&self, agent_id: &str, expected: Expected) -> Result<(), StateStoreError> {
        let agent_id = agent_id.to_owned();
        self.store
            .write("agents.purge", WriteKind::Bulk, move |tx| {
                tx.agents().purge(&agent_id, expected)
            })
            .await
    }

    pub(super) async fn all(&self) -> Result<Vec<AgentState>, StateStoreError> {
        self.store
            .read_many("agents.list", move |tx| tx.agents().all())
            .await
    }
}
