//! What happens before each commit of a store.

use diesel::SqliteConnection;

use crate::commit_notes::CommitNotes;
use crate::engine::{CommitObserver, CommitObservers};
use crate::error::StateStoreError;
use crate::repository::index_new_events;

pub(super) const OBSERVERS: CommitObservers = &[&SearchIndexer];

/// Indexes new events: once a commit, not once a row.
struct SearchIndexer;

impl CommitObserver for SearchIndexer {
    fn before_commit(
        &self,
        connection: &mut SqliteConnection,
        notes: &CommitNotes,
    ) -> Result<(), StateStoreError> {
        // Through the connection, events may have been written by Diesel or raw SQL.
        if notes.appended_events || notes.lent_connection {
            index_new_events(connection)?;
        }
        Ok(())
    }
}
