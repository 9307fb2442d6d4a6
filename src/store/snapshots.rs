//! The snapshots of agents' states.

use super::SqliteStateStore;
use crate::engine::WriteKind;
use crate::error::StateStoreError;
use crate::expected::Expected;
use crate::models::{NewSnapshot, SnapshotFilter, SnapshotOptions, SnapshotRecord};
use crate::page::{Page, PageRequest};

/// The snapshots of agents' states.
#[derive(Debug, Clone, Copy)]
pub struct Snapshots<'s> {
    store: &'s SqliteStateStore,
}

impl<'s> Snapshots<'s> {
    pub(super) fn new(store: &'s SqliteStateStore) -> Self {
        Self { store }
    }

    /// Keeps the agent's whole state as it is now; gives the snapshot's id.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `NotFound` where there is no such agent, `InvalidInput` or `TooLarge` for a bad argument.
    pub async fn create(
        &self,
        agent_id: &str,
        options: &SnapshotOptions,
    ) -> Result<String, StateStoreError> {
        let snapshot = NewSnapshot::prepare(self.store.scope()?, agent_id, options)?;
        self.store
            .write("snapshots.create", WriteKind::SingleStatement, move |tx| {
                tx.snapshots().put(&snapshot)
            })
            .await
    }

    /// A snapshot; `None` where there is none or it has expired.
    ///
    /// # Errors
    /// `Corrupt` for a row that can't be decoded.
    pub async fn get(&self, id: &str) -> Result<Option<SnapshotRecord>, StateStoreError> {
        let id = id.to_owned();
        self.store
            .read_one("snapshots.get", move |tx| tx.snapshots().get(&id))
            .await
    }

    /// A page of snapshots.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for a bad filter or page.
    pub async fn list(
        &self,
        filter: &SnapshotFilter,
        page: &PageRequest,
    ) -> Result<Page<SnapshotRecord>, StateStoreError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.store
            .read_many("snapshots.list", move |tx| {
                tx.snapshots().list(&filter, &page)
            })
            .await
    }

    /// How many snapshots there are.
    ///
    /// # Errors
    /// `InvalidInput` for a bad filter.
    pub async fn count(&self, filter: &SnapshotFilter) -> Result<i64, StateStoreError> {
        let filter = filter.clone();
        self.store
            .read_many("snapshots.count", move |tx| tx.snapshots().count(&filter))
            .await
    }

    /// Gives the agent the snapshot's whole state; also an agent that was soft-deleted since. `expected` is of the
    /// agent's row. Gives the agent's new revision.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `NotFound` where there is no such snapshot or it has expired, and what [`Expected`] says.
    pub async fn restore(&self, id: &str, expected: Expected) -> Result<i64, StateStoreError> {
        let id = id.to_owned();
        self.store
            .write("snapshots.restore", WriteKind::SingleStatement, move |tx| {
                tx.snapshots().restore(&id, expected)
            })
            .await
    }

    /// Sets description and expiry, both; gives the row's new revision. What was snapshotted never changes.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `NotFound` where there is no such snapshot, and what [`Expected`] says.
    pub async fn update(
        &self,
        id: &str,
        options: &SnapshotOptions,
        expected: Expected,
    ) -> Result<i64, StateStoreError> {
        let (id, options) = (id.to_owned(), options.clone());
        self.store
            .write("snapshots.update", WriteKind::SingleStatement, move |tx| {
                tx.snapshots().update(&id, &options, expected)
            })
            .await
    }

    /// Removes a snapshot for good.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `NotFound` where there is no such snapshot, and what [`Expected`] says.
    pub async fn delete(&self, id: &str, expected: Expected) -> Result<(), StateStoreError> {
        let id = id.to_owned();
        self.store
            .write("snapshots.delete", WriteKind::FewStatements, move |tx| {
                tx.snapshots().delete(&id, expected)
            })
            .await
    }

    /// Removes every snapshot that has expired; gives how many.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn purge_expired(&self) -> Result<usize, StateStoreError> {
        self.store
            .write("snapshots.purge_expired", WriteKind::Bulk, |tx| {
                tx.snapshots().purge_expired()
            })
            .await
    }

    pub(super) async fn all(
        &self,
        agent_id: &str,
    ) -> Result<Vec<(String, Option<String>, i64)>, StateStoreError> {
        let agent_id = agent_id.to_owned();
        self.store
            .read_many("snapshots.list", move |tx| tx.snapshots().all(&agent_id))
            .await
    }
}
