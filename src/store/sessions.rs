//! The sessions.

use super::SqliteStateStore;
use crate::engine::WriteKind;
use crate::error::StateStoreError;
use crate::expected::Expected;
use crate::models::{NewSession, Session, SessionFilter, SessionRecord, SessionStatus};
use crate::page::{Page, PageRequest};

/// The sessions.
#[derive(Debug, Clone, Copy)]
pub struct Sessions<'s> {
    store: &'s SqliteStateStore,
}

impl<'s> Sessions<'s> {
    pub(super) fn new(store: &'s SqliteStateStore) -> Self {
        Self { store }
    }

    /// Starts a session; gives the row's revision.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `Conflict` where the session exists; `InvalidInput` or `TooLarge` for a bad field.
    pub async fn start(&self, session: &Session) -> Result<i64, StateStoreError> {
        self.save_if(session, Expected::Absent).await
    }

    /// Saves a session whole if the stored row is as expected; gives the row's new revision.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for a bad field, and what [`Expected`] says.
    pub async fn save_if(
        &self,
        session: &Session,
        expected: Expected,
    ) -> Result<i64, StateStoreError> {
        let row = NewSession::prepare(self.store.scope()?, session)?;
        self.store
            .write("sessions.save", WriteKind::SingleStatement, move |tx| {
                tx.sessions().put(&row, expected)
            })
            .await
    }

    /// Notes that the session is alive: sets its `updated_at` to now. Gives the row's new revision.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `NotFound` where there is no such session, `InvalidInput` where it is over, and what [`Expected`] says.
    pub async fn touch(&self, id: &str, expected: Expected) -> Result<i64, StateStoreError> {
        let id = id.to_owned();
        self.store
            .write("sessions.touch", WriteKind::SingleStatement, move |tx| {
                tx.sessions().touch(&id, expected)
            })
            .await
    }

    /// Ends the session now, with a final status; gives the row's new revision.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `NotFound` where there is no such session, `InvalidInput` where it is over or the status isn't final, and what
    /// [`Expected`] says.
    pub async fn end(
        &self,
        id: &str,
        status: SessionStatus,
        expected: Expected,
    ) -> Result<i64, StateStoreError> {
        let id = id.to_owned();
        self.store
            .write("sessions.end", WriteKind::SingleStatement, move |tx| {
                tx.sessions().end(&id, status, expected)
            })
            .await
    }

    /// The session's record; `None` where there is none or it is soft-deleted.
    ///
    /// # Errors
    /// `Corrupt` for a row that can't be decoded.
    pub async fn get(&self, id: &str) -> Result<Option<SessionRecord>, StateStoreError> {
        let id = id.to_owned();
        self.store
            .read_one("sessions.get", move |tx| tx.sessions().get(&id))
            .await
    }

    /// A page of sessions, in the order in which they were first started.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for a bad filter or page.
    pub async fn list(
        &self,
        filter: &SessionFilter,
        page: &PageRequest,
    ) -> Result<Page<SessionRecord>, StateStoreError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.store
            .read_many("sessions.list", move |tx| {
                tx.sessions().list(&filter, &page)
            })
            .await
    }

    /// How many sessions there are.
    ///
    /// # Errors
    /// `InvalidInput` for a bad filter.
    pub async fn count(&self, filter: &SessionFilter) -> Result<i64, StateStoreError> {
        let filter = filter.clone();
        self.store
            .read_many("sessions.count", move |tx| tx.sessions().count(&filter))
            .await
    }

    /// Soft-deletes the session: it is kept, but no longer found. Gives the row's new revision.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `NotFound` where there is no such session, and what [`Expected`] says.
    pub async fn delete(&self, id: &str, expected: Expected) -> Result<i64, StateStoreError> {
        let id = id.to_owned();
        self.store
            .write("sessions.delete", WriteKind::SingleStatement, move |tx| {
                tx.sessions().delete(&id, expected)
            })
            .await
    }

    /// Takes a soft-delete back; on a row that isn't deleted it does nothing. Gives the row's revision.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `NotFound` where there never was such a session or it was purged, `Conflict` where [`Expected`] says so.
    pub async fn undelete(&self, id: &str, expected: Expected) -> Result<i64, StateStoreError> {
        let id = id.to_owned();
        self.store
            .write("sessions.undelete", WriteKind::SingleStatement, move |tx| {
                tx.sessions().undelete(&id, expected)
            })
            .await
    }

    /// Removes the session for good, deleted or not.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `NotFound` where there is no such session, `Conflict` where [`Expected`] says so.
    pub async fn purge(&self, id: &str, expected: Expected) -> Result<(), StateStoreError> {
        let id = id.to_owned();
        self.store
            .write("sessions.purge", WriteKind::FewStatements, move |tx| {
                tx.sessions().purge(&id, expected)
            })
            .await
    }
}
