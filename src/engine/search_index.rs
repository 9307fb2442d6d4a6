//! The search index as a whole: whether it is sound, and how it is made again from the events.

use std::time::Duration;

use diesel::SqliteConnection;
use diesel::connection::SimpleConnection;

use super::connection::connect;
use super::event_indexer::EventIndexer;
use super::file::{Access, DatabaseFile};
use super::identity::mark_log;
use super::schema;
use crate::error::{DatabaseFailure, StateStoreError};
use crate::migrations;

/// What FTS5 needs before it lets its own table be dropped, in the form in which it makes them itself
/// (<https://www.sqlite.org/fts5.html>, section 9).
const PARTS: &str = "
    CREATE TABLE IF NOT EXISTS events_search_data (id INTEGER PRIMARY KEY, block BLOB);
    CREATE TABLE IF NOT EXISTS events_search_idx (segid, term, pgno, PRIMARY KEY (segid, term)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS events_search_docsize (id INTEGER PRIMARY KEY, sz BLOB);
    CREATE TABLE IF NOT EXISTS events_search_config (k PRIMARY KEY, v) WITHOUT ROWID;
    REPLACE INTO events_search_config (k, v) VALUES ('version', 4);";

const DROP: &str = "
    DROP TRIGGER IF EXISTS events_leave_search;
    DROP TABLE IF EXISTS events_search;
    DROP TABLE IF EXISTS events_search_data;
    DROP TABLE IF EXISTS events_search_idx;
    DROP TABLE IF EXISTS events_search_docsize;
    DROP TABLE IF EXISTS events_search_config;
    DROP VIEW IF EXISTS events_search_source;";

/// Without it events that are purged stay in the index, which its own check doesn't miss.
const TRIGGER: &str = "events_leave_search";

/// `rank = 1` compares the index with the events too, not only with itself.
const CHECK: &str =
    "INSERT INTO events_search (events_search, rank) VALUES ('integrity-check', 1);";

/// Makes the index again from the events, all or nothing, whatever is left of it.
pub(super) fn rebuild(file: &DatabaseFile, busy_timeout: Duration) -> Result<(), StateStoreError> {
    let mut connection = connect(file, Access::ReadWrite, busy_timeout)?;
    connection.immediate_transaction(|connection| {
        connection.batch_execute(PARTS)?;
        connection.batch_execute(DROP)?;
        connection.batch_execute(&migrations::search_index())?;
        mark_log(connection)
    })
}

/// Checks the index against itself and against the events; changes nothing. On a connection of its own: one that has
/// searched before reports damage where there is none.
///
/// # Errors
/// `SearchIndexDamaged`.
pub(super) fn check(
    file: &DatabaseFile,
    busy_timeout: Duration,
    indexer: &'static dyn EventIndexer,
) -> Result<(), StateStoreError> {
    let mut connection = connect(file, Access::ReadWrite, busy_timeout)?;
    let mut found = Ok(());
    let undone = connection.immediate_transaction(|connection| {
        found = check_within(connection, indexer);
        Err::<(), _>(diesel::result::Error::RollbackTransaction)
    });
    match undone {
        Ok(()) | Err(diesel::result::Error::RollbackTransaction) => found,
        Err(error) => Err(error.into()),
    }
}

fn check_within(
    connection: &mut SqliteConnection,
    indexer: &'static dyn EventIndexer,
) -> Result<(), StateStoreError> {
    // What waits to be indexed is no damage.
    while indexer.index_block(connection)? {}
    if !schema::has_trigger(connection, TRIGGER)? {
        return Err(StateStoreError::SearchIndexDamaged {
            cause: format!("the trigger {TRIGGER} is missing").into(),
        });
    }
    let checked = connection.batch_execute(CHECK);
    checked.map_err(|error| match StateStoreError::from(error) {
        StateStoreError::DatabaseError(error)
            if matches!(
                error.kind(),
                DatabaseFailure::Damaged | DatabaseFailure::Other
            ) =>
        {
            StateStoreError::SearchIndexDamaged {
                cause: error.into_inner(),
            }
        }
        other => other,
    })
}
