//! What a database says of its migrations, and initializing it more than once.

use descartes_state::{SqliteStateStore, chrono};
use diesel_migrations::MigrationHarness;

use super::open;
use descartes_state_testing::{
    connect_patiently, migration_names, migrations_directory, migrations_on_disk,
};

#[tokio::test]
async fn the_history_has_version_name_description_and_time_of_each_migration() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("state.db")).await;
    assert!(store.get_migration_history().await.unwrap().is_empty());
    let before = chrono::Utc::now().timestamp();
    store.initialize().await.unwrap();
    let after = chrono::Utc::now().timestamp();

    let history = store.get_migration_history().await.unwrap();
    let names: Vec<String> = history
        .iter()
        .map(|record| format!("{:04}_{}", record.version, record.name))
        .collect();
    assert_eq!(names, migration_names());
    for (record, directory) in history.iter().zip(migration_names()) {
        let up = migrations_directory().join(directory).join("up.sql");
        let up = std::fs::read_to_string(up).unwrap();
        let first = up.lines().next().unwrap();
        assert_eq!(format!("-- {}", record.description), first);
        assert!(
            (before..=after).contains(&record.applied_at),
            "{}",
            record.applied_at
        );
    }
    assert_eq!(store.migrations().applied().await.unwrap(), history);
    assert!(store.migrations().pending().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_database_that_lacks_the_last_migrations_says_which_and_gets_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let mut connection = connect_patiently(&path);
    for _ in 0..7 {
        connection.run_next_migration(migrations_on_disk()).unwrap();
    }
    drop(connection);
    let store = open(&path).await;
    let versions = |records: Vec<descartes_state::MigrationRecord>| {
        let versions = records.iter().map(|record| record.version);
        versions.collect::<Vec<i64>>()
    };
    let applied = store.migrations().applied().await.unwrap();
    assert_eq!(versions(applied), [1, 2, 3, 4, 5, 6, 7]);
    let pending = store.migrations().pending().await.unwrap();
    let pending: Vec<i64> = pending.iter().map(|migration| migration.version).collect();
    assert_eq!(pending, [8, 9]);
    let refused = store.list_agents().await.unwrap_err().to_string();
    assert!(refused.contains("migrations 8, 9 are missing"), "{refused}");

    store.initialize().await.unwrap();
    assert_eq!(store.get_migration_history().await.unwrap().len(), 9);
}

#[tokio::test]
async fn initializing_again_changes_nothing() {
    let store = SqliteStateStore::temporary().await.unwrap();
    descartes_state_testing::populate(&store).await;
    let history = store.get_migration_history().await.unwrap();
    store.initialize().await.unwrap();
    store.with_prefix("tenant").initialize().await.unwrap();
    assert_eq!(store.get_migration_history().await.unwrap(), history);
    assert_eq!(store.list_agents().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_stores_initialize_one_new_file_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/er/state.db");
    let stores: Vec<_> = (0..16)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move {
                let store = open(&path).await;
                store.initialize().await.unwrap();
                store.initialize().await.unwrap();
                store.get_migration_history().await.unwrap()
            })
        })
        .collect();
    let mut histories = Vec::new();
    for store in stores {
        histories.push(store.await.unwrap());
    }
    histories.dedup();
    assert_eq!(histories.len(), 1);
    assert_eq!(histories[0].len(), migration_names().len());
}
