//! Times and records: what the caller's clock says, what the store's says, and that neither decides an order.

use descartes_state::serde_json::json;
use descartes_state::{
    ChangeIf, EventFilter, PageRequest, SnapshotOptions, TaskStatus, TransitionDraft,
    TransitionFilter,
};

use descartes_state_testing::{NOW, Place, TestResult, agent, event, task};

#[tokio::test]
async fn times_of_the_caller_are_kept_and_the_stores_come_from_its_clock() -> TestResult {
    for (place, clock) in Place::everywhere_at(NOW).await {
        let store = place.with_prefix("p");
        let micros = NOW * 1_000_000;
        store.save_agent_state(&agent("a")).await?;
        let record = store.agents().get("a").await?.ok_or("not saved")?;
        assert_eq!(
            (record.state.created_at, record.state.updated_at),
            (1_000, 2_000)
        );
        assert_eq!((record.recorded_at, record.revision.get()), (micros, 1));
        assert_eq!(
            (record.key.as_str(), record.namespace.as_str()),
            ("p:a", "p")
        );

        let event = event("x");
        store.save_event(&event).await?;
        let record = store.events().get(&event.id).await?.ok_or("not saved")?;
        assert_eq!(record.event, event);
        assert_eq!((record.created_at, record.recorded_at), (NOW, micros));
        assert_eq!(record.namespace, "p");

        let task = task("x");
        store.save_task(&task).await?;
        clock.advance_seconds(3);
        store
            .tasks()
            .set_status(&task.id, TaskStatus::Blocked, ChangeIf::Any)
            .await?;
        let record = store.tasks().get(&task.id).await?.ok_or("not saved")?;
        assert_eq!(
            (record.task.created_at, record.task.updated_at),
            (1_000, NOW + 3)
        );
        assert_eq!(
            (record.task.status, record.recorded_at),
            (TaskStatus::Blocked, micros + 3_000_000)
        );

        let draft = TransitionDraft::new("a", "x", "y")
            .reason("why")
            .metadata(json!({ "by": 0.1 }));
        let seq = store.transitions().record(&draft).await?;
        let page = PageRequest::default();
        let record = store
            .transitions()
            .list(&TransitionFilter::default(), &page)
            .await?
            .items
            .remove(0);
        assert_eq!((record.seq, record.transition.timestamp), (seq, NOW + 3));
        assert_eq!(record.transition.metadata, Some(json!({ "by": 0.1 })));
    }
    Ok(())
}

#[tokio::test]
async fn a_clock_that_runs_backwards_changes_no_order() -> TestResult {
    for (store, clock) in Place::everywhere_at(NOW).await {
        store.save_agent_state(&agent("a")).await?;
        let mut snapshots = Vec::new();
        for number in ["1", "2", "3"] {
            store.record_state_transition("a", "", number, None).await?;
            store.save_event(&event(number)).await?;
            snapshots.insert(
                0,
                store
                    .snapshots()
                    .create("a", &SnapshotOptions::default())
                    .await?,
            );
            clock.advance_seconds(-1_000);
        }
        let history = store.get_state_history("a", 9).await?;
        let after: Vec<_> = history.iter().map(|row| row.state_after.as_str()).collect();
        assert_eq!(after, ["3", "2", "1"]);
        let listed: Vec<_> = store
            .list_snapshots("a")
            .await?
            .into_iter()
            .map(|row| row.0)
            .collect();
        assert_eq!(listed, snapshots);
        let events = store
            .events()
            .list(&EventFilter::default(), &PageRequest::default())
            .await?
            .items;
        let contents: Vec<_> = events
            .iter()
            .map(|row| row.event.content.as_str())
            .collect();
        assert_eq!(contents, ["3", "2", "1"]);
    }
    Ok(())
}
