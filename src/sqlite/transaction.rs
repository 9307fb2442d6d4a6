//! Transactions and savepoints on one connection, and what became of them.

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::prelude::*;
use uuid::Uuid;

use super::closure::caught;
use crate::error::{DatabaseFailure, StateStoreError};

/// Begins through Diesel, so that a caller's nested `connection.transaction(..)` is a savepoint.
pub(super) fn begin(connection: &mut SqliteConnection, sql: &str) -> Result<(), StateStoreError> {
    Ok(AnsiTransactionManager::begin_transaction_sql(
        connection, sql,
    )?)
}

pub(super) fn commit(connection: &mut SqliteConnection) -> Result<(), StateStoreError> {
    Ok(AnsiTransactionManager::commit_transaction(connection)?)
}

/// Whether the connection is clean afterwards; if not, it has to go.
pub(super) fn rollback(connection: &mut SqliteConnection) -> bool {
    AnsiTransactionManager::rollback_transaction(connection).is_ok()
}

/// Whether a transaction is still open. SQLite ends it by itself on some errors, and Diesel doesn't notice; the next
/// statement would then commit alone.
pub(super) fn is_open(connection: &mut SqliteConnection) -> bool {
    // Inside a transaction BEGIN fails and changes nothing.
    connection.batch_execute("BEGIN").is_err()
}

/// Runs work inside a savepoint of its own, which it can't name, and so can't end.
///
/// On success the savepoint is released; otherwise what the work wrote is taken back, and the transaction goes on.
/// The second value says whether the transaction is intact; if not, the connection has to go.
pub(super) fn in_savepoint<T>(
    connection: &mut SqliteConnection,
    name: &str,
    work: impl FnOnce(&mut SqliteConnection) -> Result<T, StateStoreError>,
) -> (Result<T, StateStoreError>, bool) {
    if let Err(error) = connection.batch_execute(&format!("SAVEPOINT {name}")) {
        return (Err(error.into()), false);
    }
    let result = caught(|| work(connection));
    let end = match &result {
        Ok(_) => format!("RELEASE {name}"),
        Err(_) => format!("ROLLBACK TO {name}; RELEASE {name}"),
    };
    let is_intact = connection.batch_execute(&end).is_ok() && depth(connection) == Some(1);
    match result {
        Ok(value) if is_intact => (Ok(value), true),
        Ok(_) => (Err(StateStoreError::TransactionEscaped), false),
        // The first error: SQLite may have ended the transaction because of it.
        Err(error) if is_intact || error_ends_transaction(&error) => (Err(error), is_intact),
        Err(_) => (Err(StateStoreError::TransactionEscaped), false),
    }
}

/// Whether SQLite rolls back by itself on this error; on any other, the work itself ended the transaction.
fn error_ends_transaction(error: &StateStoreError) -> bool {
    let StateStoreError::DatabaseError(error) = error else {
        return false;
    };
    matches!(error.kind(), DatabaseFailure::Full | DatabaseFailure::Io)
}

/// A name that no closure can guess.
pub(super) fn secret_name() -> String {
    format!("closure_{}", Uuid::now_v7().simple())
}

fn depth(connection: &mut SqliteConnection) -> Option<u32> {
    AnsiTransactionManager::transaction_manager_status_mut(connection)
        .transaction_depth()
        .ok()
        .flatten()
        .map(std::num::NonZeroU32::get)
}
