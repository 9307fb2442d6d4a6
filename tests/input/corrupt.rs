//! Nothing decodes to a default: every column of every table, with every kind of value that it can't hold, is `Corrupt`
//! with table, key and column.

use std::error::Error;
use std::path::Path;

use descartes_state::diesel::{prelude::*, sql_query};
use descartes_state::uuid::Uuid;
use descartes_state::{
    AgentFilter, EventFilter, PageRequest, Session, SessionFilter, SnapshotFilter,
    SqliteStateStore, StateStoreError, TaskFilter, TransitionDraft, TransitionFilter,
};

use descartes_state_testing::{TABLES, TestResult, agent, columns, connect_to_tamper, event, task};

const ID: Uuid = Uuid::from_u128(7);

/// A row in each table, and its key there.
async fn filled(path: &Path) -> Result<SqliteStateStore, StateStoreError> {
    let store = SqliteStateStore::new(path, false).await?;
    store.initialize().await?;
    store.save_agent_state(&agent("agent")).await?;
    let draft = TransitionDraft::new("agent", "x", "y")
        .reason("why")
        .metadata(1.into());
    store.transitions().record(&draft).await?;
    store
        .snapshots()
        .create("agent", &descartes_state::SnapshotOptions::default())
        .await?;
    store
        .save_event(&descartes_state::Event {
            id: ID,
            ..event("word")
        })
        .await?;
    store
        .save_task(&descartes_state::Task {
            id: ID,
            ..task("x")
        })
        .await?;
    store
        .sessions()
        .start(&Session::new("session", "agent").metadata(1.into()))
        .await?;
    Ok(store)
}

type Reading = Result<(), StateStoreError>;

/// Everything that reads this column of the table, whoever's the row is and deleted or not.
async fn readings(store: &SqliteStateStore, table: &str, column: &str) -> Vec<Reading> {
    let page = PageRequest::default();
    let mut readings = match table {
        "agent_states" => {
            let all = AgentFilter::default().include_deleted();
            vec![store.agents().list(&all, &page).await.map(drop)]
        }
        "state_transitions" => {
            let all = TransitionFilter::default();
            vec![store.transitions().list(&all, &page).await.map(drop)]
        }
        "state_snapshots" => {
            let all = SnapshotFilter::default().include_expired();
            vec![store.snapshots().list(&all, &page).await.map(drop)]
        }
        "events" => {
            let (events, all) = (store.events(), EventFilter::default());
            vec![
                events.list(&all, &page).await.map(drop),
                events.search("word", &all, &page).await.map(drop),
            ]
        }
        "tasks" => {
            let all = TaskFilter::default().include_deleted();
            vec![store.tasks().list(&all, &page).await.map(drop)]
        }
        _ => {
            let all = SessionFilter::default().include_deleted();
            vec![store.sessions().list(&all, &page).await.map(drop)]
        }
    };
    // The guide's own reads don't read what they don't return, nor find a row by a column that is broken.
    let beside = ["key", "is_deleted", "revision", "recorded_at"];
    if !beside.contains(&column) {
        match (table, column) {
            ("agent_states", _) => {
                let all = AgentFilter::default().include_deleted();
                readings.push(store.agents().states(&all, &page).await.map(drop));
            }
            ("state_transitions", column) if column != "agent_id" => {
                readings.push(store.get_state_history("agent", 9).await.map(drop));
            }
            ("events", column) if !["session_id", "created_at"].contains(&column) => {
                readings.push(store.get_events("session").await.map(drop));
            }
            ("tasks", _) => readings.push(store.get_tasks().await.map(drop)),
            _ => {}
        }
    }
    readings
}

/// What a column can't hold, in SQL.
fn bad_values(column: &str, declared: &str) -> Vec<&'static str> {
    let mut values = match declared {
        "TEXT" => vec!["CAST(x'ff' AS TEXT)", "x'6162'"],
        "BIGINT" => vec!["'2026-11-23'", "1.5", "x'00'"],
        "BOOLEAN" => vec!["2", "-1", "'yes'", "0.5"],
        _ => vec![],
    };
    match column {
        "metadata" => values.extend(["'{'", "''", "'nul'", "'[1] x'"]),
        "status" | "actor_type" => values.push("'unknown'"),
        "id" => values.extend(["'no uuid'", "''"]),
        "state_data_codec" | "state_before_codec" | "state_after_codec" => {
            values.extend(["2", "-1"]);
        }
        _ => {}
    }
    values
}

/// Whether this value in this column is nothing that the store could know to be wrong.
fn is_legal(table: &str, column: &str, value: &str) -> bool {
    let open_status = matches!(table, "agent_states" | "state_snapshots");
    let text_id = matches!(table, "sessions" | "state_snapshots");
    match column {
        "status" => open_status && value == "'unknown'",
        "id" => text_id && value.starts_with('\''),
        _ => false,
    }
}

#[tokio::test]
async fn every_column_with_a_value_that_it_can_not_hold_is_corrupt() -> TestResult {
    let directory = tempfile::tempdir()?;
    let store = filled(&directory.path().join("state.db")).await?;
    let mut tried = 0;
    for table in TABLES {
        let mut connection = connect_to_tamper(store.path())?;
        for (column, declared) in columns(&mut connection, table)? {
            // The row would be another namespace's; `seq` can hold nothing but an integer; only the index reads the last.
            if ["namespace", "seq", "search_text"].contains(&column.as_str()) {
                continue;
            }
            for value in bad_values(&column, &declared) {
                if is_legal(table, &column, value) {
                    continue;
                }
                let case = format!("{table}.{column} = {value}");
                sql_query(format!(
                    "CREATE TEMP TABLE kept AS SELECT rowid AS row, {column} AS value FROM {table}"
                ))
                .execute(&mut connection)?;
                sql_query(format!("UPDATE {table} SET {column} = {value}"))
                    .execute(&mut connection)?;
                let read = readings(&store, table, &column).await;
                // Without the type's affinity, which would turn text into a number again.
                sql_query(format!(
                    "UPDATE {table} SET {column} = (SELECT value FROM kept)"
                ))
                .execute(&mut connection)?;
                sql_query("DROP TABLE kept").execute(&mut connection)?;
                for result in read {
                    let Err(StateStoreError::Corrupt {
                        table: named,
                        key,
                        column: place,
                        reason,
                    }) = &result
                    else {
                        return Err(format!("{case}: {result:?}").into());
                    };
                    assert_eq!(
                        (*named, *place),
                        (table, column.as_str()),
                        "{case}: {result:?}"
                    );
                    assert!(!key.is_empty() || column == "id", "{case}: {result:?}");
                    assert!(!reason.is_empty(), "{case}: {result:?}");
                    tried += 1;
                }
            }
        }
        // As good as before, so that each case stood alone.
        let read = readings(&store, table, "metadata").await;
        assert!(read.iter().all(Result::is_ok));
    }
    assert!(tried > 250, "only {tried} cases");
    Ok(())
}

/// Breaks one row by raw SQL.
fn break_row(store: &SqliteStateStore, statement: &str) -> Result<(), Box<dyn Error>> {
    assert_eq!(
        sql_query(statement).execute(&mut connect_to_tamper(store.path())?)?,
        1,
        "{statement}"
    );
    Ok(())
}

#[tokio::test]
async fn the_guides_own_reads_say_which_row_is_corrupt() -> TestResult {
    let directory = tempfile::tempdir()?;
    let store = filled(&directory.path().join("state.db")).await?;
    break_row(&store, "UPDATE agent_states SET metadata = '{'")?;
    break_row(&store, "UPDATE state_transitions SET timestamp = 'noon'")?;
    break_row(&store, "UPDATE events SET actor_type = 'robot'")?;
    break_row(&store, "UPDATE tasks SET status = 'almost'")?;
    break_row(&store, "UPDATE sessions SET status = 'almost'")?;
    let snapshot = store.list_snapshots("agent").await?.remove(0).0;
    break_row(&store, "UPDATE state_snapshots SET metadata = 'x'")?;
    let transition = "UPDATE state_transitions SET id = '00000000-0000-0000-0000-000000000001'";
    break_row(&store, transition)?;

    let id = ID.to_string();
    let cases = [
        (
            "agent_states",
            "agent",
            "metadata",
            store.load_agent_state("agent").await.map(drop),
        ),
        (
            "agent_states",
            "agent",
            "metadata",
            store.list_agents().await.map(drop),
        ),
        (
            "state_transitions",
            "00000000-0000-0000-0000-000000000001",
            "timestamp",
            store.get_state_history("agent", 9).await.map(drop),
        ),
        (
            "state_snapshots",
            &snapshot,
            "metadata",
            store.restore_snapshot(&snapshot).await,
        ),
        (
            "state_snapshots",
            &snapshot,
            "metadata",
            store.snapshots().get(&snapshot).await.map(drop),
        ),
        (
            "events",
            &id,
            "actor_type",
            store.get_events("session").await.map(drop),
        ),
        (
            "events",
            &id,
            "actor_type",
            store.get_events_by_type("note").await.map(drop),
        ),
        (
            "events",
            &id,
            "actor_type",
            store.search_events("word").await.map(drop),
        ),
        (
            "events",
            &id,
            "actor_type",
            store.events().get(&ID).await.map(drop),
        ),
        ("tasks", &id, "status", store.get_task(&ID).await.map(drop)),
        ("tasks", &id, "status", store.get_tasks().await.map(drop)),
        (
            "sessions",
            "session",
            "status",
            store.sessions().get("session").await.map(drop),
        ),
    ];
    for (table, key, column, result) in cases {
        assert!(
            matches!(&result, Err(StateStoreError::Corrupt { table: one, key: two, column: three, .. })
                if *one == table && two == key && *three == column),
            "{table} {column}: {result:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_corrupt_row_is_mended_by_saving_it_again_and_harms_no_other() -> TestResult {
    let directory = tempfile::tempdir()?;
    let store = filled(&directory.path().join("state.db")).await?;
    store.save_agent_state(&agent("other")).await?;
    break_row(
        &store,
        "UPDATE agent_states SET metadata = '{' WHERE agent_id = 'agent'",
    )?;
    assert_eq!(store.load_agent_state("other").await?, Some(agent("other")));
    assert!(matches!(
        store.list_agents().await,
        Err(StateStoreError::Corrupt { .. })
    ));
    store.save_agent_state(&agent("agent")).await?;
    assert_eq!(store.list_agents().await?, [agent("agent"), agent("other")]);
    Ok(())
}
