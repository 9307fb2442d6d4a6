//! Those who act on a transaction just before it commits.

use diesel::SqliteConnection;

use crate::commit_notes::CommitNotes;
use crate::error::StateStoreError;

/// Acts once before the commit of each transaction in which something was written, inside the transaction.
pub(crate) trait CommitObserver: Send + Sync {
    /// Returns whether the operation that left these notes needs this observer to succeed.
    fn is_needed_by(&self, connection: &mut SqliteConnection, notes: &CommitNotes) -> bool;

    /// Does what the notes ask for. An error rolls the whole transaction back; the operations that don't need this observer
    /// are then run again without the others.
    fn before_commit(
        &self,
        connection: &mut SqliteConnection,
        notes: &CommitNotes,
    ) -> Result<(), StateStoreError>;
}

/// The observers of a database, in the order in which they act.
pub(crate) type CommitObservers = &'static [&'static dyn CommitObserver];
