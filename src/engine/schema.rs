//! The schema of a database file: what it is, and how it is made whole.

use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::connection::{connect, with_read_only};
use super::file::{Access, DatabaseFile};
use super::identity;
use super::options::OpenMode;
use super::pragma;
use crate::error::{DatabaseFailure, MigrationError, Source, StateStoreError};
use crate::migrations::{self, AppliedMigration, Revert};

/// SQLite before this version loses committed frames when the WAL is reset
/// (<https://www.sqlite.org/wal.html#walresetbug>).
const OLDEST_SQLITE: i32 = 3_051_003;

/// As migration 0001 sets it.
const APPLICATION_ID: i64 = 1_145_393_996;

/// The tables that the guide's other implementations make as well.
pub(super) const GUIDE_TABLES: [&str; 6] = [
    "agent_states",
    "state_transitions",
    "state_snapshots",
    "events",
    "tasks",
    "sessions",
];

/// Tables of ours that hold rows beside those.
const OTHER_TABLES: [&str; 1] = ["revision_floors"];

diesel::table! {
    sqlite_schema (name) {
        name -> Text,
        #[sql_name = "type"]
        kind -> Text,
    }
}

/// What was found in a database that is, or may become, ours.
#[derive(Debug)]
pub(crate) struct Schema {
    applied: Vec<AppliedMigration>,
    is_empty: bool,
}

impl Schema {
    /// Returns why calls can't work yet; `None` where the schema is whole.
    pub(super) fn lacks(&self) -> Option<String> {
        migrations::lacks(&self.applied)
    }

    /// Returns which of our migrations the database has.
    pub(crate) fn into_applied(self) -> Vec<AppliedMigration> {
        self.applied
    }
}

/// Reads what a database is without changing a byte of it, and without leaving anything beside it.
pub(super) fn inspect(
    file: &DatabaseFile,
    busy_timeout: Duration,
) -> Result<Schema, StateStoreError> {
    if file.is_read_only() {
        file.check_log_once(|| refuse_foreign_log(file, busy_timeout))?;
        return with_read_only(file, busy_timeout, read);
    }
    // Closing a connection that may write moves a log into the file, and takes the log away. One that may not leaves a
    // log that was there, but where there was none it makes one and leaves it.
    let [first, second] = if file.has_log() {
        [Access::ReadOnly, Access::ReadWrite]
    } else {
        [Access::ReadWrite, Access::ReadOnly]
    };
    file.check_log_once(|| refuse_foreign_log(file, busy_timeout))?;
    let look = |access| {
        connect(file, access, busy_timeout).and_then(|mut connection| read(&mut connection))
    };
    match look(first) {
        // A journal that a crash left behind can only be rolled back by somebody who may write.
        Err(StateStoreError::DatabaseError(_)) => look(second),
        other => other,
    }
}

/// What tells one database from another.
#[derive(Debug, PartialEq, Eq)]
struct Marks {
    page_bytes: i64,
    application_id: i64,
    store_id: Option<String>,
}

fn marks(
    file: &DatabaseFile,
    access: Access,
    busy_timeout: Duration,
) -> Result<Option<Marks>, StateStoreError> {
    let mut connection = connect(file, access, busy_timeout)?;
    // What was made just now has everything in its log: nothing to compare.
    if tables(&mut connection)?.is_empty() {
        return Ok(None);
    }
    Ok(Some(Marks {
        page_bytes: pragma::page_size(&mut connection)?,
        application_id: pragma::application_id(&mut connection)?,
        store_id: identity::store_id(&mut connection)?,
    }))
}

/// Refuses a log that another file left: a copy was put over the file, and the old log is still there. SQLite would put the
/// pages of the log over those of the file.
///
/// # Errors
/// `ForeignWal`. An older copy of the same store has the same marks, and can't be told.
fn refuse_foreign_log(file: &DatabaseFile, busy_timeout: Duration) -> Result<(), StateStoreError> {
    let (bytes, log_bytes) = file.sizes();
    if log_bytes == 0 {
        return Ok(());
    }
    if bytes == 0 {
        return Err(file.foreign_log("the file is empty"));
    }
    let alone = match marks(file, Access::WithoutLog, busy_timeout) {
        Ok(Some(marks)) => marks,
        Err(StateStoreError::DatabaseError(error))
            if error.kind() == DatabaseFailure::NotADatabase =>
        {
            return Err(file.foreign_log("the file is no database"));
        }
        // Torn by a crash, perhaps, and mended by the log.
        Ok(None) | Err(_) => return Ok(()),
    };
    match marks(file, Access::ReadOnly, busy_timeout) {
        // Without an id, the migrations were reverted.
        Ok(Some(together)) if together.store_id.is_some() && together != alone => {
            let reason = if together.store_id == alone.store_id {
                "page size or application id differ"
            } else {
                "it is another store's"
            };
            Err(file.foreign_log(reason))
        }
        Err(error) if is_broken(&error) => {
            Err(file.foreign_log(format!("with it, the database can't be read: {error}")))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Reads what the database is; a newer or a foreign one is an error.
fn read(connection: &mut SqliteConnection) -> Result<Schema, StateStoreError> {
    let tables = match tables(connection).map_err(StateStoreError::from) {
        Err(StateStoreError::DatabaseError(error))
            if error.kind() == DatabaseFailure::NotADatabase =>
        {
            return Err(foreign("it is not a SQLite file"));
        }
        tables => tables?,
    };
    let application_id = pragma::application_id(connection)?;
    if application_id != 0 && application_id != APPLICATION_ID {
        return Err(foreign(format!(
            "its application id is {application_id}, ours is {APPLICATION_ID}"
        )));
    }
    let has = |name: &str| tables.iter().any(|table| table == name);
    let applied = if has(migrations::TABLE) {
        migrations::applied(connection)?
    } else if tables.is_empty() {
        Vec::new()
    } else {
        return Err(foreign("it has tables, but none of Diesel's migrations"));
    };
    if applied.is_empty()
        && let Some(table) = GUIDE_TABLES.into_iter().find(|table| has(table))
    {
        return Err(foreign(format!(
            "it has a table {table}, but none of our migrations"
        )));
    }
    migrations::refuse_newer(&applied)?;
    let has_fingerprints = has(migrations::FINGERPRINTS);
    migrations::check_fingerprints(connection, &applied, has_fingerprints)?;
    Ok(Schema {
        is_empty: tables.is_empty(),
        applied,
    })
}

fn tables(connection: &mut SqliteConnection) -> QueryResult<Vec<String>> {
    sqlite_schema::table
        .filter(sqlite_schema::kind.eq("table"))
        .select(sqlite_schema::name)
        .load(connection)
}

pub(super) fn has_trigger(connection: &mut SqliteConnection, name: &str) -> QueryResult<bool> {
    let found = sqlite_schema::table
        .filter(sqlite_schema::kind.eq("trigger"))
        .filter(sqlite_schema::name.eq(name));
    diesel::select(diesel::dsl::exists(found)).get_result(connection)
}

/// Refuses to move the log into a file whose content is another store's: a copy was put over it while it was open. To be
/// asked before each checkpoint.
///
/// # Errors
/// `DatabaseMoved`. An older copy of the same store has the same id, and can't be told.
pub(super) fn refuse_foreign_content(file: &DatabaseFile) -> Result<(), StateStoreError> {
    let Some(own) = file.store_id() else {
        return Ok(());
    };
    if file.is_overwritten() {
        return Err(file.lose_content());
    }
    // Torn while another process moves the log, perhaps; a checkpoint mends that.
    let found = connect(file, Access::WithoutLog, Duration::ZERO)
        .and_then(|mut connection| identity::store_id(&mut connection));
    if !matches!(found, Ok(Some(found)) if found != own) {
        return Ok(());
    }
    // Another process may have reverted and run the migrations, which makes another id.
    let together = connect(file, Access::ReadOnly, CONTENT_WAIT)
        .and_then(|mut connection| identity::store_id(&mut connection));
    match together {
        Ok(Some(together)) if together == own => Err(file.lose_content()),
        Err(error) if is_broken(&error) => Err(file.lose_content()),
        _ => Ok(()),
    }
}

const CONTENT_WAIT: Duration = Duration::from_millis(100);

/// Returns whether a database's pages don't fit together.
fn is_broken(error: &StateStoreError) -> bool {
    matches!(error, StateStoreError::DatabaseError(error)
        if matches!(error.kind(), DatabaseFailure::Damaged | DatabaseFailure::NotADatabase))
}

fn foreign(reason: impl Into<String>) -> StateStoreError {
    StateStoreError::ForeignDatabase {
        reason: reason.into(),
    }
}

/// Makes the schema whole, or with `OpenMode::Existing` checks that it is.
pub(super) fn prepare(
    file: &DatabaseFile,
    mode: OpenMode,
    busy_timeout: Duration,
) -> Result<(), StateStoreError> {
    require_sqlite()?;
    let schema = inspect(file, busy_timeout)?;
    if mode == OpenMode::Existing {
        return match schema.lacks() {
            Some(reason) => Err(StateStoreError::NotInitialized { reason }),
            None => Ok(()),
        };
    }
    if file.is_read_only() && schema.lacks().is_none() {
        return Ok(());
    }
    file.refuse_read_only()?;
    file.restrict_permissions()?;
    let mut connection = connect(file, Access::ReadWrite, busy_timeout)?;
    let deadline = Instant::now() + busy_timeout;
    while let Err(error) = pragma::prepare_file(&mut connection, schema.is_empty) {
        if !matches!(error, StateStoreError::Busy { .. }) || Instant::now() > deadline {
            return Err(error.during("initialize"));
        }
        #[allow(clippy::disallowed_methods)]
        // Nothing tells when another process releases the lock.
        std::thread::sleep(Duration::from_millis(5));
    }
    if schema.lacks().is_some() {
        migrate(&mut connection)?;
        // So that the file by itself says which store it is.
        let _moved = pragma::checkpoint_passive(&mut connection);
    }
    Ok(())
}

fn require_sqlite() -> Result<(), StateStoreError> {
    let version = libsqlite3_sys::SQLITE_VERSION_NUMBER;
    if version < OLDEST_SQLITE {
        return Err(StateStoreError::Unsupported {
            reason: format!("SQLite {version} loses data; build with the bundled one"),
        });
    }
    Ok(())
}

/// Runs what is pending, all or nothing, safe against other processes that do the same.
fn migrate(connection: &mut SqliteConnection) -> Result<(), StateStoreError> {
    in_one_transaction(connection, "run", |connection| {
        // Again, under the lock: another process may have been faster, or newer.
        read(connection)?;
        migrations::run_pending(connection).map_err(|source| failed("run", source))?;
        identity::mark_log(connection)
    })
}

/// Reverts the last migration; without `keep` only to see what goes, and rolls that back.
pub(super) fn revert_last(
    file: &DatabaseFile,
    busy_timeout: Duration,
    keep: bool,
) -> Result<Revert, StateStoreError> {
    inspect(file, busy_timeout)?;
    let mut connection = connect(file, Access::ReadWrite, busy_timeout)?;
    let mut seen = None;
    let result = in_one_transaction(&mut connection, "revert", |connection| {
        // So that the log says whose it is.
        if identity::store_id(connection)?.is_some() {
            identity::mark_log(connection)?;
        }
        let before = row_counts(connection)?;
        let last = migrations::history(migrations::KNOWN, &read(connection)?.applied).pop();
        let last = last.ok_or_else(|| failed("revert", "no migration is applied"))?;
        migrations::revert(connection, last.version).map_err(|source| failed("revert", source))?;
        let after = row_counts(connection)?;
        let revert = Revert::of(last, before, &after);
        if keep {
            return Ok(revert);
        }
        seen = Some(revert);
        Err(failed("revert", "only a preview"))
    });
    if keep {
        // The first migration takes it along.
        file.know_store(None);
    }
    match seen {
        Some(revert) => Ok(revert),
        None => result,
    }
}

/// Returns the tables that hold rows of ours, with how many.
fn row_counts(connection: &mut SqliteConnection) -> Result<Vec<(String, i64)>, StateStoreError> {
    let tables = tables(connection)?;
    GUIDE_TABLES
        .into_iter()
        .chain(OTHER_TABLES)
        .filter(|table| tables.iter().any(|name| name == table))
        .map(|table| {
            // A table's name can't be bound; these are constants.
            let count = diesel::dsl::sql::<BigInt>(&format!("(SELECT count(*) FROM {table})"));
            Ok((
                table.to_owned(),
                diesel::select(count).get_result(connection)?,
            ))
        })
        .collect()
}

fn in_one_transaction<T>(
    connection: &mut SqliteConnection,
    operation: &'static str,
    work: impl FnOnce(&mut SqliteConnection) -> Result<T, StateStoreError>,
) -> Result<T, StateStoreError> {
    connection
        .immediate_transaction(work)
        .map_err(|error| match error {
            StateStoreError::DatabaseError(error) if error.kind() == DatabaseFailure::Other => {
                failed(operation, error)
            }
            other => other.during("migrations"),
        })
}

fn failed(operation: &'static str, source: impl Into<Source>) -> StateStoreError {
    StateStoreError::MigrationError(MigrationError::new(operation, source))
}
