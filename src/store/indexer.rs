//! The full-text index of a store's events, as the engine brings it up to date.

use diesel::SqliteConnection;

use crate::engine::EventIndexer;
use crate::error::StateStoreError;
use crate::repository::{events_above, index_block};

pub(super) static INDEXER: Indexer = Indexer;

pub(super) struct Indexer;

impl EventIndexer for Indexer {
    fn index_block(&self, connection: &mut SqliteConnection) -> Result<bool, StateStoreError> {
        index_block(connection)
    }

    fn events_above(&self, connection: &mut SqliteConnection, seq: Option<i64>) -> usize {
        events_above(connection, seq)
    }
}
