//! Makes the schema whole, and looks at it.

use diesel::PgConnection;
use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};

use super::address::quoted_name;
use crate::error::{DatabaseFailure, MigrationError, Source, StateStoreError};
use crate::migrations::postgres as migrations;
use crate::migrations::{self as known, AppliedMigration, Revert};

/// What the processes that migrate one database at once take turns by. Any number, but always the same.
const MIGRATION_LOCK: i64 = 0x6465_7363_6172_7465;

/// Runs the migrations that the database lacks, in one transaction. Processes that come at once do so one after the other.
///
/// # Errors
/// `NewerDatabase`, `ForeignDatabase` and `MigrationError`: nothing was changed.
pub(super) fn migrate(
    connection: &mut PgConnection,
    schema: Option<&str>,
) -> Result<(), StateStoreError> {
    in_one_transaction(connection, "migrate", |connection| {
        connection.batch_execute(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))?;
        if let Some(schema) = schema
            && !has_schema(connection, schema)?
        {
            connection.batch_execute(&format!(
                "CREATE SCHEMA IF NOT EXISTS {}",
                quoted_name(schema)
            ))?;
        }
        let applied = inspect(connection)?;
        if known::lacks(&applied).is_none() {
            return Ok(());
        }
        migrations::run_pending(connection).map_err(|source| failed("migrate", source))
    })
}

/// Returns whether there is such a schema. Who may use one need not have the right to make it.
fn has_schema(connection: &mut PgConnection, schema: &str) -> Result<bool, StateStoreError> {
    let found = sql::<Bool>("to_regnamespace(")
        .bind::<Text, _>(quoted_name(schema))
        .sql(") IS NOT NULL");
    Ok(diesel::select(found).get_result(connection)?)
}

/// Returns which of our migrations the database has.
///
/// # Errors
/// `NewerDatabase`; `ForeignDatabase` for a schema with tables of our names that isn't ours; `MigrationError` where another text
/// of a migration made it.
pub(super) fn inspect(
    connection: &mut PgConnection,
) -> Result<Vec<AppliedMigration>, StateStoreError> {
    let has = |connection: &mut PgConnection, table: &str| -> Result<bool, StateStoreError> {
        let found = sql::<Bool>("to_regclass(")
            .bind::<Text, _>(table)
            .sql(") IS NOT NULL");
        Ok(diesel::select(found).get_result(connection)?)
    };
    if !has(connection, known::TABLE)? {
        for table in crate::engine::schema::GUIDE_TABLES {
            if has(connection, table)? {
                return Err(StateStoreError::ForeignDatabase {
                    reason: format!("it has a table {table}, and no migrations"),
                });
            }
        }
        return Ok(Vec::new());
    }
    let applied = migrations::applied(connection)?;
    known::refuse_newer(&applied)?;
    migrations::check_fingerprints(connection, &applied)?;
    Ok(applied)
}

/// Checks that the database has all of our migrations, from the texts that this version has.
///
/// # Errors
/// As [`inspect`], and `NotInitialized`.
pub(super) fn require_whole(connection: &mut PgConnection) -> Result<(), StateStoreError> {
    inspect(connection)?;
    migrations::require_whole(connection)
}

/// Reverts the last migration; or only shows what would go, and rolls that back.
pub(super) fn revert_last(
    connection: &mut PgConnection,
    keep: bool,
) -> Result<Revert, StateStoreError> {
    let mut seen = None;
    let result = in_one_transaction(connection, "revert", |connection| {
        connection.batch_execute(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))?;
        let applied = inspect(connection)?;
        let last = known::history(migrations::KNOWN, &applied).pop();
        let last = last.ok_or_else(|| failed("revert", "no migration is applied"))?;
        let before = row_counts(connection)?;
        migrations::revert(connection, last.version).map_err(|source| failed("revert", source))?;
        let after = row_counts(connection)?;
        let revert = Revert::of(last, before, &after);
        if keep {
            return Ok(revert);
        }
        seen = Some(revert);
        Err(failed("revert", "only a preview"))
    });
    match seen {
        Some(revert) => Ok(revert),
        None => result,
    }
}

/// Returns the tables that hold rows of ours, with how many.
fn row_counts(connection: &mut PgConnection) -> Result<Vec<(String, i64)>, StateStoreError> {
    let mut counts = Vec::new();
    for table in crate::engine::schema::GUIDE_TABLES
        .into_iter()
        .chain(["revision_floors"])
    {
        let is_there = sql::<Nullable<Text>>("to_regclass(")
            .bind::<Text, _>(table)
            .sql(")::text");
        let is_there: Option<String> = diesel::select(is_there).get_result(connection)?;
        if is_there.is_some() {
            // A table's name can't be bound; these are constants.
            let count = sql::<BigInt>(&format!("(SELECT count(*) FROM {table})"));
            let count: i64 = diesel::select(count).get_result(connection)?;
            counts.push((table.to_owned(), count));
        }
    }
    Ok(counts)
}

#[allow(clippy::disallowed_methods)] // No operation of a store is under way on this connection.
fn in_one_transaction<T>(
    connection: &mut PgConnection,
    operation: &'static str,
    work: impl FnOnce(&mut PgConnection) -> Result<T, StateStoreError>,
) -> Result<T, StateStoreError> {
    connection.transaction(work).map_err(|error| match error {
        StateStoreError::DatabaseError(error) if error.kind() == DatabaseFailure::Other => {
            failed(operation, error)
        }
        other => other.during("migrations"),
    })
}

fn failed(operation: &'static str, source: impl Into<Source>) -> StateStoreError {
    StateStoreError::MigrationError(MigrationError::new(operation, source))
}
