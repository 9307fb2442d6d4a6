//! An open transaction, and the repositories over it.

use std::fmt;

use crate::commit_notes::CommitNotes;
use crate::models::Scope;

use super::{
    AgentRepository, EventRepository, SessionRepository, SnapshotRepository, TaskRepository,
    TransitionRepository,
};

/// The connection that every repository names; a second backend would compile the same bodies over another.
pub(crate) type Connection = diesel::SqliteConnection;

/// An open transaction over all six aggregates of one namespace, and over the Diesel connection.
///
/// [`SqliteStateStore::transact`](crate::SqliteStateStore::transact) and
/// [`read`](crate::SqliteStateStore::read) hand it to a closure. The store commits when the closure gives `Ok`, and
/// rolls everything back when it gives `Err` or panics.
pub struct Transaction<'a> {
    connection: &'a mut Connection,
    scope: &'a Scope,
    notes: &'a mut CommitNotes,
    is_read_only: bool,
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Transaction")
            .field("namespace", &self.scope.namespace.as_str())
            .finish_non_exhaustive()
    }
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(
        connection: &'a mut Connection,
        scope: &'a Scope,
        notes: &'a mut CommitNotes,
        is_read_only: bool,
    ) -> Self {
        Self {
            connection,
            scope,
            notes,
            is_read_only,
        }
    }

    /// The states of agents.
    pub fn agents(&mut self) -> AgentRepository<'_> {
        AgentRepository::new(self.connection, self.scope)
    }

    /// The transitions of agents' states.
    pub fn transitions(&mut self) -> TransitionRepository<'_> {
        TransitionRepository::new(self.connection, self.scope)
    }

    /// The snapshots of agents' states.
    pub fn snapshots(&mut self) -> SnapshotRepository<'_> {
        SnapshotRepository::new(self.connection, self.scope)
    }

    /// The events.
    pub fn events(&mut self) -> EventRepository<'_> {
        EventRepository::new(self.connection, self.scope, self.notes, self.is_read_only)
    }

    /// The tasks.
    pub fn tasks(&mut self) -> TaskRepository<'_> {
        TaskRepository::new(self.connection, self.scope)
    }

    /// The sessions.
    pub fn sessions(&mut self) -> SessionRepository<'_> {
        SessionRepository::new(self.connection, self.scope)
    }

    /// The Diesel connection, in this transaction: for type-checked queries against
    /// [`schema`](crate::schema), and for the application's own tables.
    ///
    /// It sees every namespace. Nested `connection.transaction(..)` is a savepoint; ending the outer transaction by raw
    /// SQL is [`TransactionEscaped`](crate::StateStoreError::TransactionEscaped).
    pub fn connection(&mut self) -> &mut diesel::SqliteConnection {
        self.notes.lent_connection = true;
        self.connection
    }
}
