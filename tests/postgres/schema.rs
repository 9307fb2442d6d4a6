//! The schema: made by many at once, in a place of its own, and nobody else's.

use std::collections::BTreeMap;

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::diesel::prelude::*;
use descartes_state::diesel::sql_types::Text;
use descartes_state::{PostgresStateStore, StateStoreError, StoreOptions};
use descartes_state_testing::{PostgresSchema, agent, repository, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_that_initialize_at_once_make_one_schema() {
    let Some(schema) = PostgresSchema::new() else {
        return;
    };
    let stores: Vec<_> = (0..8)
        .map(|_| {
            let url = schema.url();
            tokio::spawn(async move {
                let store = PostgresStateStore::connect(&url, StoreOptions::default()).await;
                let store = store.unwrap();
                store.initialize().await.unwrap();
                store.save_agent_state(&agent("a")).await.unwrap();
                store.get_migration_history().await.unwrap().len()
            })
        })
        .collect();
    for store in stores {
        assert_eq!(soon(store).await.unwrap(), 9);
    }
}

#[tokio::test]
async fn stores_in_two_schemas_of_one_database_see_nothing_of_each_other() {
    let (Some(one), Some(two)) = (PostgresSchema::new(), PostgresSchema::new()) else {
        return;
    };
    let first = one.open(StoreOptions::default()).await;
    let second = two.open(StoreOptions::default()).await;
    first.save_agent_state(&agent("a")).await.unwrap();
    assert_eq!(second.list_agents().await.unwrap(), []);
}

#[tokio::test]
async fn a_schema_that_is_not_ours_is_left_as_it_is() {
    let Some(schema) = PostgresSchema::new() else {
        return;
    };
    let mut connection = schema.connect();
    let url = schema.url();
    let (_, name) = url.rsplit_once('=').unwrap();
    connection
        .batch_execute(&format!(
            "CREATE SCHEMA {name}; CREATE TABLE {name}.tasks (id int)"
        ))
        .unwrap();
    let store = PostgresStateStore::connect(&schema.url(), StoreOptions::default()).await;
    let store = store.unwrap();
    let refused = store.initialize().await;
    assert!(
        matches!(refused, Err(StateStoreError::ForeignDatabase { .. })),
        "{refused:?}"
    );
    assert!(store.list_agents().await.is_err());
}

#[tokio::test]
async fn what_is_not_initialized_says_so() {
    let Some(schema) = PostgresSchema::new() else {
        return;
    };
    let store = PostgresStateStore::connect(&schema.url(), StoreOptions::default()).await;
    let refused = store.unwrap().list_agents().await;
    assert!(
        matches!(refused, Err(StateStoreError::NotInitialized { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_last_migration_is_shown_reverted_and_run_again() {
    let Some(schema) = PostgresSchema::new() else {
        return;
    };
    let store = schema.open(StoreOptions::default()).await;
    let shown = store.migrations().preview_revert().await.unwrap();
    assert_eq!(shown.migration.version, 9);
    assert_eq!(store.migrations().pending().await.unwrap().len(), 0);
    for left in (0..9).rev() {
        store.migrations().revert().await.unwrap();
        assert_eq!(store.migrations().applied().await.unwrap().len(), left);
    }
    store.initialize().await.unwrap();
    store.save_agent_state(&agent("a")).await.unwrap();
}

/// The tables and columns of a generated schema, with the type of each column.
fn columns(text: &str) -> BTreeMap<String, String> {
    let mut table = String::new();
    let mut columns = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some((name, _)) = line.split_once(" (").filter(|_| line.ends_with(" {")) {
            name.clone_into(&mut table);
        } else if let Some((column, kind)) = line.split_once(" -> ") {
            let kind = kind.trim_end_matches(',').replace("Int8", "BigInt");
            columns.insert(format!("{table}.{column}"), kind);
        }
    }
    columns
}

#[test]
fn both_schemas_are_the_same_but_for_bodies_and_words() {
    let read = |name: &str| {
        let path = repository().join("src").join(name);
        columns(&std::fs::read_to_string(path).unwrap())
    };
    let (sqlite, mut postgres) = (read("schema.rs"), read("schema/postgres.rs"));
    assert!(sqlite.len() > 60);
    let words = postgres.remove("events.search_words");
    assert_eq!(words.as_deref(), Some("Nullable<Tsvector>"));
    for (column, kind) in sqlite {
        let is_body = column.ends_with(".state_data")
            || column.ends_with(".state_before")
            || column.ends_with(".state_after");
        let expected = if is_body { "Bytea" } else { kind.as_str() };
        assert_eq!(
            postgres.remove(&column).as_deref(),
            Some(expected),
            "{column}"
        );
    }
    assert_eq!(postgres, BTreeMap::new());
}

#[tokio::test]
async fn every_text_column_compares_bytes() {
    let Some(schema) = PostgresSchema::new() else {
        return;
    };
    let _store = schema.open(StoreOptions::default()).await;
    #[derive(QueryableByName)]
    struct Column {
        #[diesel(sql_type = Text)]
        name: String,
    }
    let query = "SELECT table_name || '.' || column_name AS name FROM information_schema.columns
        WHERE table_schema = current_schema() AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'
        AND table_name <> '__diesel_schema_migrations'";
    let others: Vec<Column> = diesel::sql_query(query)
        .load(&mut schema.connect())
        .unwrap();
    let others: Vec<_> = others.into_iter().map(|column| column.name).collect();
    assert_eq!(others, [""; 0]);
}
