//! The tasks.

use uuid::Uuid;

use super::SqliteStateStore;
use crate::engine::WriteKind;
use crate::error::StateStoreError;
use crate::expected::Expected;
use crate::models::{NewTask, Task, TaskFilter, TaskRecord, TaskStatus};
use crate::page::{Page, PageRequest};

/// The tasks.
#[derive(Debug, Clone, Copy)]
pub struct Tasks<'s> {
    store: &'s SqliteStateStore,
}

impl<'s> Tasks<'s> {
    pub(super) fn new(store: &'s SqliteStateStore) -> Self {
        Self { store }
    }

    /// Saves a task, over whatever is there; gives the row's new revision.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for a bad field.
    pub async fn save(&self, task: &Task) -> Result<i64, StateStoreError> {
        self.save_if(task, Expected::Any).await
    }

    /// Saves a task if the stored row is as expected; gives the row's new revision.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for a bad field, and what [`Expected`] says.
    pub async fn save_if(&self, task: &Task, expected: Expected) -> Result<i64, StateStoreError> {
        let row = NewTask::prepare(self.store.scope()?, task)?;
        self.store
            .write("tasks.save", WriteKind::SingleStatement, move |tx| {
                tx.tasks().put(&row, expected)
            })
            .await
    }

    /// The task's record; `None` where there is none or it is soft-deleted.
    ///
    /// # Errors
    /// `Corrupt` for a row that can't be decoded.
    pub async fn get(&self, id: &Uuid) -> Result<Option<TaskRecord>, StateStoreError> {
        let id = *id;
        self.store
            .read_one("tasks.get", move |tx| tx.tasks().get(&id))
            .await
    }

    /// A page of tasks, in the order in which they were first saved.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for a bad filter or page.
    pub async fn list(
        &self,
        filter: &TaskFilter,
        page: &PageRequest,
    ) -> Result<Page<TaskRecord>, StateStoreError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.store
            .read_many("tasks.list", move |tx| tx.tasks().list(&filter, &page))
            .await
    }

    /// How many tasks there are.
    ///
    /// # Errors
    /// `InvalidInput` for a bad filter.
    pub async fn count(&self, filter: &TaskFilter) -> Result<i64, StateStoreError> {
        let filter = filter.clone();
        self.store
            .read_many("tasks.count", move |tx| tx.tasks().count(&filter))
            .await
    }

    /// Changes the task's status, and its `updated_at` to now; gives the row's new revision.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `NotFound` where there is no such task, and what [`Expected`] says.
    pub async fn set_status(
        &self,
        id: &Uuid,
        status: TaskStatus,
        expected: Expected,
    ) -> Result<i64, StateStoreError> {
        let id = *id;
        self.store
            .write("tasks.set_status", WriteKind::SingleStatement, move |tx| {
                tx.tasks().set_status(&id, status, expected)
            })
            .await
    }

    /// Soft-deletes the task: it is kept, but no longer found. Gives the row's new revision.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `NotFound` where there is no such task, and what [`Expected`] says.
    pub async fn delete(&self, id: &Uuid, expected: Expected) -> Result<i64, StateStoreError> {
        let id = *id;
        self.store
            .write("tasks.delete", WriteKind::SingleStatement, move |tx| {
                tx.tasks().delete(&id, expected)
            })
            .await
    }

    /// Takes a soft-delete back; on a row that isn't deleted it does nothing. Gives the row's revision.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `NotFound` where there never was such a task or it was purged, `Conflict` where [`Expected`] says so.
    pub async fn undelete(&self, id: &Uuid, expected: Expected) -> Result<i64, StateStoreError> {
        let id = *id;
        self.store
            .write("tasks.undelete", WriteKind::SingleStatement, move |tx| {
                tx.tasks().undelete(&id, expected)
            })
            .await
    }

    /// Removes the task for good, deleted or not.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `NotFound` where there is no such task, `Conflict` where [`Expected`] says so.
    pub async fn purge(&self, id: &Uuid, expected: Expected) -> Result<(), StateStoreError> {
        let id = *id;
        self.store
            .write("tasks.purge", WriteKind::FewStatements, move |tx| {
                tx.tasks().purge(&id, expected)
            })
            .await
    }

    pub(super) async fn all(&self) -> Result<Vec<Task>, StateStoreError> {
        self.store
            .read_many("tasks.list", move |tx| tx.tasks().all())
            .await
    }
}
