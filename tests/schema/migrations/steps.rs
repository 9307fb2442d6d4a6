//! Each migration up, down, up.

use std::collections::BTreeMap;

use descartes_state::StateStoreError;
use diesel_migrations::MigrationHarness;

use super::{open, populated};
use descartes_state_testing::{
    connect_patiently, contents, lines, migration_names, migrations_on_disk, number, schema_dump,
    tables,
};

/// Only tables that a step made or removed may differ.
fn assert_survived(
    step: &str,
    before: &BTreeMap<String, Vec<String>>,
    after: &BTreeMap<String, Vec<String>>,
) {
    for (table, rows) in before {
        if let Some(now) = after.get(table) {
            assert_eq!(rows, now, "{step} changed rows of {table}");
        }
    }
}

#[tokio::test]
async fn each_migration_goes_down_and_up_again_with_rows_in_every_table() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    populated(&path).await.close().await.unwrap();
    let mut connection = connect_patiently(&path);
    let whole = contents(&mut connection);
    assert_eq!(whole.len(), 7);
    for (table, rows) in &whole {
        assert!(rows.len() >= 2, "{table} has no rows");
    }

    let full_dump = schema_dump(&mut connection);
    let all_fingerprints = lines(&mut connection, FINGERPRINTS);
    assert_eq!(all_fingerprints.len(), migration_names().len());
    let mut names = migration_names();
    while let Some(name) = names.pop() {
        let dump = schema_dump(&mut connection);
        let rows = contents(&mut connection);
        let down = connection.revert_last_migration(migrations_on_disk());
        assert_eq!(down.unwrap().to_string(), name[..4]);
        assert_ne!(schema_dump(&mut connection), dump, "{name} reverts nothing");
        assert_survived(&name, &rows, &contents(&mut connection));

        connection.run_next_migration(migrations_on_disk()).unwrap();
        assert_eq!(schema_dump(&mut connection), dump, "{name}: down and up");
        assert_survived_but_for_the_new(&name, &rows, &contents(&mut connection));

        connection
            .revert_last_migration(migrations_on_disk())
            .unwrap();
    }
    assert_eq!(tables(&mut connection), Vec::<String>::new());
    let fingerprints = "SELECT count(*) FROM sqlite_schema WHERE name = 'migration_fingerprints'";
    assert_eq!(number(&mut connection, fingerprints), 0);
    assert_eq!(number(&mut connection, APPLICATION_ID), 0);

    connection
        .run_pending_migrations(migrations_on_disk())
        .unwrap();
    assert_eq!(schema_dump(&mut connection), full_dump);
    assert_eq!(lines(&mut connection, FINGERPRINTS), all_fingerprints);
    assert_eq!(number(&mut connection, APPLICATION_ID), 1_145_393_996);
}

const APPLICATION_ID: &str = "SELECT application_id FROM pragma_application_id";
const FINGERPRINTS: &str =
    "SELECT version || ' ' || fingerprint AS line FROM migration_fingerprints ORDER BY version";

/// A table that a step made again is empty; all others are as they were.
fn assert_survived_but_for_the_new(
    step: &str,
    before: &BTreeMap<String, Vec<String>>,
    after: &BTreeMap<String, Vec<String>>,
) {
    assert_eq!(before.len(), after.len(), "{step}");
    let differing: Vec<_> = before
        .iter()
        .filter(|(table, rows)| after[*table] != **rows)
        .collect();
    assert!(differing.len() <= 1, "{step} changed rows of {differing:?}");
    for (table, _) in differing {
        assert!(after[table].is_empty(), "{step} changed rows of {table}");
        assert!(step.ends_with(&format!("_create_{table}")), "{step}");
    }
}

#[tokio::test]
async fn the_search_finds_old_events_again_after_its_index_went_down_and_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    populated(&path).await.close().await.unwrap();
    let mut connection = connect_patiently(&path);
    for _ in 8..=migration_names().len() {
        connection
            .revert_last_migration(migrations_on_disk())
            .unwrap();
    }
    drop(connection);
    let store = open(&path).await;
    store.initialize().await.unwrap();
    let found = store
        .with_prefix("tenant")
        .search_events("findable words")
        .await;
    assert_eq!(found.unwrap().len(), 3);
}

#[tokio::test]
async fn revert_goes_back_step_by_step_says_which_rows_go_and_initialize_begins_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let store = populated(&path).await;
    let rows_of = BTreeMap::from([
        ("agent_states", 2),
        ("state_transitions", 2),
        ("state_snapshots", 2),
        ("events", 6),
        ("tasks", 2),
        ("sessions", 2),
        ("revision_floors", 2),
    ]);
    for name in migration_names().iter().rev() {
        let preview = store.migrations().preview_revert().await.unwrap();
        let reverted = store.migrations().revert().await.unwrap();
        assert_eq!(preview, reverted);
        let migration = &reverted.migration;
        assert_eq!(
            format!("{:04}_{}", migration.version, migration.name),
            *name
        );
        let table = name[5..].strip_prefix("create_");
        let expected: Vec<(String, i64)> = table
            .map(|table| (table.to_owned(), rows_of[table]))
            .into_iter()
            .collect();
        assert_eq!(reverted.rows, expected, "{name}");

        let refused = store.list_agents().await.unwrap_err();
        assert!(
            matches!(refused, StateStoreError::NotInitialized { .. }),
            "{refused}"
        );
    }
    let nothing = store.migrations().revert().await.unwrap_err();
    assert!(
        matches!(nothing, StateStoreError::MigrationError(_)),
        "{nothing}"
    );

    store.initialize().await.unwrap();
    assert!(store.list_agents().await.unwrap().is_empty());
    descartes_state_testing::populate(&store).await;
    assert_eq!(store.list_agents().await.unwrap().len(), 1);
}

#[tokio::test]
async fn preview_revert_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let store = populated(&path).await;
    let mut connection = connect_patiently(&path);
    let before = (schema_dump(&mut connection), contents(&mut connection));
    let history = store.get_migration_history().await.unwrap();
    let revert = store.migrations().preview_revert().await.unwrap();
    assert_eq!(revert.rows, [("revision_floors".to_owned(), 2)]);
    assert_eq!(
        (schema_dump(&mut connection), contents(&mut connection)),
        before
    );
    assert_eq!(store.get_migration_history().await.unwrap(), history);
    assert_eq!(store.list_agents().await.unwrap().len(), 1);
}
