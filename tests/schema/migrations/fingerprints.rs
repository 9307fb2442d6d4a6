//! A file that a migration of another text made: told apart, named, and left as it is to the byte.

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::error::ErrorKind;

use super::guards::refusals;
use super::{open, populated};
use descartes_state_testing::{connect_patiently, contents, number};

#[tokio::test]
async fn a_file_made_by_another_text_of_a_migration_is_refused_untouched() {
    for (sql, found) in [
        (
            "UPDATE migration_fingerprints SET fingerprint = 'another' WHERE version = '0004'",
            "fingerprint another",
        ),
        (
            "DELETE FROM migration_fingerprints WHERE version = '0004'",
            "fingerprint none",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        populated(&path).await.close().await.unwrap();
        connect_patiently(&path).batch_execute(sql).unwrap();
        for error in refusals(&path).await {
            let text = error.to_string();
            assert_eq!(error.kind(), ErrorKind::Migration, "{text}");
            for part in ["0004_create_events", found, "move it away"] {
                assert!(text.contains(part), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn a_file_from_before_there_were_fingerprints_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    populated(&path).await.close().await.unwrap();
    connect_patiently(&path)
        .batch_execute("DROP TABLE migration_fingerprints")
        .unwrap();
    for error in refusals(&path).await {
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Migration, "{text}");
        assert!(text.contains("0001_create_agent_states"), "{text}");
    }
}

#[tokio::test]
async fn a_migration_that_was_reverted_leaves_no_fingerprint_to_stumble_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let store = populated(&path).await;
    store.migrations().revert().await.unwrap();
    let mut connection = connect_patiently(&path);
    let left = "SELECT count(*) FROM migration_fingerprints";
    assert_eq!(number(&mut connection, left), 8);
    store.close().await.unwrap();
    drop(connection);
    let store = open(&path).await;
    store.initialize().await.unwrap();
    assert_eq!(store.list_agents().await.unwrap().len(), 1);
    assert_eq!(contents(&mut connect_patiently(&path)).len(), 7);
}
