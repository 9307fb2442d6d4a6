//! What the tests of migrations, schema and query plans share.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::diesel::prelude::*;
use descartes_state::diesel::sql_types::{BigInt, Text};
use descartes_state::diesel::{SqliteConnection, sql_query};
use descartes_state::uuid::Uuid;
use descartes_state::{
    ActorType, AgentState, Event, Expected, Session, SqliteStateStore, Task, TaskStatus,
};
use diesel_migrations::FileBasedMigrations;

/// The migrations as the Diesel command sees them: from the directory, not from the library.
pub(crate) fn migrations_on_disk() -> FileBasedMigrations {
    FileBasedMigrations::from_path(migrations_directory()).unwrap()
}

pub(crate) fn migrations_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations")
}

/// The names of the migrations' directories, by number.
pub(crate) fn migration_names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(migrations_directory())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A connection that knows nothing of the store, as another program would open it.
pub(crate) fn raw(path: &Path) -> SqliteConnection {
    let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    connection
        .batch_execute("PRAGMA busy_timeout = 10000;")
        .unwrap();
    connection
}

#[derive(QueryableByName)]
struct OneText {
    #[diesel(sql_type = Text)]
    value: String,
}

#[derive(QueryableByName)]
struct OneNumber {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

/// The rows of a query that has one text column, `value`.
pub(crate) fn texts(connection: &mut SqliteConnection, query: &str) -> Vec<String> {
    let rows: Vec<OneText> = sql_query(query).load(connection).unwrap();
    rows.into_iter().map(|row| row.value).collect()
}

/// The one row of a query that has one number, `value`.
pub(crate) fn number(connection: &mut SqliteConnection, query: &str) -> i64 {
    let row: OneNumber = sql_query(query).get_result(connection).unwrap();
    row.value
}

/// What `PRAGMA name` says.
pub(crate) fn pragma(connection: &mut SqliteConnection, name: &str) -> String {
    let query = format!("SELECT CAST({name} AS TEXT) AS value FROM pragma_{name}");
    texts(connection, &query).remove(0)
}

/// Every object of the schema as SQLite keeps it, in a stable order.
pub(crate) fn schema_dump(connection: &mut SqliteConnection) -> Vec<String> {
    texts(
        connection,
        "SELECT type || ' ' || name || ' on ' || tbl_name || ': ' || ifnull(sql, '') AS value
         FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name",
    )
}

/// The tables that hold rows of ours, without what SQLite, Diesel and the search index keep for themselves.
pub(crate) fn tables(connection: &mut SqliteConnection) -> Vec<String> {
    texts(
        connection,
        "SELECT name AS value FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'
         AND name NOT LIKE '__diesel%' AND name NOT LIKE 'events_search%' ORDER BY name",
    )
}

/// Every row of every table of ours, as text.
pub(crate) fn contents(connection: &mut SqliteConnection) -> BTreeMap<String, Vec<String>> {
    tables(connection)
        .into_iter()
        .map(|table| {
            let columns = texts(
                connection,
                &format!(
                    "SELECT 'quote(\"' || name || '\")' AS value FROM pragma_table_xinfo('{table}')"
                ),
            );
            let row = columns.join(" || ',' || ");
            let query = format!("SELECT {row} AS value FROM {table} ORDER BY 1");
            let rows = texts(connection, &query);
            (table, rows)
        })
        .collect()
}

/// Puts rows into every table that keeps any, under two prefixes.
pub(crate) async fn populate(store: &SqliteStateStore) {
    for prefix in ["", "tenant"] {
        let store = store.with_prefix(prefix);
        let agent = AgentState {
            agent_id: "agent".into(),
            name: "Agent".into(),
            status: "running".into(),
            metadata: serde_json::json!({ "type": "worker" }),
            state_data: "{\"step\":1}".into(),
            created_at: 1_700_000_000,
            updated_at: 1_700_000_000,
            version: 1,
        };
        store.save_agent_state(&agent).await.unwrap();
        let transition = store.record_state_transition("agent", "{}", "{\"step\":1}", None);
        transition.await.unwrap();
        let snapshot = store.create_snapshot("agent", Some("first".into()));
        snapshot.await.unwrap();
        let events: Vec<Event> = (0..3)
            .map(|number| Event {
                id: Uuid::now_v7(),
                event_type: "note".into(),
                timestamp: 1_700_000_000 + number,
                session_id: "session".into(),
                actor_type: ActorType::Agent,
                actor_id: "agent".into(),
                content: format!("findable words, number {number}"),
                metadata: None,
                git_commit: None,
            })
            .collect();
        store.events().append_all(&events).await.unwrap();
        let task = Task {
            id: Uuid::now_v7(),
            title: "Task".into(),
            description: None,
            status: TaskStatus::Todo,
            assigned_to: Some("agent".into()),
            created_at: 1_700_000_000,
            updated_at: 1_700_000_000,
            metadata: None,
        };
        let purged = Task {
            id: Uuid::now_v7(),
            ..task.clone()
        };
        store.save_task(&task).await.unwrap();
        store.save_task(&purged).await.unwrap();
        // What a purge leaves is a row in revision_floors.
        let tasks = store.tasks();
        tasks.purge(&purged.id, Expected::Any).await.unwrap();
        let session = Session::new("session", "agent");
        store.sessions().start(&session).await.unwrap();
    }
}
