//! The connection in the hands of a caller, and what the store does within a caller's transaction.

use diesel::connection::Connection as _;

use super::context::TableContext;
use super::dialect::Connection;
use crate::error::StateStoreError;

impl TableContext<'_> {
    /// Returns the connection for a caller, who may do anything with it.
    pub(crate) fn lend_connection(&mut self) -> &mut Connection {
        // Its settings may be others afterwards.
        self.notes.lent_within = Some(String::new());
        self.connection
    }

    /// Runs work in a savepoint: where it fails, the transaction goes on.
    #[allow(clippy::disallowed_methods)] // Inside an open transaction it is a savepoint.
    pub(crate) fn within_savepoint<T>(
        &mut self,
        work: impl FnOnce(TableContext<'_>) -> Result<T, StateStoreError>,
    ) -> Result<T, StateStoreError> {
        let (scope, notes) = (self.scope, &mut *self.notes);
        self.connection
            .transaction(|connection| work(TableContext::new(connection, scope, notes)))
    }
}
