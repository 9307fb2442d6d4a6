//! What brings the full-text index up to date, so that the engine knows no table.

use diesel::SqliteConnection;

use crate::error::StateStoreError;

/// Indexes events that wait for it, in whatever transaction is open.
pub(crate) trait EventIndexer: Send + Sync {
    /// Indexes a block of the oldest events that wait; returns whether more do.
    fn index_block(&self, connection: &mut SqliteConnection) -> Result<bool, StateStoreError>;

    /// Returns how many events there may be above this number; `None` is a number that could not be read.
    fn events_above(&self, connection: &mut SqliteConnection, seq: Option<i64>) -> usize;
}
