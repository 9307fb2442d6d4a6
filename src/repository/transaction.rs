//! An open transaction, and the aggregates within it.

use std::fmt;
use std::ops::{Deref, DerefMut};

use diesel::SqliteConnection;

use super::{
    AgentReader, AgentRepository, Backend, EventReader, EventRepository, SessionReader,
    SessionRepository, SnapshotReader, SnapshotRepository, TaskReader, TaskRepository,
    TransitionReader, TransitionRepository,
};
use crate::error::StateStoreError;
use crate::limits::Limits;

/// An open transaction that reads: all of it sees one snapshot of the database.
///
/// [`SqliteStateStore::read`](crate::SqliteStateStore::read) hands it to a closure. A [`Transaction`] is one too, so that a
/// function that only reads serves both.
pub struct ReadTransaction<'a> {
    backend: Backend<'a>,
}

/// An open transaction over all six aggregates of one namespace, and over the Diesel connection.
///
/// [`SqliteStateStore::transact`](crate::SqliteStateStore::transact) hands it to a closure. The store commits when the
/// closure returns `Ok`, and rolls everything back when it returns `Err` or panics.
pub struct Transaction<'a> {
    reads: ReadTransaction<'a>,
}

/// The methods that return an aggregate.
macro_rules! aggregates {
    ($($noun:ident -> $Reader:ident, $Repository:ident: $doc:literal;)*) => {
        impl ReadTransaction<'_> {
            $(
                #[doc = $doc]
                pub fn $noun(&mut self) -> $Reader<'_> {
                    $Reader::new(self.backend.reborrow())
                }
            )*
        }

        impl Transaction<'_> {
            $(
                #[doc = $doc]
                pub fn $noun(&mut self) -> $Repository<'_> {
                    $Repository::new(self.reads.backend.reborrow())
                }
            )*
        }
    };
}

aggregates! {
    agents -> AgentReader, AgentRepository: "Returns the states of agents.";
    transitions -> TransitionReader, TransitionRepository: "Returns the transitions of agents' states.";
    snapshots -> SnapshotReader, SnapshotRepository: "Returns the snapshots of agents' states.";
    events -> EventReader, EventRepository: "Returns the events.";
    tasks -> TaskReader, TaskRepository: "Returns the tasks.";
    sessions -> SessionReader, SessionRepository: "Returns the sessions.";
}

impl<'a> ReadTransaction<'a> {
    pub(crate) fn new(backend: Backend<'a>) -> Self {
        Self { backend }
    }

    /// Returns the limits of the store, as its options set them.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.backend.scope().limits
    }

    /// Returns the Diesel connection, in this transaction: for type-checked queries against [`schema`](crate::schema), and
    /// for the application's own tables.
    ///
    /// It sees every namespace. Nested `connection.transaction(..)` is a savepoint; ending the outer transaction by raw SQL
    /// is [`TransactionEscaped`](StateStoreError::TransactionEscaped).
    ///
    /// # Errors
    /// `Unsupported` where the store isn't on SQLite.
    pub fn sqlite(&mut self) -> Result<&mut SqliteConnection, StateStoreError> {
        match &mut self.backend {
            Backend::Sqlite(context) => context.lend_connection(),
            #[cfg(feature = "postgres")]
            Backend::Postgres(_) => Err(StateStoreError::Unsupported {
                reason: "the store is on PostgreSQL, not on SQLite: take postgres()".into(),
            }),
        }
    }

    /// Returns the Diesel connection, in this transaction: for type-checked queries against
    /// [`schema::postgres`](crate::schema::postgres), and for the application's own tables.
    ///
    /// It sees every namespace. Nested `connection.transaction(..)` is a savepoint; ending the outer transaction by raw SQL
    /// is [`TransactionEscaped`](StateStoreError::TransactionEscaped).
    ///
    /// # Errors
    /// `Unsupported` where the store isn't on PostgreSQL.
    #[cfg(feature = "postgres")]
    pub fn postgres(&mut self) -> Result<&mut diesel::PgConnection, StateStoreError> {
        match &mut self.backend {
            Backend::Sqlite(_) => Err(StateStoreError::Unsupported {
                reason: "the store is on SQLite, not on PostgreSQL: take sqlite()".into(),
            }),
            Backend::Postgres(context) => Ok(context.lend_connection()),
        }
    }
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(backend: Backend<'a>) -> Self {
        Self {
            reads: ReadTransaction::new(backend),
        }
    }
}

impl<'a> Deref for Transaction<'a> {
    type Target = ReadTransaction<'a>;

    fn deref(&self) -> &ReadTransaction<'a> {
        &self.reads
    }
}

impl<'a> DerefMut for Transaction<'a> {
    fn deref_mut(&mut self) -> &mut ReadTransaction<'a> {
        &mut self.reads
    }
}

impl fmt::Debug for ReadTransaction<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ReadTransaction")
            .field("namespace", &self.backend.scope().namespace.as_str())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Transaction")
            .field("namespace", &self.reads.backend.scope().namespace.as_str())
            .finish_non_exhaustive()
    }
}
