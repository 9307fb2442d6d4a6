//! Transactions and savepoints on one connection, what became of them, and whose closure runs inside.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::prelude::*;

use super::runtime::catch_panic;
use crate::clock::new_id;
use crate::commit_notes::CommitNotes;
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

/// Rolls back; returns whether the connection is clean afterwards. If it isn't, it has to go.
pub(super) fn rollback(connection: &mut SqliteConnection) -> bool {
    // Within a savepoint that was left open, only that would be rolled back.
    AnsiTransactionManager::rollback_transaction(connection).is_ok() && depth(connection).is_none()
}

/// Returns whether a transaction is still open. SQLite ends it by itself on some errors, and Diesel doesn't notice; the
/// next statement would then commit alone.
pub(super) fn is_open(connection: &mut SqliteConnection) -> bool {
    // Inside a transaction BEGIN fails and changes nothing.
    connection.batch_execute("BEGIN").is_err()
}

/// Runs work inside a savepoint of its own.
///
/// On success the savepoint is released; otherwise what the work wrote is rolled back, and the transaction goes on. The
/// second value says whether the transaction is intact; if it isn't, the connection has to go.
pub(super) fn in_savepoint<T>(
    connection: &mut SqliteConnection,
    name: &str,
    work: impl FnOnce(&mut SqliteConnection) -> Result<T, StateStoreError>,
) -> (Result<T, StateStoreError>, bool) {
    if let Err(error) = connection.batch_execute(&format!("SAVEPOINT {name}")) {
        return (Err(error.into()), false);
    }
    let result = catch_panic(|| work(connection));
    let is_intact = end_savepoint(connection, name, result.is_ok());
    explain(result, is_intact)
}

/// Runs a caller's closure, which has the transaction to itself. The second value says whether the transaction is intact; if
/// it isn't, the connection has to go. Where the closure fails, the transaction has to be rolled back.
///
/// What the store's own methods write needs no savepoint: SQLite would keep a copy of every page that they change. A closure
/// that takes the connection is inside one from then on, which it can't name, and so can't end.
pub(super) fn run_alone<T>(
    connection: &mut SqliteConnection,
    notes: &mut CommitNotes,
    work: impl FnOnce(&mut SqliteConnection, &mut CommitNotes) -> Result<T, StateStoreError>,
) -> (Result<T, StateStoreError>, bool) {
    notes.before_lending = Some(open_unguessable);
    let result = catch_panic(|| work(connection, notes));
    let is_intact = match &notes.lent_within {
        Some(name) => end_savepoint(connection, name, result.is_ok()),
        None => !notes.lending_failed && is_open(connection) && depth(connection) == Some(1),
    };
    explain(result, is_intact)
}

/// Opens a savepoint with a name that no closure can guess.
fn open_unguessable(connection: &mut SqliteConnection) -> Option<String> {
    let name = format!("closure_{}", new_id().simple());
    // Where SQLite has rolled the transaction back, a savepoint would begin another.
    let opens = is_open(connection)
        && connection
            .batch_execute(&format!("SAVEPOINT {name}"))
            .is_ok();
    opens.then_some(name)
}

/// Releases a savepoint, or rolls back to it; returns whether it was the innermost of an open transaction.
fn end_savepoint(connection: &mut SqliteConnection, name: &str, keep: bool) -> bool {
    let end = if keep {
        format!("RELEASE {name}")
    } else {
        format!("ROLLBACK TO {name}; RELEASE {name}")
    };
    connection.batch_execute(&end).is_ok() && depth(connection) == Some(1)
}

fn explain<T>(
    result: Result<T, StateStoreError>,
    is_intact: bool,
) -> (Result<T, StateStoreError>, bool) {
    match result {
        Ok(value) if is_intact => (Ok(value), true),
        Ok(_) => (Err(StateStoreError::TransactionEscaped), false),
        // The first error: SQLite may have ended the transaction because of it.
        Err(error) if is_intact || error_ends_transaction(&error) => (Err(error), is_intact),
        Err(_) => (Err(StateStoreError::TransactionEscaped), false),
    }
}

/// Returns whether SQLite rolls back by itself on this error; on any other, the work itself ended the transaction.
fn error_ends_transaction(error: &StateStoreError) -> bool {
    let StateStoreError::DatabaseError(error) = error else {
        return false;
    };
    matches!(error.kind(), DatabaseFailure::Full | DatabaseFailure::Io)
}

fn depth(connection: &mut SqliteConnection) -> Option<u32> {
    AnsiTransactionManager::transaction_manager_status_mut(connection)
        .transaction_depth()
        .ok()
        .flatten()
        .map(std::num::NonZeroU32::get)
}

/// Names an open database in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DatabaseId(u64);

impl DatabaseId {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

thread_local! {
    /// The databases whose closures run on this thread, the innermost last.
    static INSIDE_CLOSURES_OF: RefCell<Vec<DatabaseId>> = const { RefCell::new(Vec::new()) };
}

/// Refuses a call of the async store from inside one of its own closures: it would wait for itself. Through another store,
/// a clone, a prefix and closures within closures it is seen as well, on the same thread.
pub(super) fn refuse_reentry(
    database: DatabaseId,
    operation: &'static str,
) -> Result<(), StateStoreError> {
    let is_inside = INSIDE_CLOSURES_OF.with_borrow(|open| open.contains(&database));
    if is_inside {
        return Err(StateStoreError::Reentrant { operation });
    }
    Ok(())
}

/// Runs a caller's closure, known as one of this database.
pub(super) fn as_closure_of<T>(database: DatabaseId, work: impl FnOnce() -> T) -> T {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            INSIDE_CLOSURES_OF.with_borrow_mut(Vec::pop);
        }
    }
    INSIDE_CLOSURES_OF.with_borrow_mut(|open| open.push(database));
    let _leave = Leave;
    work()
}
