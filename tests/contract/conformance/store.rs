//! The store itself: readiness, migrations, many callers, refused calls.

use std::sync::Arc;

use descartes_state::{AgentState, Event, StateStore, StateStoreError};

use super::configurations::LIST_ROWS;
use descartes_state_testing::{TestResult, agent, event, task};

type Store = Arc<dyn StateStore>;

pub(crate) async fn initialize_may_be_called_again_and_keeps_every_row(store: Store) -> TestResult {
    let before = store.get_migration_history().await?;
    store.save_agent_state(&agent("a")).await?;
    let snapshot = store.create_snapshot("a", None).await?;
    store.record_state_transition("a", "x", "y", None).await?;
    let (event, task) = (event("findme"), task("x"));
    store.save_event(&event).await?;
    store.save_task(&task).await?;
    store.initialize().await?;
    let (one, two) = tokio::join!(store.initialize(), store.initialize());
    one.and(two)?;
    assert_eq!(store.get_migration_history().await?, before);
    assert_eq!(store.list_agents().await?, [agent("a")]);
    assert_eq!(store.list_snapshots("a").await?.len(), 1);
    assert_eq!(store.get_state_history("a", 9).await?.len(), 1);
    assert_eq!(store.search_events("findme").await?, [event]);
    assert_eq!(store.get_tasks().await?, [task]);
    store.restore_snapshot(&snapshot).await?;
    Ok(())
}

pub(crate) async fn the_history_of_migrations_is_complete_and_rising(store: Store) -> TestResult {
    let history = store.get_migration_history().await?;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut directories = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            directories.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    directories.sort();
    let applied: Vec<_> = history
        .iter()
        .map(|migration| format!("{:04}_{}", migration.version, migration.name))
        .collect();
    assert_eq!(applied, directories);
    for migration in &history {
        assert!(!migration.description.is_empty(), "{migration:?}");
        // 2025-01-01: when it ran, not zero.
        assert!(migration.applied_at > 1_735_689_600, "{migration:?}");
    }
    Ok(())
}

pub(crate) async fn many_tasks_may_use_one_store(store: Store) -> TestResult {
    let writers = (0..LIST_ROWS).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let id = format!("{writer:02}");
            for version in 0..10 {
                store
                    .save_agent_state(&AgentState {
                        version,
                        ..agent(&id)
                    })
                    .await?;
                let read = store
                    .load_agent_state(&id)
                    .await?
                    .map(|state| state.version);
                // Each reads its own last write.
                assert_eq!(read, Some(version));
                store.list_agents().await?;
            }
            Ok::<_, StateStoreError>(())
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await??;
    }
    let versions: Vec<_> = store
        .list_agents()
        .await?
        .iter()
        .map(|state| state.version)
        .collect();
    assert_eq!(versions, [9; LIST_ROWS]);
    Ok(())
}

pub(crate) async fn a_refused_call_writes_nothing_and_harms_no_other(store: Store) -> TestResult {
    let stored = event("stored");
    store.save_event(&stored).await?;
    let (no_id, good) = (agent(""), agent("good"));
    let conflicting = Event {
        content: "other".to_owned(),
        ..stored.clone()
    };
    // At once, so that they share a commit where they can.
    let (refused, saved, conflict, missing, status) = tokio::join!(
        store.save_agent_state(&no_id),
        store.save_agent_state(&good),
        store.save_event(&conflicting),
        store.update_agent_status("nobody", "x"),
        store.record_state_transition("good", "x", "y", None),
    );
    assert!(matches!(
        refused,
        Err(StateStoreError::InvalidInput {
            field: "agent_id",
            ..
        })
    ));
    assert!(matches!(conflict, Err(StateStoreError::Conflict { .. })));
    assert!(matches!(missing, Err(StateStoreError::NotFound { .. })));
    saved.and(status)?;
    assert_eq!(store.list_agents().await?, [good]);
    assert_eq!(store.get_events("session").await?, [stored]);
    assert_eq!(store.get_state_history("good", 9).await?.len(), 1);
    Ok(())
}
