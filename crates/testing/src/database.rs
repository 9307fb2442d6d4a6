//! Looks into the file itself, past the store.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use crate::polling::until;
use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::diesel::prelude::*;
use descartes_state::diesel::sql_types::{BigInt, Text};
use descartes_state::diesel::{PgConnection, SqliteConnection, sql_query};
use descartes_state::{AnyStateStore, SqliteStateStore};

/// The tables of the six aggregates.
pub const TABLES: [&str; 6] = [
    "agent_states",
    "state_transitions",
    "state_snapshots",
    "events",
    "tasks",
    "sessions",
];

/// Opens a connection that knows nothing of the store, and waits for no lock.
#[must_use]
pub fn connect(path: &Path) -> SqliteConnection {
    SqliteConnection::establish(path.to_str().unwrap()).unwrap()
}

/// Opens a connection that knows nothing of the store, as another program would, and waits for locks.
#[must_use]
pub fn connect_patiently(path: &Path) -> SqliteConnection {
    let mut connection = connect(path);
    connection
        .batch_execute("PRAGMA busy_timeout = 10000;")
        .unwrap();
    connection
}

/// Opens a connection for what the store would never write: without its checks and triggers.
pub fn connect_to_tamper(path: &Path) -> Result<SqliteConnection, Box<dyn Error>> {
    let mut connection = SqliteConnection::establish(&path.display().to_string())?;
    connection.batch_execute(
        "PRAGMA busy_timeout = 30000; PRAGMA ignore_check_constraints = 1;
         DROP TRIGGER IF EXISTS events_are_final; DROP TRIGGER IF EXISTS state_transitions_are_final;",
    )?;
    Ok(connection)
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

fn load_lines(connection: &mut SqliteConnection, query: &str) -> QueryResult<Vec<String>> {
    let lines: Vec<Line> = sql_query(query).load(connection)?;
    Ok(lines.into_iter().map(|line| line.line).collect())
}

/// Returns the rows of a query that has one text column, `line`.
pub fn lines(connection: &mut SqliteConnection, query: &str) -> Vec<String> {
    load_lines(connection, query).unwrap()
}

/// Returns the one number that a query selects.
pub fn number(connection: &mut SqliteConnection, query: &str) -> i64 {
    let number = diesel::dsl::sql::<BigInt>(&format!("({query})"));
    diesel::select(number).get_result(connection).unwrap()
}

/// Returns how many events the search index doesn't hold yet.
pub fn unindexed(connection: &mut SqliteConnection) -> i64 {
    let indexed = "SELECT coalesce(max(id), 0) FROM events_search_docsize";
    count(connection, &format!("events WHERE seq > ({indexed})"))
}

/// Waits until the store has indexed every event, as it does by itself.
pub async fn until_indexed(store: &SqliteStateStore) {
    let mut connection = connect_patiently(store.path());
    until("every event is indexed", || unindexed(&mut connection) == 0).await;
}

/// Fails unless the search index holds exactly the words of the rows.
pub fn assert_index_is_whole(connection: &mut SqliteConnection) {
    // With a rank, the index is compared with the rows too.
    connection
        .batch_execute(
            "PRAGMA busy_timeout = 10000;
             INSERT INTO events_search (events_search, rank) VALUES ('integrity-check', 1);",
        )
        .unwrap();
}

/// Returns how many rows a table, with conditions behind it, has.
pub fn count(connection: &mut SqliteConnection, from: &str) -> i64 {
    number(connection, &format!("SELECT count(*) FROM {from}"))
}

/// Returns name and declared type of each column of a table.
pub fn columns(
    connection: &mut SqliteConnection,
    table: &str,
) -> QueryResult<Vec<(String, String)>> {
    let query = format!("SELECT name || '/' || type AS line FROM pragma_table_info('{table}')");
    let columns = load_lines(connection, &query)?;
    let parts = columns.iter().filter_map(|column| column.split_once('/'));
    Ok(parts
        .map(|(name, kind)| (name.into(), kind.into()))
        .collect())
}

/// Returns every stored value of every row that a namespace has, or that any has for `None`.
pub async fn dump<S: Clone + Into<AnyStateStore>>(
    store: &S,
    namespace: Option<&str>,
) -> Result<Vec<String>, Box<dyn Error>> {
    let condition = namespace.map_or_else(String::new, |namespace| {
        format!("WHERE namespace = '{}'", namespace.replace('\'', "''"))
    });
    // Without a prefix: the handle at hand may have an illegal one.
    let store = store.clone().into().with_prefix("");
    if store.path().is_none() {
        return Ok(store
            .read(move |transaction| Ok(dump_server(transaction.postgres()?, &condition)?))
            .await?);
    }
    let rows = store.read(move |transaction| {
        let connection = transaction.sqlite()?;
        let mut rows = Vec::new();
        for table in TABLES {
            let columns = columns(connection, table)?;
            let values: Vec<_> = columns
                .iter()
                .map(|(name, _)| format!("quote({name})"))
                .collect();
            let values = values.join(" || ', ' || ");
            let query = format!(
                "SELECT '{table}: ' || {values} AS line FROM {table} {condition} ORDER BY rowid"
            );
            rows.extend(load_lines(connection, &query)?);
        }
        Ok(rows)
    });
    Ok(rows.await?)
}

fn dump_server(connection: &mut PgConnection, condition: &str) -> QueryResult<Vec<String>> {
    let mut rows = Vec::new();
    for table in TABLES {
        let query = format!(
            "SELECT '{table}: ' || {table}::text AS line FROM {table} {condition} ORDER BY 1"
        );
        let lines: Vec<Line> = sql_query(query).load(connection)?;
        rows.extend(lines.into_iter().map(|line| line.line));
    }
    Ok(rows)
}

/// Fails where SQLite finds the file damaged.
pub fn assert_intact(connection: &mut SqliteConnection) {
    let found = lines(
        connection,
        "SELECT integrity_check AS line FROM pragma_integrity_check",
    );
    assert_eq!(found, ["ok"]);
}

/// Returns what `PRAGMA name` says.
pub fn pragma(connection: &mut SqliteConnection, name: &str) -> String {
    let query = format!("SELECT CAST({name} AS TEXT) AS line FROM pragma_{name}");
    lines(connection, &query).remove(0)
}

/// Returns every object of the schema as SQLite keeps it, in a stable order.
pub fn schema_dump(connection: &mut SqliteConnection) -> Vec<String> {
    lines(
        connection,
        "SELECT type || ' ' || name || ' on ' || tbl_name || ': ' || ifnull(sql, '') AS line
         FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name",
    )
}

/// Returns the tables that hold rows of ours, without what SQLite, the migrations and the search index keep for
/// themselves.
pub fn tables(connection: &mut SqliteConnection) -> Vec<String> {
    lines(
        connection,
        "SELECT name AS line FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'
         AND name NOT LIKE '__diesel%' AND name NOT LIKE 'events_search%'
         AND name NOT IN ('migration_fingerprints', 'store_identity') ORDER BY name",
    )
}

/// Returns every row of every table of ours, as text.
pub fn contents(connection: &mut SqliteConnection) -> BTreeMap<String, Vec<String>> {
    tables(connection)
        .into_iter()
        .map(|table| {
            let columns = lines(
                connection,
                &format!(
                    "SELECT 'quote(\"' || name || '\")' AS line FROM pragma_table_xinfo('{table}')"
                ),
            );
            let row = columns.join(" || ',' || ");
            let query = format!("SELECT {row} AS line FROM {table} ORDER BY 1");
            let rows = lines(connection, &query);
            (table, rows)
        })
        .collect()
}
