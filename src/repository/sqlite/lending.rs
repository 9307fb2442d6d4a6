//! The connection itself, in the hands of a caller.

use super::context::TableContext;
use super::dialect::Connection;
use super::search::newest_event;
use crate::error::StateStoreError;

impl TableContext<'_> {
    /// Returns the connection for a caller, who may do anything with it.
    pub(crate) fn lend_connection(&mut self) -> Result<&mut Connection, StateStoreError> {
        if self.notes.lent_within.is_none()
            && let Some(before_lending) = self.notes.before_lending
        {
            self.notes.last_event_before = newest_event(self.connection).ok();
            if !self.notes.lending_failed {
                self.notes.lent_within = before_lending(self.connection);
            }
            if self.notes.lent_within.is_none() {
                self.notes.lending_failed = true;
                return Err(StateStoreError::TransactionEscaped);
            }
        }
        Ok(self.connection)
    }
}
