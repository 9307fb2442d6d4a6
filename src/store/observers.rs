//! What happens before each commit of a store.

use diesel::SqliteConnection;

use crate::commit_notes::{Appended, CommitNotes};
use crate::engine::{CommitObserver, CommitObservers};
use crate::error::StateStoreError;
use crate::repository::{has_events_above, index_waiting_events};

pub(super) const OBSERVERS: CommitObservers = &[&SearchIndexer];

/// Indexes new events: once a commit, not once a row.
struct SearchIndexer;

/// The most that is indexed in one statement.
const BLOCK: Appended = Appended {
    events: 16 * 1024,
    bytes: 64 << 20,
};

impl CommitObserver for SearchIndexer {
    fn is_needed_by(&self, connection: &mut SqliteConnection, notes: &CommitNotes) -> bool {
        // Through the connection, events may have been written by Diesel or raw SQL.
        notes.appended.events > 0
            || (notes.lent_connection && has_events_above(connection, notes.last_event_before))
    }

    fn before_commit(
        &self,
        connection: &mut SqliteConnection,
        notes: &CommitNotes,
    ) -> Result<(), StateStoreError> {
        if self.is_needed_by(connection, notes) {
            while index_waiting_events(connection, BLOCK)?.events > 0 {}
        }
        Ok(())
    }
}
