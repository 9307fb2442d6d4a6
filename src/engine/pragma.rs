//! Every PRAGMA of the store: what each connection is set to, what a file must have, and checkpoints of its log.
//!
//! Nowhere else in the library is a PRAGMA written or read.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::Sqlite;

use super::options::Durability;
use crate::error::StateStoreError;

/// What a connection is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    Writer(Durability),
    Reader,
    /// Moves the write-ahead log into the database.
    Checkpointer,
}

/// Sets a new connection up: one PRAGMA a call, the busy timeout first.
pub(super) fn configure(
    connection: &mut SqliteConnection,
    role: Role,
    busy_timeout: Duration,
) -> Result<(), StateStoreError> {
    set_busy_timeout(connection, busy_timeout)?;
    let pragmas: &[&str] = match role {
        Role::Writer(Durability::Full) => &["synchronous = FULL", "query_only = OFF"],
        Role::Writer(Durability::Relaxed) => &["synchronous = NORMAL", "query_only = OFF"],
        Role::Reader => &["query_only = ON"],
        Role::Checkpointer => &["synchronous = FULL"],
    };
    const COMMON: &[&str] = &[
        "foreign_keys = ON",
        "ignore_check_constraints = OFF",
        "writable_schema = OFF",
        "recursive_triggers = OFF",
    ];
    for pragma in pragmas.iter().chain(COMMON) {
        connection.batch_execute(&format!("PRAGMA {pragma};"))?;
    }
    bound_wal(connection, SHORT_LOG_PAGES)
}

/// Sets how long SQLite waits for a lock.
pub(super) fn set_busy_timeout(
    connection: &mut SqliteConnection,
    timeout: Duration,
) -> Result<(), StateStoreError> {
    let pragma = format!("PRAGMA busy_timeout = {};", timeout.as_millis());
    Ok(connection.batch_execute(&pragma)?)
}

/// The fewest and the most pages in the log at which a commit moves what is left itself, so that the log begins again: 8 and
/// 32 MiB. A file that only grows is slower to sync than one that is written over: its length has to be synced as well.
pub(super) const SHORT_LOG_PAGES: u32 = 2000;
pub(super) const LONG_LOG_PAGES: u32 = 8000;
/// The log file is cut to this size when it begins again, in bytes; above it, there is a warning.
pub(super) const KEPT_WAL_BYTES: u64 = 64 * 1024 * 1024;

/// Sets what SQLite itself does about the log's size; it has no function that reads the first.
pub(super) fn bound_wal(
    connection: &mut SqliteConnection,
    pages: u32,
) -> Result<(), StateStoreError> {
    let pragmas = format!(
        "PRAGMA wal_autocheckpoint = {pages}; PRAGMA journal_size_limit = {KEPT_WAL_BYTES};"
    );
    Ok(connection.batch_execute(&pragmas)?)
}

/// Returns the settings that decide what a write means, whether it is refused, and how long it waits; other databases, and
/// temporary objects: a temporary table would hide ours of that name, a temporary trigger would run on our rows.
pub(super) fn settings(connection: &mut SqliteConnection) -> QueryResult<String> {
    const SETTINGS: &[(&str, &str)] = &[
        ("timeout", "pragma_busy_timeout"),
        ("synchronous", "pragma_synchronous"),
        ("query_only", "pragma_query_only"),
        ("locking_mode", "pragma_locking_mode"),
        ("read_uncommitted", "pragma_read_uncommitted"),
        ("foreign_keys", "pragma_foreign_keys"),
        (
            "ignore_check_constraints",
            "pragma_ignore_check_constraints",
        ),
        ("writable_schema", "pragma_writable_schema"),
        ("trusted_schema", "pragma_trusted_schema"),
        ("recursive_triggers", "pragma_recursive_triggers"),
        ("legacy_alter_table", "pragma_legacy_alter_table"),
        (
            "reverse_unordered_selects",
            "pragma_reverse_unordered_selects",
        ),
        ("automatic_index", "pragma_automatic_index"),
        ("count_changes", "pragma_count_changes"),
        ("secure_delete", "pragma_secure_delete"),
        ("max_page_count", "pragma_max_page_count"),
        ("count(*)", "pragma_database_list WHERE name <> 'temp'"),
        ("count(*)", "temp.sqlite_schema"),
    ];
    let each: Vec<_> = SETTINGS
        .iter()
        .map(|(value, source)| format!("(SELECT {value} FROM {source})"))
        .collect();
    diesel::select(sql::<Text>(&each.join(" || ' ' || "))).get_result(connection)
}

/// Returns the number by which a program knows its own files; 0 where none was set.
pub(super) fn application_id(connection: &mut SqliteConnection) -> QueryResult<i64> {
    read_integer(connection, "application_id")
}

/// Returns the bytes of a page.
pub(super) fn page_size(connection: &mut SqliteConnection) -> QueryResult<i64> {
    read_integer(connection, "page_size")
}

/// Returns how many pages the database has.
pub(super) fn page_count(connection: &mut SqliteConnection) -> QueryResult<i64> {
    read_integer(connection, "page_count")
}

/// Returns a number that differs once another connection has committed to the database
/// (<https://www.sqlite.org/pragma.html#pragma_data_version>).
pub(super) fn data_version(connection: &mut SqliteConnection) -> QueryResult<i64> {
    DataVersion.get_result(connection)
}

/// The PRAGMA as a query that is prepared once.
#[derive(Debug, Clone, Copy, QueryId)]
struct DataVersion;

impl QueryFragment<Sqlite> for DataVersion {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        pass.push_sql("PRAGMA data_version");
        Ok(())
    }
}

impl Query for DataVersion {
    type SqlType = BigInt;
}

impl<C> RunQueryDsl<C> for DataVersion {}

fn read_integer(connection: &mut SqliteConnection, name: &str) -> QueryResult<i64> {
    let value = sql::<BigInt>(&format!("(SELECT {name} FROM pragma_{name})"));
    diesel::select(value).get_result(connection)
}

fn read_text(connection: &mut SqliteConnection, name: &str) -> QueryResult<String> {
    let value = sql::<Text>(&format!("(SELECT CAST({name} AS TEXT) FROM pragma_{name})"));
    diesel::select(value).get_result(connection)
}

/// Sets what lies in the file itself: WAL, and in a file that nothing was written to yet `auto_vacuum`, which works only
/// before the first table and before WAL.
///
/// # Errors
/// `Busy`, also before the busy timeout: changing the journal mode doesn't always wait for the lock.
pub(super) fn prepare_file(
    connection: &mut SqliteConnection,
    is_empty: bool,
) -> Result<(), StateStoreError> {
    if is_empty {
        connection.batch_execute("PRAGMA auto_vacuum = INCREMENTAL;")?;
    }
    connection.batch_execute("PRAGMA journal_mode = WAL;")?;
    let journal_mode = read_text(connection, "journal_mode")?;
    if journal_mode != "wal" {
        return Err(StateStoreError::Unsupported {
            reason: format!(
                "the file system allows journal mode {journal_mode}, not WAL: choose a local disk"
            ),
        });
    }
    if read_text(connection, "auto_vacuum")? != "2" {
        tracing::warn!(
            "the file was made without incremental auto_vacuum: it will not shrink by itself"
        );
    }
    Ok(())
}

/// What a checkpoint reports.
#[derive(Debug, Clone, Copy)]
pub(super) struct CheckpointOutcome {
    /// Whether a reader or a writer kept it from moving everything.
    pub(super) is_blocked: bool,
    /// Pages in the log.
    pub(super) pages: u64,
}

/// Counts the pages of the log, and moves none.
pub(super) fn checkpoint_noop(
    connection: &mut SqliteConnection,
) -> Result<CheckpointOutcome, StateStoreError> {
    outcome(Noop.get_result(connection))
}

/// Moves what it can of the log into the database, and waits for nobody.
pub(super) fn checkpoint_passive(
    connection: &mut SqliteConnection,
) -> Result<CheckpointOutcome, StateStoreError> {
    outcome(Passive.get_result(connection))
}

/// Moves the whole log, and waits for readers, so that the next commit begins the log again.
pub(super) fn checkpoint_restart(
    connection: &mut SqliteConnection,
) -> Result<CheckpointOutcome, StateStoreError> {
    outcome(Restart.get_result(connection))
}

/// Moves the whole log, waits for readers, and cuts the file of the log to nothing.
pub(super) fn checkpoint_truncate(
    connection: &mut SqliteConnection,
) -> Result<CheckpointOutcome, StateStoreError> {
    outcome(Truncate.get_result(connection))
}

/// Whether it was blocked, pages in the log, pages that were moved.
type Row = (i64, i64, i64);

fn outcome(row: QueryResult<Row>) -> Result<CheckpointOutcome, StateStoreError> {
    let (is_blocked, pages, _) = row?;
    Ok(CheckpointOutcome {
        is_blocked: is_blocked != 0,
        // -1 where there is no log.
        pages: u64::try_from(pages).unwrap_or(0),
    })
}

/// A checkpoint as a query that is prepared once.
macro_rules! checkpoint {
    ($($name:ident = $sql:literal;)*) => {$(
        #[derive(Debug, Clone, Copy, QueryId)]
        struct $name;

        impl QueryFragment<Sqlite> for $name {
            fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
                pass.push_sql($sql);
                Ok(())
            }
        }

        impl Query for $name {
            type SqlType = (BigInt, BigInt, BigInt);
        }

        impl<C> RunQueryDsl<C> for $name {}
    )*};
}

// <https://www.sqlite.org/pragma.html#pragma_wal_checkpoint>
checkpoint! {
    Noop = "PRAGMA wal_checkpoint(NOOP)";
    Passive = "PRAGMA wal_checkpoint(PASSIVE)";
    Restart = "PRAGMA wal_checkpoint(RESTART)";
    Truncate = "PRAGMA wal_checkpoint(TRUNCATE)";
}
