//! The embedded migrations: which there are, which a database has, and how one is run and reverted.

use diesel::backend::Backend;
use diesel::migration::{Migration, MigrationSource};
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use serde::Serialize;

use crate::error::{MigrationError, Source, StateStoreError};

#[cfg(feature = "postgres")]
pub(crate) mod postgres;

const EMBEDDED: EmbeddedMigrations = embed_migrations!("migrations");

/// The table in which Diesel keeps what it has applied.
pub(crate) const TABLE: &str = "__diesel_schema_migrations";

/// The table in which each migration leaves the fingerprint of its text.
pub(crate) const FINGERPRINTS: &str = "migration_fingerprints";

/// A migration of this crate that the database has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MigrationRecord {
    /// Its number, as its directory begins: 1 for `0001_…`.
    pub version: i64,
    /// Its name, as its directory goes on.
    pub name: String,
    /// What it does, from the first line of its `up.sql`.
    pub description: String,
    /// When it was applied, in Unix seconds.
    pub applied_at: i64,
}

/// A migration of this crate that the database lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PendingMigration {
    /// Its number, as its directory begins: 1 for `0001_…`.
    pub version: i64,
    /// Its name, as its directory goes on.
    pub name: String,
    /// What it does, from the first line of its `up.sql`.
    pub description: String,
}

/// What reverting a migration took, or would take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Revert {
    /// The migration.
    pub migration: MigrationRecord,
    /// The tables that go with it, and how many rows each holds, of every prefix.
    pub rows: Vec<(String, i64)>,
}

impl Revert {
    /// Returns what a revert took, of the tables that there were before and are after.
    pub(crate) fn of(
        migration: MigrationRecord,
        before: Vec<(String, i64)>,
        after: &[(String, i64)],
    ) -> Self {
        let is_gone = |table: &str| !after.iter().any(|(name, _)| name == table);
        let rows = before.into_iter();
        let rows = rows.filter(|(table, _)| is_gone(table)).collect();
        Self { migration, rows }
    }
}

/// One of our migrations, as the database says that it was applied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AppliedMigration {
    pub(crate) version: i64,
    /// In Unix seconds.
    applied_at: i64,
}

/// A migration that this version of the crate has.
pub(crate) struct Known {
    version: i64,
    name: &'static str,
    up: &'static str,
}

impl Known {
    /// Returns the fingerprint that the last line of `up.sql` writes down: of the text above that line.
    fn fingerprint(&self) -> &'static str {
        let last = self.up.lines().next_back().unwrap_or_default();
        last.split('\'').nth(3).unwrap_or_default()
    }

    fn full_name(&self) -> String {
        format!("{:04}_{}", self.version, self.name)
    }

    /// Returns the first line of `up.sql`, which says what the migration does.
    fn description(&self) -> &'static str {
        self.up
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("-- ")
    }
}

macro_rules! known {
    ($directory:literal: $( $version:literal $name:literal ),+ $(,)?) => {
        &[$( Known {
            version: $version,
            name: $name,
            up: include_str!(concat!("../", $directory, "/000", $version, "_", $name, "/up.sql")),
        } ),+]
    };
}
#[cfg(feature = "postgres")]
use known;

/// Diesel's embedded migrations hide their text, so the names stand here once more; a test compares the two.
pub(crate) const KNOWN: &[Known] = known!["migrations":
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

/// Tables about migrations, which `print-schema` leaves out (diesel.toml).
mod tables {
    diesel::table! {
        __diesel_schema_migrations (version) {
            version -> Text,
            run_on -> Timestamp,
        }
    }

    diesel::table! {
        migration_fingerprints (version) {
            version -> Text,
            fingerprint -> Text,
        }
    }
}

/// Returns the version of the last migration that this crate knows.
pub(crate) fn last_version() -> i64 {
    KNOWN.last().map_or(0, |known| known.version)
}

/// Returns the statements that make the search index, of a database that has none.
pub(crate) fn search_index() -> String {
    const SEARCH: i64 = 8;
    let known = KNOWN.iter().find(|known| known.version == SEARCH);
    let text = known.map_or("", |known| known.up.trim_end());
    // The last line writes the fingerprint down, which is still there.
    text.rsplit_once('\n')
        .map_or(text, |(above, _)| above)
        .to_owned()
}

/// Returns those of our migrations that a database has, by version.
pub(crate) fn history(known: &[Known], applied: &[AppliedMigration]) -> Vec<MigrationRecord> {
    applied
        .iter()
        .filter_map(|applied| {
            let known = known
                .iter()
                .find(|known| known.version == applied.version)?;
            Some(MigrationRecord {
                version: known.version,
                name: known.name.to_owned(),
                description: known.description().to_owned(),
                applied_at: applied.applied_at,
            })
        })
        .collect()
}

/// Returns those of our migrations that a database lacks, by version.
pub(crate) fn pending(known: &[Known], applied: &[AppliedMigration]) -> Vec<PendingMigration> {
    known
        .iter()
        .filter(|known| {
            !applied
                .iter()
                .any(|applied| applied.version == known.version)
        })
        .map(|known| PendingMigration {
            version: known.version,
            name: known.name.to_owned(),
            description: known.description().to_owned(),
        })
        .collect()
}

/// The query for all that Diesel has applied.
macro_rules! in_order {
    () => {{
        use crate::migrations::tables::__diesel_schema_migrations as migrations;
        migrations::table
            .select((migrations::version, migrations::run_on))
            .order(migrations::version)
    }};
}
#[cfg(feature = "postgres")]
use in_order;

/// Reads which of our migrations were applied, by version. An application keeps its own in the same table, under Diesel's
/// timestamps: only four digits are ours.
pub(crate) fn applied(
    connection: &mut SqliteConnection,
) -> Result<Vec<AppliedMigration>, StateStoreError> {
    Ok(ours(in_order!().load(connection)?))
}

fn ours(rows: Vec<(String, chrono::NaiveDateTime)>) -> Vec<AppliedMigration> {
    rows.into_iter()
        .filter(|(version, _)| {
            version.len() == 4 && version.bytes().all(|byte| byte.is_ascii_digit())
        })
        .filter_map(|(version, run_on)| {
            Some(AppliedMigration {
                version: version.parse().ok()?,
                applied_at: run_on.and_utc().timestamp(),
            })
        })
        .collect()
}

/// Returns why a database with these migrations can't be worked with yet; `None` where it has all.
pub(crate) fn lacks(applied: &[AppliedMigration]) -> Option<String> {
    let pending = pending(KNOWN, applied);
    if pending.is_empty() {
        None
    } else if applied.is_empty() {
        Some("it has no schema".into())
    } else {
        let versions: Vec<_> = pending
            .iter()
            .map(|migration| migration.version.to_string())
            .collect();
        Some(format!("migrations {} are missing", versions.join(", ")))
    }
}

/// Refuses a database that a newer version of this crate has migrated.
///
/// # Errors
/// `NewerDatabase`.
pub(crate) fn refuse_newer(applied: &[AppliedMigration]) -> Result<(), StateStoreError> {
    let supported = last_version();
    match applied.last() {
        Some(last) if last.version > supported => Err(StateStoreError::NewerDatabase {
            database: last.version,
            supported,
        }),
        _ => Ok(()),
    }
}

/// Checks on an open connection that the schema is still whole.
///
/// # Errors
/// `NotInitialized` or `NewerDatabase`.
pub(crate) fn require_whole(connection: &mut SqliteConnection) -> Result<(), StateStoreError> {
    refuse_partial(applied(connection))
}

/// Refuses a database that doesn't have all of our migrations, by what reading them has returned.
fn refuse_partial(
    applied: Result<Vec<AppliedMigration>, StateStoreError>,
) -> Result<(), StateStoreError> {
    let applied = match applied {
        Err(StateStoreError::DatabaseError(error)) if error.lacks_schema() => Vec::new(),
        applied => applied?,
    };
    refuse_newer(&applied)?;
    match lacks(&applied) {
        Some(reason) => Err(StateStoreError::NotInitialized { reason }),
        None => Ok(()),
    }
}

/// Checks that each migration was applied from the text that this version has. Until the first release a text may still be
/// edited; a file that an older one made is refused instead of half fitting.
///
/// # Errors
/// `MigrationError` that names the migration.
pub(crate) fn check_fingerprints(
    connection: &mut SqliteConnection,
    applied: &[AppliedMigration],
    has_fingerprints: bool,
) -> Result<(), StateStoreError> {
    use tables::migration_fingerprints as fingerprints;
    let stored: Vec<(String, String)> = if has_fingerprints {
        fingerprints::table
            .select((fingerprints::version, fingerprints::fingerprint))
            .load(connection)?
    } else {
        Vec::new()
    };
    compare_fingerprints(KNOWN, applied, &stored)
}

fn compare_fingerprints(
    all: &[Known],
    applied: &[AppliedMigration],
    stored: &[(String, String)],
) -> Result<(), StateStoreError> {
    for known in all {
        if !applied.iter().any(|found| found.version == known.version) {
            continue;
        }
        let version = format!("{:04}", known.version);
        let found = stored.iter().find(|(stored, _)| *stored == version);
        let found = found.map(|(_, fingerprint)| fingerprint.as_str());
        if found != Some(known.fingerprint()) {
            let cause = format!(
                "{} was applied from another text (fingerprint {}, this version has {}): the file was made before the first \
                 release; read it with the program that made it, or move it away and let a new one be made",
                known.full_name(),
                found.unwrap_or("none"),
                known.fingerprint(),
            );
            let error = MigrationError::new("inspect", cause);
            return Err(StateStoreError::MigrationError(error));
        }
    }
    Ok(())
}

/// Runs what the database lacks. The caller has opened the transaction.
pub(crate) fn run_pending(connection: &mut SqliteConnection) -> Result<(), Source> {
    connection.run_pending_migrations(EMBEDDED).map(drop)
}

/// Reverts one migration. The caller has opened the transaction.
pub(crate) fn revert(connection: &mut SqliteConnection, version: i64) -> Result<(), Source> {
    connection
        .revert_migration(&of_version::<Sqlite>(&EMBEDDED, version)?)
        .map(drop)
}

fn of_version<DB: Backend>(
    embedded: &EmbeddedMigrations,
    version: i64,
) -> Result<Box<dyn Migration<DB>>, Source> {
    let name = format!("{version:04}");
    let migrations = MigrationSource::<DB>::migrations(embedded)?;
    let mut migrations = migrations.into_iter();
    migrations
        .find(|migration| migration.name().version().to_string() == name)
        .ok_or_else(|| format!("migration {name} is unknown").into())
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::{EMBEDDED, KNOWN, Known, MigrationSource, Sqlite};

    #[test]
    fn the_known_migrations_are_the_embedded_ones() {
        let mut embedded: Vec<String> = MigrationSource::<Sqlite>::migrations(&EMBEDDED)
            .unwrap()
            .iter()
            .map(|migration| migration.name().to_string())
            .collect();
        embedded.sort();
        let known: Vec<String> = KNOWN.iter().map(Known::full_name).collect();
        assert_eq!(embedded, known);
    }

    #[test]
    fn each_migration_says_in_its_first_line_what_it_does() {
        for known in KNOWN {
            assert!(known.up.starts_with("-- "), "{}", known.name);
            assert!(known.description().len() > 10, "{}", known.name);
        }
    }

    #[test]
    fn each_migration_ends_with_the_fingerprint_of_its_text() {
        KNOWN.iter().for_each(check_fingerprint);
    }

    pub(super) fn check_fingerprint(known: &Known) {
        let text = known.up.trim_end();
        let (above, last) = text.rsplit_once('\n').unwrap();
        let digest = Sha256::digest(format!("{above}\n").as_bytes());
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let version = known.version;
        assert_eq!(
            last,
            format!(
                "INSERT INTO migration_fingerprints (version, fingerprint) VALUES ('{version:04}', '{}');",
                &digits[..32]
            ),
            "{}",
            known.full_name()
        );
        assert_eq!(known.fingerprint(), &digits[..32]);
    }
}
