//! Drift: the tables that Diesel knows are the tables that the migrations make.

use std::collections::BTreeMap;

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::diesel::prelude::*;
use descartes_state::diesel::sql_types::{BigInt, Text};
use descartes_state::diesel::{SqliteConnection, sql_query};
use descartes_state::{SqliteStateStore, schema};
use descartes_state_testing::{connect_patiently, migration_names, migrations_on_disk, tables};
use diesel_migrations::MigrationHarness;

/// What `diesel print-schema` wrote.
const PRINTED: &str = include_str!("../../src/schema.rs");

/// The Diesel tables that print-schema leaves out.
const SEARCH: &str = include_str!("../../src/repository/sqlite/search.rs");

/// A table's columns in order, and the columns of its primary key in theirs.
#[derive(Debug, PartialEq, Eq)]
struct Table {
    columns: Vec<Column>,
    primary_key: Vec<String>,
}

/// A column, with its type as SQL declares it.
#[derive(Debug, PartialEq, Eq)]
struct Column {
    name: String,
    declared_type: String,
    is_nullable: bool,
}

/// The `diesel::table!` blocks of a source file.
fn declared(source: &str) -> BTreeMap<String, Table> {
    let blocks = source.split("diesel::table! {").skip(1);
    blocks
        .map(|block| {
            let (head, body) = block.split_once('{').unwrap();
            let (name, key) = head.trim().trim_end_matches(')').split_once(" (").unwrap();
            let primary_key: Vec<String> = key.split(", ").map(str::to_owned).collect();
            let lines = body.split('}').next().unwrap().lines().map(str::trim);
            let columns = lines
                .filter_map(|line| line.trim_end_matches(',').split_once(" -> "))
                .map(|(name, diesel_type)| column(name, diesel_type, &primary_key))
                .collect();
            let table = Table {
                columns,
                primary_key,
            };
            (name.to_owned(), table)
        })
        .collect()
}

fn column(name: &str, diesel_type: &str, primary_key: &[String]) -> Column {
    let inner = diesel_type.strip_prefix("Nullable<");
    let is_rowid = name == "seq" && *primary_key == [name];
    let declared_type = match inner.map_or(diesel_type, |inner| inner.trim_end_matches('>')) {
        "BigInt" if is_rowid => "INTEGER",
        "BigInt" => "BIGINT",
        "Bool" => "BOOLEAN",
        "Text" => "TEXT",
        other => {
            panic!("{name} is {other}: migrations/NOTES.md allows BIGINT, BOOLEAN and TEXT only")
        }
    };
    Column {
        name: name.to_owned(),
        declared_type: declared_type.to_owned(),
        is_nullable: inner.is_some(),
    }
}

#[derive(QueryableByName)]
struct Info {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    declared_type: String,
    #[diesel(sql_type = BigInt)]
    is_required: i64,
    #[diesel(sql_type = BigInt)]
    key_position: i64,
    #[diesel(sql_type = BigInt)]
    hidden: i64,
}

fn columns_of(connection: &mut SqliteConnection, table: &str) -> Vec<Info> {
    sql_query(format!(
        "SELECT name, type AS declared_type, \"notnull\" AS is_required, pk AS key_position, hidden
         FROM pragma_table_xinfo('{table}') ORDER BY cid"
    ))
    .load(connection)
    .unwrap()
}

/// The tables of ours that a database has.
fn live(connection: &mut SqliteConnection) -> BTreeMap<String, Table> {
    let mut live = BTreeMap::new();
    for name in tables(connection) {
        let rows = columns_of(connection, &name);
        // 2 and 3 are generated columns: Diesel would try to write them.
        assert!(rows.iter().all(|row| row.hidden == 0), "{name}");
        let mut key: Vec<&Info> = rows.iter().filter(|row| row.key_position > 0).collect();
        key.sort_by_key(|row| row.key_position);
        let table = Table {
            primary_key: key.iter().map(|row| row.name.clone()).collect(),
            columns: rows
                .iter()
                .map(|row| Column {
                    name: row.name.clone(),
                    declared_type: row.declared_type.clone(),
                    is_nullable: row.is_required == 0,
                })
                .collect(),
        };
        live.insert(name, table);
    }
    live
}

/// A database with every migration, from the directory.
fn migrated(directory: &tempfile::TempDir) -> SqliteConnection {
    let mut connection = connect_patiently(&directory.path().join("state.db"));
    connection
        .run_pending_migrations(migrations_on_disk())
        .unwrap();
    connection
}

#[test]
fn the_diesel_tables_are_the_tables_of_the_migrations() {
    let directory = tempfile::tempdir().unwrap();
    let printed = declared(PRINTED);
    assert_eq!(printed.len(), 7);
    assert_eq!(printed["events"].columns.len(), 14);
    assert_eq!(printed, live(&mut migrated(&directory)));
}

#[tokio::test]
async fn the_embedded_migrations_make_the_same_tables_as_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStateStore::temporary().await.unwrap();
    let mut embedded = connect_patiently(store.path());
    let mut on_disk = migrated(&directory);
    assert_eq!(
        descartes_state_testing::schema_dump(&mut embedded),
        descartes_state_testing::schema_dump(&mut on_disk)
    );
    let history = store.get_migration_history().await.unwrap();
    let names = history
        .iter()
        .map(|record| format!("{:04}_{}", record.version, record.name));
    assert_eq!(names.collect::<Vec<_>>(), migration_names());
}

#[test]
fn the_tables_of_the_search_have_the_columns_that_diesel_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut connection = migrated(&directory);
    let declared = declared(SEARCH);
    assert_eq!(declared.len(), 5);
    for (name, table) in &declared {
        let live = columns_of(&mut connection, name);
        for column in &table.columns {
            let is_there = live.iter().any(|info| info.name == column.name);
            // Every table has a rowid, and FTS5 a hidden column of the table's name.
            let is_known = ["rowid", "whole_row"].contains(&column.name.as_str());
            // SQLite's own table has a fixed shape, which it lists for nobody.
            let is_known = is_known || name == "sqlite_schema";
            assert!(is_there || is_known, "{name}.{}", column.name);
        }
    }
}

#[test]
fn every_migration_has_both_directions_and_four_digits_without_a_gap() {
    for (index, name) in migration_names().iter().enumerate() {
        assert!(name.starts_with(&format!("{:04}_", index + 1)), "{name}");
        for file in ["up.sql", "down.sql"] {
            let path = descartes_state_testing::migrations_directory()
                .join(name)
                .join(file);
            let sql = std::fs::read_to_string(path).unwrap();
            assert!(!sql.trim().is_empty(), "{name}/{file}");
        }
    }
}

#[test]
fn any_drift_is_seen() {
    for drift in [
        "ALTER TABLE tasks ADD COLUMN priority BIGINT;",
        "ALTER TABLE tasks DROP COLUMN metadata;",
        "ALTER TABLE tasks RENAME COLUMN title TO name;",
        "ALTER TABLE tasks RENAME TO jobs;",
        "CREATE TABLE labels (id TEXT PRIMARY KEY NOT NULL);",
        "DROP TABLE revision_floors;",
        // Another type, nullability, order, or key.
        "DROP TABLE revision_floors; CREATE TABLE revision_floors (namespace TEXT NOT NULL, aggregate TEXT NOT NULL,
            revision INTEGER NOT NULL, PRIMARY KEY (namespace, aggregate));",
        "DROP TABLE revision_floors; CREATE TABLE revision_floors (namespace TEXT NOT NULL, aggregate TEXT NOT NULL,
            revision BIGINT, PRIMARY KEY (namespace, aggregate));",
        "DROP TABLE revision_floors; CREATE TABLE revision_floors (aggregate TEXT NOT NULL, namespace TEXT NOT NULL,
            revision BIGINT NOT NULL, PRIMARY KEY (namespace, aggregate));",
        "DROP TABLE revision_floors; CREATE TABLE revision_floors (namespace TEXT NOT NULL, aggregate TEXT NOT NULL,
            revision BIGINT NOT NULL, PRIMARY KEY (aggregate, namespace));",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut connection = migrated(&directory);
        connection.batch_execute(drift).unwrap();
        assert_ne!(declared(PRINTED), live(&mut connection), "{drift}");
    }
}

/// The same without reading the source: Diesel's own column lists run on the live tables, and no table is missing.
#[tokio::test]
async fn every_table_loads_through_its_diesel_columns() {
    let store = SqliteStateStore::temporary().await.unwrap();
    descartes_state_testing::populate(&store).await;
    let mut connection = connect_patiently(store.path());
    macro_rules! load {
        ($($table:ident),+) => {{
            let mut seen = Vec::new();
            $(
                let rows: i64 = schema::$table::table
                    .count()
                    .get_result(&mut connection)
                    .unwrap();
                assert!(rows > 0);
                // Every column, by the name that Diesel has for it.
                let all = schema::$table::table.select(schema::$table::all_columns);
                let query = descartes_state::diesel::debug_query::<descartes_state::diesel::sqlite::Sqlite, _>(&all);
                connection.batch_execute(query.to_string().split(" -- ").next().unwrap()).unwrap();
                seen.push(stringify!($table).to_owned());
            )+
            seen
        }};
    }
    let seen = load!(
        agent_states,
        events,
        revision_floors,
        sessions,
        state_snapshots,
        state_transitions,
        tasks
    );
    assert_eq!(seen, tables(&mut connect_patiently(store.path())));
}
