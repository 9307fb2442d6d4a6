//! The migrations of a database on PostgreSQL. They have the numbers and names of SQLite's.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{
    AppliedMigration, Known, compare_fingerprints, in_order, known, of_version, ours,
    refuse_partial,
};
use crate::error::{Source, StateStoreError};

const EMBEDDED: EmbeddedMigrations = embed_migrations!("postgres/migrations");

pub(crate) const KNOWN: &[Known] = known!["../postgres/migrations":
    1 "create_agent_states",
    2 "create_state_transitions",
    3 "create_state_snapshots",
    4 "create_events",
    5 "create_tasks",
    6 "create_sessions",
    7 "add_indexes",
    8 "add_event_search",
    9 "create_revision_floors",
];

/// Reads which of our migrations were applied, by version.
pub(crate) fn applied(
    connection: &mut PgConnection,
) -> Result<Vec<AppliedMigration>, StateStoreError> {
    Ok(ours(in_order!().load(connection)?))
}

/// Checks on an open connection that the schema is whole.
///
/// # Errors
/// `NotInitialized` or `NewerDatabase`.
pub(crate) fn require_whole(connection: &mut PgConnection) -> Result<(), StateStoreError> {
    refuse_partial(applied(connection))
}

/// Checks that each migration was applied from the text that this version has.
///
/// # Errors
/// `MigrationError` that names the migration.
pub(crate) fn check_fingerprints(
    connection: &mut PgConnection,
    applied: &[AppliedMigration],
) -> Result<(), StateStoreError> {
    use super::tables::migration_fingerprints as fingerprints;
    let stored: Vec<(String, String)> = if applied.is_empty() {
        Vec::new()
    } else {
        fingerprints::table
            .select((fingerprints::version, fingerprints::fingerprint))
            .load(connection)?
    };
    compare_fingerprints(KNOWN, applied, &stored)
}

/// Runs what the database lacks. The caller has opened the transaction.
pub(crate) fn run_pending(connection: &mut PgConnection) -> Result<(), Source> {
    connection.run_pending_migrations(EMBEDDED).map(drop)
}

/// Reverts one migration. The caller has opened the transaction.
pub(crate) fn revert(connection: &mut PgConnection, version: i64) -> Result<(), Source> {
    connection
        .revert_migration(&of_version::<Pg>(&EMBEDDED, version)?)
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::KNOWN;
    use crate::migrations;

    #[test]
    fn both_databases_have_the_same_migrations() {
        let names = |known: &[super::Known]| -> Vec<_> {
            let names = known.iter().map(|known| (known.version, known.name));
            names.collect()
        };
        assert_eq!(names(KNOWN), names(migrations::KNOWN));
    }

    #[test]
    fn each_migration_ends_with_the_fingerprint_of_its_text() {
        KNOWN.iter().for_each(migrations::tests::check_fingerprint);
    }
}
