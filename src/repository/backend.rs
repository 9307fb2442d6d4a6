//! Which database a transaction is open on.

use diesel::SqliteConnection;

use super::sqlite;
use crate::commit_notes::CommitNotes;
use crate::models::Scope;
use crate::read_budget::ReadBudget;

/// An open transaction on one of the backends, and whose rows it sees.
pub(crate) enum Backend<'t> {
    Sqlite(sqlite::TableContext<'t>),
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

    pub(crate) fn reborrow(&mut self) -> Backend<'_> {
        match self {
            Self::Sqlite(context) => Backend::Sqlite(context.reborrow()),
        }
    }

    pub(crate) fn scope(&self) -> &'t Scope {
        match self {
            Self::Sqlite(context) => context.scope(),
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
        }
    };
}
pub(crate) use on_table;
