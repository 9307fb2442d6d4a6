//! `agents().update`: read, change and write in one operation.

use descartes_state::serde_json::json;
use descartes_state::{AgentState, ChangeIf, ManualClock, Revision, StateStoreError};

use descartes_state_testing::{NOW, Place, TestResult, agent};

const ANY: ChangeIf = ChangeIf::Any;

/// A store on each database with an agent, and its clock.
async fn stores() -> Result<Vec<(Place, ManualClock)>, StateStoreError> {
    let stores = Place::everywhere_at(NOW).await;
    for (store, _) in &stores {
        store.agents().save(&agent("a")).await?;
    }
    Ok(stores)
}

#[tokio::test]
async fn an_update_changes_what_the_closure_changed_and_the_time() -> TestResult {
    for (store, clock) in stores().await? {
        clock.advance_seconds(60);
        let revision = store
            .agents()
            .update("a", ANY, |state| {
                assert_eq!(state.updated_at, NOW + 60, "it is now already");
                state.status = "busy".to_owned();
                state.state_data = "s".repeat(5_000);
                state.metadata = json!({ "step": 2 });
                state.version += 1;
                Ok(())
            })
            .await?;
        assert_eq!(revision, Revision::from(2));
        let record = store.agents().get("a").await?.ok_or("gone")?;
        let expected = AgentState {
            status: "busy".to_owned(),
            state_data: "s".repeat(5_000),
            metadata: json!({ "step": 2 }),
            version: agent("a").version + 1,
            updated_at: NOW + 60,
            ..agent("a")
        };
        assert_eq!((record.state, record.revision), (expected, revision));

        // A time of its own is the closure's to set.
        let backdate = |state: &mut AgentState| {
            state.updated_at = 7;
            Ok(())
        };
        store.agents().update("a", ANY, backdate).await?;
        let record = store.agents().get("a").await?.ok_or("gone")?;
        assert_eq!(record.state.updated_at, 7);
    }
    Ok(())
}

#[tokio::test]
async fn an_update_that_fails_or_panics_leaves_the_agent_as_it_was() -> TestResult {
    for (store, _) in stores().await? {
        let before = store.agents().get("a").await?;
        let failed = store
            .agents()
            .update("a", ANY, |state| {
                state.status = "half changed".to_owned();
                Err(StateStoreError::application("not today"))
            })
            .await;
        assert!(
            matches!(&failed, Err(StateStoreError::Application(own)) if own.to_string() == "not today"),
            "{failed:?}"
        );
        let panicked = store
            .agents()
            .update("a", ANY, |state| {
                state.status = "half changed".to_owned();
                panic!("on purpose")
            })
            .await;
        assert!(
            matches!(&panicked, Err(StateStoreError::Panicked { message }) if message == "on purpose"),
            "{panicked:?}"
        );
        let renamed = store
            .agents()
            .update("a", ANY, |state| {
                state.agent_id = "b".to_owned();
                Ok(())
            })
            .await;
        assert!(
            matches!(&renamed, Err(StateStoreError::InvalidInput { field: "agent_id", reason }) if reason.contains("\"b\"")),
            "{renamed:?}"
        );
        let overgrown = store
            .agents()
            .update("a", ANY, |state| {
                state.name = "n".repeat(65 * 1024);
                Ok(())
            })
            .await;
        assert!(
            matches!(overgrown, Err(StateStoreError::TooLarge { .. })),
            "{overgrown:?}"
        );
        assert_eq!(store.agents().get("a").await?, before);
    }
    Ok(())
}

#[tokio::test]
async fn an_update_whose_condition_fails_never_runs_its_closure() -> TestResult {
    for (store, _) in stores().await? {
        let unreachable = |_: &mut AgentState| panic!("the closure ran");
        let old = ChangeIf::Revision(Revision::from(9));
        let conflict = store.agents().update("a", old, unreachable).await;
        assert!(
            matches!(&conflict, Err(StateStoreError::Conflict { id, actual, .. }) if id == "a" && actual.get() == 1),
            "{conflict:?}"
        );
        let missing = store.agents().update("none", ANY, unreachable).await;
        assert!(
            matches!(&missing, Err(StateStoreError::NotFound { id, .. }) if id == "none"),
            "{missing:?}"
        );
        let deleted_at = store.agents().delete("a", ANY).await?;
        let gone = store.agents().update("a", ANY, unreachable).await;
        assert!(
            matches!(gone, Err(StateStoreError::NotFound { .. })),
            "{gone:?}"
        );
        let deleted = store
            .agents()
            .update("a", ChangeIf::Revision(deleted_at), unreachable)
            .await;
        assert!(
            matches!(deleted, Err(StateStoreError::Deleted { .. })),
            "{deleted:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_side_by_side_lose_none() -> TestResult {
    for (store, _) in stores().await? {
        let one = |store: Place| async move {
            for _ in 0..25 {
                let count = |state: &mut AgentState| {
                    state.version += 1;
                    Ok(())
                };
                store.agents().update("a", ANY, count).await?;
            }
            Ok::<(), StateStoreError>(())
        };
        let tasks: Vec<_> = (0..4).map(|_| tokio::spawn(one(store.clone()))).collect();
        for task in tasks {
            task.await??;
        }
        let record = store.agents().get("a").await?.ok_or("gone")?;
        assert_eq!(record.state.version, agent("a").version + 100);
        assert_eq!(record.revision.get(), 101);
    }
    Ok(())
}

#[tokio::test]
async fn an_update_inside_a_transaction_stands_and_falls_with_it() -> TestResult {
    for (store, _) in stores().await? {
        let pause = |state: &mut AgentState| {
            state.status = "paused".to_owned();
            Ok(())
        };
        let failed: Result<(), _> = store
            .transact(move |tx| {
                tx.agents().update("a", ANY, pause)?;
                Err(StateStoreError::application("not today"))
            })
            .await;
        assert!(failed.is_err());
        let status =
            |record: Option<descartes_state::AgentRecord>| record.map(|it| it.state.status);
        let before = Some(agent("a").status);
        assert_eq!(status(store.agents().get("a").await?), before);
        store
            .transact(move |tx| {
                // Its own error leaves the transaction as good as before.
                tx.agents().update("none", ANY, pause).unwrap_err();
                tx.agents().update("a", ANY, pause)
            })
            .await?;
        let after = Some("paused".to_owned());
        assert_eq!(status(store.agents().get("a").await?), after);
    }
    Ok(())
}
