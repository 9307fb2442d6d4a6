//! The embedded migrations: what a database has, what it lacks, and whether it is ours at all.

use diesel::connection::SimpleConnection;
use diesel::migration::MigrationSource;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::Sqlite;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use serde::Serialize;

use crate::error::{DatabaseFailure, MigrationError, StateStoreError};

const EMBEDDED: EmbeddedMigrations = embed_migrations!();

/// As migration 0001 sets it.
const APPLICATION_ID: i64 = 1_145_393_996;

/// The tables that the guide's other implementations make as well.
const GUIDE_TABLES: [&str; 6] = [
    "agent_states",
    "state_transitions",
    "state_snapshots",
    "events",
    "tasks",
    "sessions",
];

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

impl MigrationRecord {
    pub(crate) fn new(version: i64, name: &str, description: &str, applied_at: i64) -> Self {
        Self {
            version,
            name: name.to_owned(),
            description: description.to_owned(),
            applied_at,
        }
    }
}

struct Known {
    version: i64,
    name: &'static str,
    up: &'static str,
}

impl Known {
    /// The first line of `up.sql`, which says what the migration does.
    fn description(&self) -> &'static str {
        self.up
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("-- ")
    }
}

macro_rules! known {
    ($( $version:literal $name:literal ),+ $(,)?) => {
        &[$( Known {
            version: $version,
            name: $name,
            up: include_str!(concat!("../migrations/000", $version, "_", $name, "/up.sql")),
        } ),+]
    };
}

/// Diesel's embedded migrations hide their text, so the names stand here once more; a test compares the two.
const KNOWN: &[Known] = known![
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

diesel::table! {
    sqlite_schema (name) {
        name -> Text,
        #[sql_name = "type"]
        kind -> Text,
    }
}

diesel::table! {
    __diesel_schema_migrations (version) {
        version -> Text,
        run_on -> Timestamp,
    }
}

/// What was found in a database that is, or may become, ours.
#[derive(Debug)]
pub(crate) struct Schema {
    /// Our applied migrations: version and Unix seconds, by version.
    applied: Vec<(i64, i64)>,
    is_empty: bool,
}

impl Schema {
    /// Whether nothing was ever written to the file.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Why calls can't work yet; `None` where the schema is whole.
    pub(crate) fn lacks(&self) -> Option<String> {
        let missing: Vec<_> = KNOWN
            .iter()
            .filter(|known| {
                !self
                    .applied
                    .iter()
                    .any(|(version, _)| *version == known.version)
            })
            .map(|known| known.version.to_string())
            .collect();
        if missing.is_empty() {
            None
        } else if self.applied.is_empty() {
            Some("it has no schema".into())
        } else {
            Some(format!("migrations {} are missing", missing.join(", ")))
        }
    }

    pub(crate) fn history(&self) -> Vec<MigrationRecord> {
        self.applied
            .iter()
            .filter_map(|(version, applied_at)| {
                let known = KNOWN.iter().find(|known| known.version == *version)?;
                Some(MigrationRecord::new(
                    known.version,
                    known.name,
                    known.description(),
                    *applied_at,
                ))
            })
            .collect()
    }

    /// The migrations that the database lacks; `applied_at` is 0.
    pub(crate) fn pending(&self) -> Vec<MigrationRecord> {
        KNOWN
            .iter()
            .filter(|known| {
                !self
                    .applied
                    .iter()
                    .any(|(version, _)| *version == known.version)
            })
            .map(|known| MigrationRecord::new(known.version, known.name, known.description(), 0))
            .collect()
    }
}

/// Reads what the database is, and writes nothing: a newer or a foreign database stays as it is.
pub(crate) fn inspect(connection: &mut SqliteConnection) -> Result<Schema, StateStoreError> {
    let tables: Vec<String> = match sqlite_schema::table
        .filter(sqlite_schema::kind.eq("table"))
        .select(sqlite_schema::name)
        .load(connection)
    {
        Ok(tables) => tables,
        Err(error) if error.to_string().contains("file is not a database") => {
            return Err(foreign("it is not a SQLite file"));
        }
        Err(error) => return Err(error.into()),
    };
    let application_id: i64 = diesel::select(diesel::dsl::sql::<BigInt>(
        "(SELECT application_id FROM pragma_application_id)",
    ))
    .get_result(connection)?;
    if application_id != 0 && application_id != APPLICATION_ID {
        return Err(foreign(format!(
            "its application id is {application_id}, ours is {APPLICATION_ID}"
        )));
    }
    let has = |name: &str| tables.iter().any(|table| table == name);
    let applied = if has("__diesel_schema_migrations") {
        applied(connection)?
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
    let supported = KNOWN.last().map_or(0, |known| known.version);
    match applied.last() {
        Some((database, _)) if *database > supported => Err(StateStoreError::NewerDatabase {
            database: *database,
            supported,
        }),
        _ => Ok(Schema {
            is_empty: tables.is_empty(),
            applied,
        }),
    }
}

fn foreign(reason: impl Into<String>) -> StateStoreError {
    StateStoreError::ForeignDatabase {
        reason: reason.into(),
    }
}

/// Our applied migrations. An application keeps its own in the same table, under Diesel's timestamps: only four digits
/// are ours.
fn applied(connection: &mut SqliteConnection) -> Result<Vec<(i64, i64)>, StateStoreError> {
    use __diesel_schema_migrations as migrations;
    let rows: Vec<(String, chrono::NaiveDateTime)> = migrations::table
        .select((migrations::version, migrations::run_on))
        .order(migrations::version)
        .load(connection)?;
    Ok(rows
        .into_iter()
        .filter(|(version, _)| {
            version.len() == 4 && version.bytes().all(|byte| byte.is_ascii_digit())
        })
        .filter_map(|(version, run_on)| Some((version.parse().ok()?, run_on.and_utc().timestamp())))
        .collect())
}

/// Runs what is pending, all or nothing, safe against other processes that do the same.
pub(crate) fn run(connection: &mut SqliteConnection) -> Result<(), StateStoreError> {
    in_one_transaction(connection, "run", |connection| {
        // Again, under the lock: another process may have been faster, or newer.
        inspect(connection)?;
        connection
            .run_pending_migrations(EMBEDDED)
            .map(drop)
            .map_err(|source| failed("run", source))
    })
}

/// What a revert took, or would take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Revert {
    /// The migration.
    pub migration: MigrationRecord,
    /// The tables that go with it, and how many rows each holds, of every prefix.
    pub rows: Vec<(String, i64)>,
}

/// Reverts the last of our migrations; with `keep` false only to see what goes, and takes it back.
pub(crate) fn revert_last(
    connection: &mut SqliteConnection,
    keep: bool,
) -> Result<Revert, StateStoreError> {
    let mut seen = None;
    let result = in_one_transaction(connection, "revert", |connection| {
        let before = row_counts(connection)?;
        let last = inspect(connection)?.history().pop();
        let last = last.ok_or_else(|| failed("revert", "no migration is applied"))?;
        let version = format!("{:04}", last.version);
        let migrations = MigrationSource::<Sqlite>::migrations(&EMBEDDED)
            .map_err(|source| failed("revert", source))?;
        let migration = migrations
            .iter()
            .find(|migration| migration.name().version().to_string() == version)
            .ok_or_else(|| failed("revert", format!("migration {version} is unknown")))?;
        connection
            .revert_migration(migration)
            .map_err(|source| failed("revert", source))?;
        let after = row_counts(connection)?;
        let is_gone = |table: &str| !after.iter().any(|(name, _)| name == table);
        let revert = Revert {
            migration: last,
            rows: before
                .into_iter()
                .filter(|(table, _)| is_gone(table))
                .collect(),
        };
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

/// The tables that hold rows of ours, with how many.
fn row_counts(connection: &mut SqliteConnection) -> Result<Vec<(String, i64)>, StateStoreError> {
    let tables: Vec<String> = sqlite_schema::table
        .filter(sqlite_schema::kind.eq("table"))
        .select(sqlite_schema::name)
        .load(connection)?;
    GUIDE_TABLES
        .into_iter()
        .chain(["revision_floors"])
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

fn failed(operation: &'static str, source: impl Into<crate::error::Source>) -> StateStoreError {
    StateStoreError::MigrationError(MigrationError::new(operation, source))
}

/// Sets what lies in the file itself: WAL, and in a file that nothing was written to yet `auto_vacuum`, which works only
/// before the first table and before WAL.
pub(crate) fn prepare_file(
    connection: &mut SqliteConnection,
    is_empty: bool,
) -> Result<(), StateStoreError> {
    if is_empty {
        connection.batch_execute("PRAGMA auto_vacuum = INCREMENTAL;")?;
    }
    connection.batch_execute("PRAGMA journal_mode = WAL;")?;
    let pragma = |connection: &mut SqliteConnection, name: &str| {
        let value = diesel::dsl::sql::<diesel::sql_types::Text>(&format!(
            "(SELECT CAST({name} AS TEXT) FROM pragma_{name})"
        ));
        diesel::select(value).get_result::<String>(connection)
    };
    let journal_mode = pragma(connection, "journal_mode")?;
    if journal_mode != "wal" {
        return Err(StateStoreError::Unsupported {
            reason: format!(
                "the file system gives journal mode {journal_mode}, not WAL: choose a local disk"
            ),
        });
    }
    if pragma(connection, "auto_vacuum")? != "2" {
        tracing::warn!(
            "the file was made without incremental auto_vacuum: it will not shrink by itself"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{EMBEDDED, KNOWN, MigrationSource, Sqlite};

    #[test]
    fn the_known_migrations_are_the_embedded_ones() {
        let mut embedded: Vec<String> = MigrationSource::<Sqlite>::migrations(&EMBEDDED)
            .unwrap()
            .iter()
            .map(|migration| migration.name().to_string())
            .collect();
        embedded.sort();
        let known: Vec<String> = KNOWN
            .iter()
            .map(|known| format!("{:04}_{}", known.version, known.name))
            .collect();
        assert_eq!(embedded, known);
    }

    #[test]
    fn each_migration_says_in_its_first_line_what_it_does() {
        for known in KNOWN {
            assert!(known.up.starts_with("-- "), "{}", known.name);
            assert!(known.description().len() > 10, "{}", known.name);
        }
    }
}
