//! The one row that says which store a database is, and in which unknown commits are settled.

use diesel::prelude::*;

use super::transaction::{begin, commit};
use crate::error::StateStoreError;

diesel::table! {
    store_identity (store_id) {
        store_id -> Text,
        settlements -> BigInt,
    }
}

/// Returns which store the database is; `None` where the migrations haven't made the row yet.
pub(super) fn store_id(
    connection: &mut SqliteConnection,
) -> Result<Option<String>, StateStoreError> {
    // Both columns, so that it is read from the table, whose page every log holds, and not from the key's index.
    let found = store_identity::table
        .load::<(String, i64)>(connection)
        .map_err(StateStoreError::from);
    match found {
        Ok(rows) => Ok(rows.into_iter().next().map(|(store_id, _)| store_id)),
        Err(StateStoreError::DatabaseError(error)) if error.lacks_schema() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Commits something small, after a commit of which nobody knows whether it is on disk.
///
/// Such a commit leaves its frames behind the end of the log, where no reader sees them; yet they are whole, and whoever
/// recovers the log after a crash would take them for committed. The next commit is written over them
/// (<https://www.sqlite.org/fileformat.html#wal_file_format>, section 4.2).
pub(super) fn settle(connection: &mut SqliteConnection) -> Result<(), StateStoreError> {
    begin(connection, "BEGIN IMMEDIATE")?;
    mark_log(connection)?;
    commit(connection)
}

/// Writes the page that says which store this is into the log, in an open transaction: once each time that the log has begun
/// again, so that a log tells whose it is.
pub(super) fn mark_log(connection: &mut SqliteConnection) -> Result<(), StateStoreError> {
    diesel::update(store_identity::table)
        .set(store_identity::settlements.eq(store_identity::settlements + 1))
        .execute(connection)?;
    Ok(())
}
