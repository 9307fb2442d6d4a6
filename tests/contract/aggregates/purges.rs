//! Purges: what goes, what stays, and that nothing of it is found again.

use descartes_state::{
    AgentFilter, ChangeIf, Event, EventFilter, Session, SessionFilter, SnapshotFilter,
    StateStoreError, StoreOptions, TaskFilter, TransitionDraft, TransitionFilter,
};

use descartes_state_testing::{Place, TestResult, agent, event, task};

#[tokio::test]
async fn purged_events_go_from_the_search_too() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        for (content, timestamp) in [
            ("old needle", 10),
            ("on time needle", 20),
            ("new needle", 30),
        ] {
            store
                .save_event(&Event {
                    timestamp,
                    ..event(content)
                })
                .await?;
        }
        // Before this second: what happened in it stays.
        assert_eq!(store.events().purge_before(20).await?, 1);
        assert_eq!(store.events().purge_before(20).await?, 0);
        let found = store.search_events("needle").await?;
        let contents: Vec<_> = found.iter().map(|event| event.content.as_str()).collect();
        assert_eq!(contents, ["new needle", "on time needle"]);
        assert_eq!(store.search_events("old").await?, []);
        assert_eq!(store.events().count(&EventFilter::default()).await?, 2);
        // What is appended afterwards is found again.
        store.save_event(&event("old words come back")).await?;
        assert_eq!(store.search_events("old").await?.len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn an_event_appended_and_purged_in_one_transaction_leaves_no_trace() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        store
            .transact(|transaction| {
                transaction.events().append(&event("needle unindexed"))?;
                transaction.events().purge_before(i64::MAX)?;
                transaction.events().append(&event("needle kept"))?;
                Ok(())
            })
            .await?;
        assert_eq!(store.search_events("unindexed").await?, []);
        assert_eq!(store.search_events("needle").await?.len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn purged_transitions_go_by_their_time() -> TestResult {
    for (store, clock) in Place::everywhere_at(10).await {
        for after in ["1", "2", "3"] {
            store
                .transitions()
                .record(&TransitionDraft::new("a", "", after))
                .await?;
            clock.advance_seconds(10);
        }
        assert_eq!(store.transitions().purge_before(20).await?, 1);
        let left = store.get_state_history("a", 9).await?;
        let left: Vec<_> = left
            .iter()
            .map(|transition| transition.state_after.as_str())
            .collect();
        assert_eq!(left, ["3", "2"]);
    }
    Ok(())
}

#[tokio::test]
async fn a_purged_agent_takes_its_snapshots_and_nothing_else() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        for id in ["a", "b"] {
            store.save_agent_state(&agent(id)).await?;
            store.create_snapshot(id, None).await?;
            store.record_state_transition(id, "x", "y", None).await?;
            store.sessions().start(&Session::new(id, id)).await?;
        }
        store
            .save_event(&Event {
                actor_id: "a".to_owned(),
                ..event("x")
            })
            .await?;
        let mut work = task("x");
        work.assigned_to = Some("a".to_owned());
        store.save_task(&work).await?;
        let snapshot = store.list_snapshots("a").await?.remove(0).0;

        store.agents().purge("a", ChangeIf::Any).await?;
        assert_eq!(
            store
                .agents()
                .count(&AgentFilter::default().include_deleted())
                .await?,
            1
        );
        assert_eq!(
            store.snapshots().count(&SnapshotFilter::default()).await?,
            1
        );
        assert_eq!(store.list_snapshots("b").await?.len(), 1);
        let restored = store.restore_snapshot(&snapshot).await;
        assert!(
            matches!(restored, Err(StateStoreError::NotFound { .. })),
            "{restored:?}"
        );
        assert_eq!(
            store
                .transitions()
                .count(&TransitionFilter::default())
                .await?,
            2
        );
        assert_eq!(store.sessions().count(&SessionFilter::default()).await?, 2);
        assert_eq!(
            store
                .events()
                .count(&EventFilter::default().actor("a"))
                .await?,
            1
        );
        assert_eq!(
            store
                .tasks()
                .count(&TaskFilter::default().assigned_to("a"))
                .await?,
            1
        );
        let undeleted = store.agents().undelete("a", ChangeIf::Any).await;
        assert!(
            matches!(undeleted, Err(StateStoreError::NotFound { .. })),
            "{undeleted:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_soft_deleted_agent_comes_back_whole() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        store.save_agent_state(&agent("a")).await?;
        store.create_snapshot("a", None).await?;
        store.delete_agent("a").await?;
        store.agents().undelete("a", ChangeIf::Any).await?;
        let loaded = store.load_agent_state("a").await?.ok_or("not undeleted")?;
        let updated_at = loaded.updated_at;
        assert_eq!(
            loaded,
            descartes_state::AgentState {
                updated_at,
                ..agent("a")
            }
        );
        assert_eq!(store.list_snapshots("a").await?.len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_soft_deleted_task_is_hidden_and_comes_back() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let kept = task("x");
        store.save_task(&kept).await?;
        store.tasks().delete(&kept.id, ChangeIf::Any).await?;
        assert_eq!(store.get_task(&kept.id).await?, None);
        assert_eq!(store.get_tasks().await?, []);
        store.tasks().undelete(&kept.id, ChangeIf::Any).await?;
        assert_eq!(store.get_tasks().await?.len(), 1);
        store.tasks().purge(&kept.id, ChangeIf::Any).await?;
        assert_eq!(
            store
                .tasks()
                .count(&TaskFilter::default().include_deleted())
                .await?,
            0
        );
    }
    Ok(())
}
