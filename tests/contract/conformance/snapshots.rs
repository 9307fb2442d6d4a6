//! Snapshots: made, listed, restored.

use std::sync::Arc;

use descartes_state::serde_json::json;
use descartes_state::{AgentState, StateStore, StateStoreError};

use super::agents::too_many;
use super::configurations::LIST_ROWS;
use descartes_state_testing::{NOW, TestResult, agent, keeps_nul};

type Store = Arc<dyn StateStore>;

fn changed(id: &str) -> AgentState {
    AgentState {
        name: "changed".to_owned(),
        status: "broken".to_owned(),
        metadata: json!(["changed"]),
        state_data: "changed ".repeat(300),
        created_at: 9,
        updated_at: 9,
        version: 9,
        ..agent(id)
    }
}

fn original(id: &str) -> AgentState {
    AgentState {
        metadata: json!({ "float": 0.1 + 0.2, "text": "\u{1f980}\0" }),
        state_data: "{\"original\": \"\0\u{1f980}\"}".repeat(100),
        version: i64::MAX,
        ..agent(id)
    }
}

pub(crate) async fn a_restore_brings_the_whole_state_back(store: Store) -> TestResult {
    store.save_agent_state(&original("a")).await?;
    let snapshot = store.create_snapshot("a", None).await?;
    store.save_agent_state(&changed("a")).await?;
    store.save_agent_state(&changed("b")).await?;
    store.restore_snapshot(&snapshot).await?;
    // Name, status, metadata, version and state; the time of the change is the restore's.
    let restored = AgentState {
        updated_at: NOW,
        ..original("a")
    };
    assert_eq!(store.load_agent_state("a").await?, Some(restored));
    assert_eq!(store.load_agent_state("b").await?, Some(changed("b")));
    Ok(())
}

pub(crate) async fn a_snapshot_never_changes(store: Store) -> TestResult {
    store.save_agent_state(&original("a")).await?;
    let snapshot = store.create_snapshot("a", None).await?;
    for _ in 0..3 {
        store.save_agent_state(&changed("a")).await?;
        store.restore_snapshot(&snapshot).await?;
        let state = store
            .load_agent_state("a")
            .await?
            .map(|state| state.state_data);
        assert_eq!(state, Some(original("a").state_data));
    }
    assert_eq!(store.list_snapshots("a").await?, [(snapshot, None, NOW)]);
    Ok(())
}

pub(crate) async fn a_restore_revives_a_deleted_agent(store: Store) -> TestResult {
    store.save_agent_state(&original("a")).await?;
    let snapshot = store.create_snapshot("a", None).await?;
    store.delete_agent("a").await?;
    assert_eq!(store.list_snapshots("a").await?.len(), 1);
    store.restore_snapshot(&snapshot).await?;
    // It begins again, as a deleted agent does that is saved.
    let restored = AgentState {
        created_at: NOW,
        updated_at: NOW,
        ..original("a")
    };
    assert_eq!(store.load_agent_state("a").await?, Some(restored));
    Ok(())
}

pub(crate) async fn snapshots_are_listed_newest_first_by_agent(store: Store) -> TestResult {
    for id in ["a", "b"] {
        store.save_agent_state(&agent(id)).await?;
    }
    let end = if keeps_nul() { "\0" } else { "" };
    let text = format!("checkpoint \u{1f980}{end}");
    let first = store.create_snapshot("a", Some(text.clone())).await?;
    let other = store.create_snapshot("b", None).await?;
    let second = store.create_snapshot("a", Some(String::new())).await?;
    let third = store.create_snapshot("a", None).await?;
    let listed = store.list_snapshots("a").await?;
    assert_eq!(
        listed,
        [
            (third, None, NOW),
            (second, Some(String::new()), NOW),
            (first, Some(text), NOW)
        ]
    );
    assert_eq!(store.list_snapshots("b").await?, [(other, None, NOW)]);
    assert_eq!(store.list_snapshots("c").await?, []);
    Ok(())
}

pub(crate) async fn a_snapshot_of_a_missing_agent_is_not_found(store: Store) -> TestResult {
    store.save_agent_state(&agent("gone")).await?;
    store.delete_agent("gone").await?;
    for id in ["never", "gone"] {
        let result = store.create_snapshot(id, None).await;
        assert!(
            matches!(&result, Err(StateStoreError::NotFound { entity: "agent", id: named }) if named == id),
            "{result:?}"
        );
        assert_eq!(store.list_snapshots(id).await?, []);
    }
    Ok(())
}

pub(crate) async fn restoring_a_missing_snapshot_is_not_found(store: Store) -> TestResult {
    store.save_agent_state(&agent("a")).await?;
    let snapshot = store.create_snapshot("a", None).await?;
    for id in [
        "a",
        "0199c0de-0000-7000-8000-000000000000",
        &snapshot.to_uppercase(),
        "%",
    ] {
        let result = store.restore_snapshot(id).await;
        assert!(
            matches!(&result, Err(StateStoreError::NotFound { entity: "snapshot", id: named }) if named == id),
            "{result:?}"
        );
    }
    assert_eq!(store.load_agent_state("a").await?, Some(agent("a")));
    Ok(())
}

pub(crate) async fn too_many_snapshots_are_an_error_never_a_cut(store: Store) -> TestResult {
    store.save_agent_state(&agent("a")).await?;
    for _ in 0..LIST_ROWS {
        store.create_snapshot("a", None).await?;
    }
    assert_eq!(store.list_snapshots("a").await?.len(), LIST_ROWS);
    store.create_snapshot("a", None).await?;
    too_many(store.list_snapshots("a").await, "snapshots().list(..)");
    Ok(())
}
