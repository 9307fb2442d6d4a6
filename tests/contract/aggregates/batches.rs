//! Batches: all six aggregates, all or nothing, in one commit.

use descartes_state::diesel::{RunQueryDsl, sql_query};
use descartes_state::error::ErrorKind;
use descartes_state::{
    AnyStateStore, ChangeIf, EventFilter, SaveIf, Session, SessionStatus, SnapshotOptions,
    StateStoreError, StoreOptions, TaskStatus, TransitionDraft,
};
use descartes_state_testing::{
    Place, TestResult, agent, connect_to_tamper, numbered_event, numbered_task,
};

const ANY: ChangeIf = ChangeIf::Any;

#[tokio::test]
async fn a_batch_writes_all_six_aggregates_and_returns_what_each_returned() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let mut batch = store.batch();
        let saved = batch.agents().save_if(&agent("a"), SaveIf::Absent)?;
        let recorded = batch
            .transitions()
            .record(&TransitionDraft::new("a", "x", "y"))?;
        let made = batch.snapshots().create("a", &SnapshotOptions::default())?;
        let one = batch.events().append(&numbered_event(1, "one"))?;
        let more = [numbered_event(2, "two"), numbered_event(3, "three")];
        let more = batch.events().append_all(&more)?;
        let task = batch.tasks().save(&numbered_task(1))?;
        let done = batch
            .tasks()
            .set_status(&numbered_task(1).id, TaskStatus::Done, ANY)?;
        batch.sessions().start(&Session::new("s", "a"))?;
        let ended = batch.sessions().end("s", SessionStatus::Failed, ANY)?;
        assert_eq!(batch.len(), 9);
        let results = batch.commit().await?;

        assert_eq!(results.len(), 9);
        let record = store.agents().get("a").await?.ok_or("no agent")?;
        assert_eq!(results.get(saved)?, record.revision);
        assert_eq!(results.get(recorded)?.get(), 1);
        let snapshot = store.snapshots().get(&results.get(made)?).await?;
        assert_eq!(snapshot.ok_or("no snapshot")?.agent_id, "a");
        let mut seqs = results.get(more)?;
        seqs.insert(0, results.get(one)?);
        for (seq, number) in seqs.iter().zip(1..) {
            let event = numbered_event(number, "");
            let stored = store.events().get(&event.id).await?.ok_or("no event")?;
            assert_eq!(stored.seq, *seq);
        }
        assert!(results.get(task)? < results.get(done)?);
        let session = store.sessions().get("s").await?.ok_or("no session")?;
        assert_eq!(
            (session.revision, session.status),
            (results.get(ended)?, SessionStatus::Failed)
        );
        assert_eq!(store.search_events("three").await?.len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_batch_that_fails_says_which_operation_and_leaves_nothing() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let mut batch = store.batch();
        batch.agents().save(&agent("a"))?;
        batch.events().append(&numbered_event(1, "one"))?;
        batch.agents().set_status("missing", "x", ANY)?;
        batch.agents().save(&agent("b"))?;
        let failed = batch.commit().await;
        let Err(StateStoreError::InBatch {
            place,
            operation,
            cause,
        }) = &failed
        else {
            panic!("{failed:?}");
        };
        assert_eq!((*place, *operation), (2, "agents.set_status"));
        assert!(matches!(**cause, StateStoreError::NotFound { .. }));
        let error = failed.err().ok_or("it failed")?;
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let text = error.to_string();
        assert!(
            text.starts_with("operation 3 of the batch") && text.contains("\"missing\""),
            "{text}"
        );
        assert!(store.list_agents().await?.is_empty());
        assert_eq!(store.events().count(&EventFilter::default()).await?, 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_batch_that_is_dropped_or_empty_writes_nothing() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let mut batch = store.batch();
        batch.agents().save(&agent("a"))?;
        drop(batch);
        assert!(store.batch().commit().await?.is_empty());
        assert!(store.list_agents().await?.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn an_event_that_is_there_already_is_no_error_in_a_batch() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let seq = store.events().append(&numbered_event(1, "one")).await?;
        let mut batch = store.batch();
        let again = batch.events().append(&numbered_event(1, "one"))?;
        let new = batch.events().append(&numbered_event(2, "two"))?;
        let done = batch.commit().await?;
        assert_eq!(done.get(again)?, seq);
        assert!(done.get(new)? > seq);

        let mut batch = store.batch();
        batch.events().append(&numbered_event(3, "three"))?;
        batch.events().append(&numbered_event(1, "other"))?;
        let refused = batch.commit().await;
        assert!(
            matches!(&refused, Err(error) if error.kind() == ErrorKind::Conflict),
            "{refused:?}"
        );
        assert_eq!(store.events().count(&EventFilter::default()).await?, 2);
    }
    Ok(())
}

#[tokio::test]
async fn two_prefixes_of_one_store_meet_in_one_batch() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let (alice, bob) = (store.with_prefix("alice"), store.with_prefix("bob"));
        let mut batch = alice.batch();
        batch.agents().save(&agent("a"))?;
        batch.with_prefix("bob").agents().save(&agent("b"))?;
        batch.agents().save(&agent("c"))?;
        batch.commit().await?;
        let ids = async |store: &AnyStateStore| -> Result<Vec<String>, StateStoreError> {
            let agents = store.list_agents().await?.into_iter();
            Ok(agents.map(|agent| agent.agent_id).collect())
        };
        assert_eq!(ids(&alice).await?, ["a", "c"]);
        assert_eq!(ids(&bob).await?, ["b"]);
        assert!(ids(&store).await?.is_empty());

        // All or nothing across both.
        let mut batch = alice.batch();
        batch.agents().save(&agent("d"))?;
        batch.with_prefix("bob").agents().delete("a", ANY)?;
        assert!(batch.commit().await.is_err());
        assert_eq!(ids(&alice).await?, ["a", "c"]);
        let illegal = batch_of_illegal_prefix(&alice);
        assert!(matches!(
            illegal,
            Err(StateStoreError::InvalidInput {
                field: "prefix",
                ..
            })
        ));
    }
    Ok(())
}

fn batch_of_illegal_prefix(store: &AnyStateStore) -> Result<(), StateStoreError> {
    let mut batch = store.batch();
    batch.with_prefix("\0").agents().save(&agent("a")).map(drop)
}

#[tokio::test]
async fn a_ticket_is_good_for_its_own_batch_alone() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let mut other = store.batch();
        let foreign = other.agents().save(&agent("b"))?;
        let mut batch = store.batch();
        let own = batch.agents().save(&agent("a"))?;
        let done = batch.commit().await?;
        assert_eq!(done.get(own)?.get(), 1);
        assert!(matches!(
            done.get(foreign),
            Err(StateStoreError::InvalidInput {
                field: "ticket",
                ..
            })
        ));
    }
    Ok(())
}

#[tokio::test]
async fn a_batch_holds_ten_thousand_operations_and_no_more() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let mut batch = store.batch();
        for number in 0..10_000 {
            batch.events().append(&numbered_event(number, "many"))?;
        }
        let refused = batch
            .events()
            .append(&numbered_event(10_000, "one too many"));
        assert!(
            matches!(
                refused,
                Err(StateStoreError::TooLarge {
                    field: "batch",
                    limit: 10_000,
                    ..
                })
            ),
            "{refused:?}"
        );
        let done = batch.commit().await?;
        assert_eq!(done.len(), 10_000);
        assert_eq!(store.events().count(&EventFilter::default()).await?, 10_000);
    }
    Ok(())
}

#[tokio::test]
async fn a_restore_in_a_batch_checks_the_snapshot_as_alone() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        store.agents().save(&agent("a")).await?;
        let id = store.create_snapshot("a", None).await?.to_string();
        let mut batch = store.batch();
        batch.agents().set_status("a", "broken", ANY)?;
        batch.snapshots().restore(&id, ANY)?;
        batch.commit().await?;
        let record = store.agents().get("a").await?.ok_or("gone")?;
        assert_eq!(record.state.status, agent("a").status);

        let Some(path) = store.path() else {
            // The server keeps nothing there but JSON.
            continue;
        };
        sql_query("UPDATE state_snapshots SET metadata = '{'")
            .execute(&mut connect_to_tamper(path)?)?;
        let mut batch = store.batch();
        batch.agents().set_status("a", "broken", ANY)?;
        batch.snapshots().restore(&id, ANY)?;
        let refused = batch.commit().await;
        assert!(
            matches!(&refused, Err(StateStoreError::InBatch { place: 1, cause, .. }) if cause.kind() == ErrorKind::Corrupt),
            "{refused:?}"
        );
        let after = store.agents().get("a").await?.ok_or("gone")?;
        assert_eq!(after, record);
    }
    Ok(())
}
