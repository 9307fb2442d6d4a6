//! The guide's examples, under the guide's crate name, as a program that was written for it has them.
//!
//! Only the closure of `transact` differs: it receives the transaction.

use std::sync::Arc;

use chrono::Utc;
use descartes_core::{
    ActorType, AgentState, Event, LocalProcessRunner, SqliteStateStore, StateStoreError, Task,
    TaskStatus,
};
use serde_json::json;
use uuid::Uuid;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A file in a directory of its own, and the directory, which goes with it.
fn database() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data/state.db");
    (directory, path)
}

#[tokio::test]
#[expect(unused_mut, reason = "the guide's initialize took a mutable store")]
async fn agents_transitions_and_snapshots_work_as_the_guide_writes_them() -> Outcome {
    let (_directory, path) = database();
    let mut store = SqliteStateStore::new(
        path, false, // disable compression for now
    )
    .await?;
    store.initialize().await?;

    let agent_state = AgentState {
        agent_id: "agent_001".to_string(),
        name: "MyWorkerAgent".to_string(),
        status: "running".to_string(),
        metadata: json!({
            "type": "worker",
            "capacity": 100,
            "tags": ["production"]
        }),
        state_data: json!({
            "tasks_processed": 42,
            "current_task": "task_123",
            "memory_usage": "256MB"
        })
        .to_string(),
        created_at: Utc::now().timestamp(),
        updated_at: Utc::now().timestamp(),
        version: 1,
    };
    store.save_agent_state(&agent_state).await?;

    let loaded = store.load_agent_state("agent_001").await?;
    assert_eq!(loaded.as_ref(), Some(&agent_state));
    let agents = store.list_agents().await?;
    assert_eq!(agents, [agent_state]);
    store.update_agent_status("agent_001", "paused").await?;

    store
        .record_state_transition(
            "agent_001",
            r#"{"status":"idle","iteration":10}"#,
            r#"{"status":"running","iteration":11}"#,
            Some("User initiated execution".to_string()),
        )
        .await?;
    let history = store.get_state_history("agent_001", 50).await?;
    let mut lines = Vec::new();
    for transition in history {
        lines.push(format!(
            "{} (reason: {})",
            transition.state_after,
            transition.reason.unwrap_or_default()
        ));
    }
    assert_eq!(
        lines,
        [r#"{"status":"running","iteration":11} (reason: User initiated execution)"#]
    );

    let snapshot_id = store
        .create_snapshot(
            "agent_001",
            Some("Stable state after iteration 100".to_string()),
        )
        .await?;
    let snapshots = store.list_snapshots("agent_001").await?;
    for (id, desc, _created_at) in snapshots {
        assert_eq!(id, snapshot_id);
        assert_eq!(desc.unwrap_or_default(), "Stable state after iteration 100");
    }
    store.update_agent_status("agent_001", "broken").await?;
    store.restore_snapshot(&snapshot_id).await?;
    let restored = store.load_agent_state("agent_001").await?;
    assert_eq!(
        restored.map(|state| state.status).as_deref(),
        Some("paused")
    );
    Ok(())
}

#[tokio::test]
async fn events_and_tasks_work_as_the_guide_writes_them() -> Outcome {
    let (_directory, path) = database();
    let store = SqliteStateStore::new(path, false).await?;
    store.initialize().await?;
    let event = Event {
        id: Uuid::now_v7(),
        event_type: "agent_completed_task".to_string(),
        timestamp: Utc::now().timestamp(),
        session_id: "session_001".to_string(),
        actor_type: ActorType::Agent,
        actor_id: "agent_001".to_string(),
        content: "Task completed successfully".to_string(),
        metadata: Some(json!({ "task_id": "task_123" })),
        git_commit: None,
    };
    store.save_event(&event).await?;
    let events = store.get_events("session_001").await?;
    let by_type = store.get_events_by_type("agent_completed_task").await?;
    let search_results = store.search_events("task").await?;
    assert_eq!(events, [event]);
    assert_eq!(by_type, events);
    assert_eq!(search_results, events);

    let task = Task {
        id: Uuid::now_v7(),
        title: "Process batch".to_string(),
        description: Some("Process incoming data batch".to_string()),
        status: TaskStatus::InProgress,
        assigned_to: Some("agent_001".to_string()),
        created_at: Utc::now().timestamp(),
        updated_at: Utc::now().timestamp(),
        metadata: Some(json!({ "batch_size": 1000 })),
    };
    store.save_task(&task).await?;
    assert_eq!(store.get_task(&task.id).await?, Some(task.clone()));
    assert_eq!(store.get_tasks().await?, [task]);
    Ok(())
}

#[tokio::test]
async fn prefixes_sharing_transactions_and_errors_work_as_the_guide_writes_them() -> Outcome {
    let (_directory, path) = database();
    let worker_store = SqliteStateStore::new(&path, false)
        .await?
        .with_prefix("worker".to_string());
    let coordinator_store = SqliteStateStore::new(&path, false)
        .await?
        .with_prefix("coordinator".to_string());
    worker_store.initialize().await?;
    assert!(coordinator_store.list_agents().await?.is_empty());

    let store = Arc::new(SqliteStateStore::new(&path, false).await?);
    let store_clone = Arc::clone(&store);
    let listed = tokio::spawn(async move { store_clone.list_agents().await.unwrap() });
    assert!(listed.await?.is_empty());

    let result = store
        .transact(|_transaction| Ok("Transaction completed"))
        .await?;
    assert_eq!(result, "Transaction completed");

    let pool = store.pool();
    assert!(pool.get().await.is_ok());

    let migrations = store.get_migration_history().await?;
    for (m, version) in migrations.iter().zip(1..) {
        assert_eq!(m.version, version);
        assert!(!m.name.is_empty() && !m.description.is_empty() && m.applied_at > 0);
    }

    match store.load_agent_state("agent_001").await {
        Ok(Some(state)) => panic!("Found: {state:?}"),
        Ok(None) => {}
        Err(StateStoreError::DatabaseError(e)) => panic!("DB error: {e}"),
        Err(StateStoreError::MigrationError(e)) => panic!("Migration error: {e}"),
        Err(e) => panic!("Error: {e}"),
    }
    Ok(())
}

#[cfg(unix)]
#[tokio::test]
async fn a_state_for_each_spawned_agent_is_saved_as_the_guide_writes_it() -> Outcome {
    let (_directory, path) = database();
    let state_store = SqliteStateStore::new(path, false).await?;
    state_store.initialize().await?;
    let runner = LocalProcessRunner::new(Default::default())?;
    for name in ["first", "second"] {
        let command = descartes_core::AgentCommand::new("true").name(name);
        runner.spawn(command).await?;
    }

    let agents = runner.list_agents().await?;
    for agent_info in agents {
        let state = AgentState {
            agent_id: agent_info.id.to_string(),
            name: agent_info.name.clone(),
            status: format!("{:?}", agent_info.status),
            metadata: serde_json::json!({
                "started_at": agent_info.started_at,
                "backend": agent_info.model_backend,
            }),
            state_data: "{}".to_string(),
            created_at: Utc::now().timestamp(),
            updated_at: Utc::now().timestamp(),
            version: 1,
        };
        state_store.save_agent_state(&state).await?;
    }

    let saved = state_store.list_agents().await?;
    let names: Vec<_> = saved.iter().map(|state| state.name.as_str()).collect();
    assert_eq!(
        names,
        ["first", "second"],
        "agents come by id, and ids by time"
    );
    for agent in runner.list_agents().await? {
        assert!(runner.wait(&agent.id).await?.code == Some(0));
    }
    Ok(())
}
