//! What lies in the file itself: journal mode, auto_vacuum, application id, permissions.
#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use descartes_state::diesel::connection::SimpleConnection;
use diesel_migrations::MigrationHarness;

use super::{open, populated};
use descartes_state_testing::{connect_patiently, contents, migrations_on_disk, pragma};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_new_file_is_private_and_has_wal_incremental_vacuum_and_our_application_id() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data/state.db");
    // Private from the first moment on.
    let opened = open(&path).await;
    assert_eq!(mode(&directory.path().join("data")), 0o700);
    assert_eq!(mode(&path), 0o600);
    opened.close().await.unwrap();
    let store = populated(&path).await;
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        assert_eq!(mode(&path.with_file_name(name)), 0o600, "{name}");
    }
    let mut connection = connect_patiently(&path);
    assert_eq!(pragma(&mut connection, "journal_mode"), "wal");
    // 2 is INCREMENTAL.
    assert_eq!(pragma(&mut connection, "auto_vacuum"), "2");
    assert_eq!(pragma(&mut connection, "application_id"), "1145393996");
    drop(connection);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_file_of_the_stock_diesel_command_becomes_private_and_wal_and_keeps_its_rows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let mut connection = connect_patiently(&path);
    connection
        .run_pending_migrations(migrations_on_disk())
        .unwrap();
    connection
        .batch_execute(
            "INSERT INTO agent_states (key, agent_id, name, status, metadata, state_data, version, created_at,
                updated_at, recorded_at)
             VALUES ('agent', 'agent', 'Agent', 'idle', '{}', '{}', 1, 1, 1, 1);",
        )
        .unwrap();
    let rows = contents(&mut connection);
    assert_eq!(pragma(&mut connection, "journal_mode"), "delete");
    drop(connection);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();

    let store = open(&path).await;
    store.initialize().await.unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(store.list_agents().await.unwrap()[0].name, "Agent");
    store.close().await.unwrap();
    let mut connection = connect_patiently(&path);
    assert_eq!(pragma(&mut connection, "journal_mode"), "wal");
    assert_eq!(contents(&mut connection), rows);
}
