//! Which database a transaction is open on.

use diesel::SqliteConnection;

#[cfg(feature = "postgres")]
use super::postgres;
use super::sqlite;
use crate::commit_notes::CommitNotes;
use crate::error::StateStoreError;
use crate::models::Scope;
use crate::read_budget::ReadBudget;

/// An open transaction on one of the backends, and whose rows it sees.
pub(crate) enum Backend<'t> {
    Sqlite(sqlite::TableContext<'t>),
    #[cfg(feature = "postgres")]
    Postgres(postgres::TableContext<'t>),
}

impl<'t> Backend<'t> {
    pub(crate) fn sqlite(
        connection: &'t mut SqliteConnection,
        scope: &'t Scope,
        notes: &'t mut CommitNotes,
    ) -> Self {
        Self::Sqlite(sqlite::TableContext::new(connection, scope, notes))
    }

    /// Returns one for a read of the store's own, which is counted.
    pub(crate) fn counted_sqlite(
        connection: &'t mut SqliteConnection,
        scope: &'t Scope,
        notes: &'t mut CommitNotes,
        budget: &'t ReadBudget,
    ) -> Self {
        let context = sqlite::TableContext::new(connection, scope, notes);
        Self::Sqlite(context.within(budget))
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn postgres(
        connection: &'t mut diesel::PgConnection,
        scope: &'t Scope,
        notes: &'t mut CommitNotes,
    ) -> Self {
        Self::Postgres(postgres::TableContext::new(connection, scope, notes))
    }

    /// Returns one for a read of the store's own, which is counted.
    #[cfg(feature = "postgres")]
    pub(crate) fn counted_postgres(
        connection: &'t mut diesel::PgConnection,
        scope: &'t Scope,
        notes: &'t mut CommitNotes,
        budget: &'t ReadBudget,
    ) -> Self {
        let context = postgres::TableContext::new(connection, scope, notes);
        Self::Postgres(context.within(budget))
    }

    pub(crate) fn reborrow(&mut self) -> Backend<'_> {
        match self {
            Self::Sqlite(context) => Backend::Sqlite(context.reborrow()),
            #[cfg(feature = "postgres")]
            Self::Postgres(context) => Backend::Postgres(context.reborrow()),
        }
    }

    /// Runs a write within a caller's transaction, which goes on where the write fails. PostgreSQL refuses every further statement
    /// of a transaction in which one has failed, so there it gets a savepoint.
    pub(crate) fn within_closure<T>(
        &mut self,
        work: impl FnOnce(&mut Backend<'_>) -> Result<T, StateStoreError>,
    ) -> Result<T, StateStoreError> {
        match self {
            Self::Sqlite(context) => work(&mut Backend::Sqlite(context.reborrow())),
            #[cfg(feature = "postgres")]
            Self::Postgres(context) => {
                context.within_savepoint(|context| work(&mut Backend::Postgres(context)))
            }
        }
    }

    /// Prepares the words of every event of the database again.
    #[cfg(feature = "postgres")]
    pub(crate) fn prepare_words_again(&mut self) -> Result<(), StateStoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(context) => postgres::prepare_words_again(context.reborrow()),
        }
    }

    pub(crate) fn scope(&self) -> &'t Scope {
        match self {
            Self::Sqlite(context) => context.scope(),
            #[cfg(feature = "postgres")]
            Self::Postgres(context) => context.scope(),
        }
    }
}

/// Runs an expression on a table of whatever backend it is.
macro_rules! on_table {
    ($backend:expr, $Table:ident, |$table:pat_param| $run:expr) => {
        match $backend {
            $crate::repository::Backend::Sqlite(context) => {
                let mut table = $crate::repository::sqlite::$Table::new(context.reborrow());
                let $table = &mut table;
                $run
            }
            #[cfg(feature = "postgres")]
            $crate::repository::Backend::Postgres(context) => {
                let mut table = $crate::repository::postgres::$Table::new(context.reborrow());
                let $table = &mut table;
                $run
            }
        }
    };
}
pub(crate) use on_table;
